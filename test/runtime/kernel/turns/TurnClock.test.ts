import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import {
  longestAttemptMillis,
  makeTurnClock,
  runOut,
  standingStill
} from "../../../../runtime/kernel/turns/TurnClock.ts"

/** Whether it has run out, and with what. */
const state = (fiber: Fiber.Fiber<number>) => {
  const exit = fiber.pollUnsafe()
  return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
}

describe("a turn's clock", () => {
  it.effect("runs out exactly at its limit", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(runOut(makeTurnClock(), 60_000), { startImmediately: true })
      yield* TestClock.adjust(59_999)
      assert.isUndefined(state(fiber))
      yield* TestClock.adjust(1)
      assert.strictEqual(state(fiber), 60_000)
    }))

  it.effect("stands still while anybody is asked, and counts what overlaps once", () =>
    Effect.gen(function*() {
      const clock = makeTurnClock()
      const fiber = yield* Effect.forkChild(runOut(clock, 60_000), { startImmediately: true })
      const first = yield* Deferred.make<void>()
      const second = yield* Deferred.make<void>()
      yield* TestClock.adjust(20_000)
      yield* Effect.forkChild(standingStill(clock, Deferred.await(first)), { startImmediately: true })
      yield* TestClock.adjust(100_000)
      yield* Effect.forkChild(standingStill(clock, Deferred.await(second)), { startImmediately: true })
      yield* TestClock.adjust(100_000)
      yield* Deferred.succeed(first, undefined)
      yield* TestClock.adjust(100_000)
      yield* Deferred.succeed(second, undefined)
      yield* TestClock.adjust(39_999)
      assert.isUndefined(state(fiber))
      yield* TestClock.adjust(1)
      assert.strictEqual(state(fiber), 60_000)
    }))

  it.effect("never stands for longer than a message is held", () =>
    Effect.gen(function*() {
      const clock = makeTurnClock()
      const fiber = yield* Effect.forkChild(runOut(clock, 60_000), { startImmediately: true })
      yield* Effect.forkChild(standingStill(clock, Effect.never), { startImmediately: true })
      yield* TestClock.adjust(longestAttemptMillis - 1)
      assert.isUndefined(state(fiber))
      yield* TestClock.adjust(1)
      assert.strictEqual(state(fiber), longestAttemptMillis)
    }))
})
