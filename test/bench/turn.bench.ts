/**
 * What a person waits for in one turn, in real processes: the local workspace with Slack's own limits, the bridge, the
 * runtime and the real CLI behind the scripted model of the demo (three texts, two tool calls). One turn at a time, each
 * in a thread of its own, since the figures are those of one turn.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Change } from "../../km-cli/local/workspace/Watch.ts"
import * as SandboxStore from "../../runtime/adapters/disk/SandboxStore.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { MessageTs, slackTurnKey, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

/** Turns before the measured ones: code compiles, names and the bot's identity are learnt. */
const warmTurns = 3
const turns = 24
/** Between the starts of two turns, so that Slack's limit on edits (50 a minute) stays that of one turn. */
const paceMillis = 3_000
/** Clock ticks a second in /proc. */
const ticksPerSecond = 100

/** One line of each text that the demo's script says, by which it is found again in the thread. */
const phrases = ["First I look at the workspace", "Now I write down what you asked", "I ran one command and wrote"]

interface Measured {
  readonly toEyes: number
  readonly toStart: number
  /** One for each text of the agent. */
  readonly toVisible: ReadonlyArray<number>
  readonly toMark: number
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

/**
 * When the process began, in Unix milliseconds, rounded up: the kernel counts in ticks of 10 ms, and a figure must not
 * profit from that.
 */
const startOf = (row: TurnRow): number => {
  const uptimeMillis = Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1_000
  return Date.now() - uptimeMillis + (Number(row.process?.startTime) + 1) * (1_000 / ticksPerSecond)
}

/** When the CLI wrote each text down, in Unix milliseconds, from the session's own file. */
const textsOf = (home: string, session: string): ReadonlyArray<{ readonly text: string; readonly at: number }> => {
  const projects = path.join(home, ".claude", "projects")
  const file = fs.readdirSync(projects).map((name) => path.join(projects, name, `${session}.jsonl`)).find((name) =>
    fs.existsSync(name)
  )
  if (file === undefined) throw new Error(`no file of session ${session}`)
  return fs.readFileSync(file, "utf8").split("\n").filter((line) => line !== "").flatMap((line) => {
    const entry: unknown = JSON.parse(line)
    const content = field(field(entry, "message"), "content")
    if (field(entry, "type") !== "assistant" || !Array.isArray(content)) return []
    return content.flatMap((block: unknown) => {
      const text = field(block, "text")
      return typeof text === "string" ? [{ text, at: Date.parse(String(field(entry, "timestamp"))) }] : []
    })
  })
}

/** How long the workspace itself took for the call that set this reaction. */
const ownMillis = (changes: ReadonlyArray<Change>, reaction: Change): number => {
  const call = changes.find((change) =>
    change.seq > reaction.seq && change.kind === "call" && change.data["method"] === "reactions.add"
  )
  return Number(call?.data["millis"] ?? 0)
}

const measure = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, ledger: Ledger["Service"], n: number) {
  const changes: Array<Change> = []
  const stop = yield* stack.workspace.watch((change) => void changes.push(change))
  const ts = yield* sandbox.say(`please look around, number ${n}`)
  const marked = (emoji: string) =>
    changes.find((change) => change.kind === "reaction_added" && change.ts === ts && change.data["name"] === emoji)
  const key = slackTurnKey(TeamId.make(stack.workspace.teamId), sandbox.channel, MessageTs.make(ts))
  const row = yield* untilReal(
    `turn ${n} is settled`,
    Effect.map(Effect.orDie(ledger.recent(4)), (rows) => rows.find((one) => one.key === key && one.state === "settled"))
  )
  yield* stop
  const delivery = changes.find((change) =>
    change.kind === "delivery" && change.data["event_message_ts"] === ts && change.data["ok"] === true
  )
  const eyes = marked("eyes")
  const done = marked("white_check_mark")
  if (delivery === undefined || eyes === undefined || done === undefined || row.session === undefined) {
    return yield* Effect.die(new Error(`turn ${n} ended ${row.result}, and not everything of it was seen`))
  }
  const sent = delivery.at - Number(delivery.data["millis"])
  const texts = textsOf(statePaths(stack.state).sandbox(sandbox.row.id).home, row.session)
  const toVisible = phrases.map((phrase) => {
    const said = texts.find(({ text }) => text.includes(phrase))
    const shown = changes.find((change) =>
      (change.kind === "message" || change.kind === "message_changed") && change.threadTs === ts && change.ts !== ts &&
      JSON.stringify(change.data).includes(phrase)
    )
    return said === undefined || shown === undefined ? Number.POSITIVE_INFINITY : shown.at - said.at
  })
  const measured: Measured = {
    toEyes: eyes.at - sent - ownMillis(changes, eyes),
    toStart: startOf(row) - sent,
    toVisible,
    toMark: done.at - sent
  }
  return measured
})

const program = Effect.gen(function*() {
  const stack = yield* startStack({ workspace: { limits: {} } })
  const sandbox = yield* stack.sandbox()
  const context = yield* Layer.build(SandboxStore.layer(statePaths(stack.state).sandbox(sandbox.row.id).directory))
  const ledger = yield* Effect.provide(Ledger, context)
  const all: Array<Measured> = []
  for (let n = 0; n < warmTurns + turns; n++) {
    const begun = performance.now()
    const one = yield* measure(stack, sandbox, ledger, n)
    if (n >= warmTurns) all.push(one)
    yield* Effect.sleep(Math.max(0, paceMillis - (performance.now() - begun)))
  }
  return all
})

const row = (name: string, samples: ReadonlyArray<number>, target: string): BenchRow => ({
  area: "turn",
  name,
  unit: "ms",
  value: percentile(samples, 95),
  p50: percentile(samples, 50),
  p99: percentile(samples, 99),
  target,
  ok: meets(percentile(samples, 95), target)
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const all = await Effect.runPromise(Effect.scoped(program))
  return [
    row(
      "event received to 👀 posted, p95, the workspace's own time subtracted",
      all.map(({ toEyes }) => toEyes),
      "<= 150"
    ),
    row("event received to agent process started, p95", all.map(({ toStart }) => toStart), "<= 150"),
    row(
      "first text produced to visible in the thread, p95",
      all.flatMap(({ toVisible }) => toVisible.slice(0, 1)),
      "<= 700"
    ),
    row(
      "later text produced to visible in the thread, p95",
      all.flatMap(({ toVisible }) => toVisible.slice(1)),
      "<= 2000"
    ),
    row("event received to ✅, three texts and two tool calls, p95", all.map(({ toMark }) => toMark), "")
  ]
}
