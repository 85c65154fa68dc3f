/** What group commit buys: synced sends per second through the queue, many at a time against one after the other. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { GroupId, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const queue = SandboxId.make("sb-00000001")
/** About the size of a short Slack message as a turn request. */
const body = JSON.stringify({ text: "x".repeat(600) })
const sends = 4_000
const singles = 500
const concurrency = 64
const idleQueues = 50
const idleMillis = 10_000

interface Sent {
  readonly perSecond: number
  readonly latencies: ReadonlyArray<number>
}

const sendMany = Effect.fnUntraced(function*(round: string, count: number, width: number) {
  const turns = yield* TurnQueue
  const latencies: Array<number> = []
  const started = performance.now()
  yield* Effect.forEach(
    Array.from({ length: count }, (_, n) => ({
      key: TurnKey.make(`${round}-${n}`),
      group: GroupId.make(`group-${n % 100}`),
      body
    })),
    (entry) =>
      Effect.suspend(() => {
        const before = performance.now()
        return Effect.map(turns.send(queue, entry), () => void latencies.push(performance.now() - before))
      }),
    { concurrency: width, discard: true }
  )
  const sent: Sent = { perSecond: count / (performance.now() - started) * 1_000, latencies }
  return sent
})

/** Takes everything; dies unless it is exactly what was sent. */
const drain = Effect.fnUntraced(function*(expected: number) {
  const turns = yield* TurnQueue
  const keys = new Set<string>()
  const started = performance.now()
  const taker = Effect.gen(function*() {
    for (;;) {
      const found = yield* turns.receive(queue, { wait: Duration.zero, visibility: Duration.minutes(5) })
      if (Option.isNone(found)) return
      if (keys.has(found.value.key)) return yield* Effect.die(new Error(`${found.value.key} came twice`))
      keys.add(found.value.key)
      yield* turns.delete(queue, found.value.receipt)
    }
  })
  yield* Effect.all(Array.from({ length: concurrency }, () => taker), { concurrency: "unbounded", discard: true })
  // A taker that found every group taken may have left while others still worked.
  yield* taker
  if (keys.size !== expected) return yield* Effect.die(new Error(`${keys.size} of ${expected} came`))
  return keys.size / (performance.now() - started) * 1_000
})

/** Processor time, in percent of one core, that waiting for `idleQueues` empty queues costs. */
const idle = Effect.fnUntraced(function*() {
  const turns = yield* TurnQueue
  const queues = Array.from({ length: idleQueues }, (_, n) => SandboxId.make(`idle-${n}`))
  yield* Effect.forEach(queues, (name) => turns.create(name), { concurrency: "unbounded", discard: true })
  const waiting = Effect.forEach(
    queues,
    (name) => turns.receive(name, { wait: Duration.millis(idleMillis), visibility: Duration.seconds(120) }),
    { concurrency: "unbounded", discard: true }
  )
  const before = process.cpuUsage()
  const started = yield* Clock.currentTimeMillis
  yield* waiting
  const spent = process.cpuUsage(before)
  return (spent.user + spent.system) / 1_000 / ((yield* Clock.currentTimeMillis) - started) * 100
})

const row = (values: Omit<BenchRow, "area" | "ok">): BenchRow => ({
  area: "engine",
  ...values,
  ok: meets(values.value, values.target)
})

export const run = (): Promise<ReadonlyArray<BenchRow>> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-"))
  const program = Effect.gen(function*() {
    const turns = yield* TurnQueue
    yield* turns.create(queue)
    // Both orders, so that neither profits from a warm start.
    yield* sendMany("warm", 200, concurrency)
    const single = yield* sendMany("single-a", singles, 1)
    const grouped = yield* sendMany("group-a", sends, concurrency)
    const groupedAgain = yield* sendMany("group-b", sends, concurrency)
    const singleAgain = yield* sendMany("single-b", singles, 1)
    const drained = yield* drain(200 + 2 * singles + 2 * sends)
    const cpu = yield* idle()
    const grouping = (grouped.perSecond + groupedAgain.perSecond) / 2
    const alone = (single.perSecond + singleAgain.perSecond) / 2
    const latencies = [...grouped.latencies, ...groupedAgain.latencies]
    const aloneLatencies = [...single.latencies, ...singleAgain.latencies]
    return [
      row({
        name: `synced sends, ${concurrency} at a time (baseline: one after the other)`,
        unit: "1/s",
        value: grouping,
        target: ">= 1000",
        baseline: alone,
        ratio: grouping / alone
      }),
      row({
        name: `latency of a synced send, ${concurrency} at a time`,
        unit: "ms",
        value: percentile(latencies, 99),
        p50: percentile(latencies, 50),
        p99: percentile(latencies, 99),
        target: ""
      }),
      row({
        name: "latency of a synced send, alone",
        unit: "ms",
        value: percentile(aloneLatencies, 99),
        p50: percentile(aloneLatencies, 50),
        p99: percentile(aloneLatencies, 99),
        target: ""
      }),
      row({ name: "receive and delete, each synced", unit: "1/s", value: drained, target: "" }),
      row({ name: `processor for ${idleQueues} idle queues, of one core`, unit: "%", value: cpu, target: "<= 3" })
    ]
  })
  return Effect.runPromise(program.pipe(Effect.provide(EmbeddedEngine.layer(path.join(directory, "state"))))).finally(
    () => fs.rmSync(directory, { recursive: true, force: true })
  )
}
