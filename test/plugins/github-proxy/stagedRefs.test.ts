/** The notes of refs that may be on GitHub, and what is done about those that were left. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Path from "node:path"
import { type Removal, stagedRefs, sweepStaged } from "../../../plugins/github-proxy/proxy/StagedRefs.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"

const ref = { repository: 7, name: "0123456789abcdef" }

const scene = Effect.gen(function*() {
  // Notes carry the machine's time.
  yield* TestClock.setTime(Date.now())
  const clock = yield* Clock.Clock
  const directory = Path.join(yield* temporaryDirectory, "staged")
  const staged = stagedRefs(directory)
  const tried: Array<string> = []
  const state: { removal: Removal; look: Effect.Effect<void, Error> } = { removal: "deleted", look: Effect.void }
  const sweeping = sweepStaged({
    staged,
    now: () => clock.currentTimeMillisUnsafe(),
    look: Effect.suspend(() => state.look),
    repository: (id) => Effect.succeed({ id, owner: "my-org", name: "api" }),
    remove: (_, name) =>
      Effect.sync(() => {
        tried.push(name)
        return state.removal
      })
  })
  const sweep = Effect.forkChild(sweeping, { startImmediately: true })
  return { directory, staged, state, sweep, tried }
})

describe("refs that were left", () => {
  it.effect("are those of no push that is under way, over processes", () =>
    Effect.gen(function*() {
      const { directory, staged } = yield* scene
      staged.begin(ref)
      assert.deepStrictEqual(staged.left(), [])
      const next = stagedRefs(directory)
      assert.deepStrictEqual(next.left().map(({ name, repository }) => ({ name, repository })), [ref])
      staged.end(ref, "deleted", false)
      assert.deepStrictEqual(next.left(), [])
      for (
        const [removal, isKnown, left] of [["absent", true, 0], ["absent", false, 1], ["refused", true, 1]] as const
      ) {
        staged.begin(ref)
        staged.end(ref, removal, isKnown)
        assert.strictEqual(staged.left().length, left, `${removal} ${isKnown}`)
      }
    }))

  it.effect("are tried again while GitHub refuses, later and later", () =>
    Effect.gen(function*() {
      const { staged, state, sweep, tried } = yield* scene
      staged.note(ref)
      state.removal = "refused"
      yield* sweep
      yield* TestClock.adjust("13 seconds")
      assert.strictEqual(tried.length, 3)
      state.removal = "deleted"
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([tried.length, staged.left()], [4, []])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(tried.length, 4)
    }))

  it.effect("and are not there yet may come for a quarter of an hour", () =>
    Effect.gen(function*() {
      const { staged, state, sweep, tried } = yield* scene
      staged.note(ref)
      state.removal = "absent"
      yield* sweep
      yield* TestClock.adjust("14 minutes")
      assert.strictEqual(staged.left().length, 1)
      yield* TestClock.adjust("6 minutes")
      assert.deepStrictEqual(staged.left(), [])
      assert.isBelow(tried.length, 20)
    }))

  it.effect("by a push that ends wake who sweeps", () =>
    Effect.gen(function*() {
      const { staged, sweep, tried } = yield* scene
      yield* sweep
      staged.begin(ref)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(tried, [])
      staged.end(ref, "refused", true)
      yield* TestClock.adjust("1 milli")
      assert.deepStrictEqual([tried, staged.left()], [[ref.name], []])
    }))

  it.effect("are looked for on GitHub until that was possible once", () =>
    Effect.gen(function*() {
      const { staged, state, sweep, tried } = yield* scene
      state.look = Effect.fail(new Error("GitHub does not answer"))
      yield* sweep
      yield* TestClock.adjust("1 hour")
      state.look = Effect.sync(() => staged.note(ref))
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual([tried, staged.left()], [[ref.name], []])
    }))
})
