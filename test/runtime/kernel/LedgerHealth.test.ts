/** One state for all who ask whether new work may be taken. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { LedgerHealth } from "../../../runtime/kernel/LedgerHealth.ts"
import { Ledger, makeMemoryLedgerState } from "../../../runtime/ports/Ledger.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"

const trouble = (reason: StoreError["reason"]) =>
  new StoreError({ port: "Ledger", operation: "remember", reason, detail: "disk", cause: reason })

/** A ledger whose probes fail as told. */
const makeWorld = () => {
  const state = { fails: undefined as StoreError["reason"] | undefined, probes: 0 }
  const ledger = Layer.effect(
    Ledger,
    Effect.map(Ledger, (real) =>
      Ledger.of({
        ...real,
        remember: (fact, value) =>
          Effect.suspend(() => {
            state.probes++
            return state.fails === undefined ? real.remember(fact, value) : Effect.fail(trouble(state.fails))
          })
      }))
  ).pipe(Layer.provide(Ledger.memory(makeMemoryLedgerState())))
  return { state, layer: LedgerHealth.layer.pipe(Layer.provide(ledger), Layer.provideMerge(Logger.layer([]))) }
}

describe("LedgerHealth", () => {
  for (const reason of ["Corrupt", "Denied"] as const) {
    it.effect(`never heals by itself once it was ${reason}: a person must look`, () => {
      const world = makeWorld()
      return Effect.gen(function*() {
        const health = yield* LedgerHealth
        const waits = yield* Effect.forkChild(Effect.andThen(health.failed(trouble(reason)), health.untilOk))
        yield* Effect.yieldNow
        const before = yield* health.current
        assert.strictEqual(before.state, "corrupt")
        // What would heal a full disk: a write that works, the probe, a milder failure followed by a write.
        yield* health.worked
        yield* TestClock.adjust("1 hour")
        yield* health.failed(trouble("Full"))
        yield* health.worked
        yield* health.stop
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* health.current, before)
        assert.isUndefined(waits.pollUnsafe(), "nobody takes new work")
        assert.strictEqual(world.state.probes, 0)
      }).pipe(Effect.provide(world.layer))
    })
  }

  it.effect("stops at a full disk, looks every five seconds, and goes on by itself", () => {
    const world = makeWorld()
    return Effect.gen(function*() {
      const health = yield* LedgerHealth
      world.state.fails = "Full"
      yield* health.failed(trouble("Full"))
      const waits = yield* Effect.forkChild(health.untilOk, { startImmediately: true })
      yield* TestClock.adjust("12 seconds")
      assert.strictEqual(world.state.probes, 2)
      assert.strictEqual((yield* health.current).state, "full")
      world.state.fails = undefined
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* health.current).state, "ok")
      assert.strictEqual(waits.pollUnsafe()?._tag, "Success")
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("becomes corrupt when a probe says so, and stays", () => {
    const world = makeWorld()
    return Effect.gen(function*() {
      const health = yield* LedgerHealth
      world.state.fails = "Corrupt"
      yield* health.failed(trouble("Unavailable"))
      yield* TestClock.adjust("5 seconds")
      world.state.fails = undefined
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* health.current).state, "corrupt")
      assert.strictEqual(world.state.probes, 1)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("an oversized row is no fault of the ledger, and a stopped runtime takes nothing more", () => {
    const world = makeWorld()
    return Effect.gen(function*() {
      const health = yield* LedgerHealth
      yield* health.failed(trouble("TooLarge"))
      assert.strictEqual((yield* health.current).state, "ok")
      yield* health.stop
      yield* health.failed(trouble("Full"))
      yield* health.worked
      assert.strictEqual((yield* health.current).state, "stopping")
      yield* health.failed(trouble("Corrupt"))
      assert.strictEqual((yield* health.current).state, "corrupt")
    }).pipe(Effect.provide(world.layer))
  })
})
