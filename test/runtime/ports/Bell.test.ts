/** Waiting for a ring: nothing is missed, nothing is looked for in vain. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { makeBell, whenRung } from "../../../runtime/ports/Bell.ts"

const never = Number.POSITIVE_INFINITY

const scene = Effect.sync(() => {
  const bell = makeBell()
  const looks: Array<number> = []
  const state = { value: 0, nextAt: never }
  return {
    bell,
    looks,
    state,
    wait: (until: number) =>
      whenRung(bell, until, (now) =>
        Effect.sync(() => {
          looks.push(now)
          return { found: state.value, enough: state.value > 0, nextAt: state.nextAt }
        }))
  }
})

describe("whenRung", () => {
  it.effect("gives at once what is there", () =>
    Effect.gen(function*() {
      const { looks, state, wait } = yield* scene
      state.value = 1
      assert.strictEqual(yield* wait(never), 1)
      assert.lengthOf(looks, 1)
    }))

  it.effect("looks again at a ring, also at one between the look and the wait", () =>
    Effect.gen(function*() {
      const { bell, state } = yield* scene
      let looks = 0
      const found = yield* whenRung(bell, never, () =>
        Effect.sync(() => {
          const { value } = state
          looks++
          // Behind the look's back.
          if (looks === 1) {
            state.value = 7
            bell.ring()
          }
          return { found: value, enough: value > 0, nextAt: never }
        }))
      assert.deepStrictEqual([found, looks], [7, 2])
    }))

  it.effect("looks again when something comes due, without a ring", () =>
    Effect.gen(function*() {
      const { looks, state, wait } = yield* scene
      state.nextAt = 3_000
      const fiber = yield* Effect.forkChild(wait(never))
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(looks, [0])
      state.value = 2
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), 2)
      assert.deepStrictEqual(looks, [0, 3_000])
    }))

  it.effect("looks at once where what is due was taken by another", () =>
    Effect.gen(function*() {
      const { bell } = yield* scene
      let looks = 0
      const found = yield* whenRung(bell, never, (now) =>
        Effect.sync(() => {
          looks++
          return { found: looks, enough: looks === 3, nextAt: now }
        }))
      assert.strictEqual(found, 3)
    }))

  it.effect("ends with its time, without a last look that could find nothing new", () =>
    Effect.gen(function*() {
      const { looks, wait } = yield* scene
      const fiber = yield* Effect.forkChild(wait(5_000))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 0)
      assert.deepStrictEqual(looks, [0])
    }))

  it.effect("looks a last time where something came due with the end", () =>
    Effect.gen(function*() {
      const { looks, state, wait } = yield* scene
      state.nextAt = 5_000
      const fiber = yield* Effect.forkChild(wait(5_000))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 0)
      assert.deepStrictEqual(looks, [0, 5_000])
    }))
})
