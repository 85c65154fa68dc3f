/** The one door to a turn's row: durable before anybody acts on it, tried again while the ledger cannot, left where it must be. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, PubSub } from "effect"
import type { TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import { LedgerHealth } from "../../../../runtime/kernel/turns/LedgerHealth.ts"
import { makeAdvance, makeJob } from "../../../../runtime/kernel/turns/TurnJob.ts"
import { Happening, receivedRow } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { Ledger, LedgerConflict } from "../../../../runtime/ports/Ledger.ts"
import * as MemoryLedger from "../../../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../../../runtime/ports/memory/MemoryLedger.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { elapse, message } from "../simulation/Simulation.ts"

const row = receivedRow(message(1, 1).request, "r1", 0)
const stop = Happening.StopRequested({ by: "Ada" })
const names = { runDir: () => "/run", freshSession: () => "s" as never }

const storeError = (reason: StoreError["reason"]) =>
  new StoreError({ port: "Ledger", operation: "update", reason, detail: `it is ${reason}`, cause: undefined })

interface Writes {
  /** What the next writes come to; after the last one they succeed. */
  readonly failures: Array<StoreError | LedgerConflict>
  readonly made: Array<{ readonly from: TurnRow; readonly to: TurnRow }>
}

const withAdvance = <A, E>(
  failures: ReadonlyArray<StoreError | LedgerConflict>,
  body: (parts: {
    readonly advance: ReturnType<typeof makeAdvance>
    readonly health: LedgerHealth["Service"]
    readonly writes: Writes
    readonly published: Effect.Effect<ReadonlyArray<TurnRow>>
  }) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const writes: Writes = { failures: [...failures], made: [] }
    const memory = yield* Ledger
    const ledger = Ledger.of({
      ...memory,
      update: (from, to) =>
        Effect.suspend(() => {
          writes.made.push({ from, to })
          const failure = writes.failures.shift()
          return failure === undefined ? Effect.void : Effect.fail(failure)
        })
    })
    const health = yield* LedgerHealth
    const changes = yield* PubSub.unbounded<TurnRow>()
    const subscription = yield* PubSub.subscribe(changes)
    const advance = makeAdvance(ledger, health, names, changes)
    return yield* body({ advance, health, writes, published: PubSub.takeUpTo(subscription, 100) })
  }).pipe(
    Effect.scoped,
    Effect.provide(
      LedgerHealth.layer.pipe(
        Layer.provideMerge(MemoryLedger.layerOver(makeMemoryLedgerState())),
        Layer.merge(Logger.layer([]))
      )
    )
  )

describe("TurnJob", () => {
  it("a row that has begun is past the point of no return", () => {
    assert.isFalse(makeJob(row).begun)
    assert.isTrue(makeJob({ ...row, state: "starting" }).begun)
  })

  it.effect("writes a change, keeps it and tells it; what changes nothing is not written", () =>
    withAdvance([], ({ advance, published, writes }) =>
      Effect.gen(function*() {
        const job = makeJob(row)
        assert.strictEqual(yield* advance(job, Happening.Finished()), "Stay")
        assert.lengthOf(writes.made, 0)
        yield* advance(job, stop)
        const changed = { ...row, cancelRequestedBy: "Ada" }
        assert.deepStrictEqual(writes.made, [{ from: row, to: changed }])
        assert.deepStrictEqual(job.row, changed)
        assert.deepStrictEqual(yield* published, [changed])
      })))

  it.effect("tries again after 100, 200, 400 … at most 5000 ms, and holds the row until it is written", () =>
    withAdvance(
      Array.from({ length: 8 }, (_, index) => storeError(index % 2 === 0 ? "Full" : "Unavailable")),
      ({ advance, health, writes }) =>
        Effect.gen(function*() {
          const job = makeJob(row)
          const advancing = yield* Effect.forkChild(advance(job, stop), { startImmediately: true })
          for (const [index, millis] of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000].entries()) {
            assert.lengthOf(writes.made, index + 1)
            assert.strictEqual((yield* health.current).state, index % 2 === 0 ? "full" : "unavailable")
            assert.strictEqual(job.row, row)
            yield* elapse(`${millis - 1} millis`)
            assert.lengthOf(writes.made, index + 1, `before ${millis} ms`)
            // The ledger's own probe must not be what says that it works again.
            yield* health.failed(storeError(index % 2 === 0 ? "Full" : "Unavailable"))
            yield* elapse("1 millis")
          }
          yield* Fiber.join(advancing)
          assert.lengthOf(writes.made, 9)
          assert.strictEqual(job.row.cancelRequestedBy, "Ada")
          assert.strictEqual((yield* health.current).state, "ok")
        })
    ))

  const conflict = new LedgerConflict({ key: row.key, expected: "received", found: "running" })
  for (
    const [error, reason, state] of [
      [conflict, "conflict", "ok"],
      [storeError("TooLarge"), "ledger", "ok"],
      [storeError("Corrupt"), "ledger", "corrupt"],
      [storeError("Denied"), "ledger", "corrupt"]
    ] as const
  ) {
    it.effect(`leaves the row as it is after ${error._tag === "StoreError" ? error.reason : "a conflict"}`, () =>
      withAdvance([error], ({ advance, health, published, writes }) =>
        Effect.gen(function*() {
          const job = makeJob(row)
          const abandoned = yield* Effect.flip(advance(job, stop))
          assert.deepInclude(abandoned, { _tag: "TurnAbandoned", key: row.key, reason, detail: error.message })
          assert.include(abandoned.message, "is left as it is")
          assert.lengthOf(writes.made, 1)
          assert.strictEqual(job.row, row)
          assert.strictEqual((yield* health.current).state, state)
          yield* advance(job, stop)
          assert.lengthOf(yield* published, 1)
        })))
  }

  it.effect("two changes of a row follow each other, each decided on what the one before wrote", () =>
    withAdvance([storeError("Full")], ({ advance, writes }) =>
      Effect.gen(function*() {
        const job = makeJob(row)
        const first = yield* Effect.forkChild(advance(job, stop), { startImmediately: true })
        const second = yield* Effect.forkChild(advance(job, Happening.Redelivered({ receipt: "r2" })), {
          startImmediately: true
        })
        assert.lengthOf(writes.made, 1)
        yield* elapse("100 millis")
        yield* Fiber.join(first)
        yield* Fiber.join(second)
        const stopped = { ...row, cancelRequestedBy: "Ada" }
        assert.deepStrictEqual(writes.made.slice(1), [{ from: row, to: stopped }, {
          from: stopped,
          to: { ...stopped, receipt: "r2" }
        }])
      })))
})
