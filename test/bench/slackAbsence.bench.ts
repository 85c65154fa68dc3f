/**
 * What people find after a bridge was away while fifty messages were written: real processes, Socket Mode, the local
 * workspace at Slack's own limits.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Change } from "../../km-cli/local/workspace/Watch.ts"
import * as SandboxStore from "../../runtime/adapters/disk/SandboxStore.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { slackProfile } from "../support/profiles.ts"
import { type Program, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const messages = 50
/** In how many threads they are written. */
const threads = 10

const row = (name: string, unit: BenchRow["unit"], value: number, target: string, samples?: ReadonlyArray<number>) =>
  ({
    area: "slack",
    name,
    unit,
    value,
    ...(samples === undefined ? {} : { p50: percentile(samples, 50), p99: percentile(samples, 99) }),
    target,
    ok: meets(value, target)
  }) satisfies BenchRow

const absence = Effect.gen(function*() {
  const stack = yield* startStack({ workspace: { sockets: { enabled: true }, limits: {} } })
  const { say, row: made } = yield* stack.sandbox({
    ...slackProfile,
    spec: { ...slackProfile.spec, cli: { ...slackProfile.spec.cli, slackMaxConcurrentThreads: 4 } }
  })
  const context = yield* Layer.build(SandboxStore.layer(statePaths(stack.state).sandbox(made.id).directory))
  const ledger = yield* Effect.provide(Ledger, context)
  const changes: Array<Change> = []
  yield* stack.workspace.watch((change) => void changes.push(change))
  yield* stack.bridge.kill9
  const roots: Array<string> = []
  const written: Array<string> = []
  for (let n = 0; n < messages; n++) {
    const ts = yield* say(`script:text answer ${n}`, roots[n % threads])
    if (n < threads) roots.push(ts)
    written.push(ts)
    // As fast as Slack lets anybody write in one channel.
    yield* Effect.sleep("1100 millis")
  }
  const back = Date.now()
  const bridge: Program = yield* stack.startBridge
  const ready = Date.now() - back
  const rows = yield* untilReal(
    "every message is answered",
    Effect.map(
      Effect.orDie(ledger.recent(messages * 2)),
      (all) => all.filter(({ state }) => state === "settled").length >= messages && all
    )
  )
  yield* untilReal(
    "every message has its mark",
    Effect.sync(() =>
      written.every((ts) =>
        changes.some(({ data, kind, ts: of }) =>
          kind === "reaction_added" && of === ts && data["name"] === "white_check_mark"
        )
      )
    )
  )
  yield* bridge.end("SIGTERM")
  const at = (ts: string, name: string) =>
    changes.find((change) => change.kind === "reaction_added" && change.ts === ts && change.data["name"] === name)?.seq
  const overtaken = written.filter((ts) => {
    const [eyes, begun] = [at(ts, "eyes"), at(ts, "hourglass_flowing_sand")]
    return eyes === undefined || begun !== undefined && begun < eyes
  }).length
  // In each thread, answers stand in the order of the messages.
  let outOfOrder = 0
  for (const [n, root] of roots.entries()) {
    const texts = (yield* Effect.orDie(stack.workspace.thread(made.channel ?? "", root)))?.replies
      .map(({ message }) => /answer (\d+)/.exec(String(message["text"])))
      .flatMap((found) => found === null ? [] : [Number(found[1])]) ?? []
    const expected = Array.from({ length: messages / threads }, (_, k) => n + k * threads)
    const firsts = expected.map((number) => texts.lastIndexOf(number))
    outOfOrder += firsts.filter((place, k) => place < 0 || k > 0 && place < (firsts[k - 1] ?? 0)).length
  }
  return { stored: rows.map(({ request }) => request.acceptedAt - back), ready, overtaken, outOfOrder }
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const { outOfOrder, overtaken, ready, stored } = await Effect.runPromise(Effect.scoped(absence))
  return [
    row("bridge back to its first answer on /healthz", "ms", ready, ""),
    row(
      `${messages} messages while the bridge was away: stored after it is back, slowest`,
      "ms",
      Math.max(...stored),
      "<= 10000",
      stored
    ),
    row("⏳ before 👀", "count", overtaken, "= 0"),
    row("answers missing, or out of order in their thread", "count", outOfOrder, "= 0")
  ]
}
