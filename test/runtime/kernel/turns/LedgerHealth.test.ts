/** One state for everybody who asks whether new work may be taken. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { LedgerHealth } from "../../../../runtime/kernel/turns/LedgerHealth.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"

const error = (reason: StoreError["reason"]) =>
  new StoreError({ port: "Ledger", cause: undefined, operation: "remember", reason, detail: `it is ${reason}` })

/** A ledger whose writes fail while `broken.reason` says how; `broken.probes` counts them. */
const withHealth = <A>(
  body: (
    health: LedgerHealth["Service"],
    broken: { reason: StoreError["reason"] | "defect" | undefined; probes: number }
  ) => Effect.Effect<A>
) => {
  const broken: { reason: StoreError["reason"] | "defect" | undefined; probes: number } = {
    reason: undefined,
    probes: 0
  }
  const unused = Effect.die("only the probe writes")
  const ledger = Layer.succeed(Ledger, {
    ...new Proxy({} as Ledger["Service"], { get: () => () => unused }),
    remember: () =>
      Effect.suspend(() => {
        broken.probes++
        if (broken.reason === "defect") throw new Error("a defect")
        return broken.reason === undefined ? Effect.void : Effect.fail(error(broken.reason))
      })
  })
  return Effect.gen(function*() {
    return yield* body(yield* LedgerHealth, broken)
  }).pipe(Effect.provide(LedgerHealth.layer.pipe(Layer.provide(ledger))))
}

const isOpen = Effect.fnUntraced(function*(health: LedgerHealth["Service"]) {
  const waiting = yield* Effect.forkChild(health.untilOk, { startImmediately: true })
  return waiting.pollUnsafe() !== undefined
})

describe("LedgerHealth", () => {
  for (
    const [reason, state, code] of [["Full", "full", "KM-TRN-007"], [
      "Unavailable",
      "unavailable",
      "KM-TRN-010"
    ]] as const
  ) {
    it.effect(`${state}: nothing new is taken until a probe, every 5 seconds, is written`, () =>
      withHealth((health, broken) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* health.current, { state: "ok", since: 0, detail: "" })
          assert.isTrue(yield* isOpen(health))
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(broken.probes, 0, "a ledger that works is not probed")
          broken.reason = reason
          yield* health.failed(error(reason))
          assert.deepInclude(yield* health.current, { state, since: 60_000 })
          assert.include((yield* health.current).detail, `(${code}; it is ${reason})`)
          assert.isFalse(yield* isOpen(health))
          yield* TestClock.adjust("9999 millis")
          assert.strictEqual(broken.probes, 1)
          assert.strictEqual((yield* health.current).state, state)
          broken.reason = undefined
          yield* TestClock.adjust("1 millis")
          assert.strictEqual(broken.probes, 2)
          assert.deepStrictEqual(yield* health.current, { state: "ok", since: 70_000, detail: "" })
          assert.isTrue(yield* isOpen(health))
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(broken.probes, 2)
        })
      ))

    it.effect(`${state}: another's write that succeeds ends it at once`, () =>
      withHealth((health) =>
        Effect.gen(function*() {
          yield* health.failed(error(reason))
          yield* health.worked
          assert.strictEqual((yield* health.current).state, "ok")
          assert.isTrue(yield* isOpen(health))
        })
      ))
  }

  it.effect("a probe that ends in a defect is followed by the next", () =>
    withHealth((health, broken) =>
      Effect.gen(function*() {
        broken.reason = "defect"
        yield* health.failed(error("Unavailable"))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* health.current).state, "unavailable")
        broken.reason = undefined
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual([broken.probes, (yield* health.current).state], [2, "ok"])
      })
    ))

  it.effect("a row that is too large is the row's fault", () =>
    withHealth((health) =>
      Effect.gen(function*() {
        yield* health.failed(error("TooLarge"))
        assert.strictEqual((yield* health.current).state, "ok")
      })
    ))

  it.effect.each(["Corrupt", "Denied"] as const)(
    "a ledger that is %s stays so whatever is written, and is not probed",
    (reason) =>
      withHealth((health, broken) =>
        Effect.gen(function*() {
          yield* health.failed(error("Full"))
          yield* health.failed(error(reason))
          assert.include((yield* health.current).detail, "KM-TRN-008")
          yield* health.worked
          yield* health.failed(error("Full"))
          yield* health.stop
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* health.current).state, "corrupt")
          assert.strictEqual(broken.probes, 0)
          assert.isFalse(yield* isOpen(health))
        })
      )
  )

  it.effect("a runtime that stops takes nothing new whatever is written, and still tells of a corrupt ledger", () =>
    withHealth((health, broken) =>
      Effect.gen(function*() {
        yield* health.failed(error("Full"))
        yield* health.stop
        yield* health.worked
        yield* health.failed(error("Unavailable"))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* health.current).state, "stopping")
        assert.strictEqual(broken.probes, 0)
        assert.isFalse(yield* isOpen(health))
        yield* health.failed(error("Corrupt"))
        assert.strictEqual((yield* health.current).state, "corrupt")
      })
    ))
})
