import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import * as MemoryLeases from "../../../../runtime/ports/memory/MemoryLeases.ts"
import { makeMemoryLeasesState } from "../../../../runtime/ports/memory/MemoryLeases.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { type HeldLease, whileHeld } from "../../../../runtime/substrates/process/LeaseKeeper.ts"
import { atRest, eventually } from "../../../support/eventually.ts"
import { sandbox } from "../../../support/turnRows.ts"

/** A body that says when it runs, and two keepers that must never run it together. */
const world = () => {
  const running = new Set<string>()
  const log: Array<string> = []
  const epochs: Array<number> = []
  const leases = new Map<string, HeldLease>()
  const body = (name: string) => (lease: HeldLease) =>
    Effect.gen(function*() {
      assert.strictEqual(running.size, 0, "two runtimes at once")
      leases.set(name, lease)
      epochs.push(lease.epoch)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          running.add(name)
          log.push(`${name} starts`)
        }),
        () =>
          Effect.sync(() => {
            running.delete(name)
            log.push(`${name} ends`)
          })
      )
      return yield* Effect.never
    })
  const keeper = (name: string, lock: Effect.Effect<string, StoreError> = Effect.succeed(`disk-${name}`)) =>
    whileHeld({ sandbox, holder: name, lock, onState: () => Effect.void }, body(name))
  return { body, epochs, keeper, leases, log, running }
}

const broken = new StoreError({ port: "Leases", operation: "renew", reason: "Unavailable", detail: "", cause: "" })

describe("LeaseKeeper", () => {
  it.effect("of two runtimes exactly one works; the other one follows when it ends, with a higher epoch", () =>
    Effect.gen(function*() {
      const { epochs, keeper, log } = world()
      const first = yield* Effect.forkChild(keeper("a"))
      yield* eventually("a", () => log.length === 1)
      yield* Effect.forkChild(keeper("b"))
      yield* TestClock.adjust("10 minutes")
      yield* atRest
      assert.deepStrictEqual(log, ["a starts"])
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("5 seconds")
      yield* eventually("b", () => log.includes("b starts"))
      assert.deepStrictEqual(log, ["a starts", "a ends", "b starts"])
      assert.deepStrictEqual(epochs, [1, 2])
    }).pipe(Effect.provide(MemoryLeases.layer)))

  it.effect("a runtime that died is followed once its lease has ended, not before", () => {
    const state = makeMemoryLeasesState()
    return Effect.gen(function*() {
      const { keeper, log } = world()
      // Left by a process that was killed.
      yield* (yield* Leases).acquire(sandbox, "dead")
      yield* Effect.forkChild(keeper("b"))
      yield* atRest
      yield* TestClock.adjust("29999 millis")
      yield* atRest
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("5 seconds")
      yield* eventually("b", () => log.length === 1)
    }).pipe(Effect.provide(MemoryLeases.layerOver(state)))
  })

  it.effect("a runtime that was killed under the same lock is followed at once", () => {
    const state = makeMemoryLeasesState()
    return Effect.gen(function*() {
      const { epochs, keeper, log } = world()
      yield* (yield* Leases).acquire(sandbox, "disk-b/dead")
      yield* Effect.forkChild(keeper("b"))
      yield* eventually("b", () => log.length === 1)
      assert.deepStrictEqual(epochs, [2])
    }).pipe(Effect.provide(MemoryLeases.layerOver(state)))
  })

  it.effect("a lease taken by another one ends the body at once, when asked about or at the next renewal", () => {
    const state = makeMemoryLeasesState()
    return Effect.gen(function*() {
      const { keeper, leases, log } = world()
      yield* Effect.forkChild(keeper("a"))
      yield* eventually("a", () => log.length === 1)
      const theirs = { sandbox, holder: "b", epoch: 2, expiresAt: 60_000 }
      state.leases.set(sandbox, theirs)
      yield* TestClock.adjust("9 seconds")
      yield* atRest
      assert.deepStrictEqual(log, ["a starts"])
      assert.isTrue(leases.get("a")?.held())
      yield* leases.get("a")?.doubt ?? Effect.void
      yield* eventually("the end", () => log.length === 2)
      assert.isFalse(leases.get("a")?.held())
      // What is not ours is not given back.
      assert.deepStrictEqual(state.leases.get(sandbox), theirs)
    }).pipe(Effect.provide(MemoryLeases.layerOver(state)))
  })

  it.effect("a lease that cannot be renewed is given up before it ends; one that can be again is kept", () => {
    const state = makeMemoryLeasesState()
    let failing = false
    const flaky = Layer.effect(
      Leases,
      Effect.map(Leases, (leases) =>
        Leases.of({
          ...leases,
          renew: (lease) => failing ? Effect.fail(broken) : leases.renew(lease)
        }))
    ).pipe(Layer.provide(MemoryLeases.layerOver(state)))
    return Effect.gen(function*() {
      const { keeper, log } = world()
      yield* Effect.forkChild(keeper("a"))
      yield* eventually("a", () => log.length === 1)
      failing = true
      yield* TestClock.adjust("10 seconds")
      yield* atRest
      failing = false
      yield* TestClock.adjust("1 minute")
      yield* atRest
      assert.deepStrictEqual(log, ["a starts"])
      failing = true
      yield* TestClock.adjust("24999 millis")
      yield* atRest
      assert.deepStrictEqual(log, ["a starts"])
      const until = state.leases.get(sandbox)?.expiresAt ?? 0
      while (log.length === 1) {
        yield* TestClock.adjust("1 second")
        yield* atRest
      }
      assert.isBelow(yield* Clock.currentTimeMillis, until)
    }).pipe(Effect.provide(flaky))
  })

  it.effect("a body that fails or crashes runs again; one that succeeds ends the keeper and frees the lease", () => {
    const state = makeMemoryLeasesState()
    return Effect.gen(function*() {
      let runs = 0
      const keeper = yield* Effect.forkChild(whileHeld(
        { sandbox, holder: "a", lock: Effect.succeed("disk-a"), onState: () => Effect.void },
        () =>
          Effect.suspend((): Effect.Effect<void, string> => {
            runs += 1
            return runs === 1 ? Effect.fail("broken") : runs === 2 ? Effect.die("crash") : Effect.void
          })
      ))
      yield* eventually("the first run", () => runs === 1)
      yield* atRest
      yield* TestClock.adjust("5 seconds")
      yield* eventually("the second run", () => runs === 2)
      yield* atRest
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(keeper)
      assert.isTrue(Option.isSome(yield* (yield* Leases).acquire(sandbox, "b")))
    }).pipe(Effect.provide(MemoryLeases.layerOver(state)))
  })

  it.effect("the lease is renewed while the body drains, and given back after it", () => {
    const state = makeMemoryLeasesState()
    return Effect.gen(function*() {
      const drained = yield* Deferred.make<void>()
      const keeper = yield* Effect.forkChild(whileHeld(
        { sandbox, holder: "a", lock: Effect.succeed("disk-a"), onState: () => Effect.void },
        () => Effect.andThen(Effect.addFinalizer(() => Deferred.await(drained)), Effect.never)
      ))
      yield* eventually("the lease", () => state.leases.has(sandbox))
      yield* atRest
      const end = yield* Effect.forkChild(Fiber.interrupt(keeper))
      yield* TestClock.adjust("5 minutes")
      yield* atRest
      assert.isAbove(state.leases.get(sandbox)?.expiresAt ?? 0, 300_000)
      yield* Deferred.succeed(drained, undefined)
      yield* Fiber.join(end)
      assert.isAtMost(state.leases.get(sandbox)?.expiresAt ?? 0, 300_000)
    }).pipe(Effect.provide(MemoryLeases.layerOver(state)))
  })

  it.effect("without the machine's lock the lease is not touched", () => {
    const state = makeMemoryLeasesState()
    return Effect.gen(function*() {
      const { keeper } = world()
      yield* Effect.forkChild(keeper("a", Effect.fail(broken)))
      yield* TestClock.adjust("1 minute")
      yield* atRest
      assert.strictEqual(state.leases.size, 0)
    }).pipe(Effect.provide(MemoryLeases.layerOver(state)))
  })
})
