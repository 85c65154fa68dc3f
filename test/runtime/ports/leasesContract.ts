/** What every lease store must do: one holder at a time, and an epoch that only rises. */
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Option } from "effect"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { type Lease, Leases } from "../../../runtime/ports/Leases.ts"
import { type Engine, timeOf } from "./Engine.ts"

const sandbox = SandboxId.make("sb-00000001")
const other = SandboxId.make("sb-00000002")
const lease = (holder: string, epoch: number, expiresAt: number): Lease => ({ sandbox, holder, epoch, expiresAt })

export const leasesContract = <LE>(engine: Engine<Leases, LE>): void => {
  const { almost, near, passTime, over } = timeOf(engine)
  const test = <E>(name: string, body: (leases: Leases["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Leases, body), engine.layer))

  /** Compares all but the milliseconds of a clock that is not exact. */
  const sameLease = (actual: Option.Option<Lease>, expected: Lease) => {
    const found = Option.getOrThrow(actual)
    assert.deepStrictEqual({ ...found, expiresAt: 0 }, { ...expected, expiresAt: 0 })
    near(found.expiresAt, expected.expiresAt)
  }

  test("is given to another holder exactly when it expires, with the next epoch", (leases) =>
    Effect.gen(function*() {
      // How long a lease holds is the engine's.
      const length = leases.timing.lengthMillis
      assert.deepStrictEqual(yield* leases.current(sandbox), Option.none())
      sameLease(yield* leases.acquire(sandbox, "a"), lease("a", 1, length))
      yield* almost(length)
      assert.deepStrictEqual(yield* leases.acquire(sandbox, "b"), Option.none())
      yield* over
      const second = lease("b", 2, (yield* Clock.currentTimeMillis) + length)
      sameLease(yield* leases.acquire(sandbox, "b"), second)
      sameLease(yield* leases.current(sandbox), second)
      assert.deepStrictEqual(yield* leases.renew(lease("a", 1, length)), Option.none())
      sameLease(yield* leases.current(sandbox), second)
    }))

  test("the same holder gets its own lease again and renews it, also late", (leases) =>
    Effect.gen(function*() {
      const { lengthMillis: length, renewEveryMillis: rhythm } = leases.timing
      assert.isBelow(rhythm, length)
      yield* leases.acquire(sandbox, "a")
      yield* passTime(rhythm)
      sameLease(yield* leases.acquire(sandbox, "a"), lease("a", 1, rhythm + length))
      yield* passTime(2 * length)
      const late = yield* leases.renew(lease("a", 1, rhythm + length))
      sameLease(late, lease("a", 1, rhythm + 3 * length))
    }))

  test("a released lease can be taken at once, and its epoch is not used again", (leases) =>
    Effect.gen(function*() {
      const first = Option.getOrThrow(yield* leases.acquire(sandbox, "a"))
      yield* leases.release(first)
      sameLease(yield* leases.current(sandbox), lease("a", 1, 0))
      const second = lease("b", 2, leases.timing.lengthMillis)
      sameLease(yield* leases.acquire(sandbox, "b"), second)
      yield* leases.release(first)
      sameLease(yield* leases.current(sandbox), second)
    }))

  test("of many that ask at once, one holds it", (leases) =>
    Effect.gen(function*() {
      const holders = ["a", "b", "c", "d", "e"]
      const given = yield* Effect.forEach(holders, (holder) => leases.acquire(sandbox, holder), {
        concurrency: "unbounded"
      })
      assert.strictEqual(given.filter(Option.isSome).length, 1)
    }))

  test("sandboxes do not share leases; a removed one is gone", (leases) =>
    Effect.gen(function*() {
      yield* leases.acquire(sandbox, "a")
      assert.isTrue(Option.isSome(yield* leases.acquire(other, "b")))
      yield* leases.remove(sandbox)
      yield* leases.remove(sandbox)
      assert.deepStrictEqual(yield* leases.current(sandbox), Option.none())
      assert.isTrue(Option.isSome(yield* leases.current(other)))
      assert.deepStrictEqual(yield* leases.renew(lease("a", 1, 30_000)), Option.none())
    }))
}
