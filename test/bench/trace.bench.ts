/**
 * Where the time of one turn goes that is neither the agent's nor Slack's: from the event to the agent's process, and from
 * the end of that process to ✅. Real processes, one turn at a time, each in a thread of its own, without a live view. The
 * figures are of turns that nobody traces; one more is traced, and printed as a waterfall.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import type { Change } from "../../km-cli/local/workspace/Watch.ts"
import * as SandboxStore from "../../runtime/adapters/disk/SandboxStore.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { MessageTs, slackTurnKey, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import type { ProcessMark } from "../../runtime/domain/turn/Turn.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { type CollectedSpan, startCollector } from "../support/Collector.ts"
import { profileWith } from "../support/profiles.ts"
import { type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

/** Turns before the measured ones: code compiles, names and the bot's identity are learnt. */
const warmTurns = 3
const turns = 24
/** Clock ticks a second in /proc. */
const ticksPerSecond = 100
/** How often it is looked whether the agent's process still runs, in milliseconds. */
const lookEvery = 1

/** Nobody sees it live, and the agent has the machine's network: no doors. */
const profile = profileWith(
  { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true },
  { network: { mode: "shared" } }
)

/** State and start time of a process, from /proc; none when it is gone. */
const statOf = (pid: number): { readonly state: string; readonly startTime: string } | undefined => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0] ?? "", startTime: fields[19] ?? "" }
  } catch {
    // Gone, which is what is looked for.
    return undefined
  }
}

/** Unix milliseconds at which the process was seen to have ended; a zombie has. */
const endOf = (mark: ProcessMark): Effect.Effect<number> =>
  Effect.suspend(() => {
    const stat = statOf(mark.pid)
    return stat === undefined || stat.startTime !== mark.startTime || stat.state === "Z" || stat.state === "X"
      ? Effect.succeed(performance.timeOrigin + performance.now())
      : Effect.andThen(Effect.sleep(lookEvery), endOf(mark))
  })

/** When it began, in Unix milliseconds, rounded up to the kernel's tick: a figure must not profit from that. */
const startOf = (mark: ProcessMark): number => {
  const uptimeMillis = Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1_000
  return Date.now() - uptimeMillis + (Number(mark.startTime) + 1) * (1_000 / ticksPerSecond)
}

interface Measured {
  readonly toStart: number
  readonly toMark: number
}

const measure = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, ledger: Ledger["Service"], n: number) {
  const changes: Array<Change> = []
  const stop = yield* stack.workspace.watch((change) => void changes.push(change))
  const ts = yield* sandbox.say(`number ${n} script:text`)
  const key = slackTurnKey(TeamId.make(stack.workspace.teamId), sandbox.channel, MessageTs.make(ts))
  const row = Effect.map(Effect.orDie(ledger.recent(4)), (rows) => rows.find((one) => one.key === key))
  const mark = yield* untilReal(`turn ${n} has its agent`, Effect.map(row, (found) => found?.process))
  const started = startOf(mark)
  const ended = yield* endOf(mark)
  yield* sandbox.untilReaction(ts, "white_check_mark")
  yield* untilReal(`turn ${n} is settled`, Effect.map(row, (found) => found?.state === "settled"))
  yield* stop
  const delivery = changes.find(({ data, kind }) =>
    kind === "delivery" && data["event_message_ts"] === ts && data["ok"] === true
  )
  const done = changes.find(({ data, kind, ts: of }) =>
    kind === "reaction_added" && of === ts && data["name"] === "white_check_mark"
  )
  if (delivery === undefined || done === undefined) return yield* Effect.die(new Error(`turn ${n} was not seen whole`))
  /** What the workspace itself took for the post of the answer, and for the reaction, whose own line comes after it. */
  const last = changes.find(({ data, kind, seq }) =>
    seq > done.seq && kind === "call" && data["method"] === "reactions.add"
  )
  const own = changes
    .filter(({ at, data, kind }) => kind === "call" && data["method"] === "chat.postMessage" && at >= ended)
    .concat(last === undefined ? [] : [last])
    .reduce((total, { data }) => total + Number(data["millis"]), 0)
  const measured: Measured = {
    toStart: started - (delivery.at - Number(delivery.data["millis"])),
    toMark: done.at - ended - own
  }
  return measured
})

const untraced = Effect.scoped(Effect.gen(function*() {
  const stack = yield* startStack()
  const sandbox = yield* stack.sandbox(profile)
  const context = yield* Layer.build(SandboxStore.layer(statePaths(stack.state).sandbox(sandbox.row.id).directory))
  const ledger = yield* Effect.provide(Ledger, context)
  const all: Array<Measured> = []
  for (let n = 0; n < warmTurns + turns; n++) {
    const one = yield* measure(stack, sandbox, ledger, n)
    if (n >= warmTurns) all.push(one)
  }
  return all
}))

/** The spans of the last of a few turns. */
const traced = Effect.scoped(Effect.gen(function*() {
  const collector = yield* startCollector
  const stack = yield* startStack({ env: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }) })
  const sandbox = yield* stack.sandbox(profile)
  const context = yield* Layer.build(SandboxStore.layer(statePaths(stack.state).sandbox(sandbox.row.id).directory))
  const ledger = yield* Effect.provide(Ledger, context)
  for (let n = 0; n <= warmTurns; n++) yield* measure(stack, sandbox, ledger, n)
  // What was recorded leaves at the end at the latest.
  yield* stack.runtime.end("SIGTERM")
  yield* stack.bridge.end("SIGTERM")
  const spans = collector.spans()
  const turn = spans.filter(({ name }) => name === "Turn.run").toSorted((a, b) => b.start - a.start)[0]
  return spans.filter(({ traceId }) => traceId === turn?.traceId).toSorted((a, b) => a.start - b.start)
}))

const columns = 60

/** A line for each span: since the event, how long, whose, and where in the whole. */
export const waterfall = (spans: ReadonlyArray<CollectedSpan>): string => {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  const depthOf = (span: CollectedSpan): number => {
    const parent = byId.get(span.parent ?? "")
    return parent === undefined ? 0 : depthOf(parent) + 1
  }
  const begin = Math.min(...spans.map(({ start }) => start))
  const scale = columns / Math.max(1, Math.max(...spans.map(({ end }) => end)) - begin)
  return spans.map((span) => {
    const from = Math.floor((span.start - begin) * scale)
    const bar = `${" ".repeat(from)}${"█".repeat(Math.max(1, Math.round((span.end - span.start) * scale)))}`
    const [what] = ["km.action", "km.slack.method"].flatMap((name) => span.attributes[name] ?? [])
    const name = `${"  ".repeat(depthOf(span))}${span.service.replace("km-", "")} ${span.name}${
      what === undefined ? "" : ` (${what})`
    }`
    const figures = `${(span.start - begin).toFixed(1).padStart(8)} ${(span.end - span.start).toFixed(1).padStart(8)}`
    return `${figures}  ${bar.padEnd(columns + 1).slice(0, columns + 1)} ${name}`
  }).join("\n")
}

const row = (name: string, samples: ReadonlyArray<number>, p: number, target: string): BenchRow => ({
  area: "trace",
  name,
  unit: "ms",
  value: percentile(samples, p),
  p50: percentile(samples, 50),
  p99: percentile(samples, 99),
  target,
  ok: meets(percentile(samples, p), target)
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const all = await Effect.runPromise(untraced)
  const spans = await Effect.runPromise(traced)
  process.stderr.write(`      ms    takes  one turn, traced (tracing itself costs some of it)\n${waterfall(spans)}\n`)
  const requests = spans.filter(({ name }) => name === "V2Handler.carryOut").length
  const toStart = all.map((one) => one.toStart)
  return [
    row("event received to agent process started, without doors, median", toStart, 50, "<= 20"),
    row("event received to agent process started, without doors, p95", toStart, 95, "<= 35"),
    row(
      "end of the agent's process to ✅, p95, the workspace's own time subtracted",
      all.map((one) => one.toMark),
      95,
      "<= 60"
    ),
    {
      area: "trace",
      name: "requests to the bridge of a turn without streaming",
      unit: "count",
      value: requests,
      target: "<= 4",
      ok: meets(requests, "<= 4")
    }
  ]
}
