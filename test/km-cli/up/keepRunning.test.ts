/** A part of `km up` that ends by itself is started again, ever later, and at once after a life that was long enough. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock, TestConsole } from "effect/testing"
import type { Child } from "../../../km-cli/up/Child.ts"
import { keepRunning } from "../../../km-cli/up/Stack.ts"

const child = (millis: number): Child => ({
  name: "part",
  process: { pid: 1, startTime: "" },
  firstLine: Effect.succeed(""),
  ended: Effect.as(Effect.sleep(millis), `after ${millis} ms`)
})

/** Runs lives of given lengths in milliseconds, `undefined` for one that cannot begin; tells when each was begun. */
const starts = Effect.fnUntraced(function*(lives: ReadonlyArray<number | undefined>) {
  const at: Array<number> = []
  const again = Effect.gen(function*() {
    at.push(yield* Clock.currentTimeMillis)
    const life = lives[at.length]
    return life === undefined && at.length < lives.length
      ? yield* Effect.fail({ message: "no room" })
      : child(life ?? 1e9)
  })
  const first = lives[0] === undefined ? undefined : child(lives[0])
  const keeping = yield* Effect.forkChild(keepRunning("part", first, again), { startImmediately: true })
  yield* TestClock.adjust("1 hour")
  yield* Fiber.interrupt(keeping)
  return at
})

describe("keepRunning", () => {
  it.effect("begins at once, then after 1, 2, 4 … at most 30 seconds", () =>
    Effect.gen(function*() {
      const at = yield* starts([0, 0, 0, 0, 0, 0, 0, 0])
      assert.deepStrictEqual(at.map((millis) => millis / 1_000), [0, 1, 3, 7, 15, 31, 61, 91])
    }))

  it.effect("begins at once again after five minutes of health, and not a moment before", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* starts([0, 0, 299_999, 0]), [0, 1_000, 302_999, 306_999])
    }))

  it.effect("a life of five minutes makes the next start immediate, and the one after that a second late", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* starts([0, 0, 300_000, 0]), [0, 1_000, 301_000, 302_000])
    }))

  it.effect("counts a start that fails, and says why and how each life ended", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* starts([undefined, undefined, 5, undefined]), [0, 1_000, 3_005, 7_005])
      assert.deepStrictEqual(yield* TestConsole.errorLines, [
        "part could not be started again: no room",
        "part ended by itself (after 5 ms); it is started again",
        "part could not be started again: no room"
      ])
    }))
})
