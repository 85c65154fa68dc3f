/** The copy of the identity directory: what is read while another reads or writes. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { directoryMaxAgeMillis, type DirectoryRows, makeDirectoryCopy } from "../../../runtime/ports/Directory.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"

const rowsOf = (revocation: string): DirectoryRows => ({
  keys: [],
  revocations: [{ revocation, signature: "" }]
})
const down = new StoreError({ port: "Test", operation: "read", reason: "Unavailable", detail: "", cause: undefined })

/** A store whose every read waits to be let through, and then gives what is there. */
const slowStore = Effect.sync(() => {
  const reads: Array<Deferred.Deferred<void>> = []
  const state = { now: "old", down: false }
  const copy = makeDirectoryCopy(Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const { now } = state
    reads.push(gate)
    yield* Deferred.await(gate)
    return state.down ? yield* down : rowsOf(now)
  }))
  const write = (text: string) => copy.writing(Effect.sync(() => void (state.now = text)))
  const pass = Effect.fnUntraced(function*(n: number) {
    for (let gate = reads[n];; gate = reads[n]) {
      if (gate !== undefined) return yield* Deferred.succeed(gate, undefined)
      yield* Effect.yieldNow
    }
  })
  return { copy, reads, state, write, pass }
})
const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

describe("the copy of the directory", () => {
  it.effect("many who ask at once read once", () =>
    Effect.gen(function*() {
      const { copy, pass, reads } = yield* slowStore
      const asking = yield* Effect.forEach([1, 2, 3], () => fork(copy.directory))
      yield* pass(0)
      const got = yield* Effect.forEach(asking, (fiber) => Fiber.join(fiber))
      assert.strictEqual(new Set(got).size, 1)
      assert.lengthOf(reads, 1)
    }))

  it.effect("what was read before a write of this process ended is not kept", () =>
    Effect.gen(function*() {
      const { copy, pass, reads, write } = yield* slowStore
      const early = yield* fork(copy.directory)
      yield* write("new")
      yield* pass(0)
      yield* Fiber.join(early)
      const late = yield* fork(copy.directory)
      yield* pass(1)
      assert.strictEqual((yield* Fiber.join(late)).revocations[0]?.revocation, "new")
      assert.lengthOf(reads, 2)
    }))

  it.effect("a write that was interrupted may have been done: the copy goes with it", () =>
    Effect.gen(function*() {
      const { copy, pass, reads } = yield* slowStore
      const first = yield* fork(copy.directory)
      yield* pass(0)
      yield* Fiber.join(first)
      const writing = yield* fork(copy.writing(Effect.never))
      yield* Fiber.interrupt(writing)
      const again = yield* fork(copy.directory)
      yield* pass(1)
      yield* Fiber.join(again)
      assert.lengthOf(reads, 2)
    }))

  it.effect("who needs it now is never given a reading that began before", () =>
    Effect.gen(function*() {
      const { copy, pass, reads, state } = yield* slowStore
      const early = yield* fork(copy.directoryNow)
      state.now = "written by another process"
      const fresh = yield* Effect.forEach([1, 2], () => fork(copy.directoryNow))
      yield* pass(0)
      assert.strictEqual((yield* Fiber.join(early)).revocations[0]?.revocation, "old")
      yield* pass(1)
      for (const fiber of fresh) {
        assert.strictEqual((yield* Fiber.join(fiber)).revocations[0]?.revocation, "written by another process")
      }
      assert.lengthOf(reads, 2, "the second of them is given what the first one read")
    }))

  it.effect("an old copy does not answer for a store that is down", () =>
    Effect.gen(function*() {
      const { copy, pass, state } = yield* slowStore
      const first = yield* fork(copy.directory)
      yield* pass(0)
      yield* Fiber.join(first)
      yield* TestClock.adjust(directoryMaxAgeMillis)
      state.down = true
      const failing = yield* fork(Effect.flip(copy.directory))
      yield* pass(1)
      assert.strictEqual(yield* Fiber.join(failing), down)
    }))

  // Half of the 60 s after which a revoked key is of no use to anybody.
  it("is at most 30 s old", () => assert.isAtMost(directoryMaxAgeMillis, 30_000))
})
