/** What every idempotency store must do: one holder per key, a recorded result after it, doubt when it vanished. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Begin, Idempotency, idempotencyPendingMillis } from "../../../runtime/ports/Idempotency.ts"
import { type Engine, timeOf } from "./Engine.ts"

const tokenOf = (begin: Begin): string => begin._tag === "Fresh" || begin._tag === "Uncertain" ? begin.token : ""

export const idempotencyContract = <LE>(engine: Engine<Idempotency, LE>): void => {
  const { almost, near, passTime, over } = timeOf(engine)
  const test = <E>(name: string, body: (records: Idempotency["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Idempotency, body), engine.layer))

  /** Somebody holds it for so many milliseconds more. */
  const pending = (begin: Begin, millis: number) => {
    assert.deepInclude(begin, { _tag: "Pending", bodyHash: "hash" })
    near(begin._tag === "Pending" ? begin.retryAfterMillis : undefined, millis)
  }
  /** Somebody held it, since this many milliseconds after the test's start, and vanished. */
  const uncertain = (begin: Begin, startedAt: number) => {
    assert.deepInclude(begin, { _tag: "Uncertain", bodyHash: "hash" })
    near(begin._tag === "Uncertain" ? begin.startedAt : undefined, startedAt)
  }

  test("the first one is fresh, the next waits, and then finds the result", (records) =>
    Effect.gen(function*() {
      const fresh = yield* records.begin("s", "k", "hash", 10_000)
      assert.strictEqual(fresh._tag, "Fresh")
      yield* passTime("4 seconds")
      pending(yield* records.begin("s", "k", "other", 10_000), 6_000)
      yield* records.complete("s", "k", tokenOf(fresh), "result 🦊", 60_000)
      assert.deepStrictEqual(yield* records.begin("s", "k", "other", 10_000), {
        _tag: "Done",
        bodyHash: "hash",
        result: "result 🦊"
      })
    }))

  test("a lease that is renewed runs on, for its holder alone and until there is a result", (records) =>
    Effect.gen(function*() {
      const first = tokenOf(yield* records.begin("s", "k", "hash", 10_000))
      yield* passTime("8 seconds")
      assert.isTrue(yield* records.extend("s", "k", first, 10_000))
      yield* almost("10 seconds")
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Pending")
      yield* over
      const second = yield* records.begin("s", "k", "hash", 10_000)
      uncertain(second, 0)
      assert.isFalse(yield* records.extend("s", "k", first, 10_000))
      assert.isTrue(yield* records.extend("s", "k", tokenOf(second), 5_000))
      pending(yield* records.begin("s", "k", "hash", 10_000), 5_000)
      yield* records.complete("s", "k", tokenOf(second), "done", 60_000)
      assert.isFalse(yield* records.extend("s", "k", tokenOf(second), 10_000))
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Done")
      assert.isFalse(yield* records.extend("s", "other", "token", 10_000))
    }))

  test("a lease that runs out leaves doubt, with a new holder", (records) =>
    Effect.gen(function*() {
      yield* passTime("1 seconds")
      const first = yield* records.begin("s", "k", "hash", 10_000)
      yield* almost("10 seconds")
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Pending")
      yield* over
      const second = yield* records.begin("s", "k", "other", 10_000)
      uncertain(second, 1_000)
      assert.notStrictEqual(tokenOf(second), tokenOf(first))
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Pending")
      yield* records.complete("s", "k", tokenOf(first), "late", 60_000)
      yield* records.abandon("s", "k", tokenOf(first))
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Pending")
      yield* records.complete("s", "k", tokenOf(second), "right", 60_000)
      assert.deepStrictEqual(yield* records.begin("s", "k", "hash", 10_000), {
        _tag: "Done",
        bodyHash: "hash",
        result: "right"
      })
    }))

  test("a result is kept for its time and then absent", (records) =>
    Effect.gen(function*() {
      const fresh = yield* records.begin("s", "k", "hash", 10_000)
      yield* records.complete("s", "k", tokenOf(fresh), "result", 60_000)
      yield* almost("60 seconds")
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Done")
      yield* over
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Fresh")
    }))

  test("a result is written once and cannot be abandoned", (records) =>
    Effect.gen(function*() {
      const token = tokenOf(yield* records.begin("s", "k", "hash", 10_000))
      yield* records.complete("s", "k", token, "first", 60_000)
      yield* records.complete("s", "k", token, "second", 60_000)
      yield* records.abandon("s", "k", token)
      const done = yield* records.begin("s", "k", "hash", 10_000)
      assert.deepStrictEqual(done, { _tag: "Done", bodyHash: "hash", result: "first" })
    }))

  test("an abandoned record was never there", (records) =>
    Effect.gen(function*() {
      const token = tokenOf(yield* records.begin("s", "k", "hash", 10_000))
      yield* records.abandon("s", "k", "wrong")
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Pending")
      yield* records.abandon("s", "k", token)
      assert.strictEqual((yield* records.begin("s", "k", "new", 10_000))._tag, "Fresh")
    }))

  test("a holder that ended in doubt leaves the id to the next one soon, who is told of the doubt", (records) =>
    Effect.gen(function*() {
      yield* passTime("1 seconds")
      const token = tokenOf(yield* records.begin("s", "k", "hash", 180_000))
      yield* records.release("s", "k", "wrong", 0)
      pending(yield* records.begin("s", "k", "hash", 180_000), 180_000)
      yield* records.release("s", "k", token, 5_000)
      pending(yield* records.begin("s", "k", "hash", 180_000), 5_000)
      // A rest never makes a lease longer.
      yield* records.release("s", "k", token, 60_000)
      yield* passTime("5 seconds")
      const second = yield* records.begin("s", "k", "hash", 10_000)
      uncertain(second, 1_000)
      yield* records.release("s", "k", token, 0)
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Pending")
      yield* records.complete("s", "k", tokenOf(second), "right", 60_000)
      yield* records.release("s", "k", tokenOf(second), 0)
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Done")
    }))

  test("a record that nobody finished is forgotten after 15 days", (records) =>
    Effect.gen(function*() {
      yield* records.begin("s", "k", "hash", 10_000)
      yield* almost(idempotencyPendingMillis)
      assert.strictEqual((yield* records.begin("s", "k", "hash", 1))._tag, "Uncertain")
      yield* over
      assert.strictEqual((yield* records.begin("s", "k", "hash", 10_000))._tag, "Fresh")
    }))

  test("scope and key are apart, and of many at once one is fresh", (records) =>
    Effect.gen(function*() {
      yield* records.begin("a", "b:c", "hash", 10_000)
      assert.strictEqual((yield* records.begin("a:b", "c", "hash", 10_000))._tag, "Fresh")
      const all = yield* Effect.all(Array.from({ length: 10 }, () => records.begin("s", "k", "hash", 10_000)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(all.filter(({ _tag }) => _tag === "Fresh").length, 1)
      assert.strictEqual(all.filter(({ _tag }) => _tag === "Pending").length, 9)
    }))
}
