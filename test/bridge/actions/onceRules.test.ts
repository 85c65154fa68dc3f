/** When an id is free again: after results, refusals and doubt, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { doubtMillis, holdMillis, leaseMillis, Once, recordMillis } from "../../../bridge/actions/Once.ts"
import { BridgeRefusal } from "../../../bridge/BridgeErrors.ts"
import { MessageTs } from "../../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import * as MemoryIdempotency from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"

const request = { scope: "s", key: "k", bodyHash: "one" }
const result: BridgeResult = { ok: true, parts: [{ ts: MessageTs.make("1700000000.000001") }] }
const refusal = (code: BridgeRefusal["code"], uncertain?: boolean) =>
  new BridgeRefusal({ code, detail: "", ...(uncertain === undefined ? {} : { uncertain }) })

/** What the next attempt is told: since when it must look, or `fresh`, or why it may not act. */
const next = Effect.flatMap(Once, (once) => {
  let since: number | "fresh" = "fresh"
  return once.run(request, (uncertainSince) => {
    since = uncertainSince ?? "fresh"
    return Effect.fail(refusal("unavailable", true))
  }).pipe(
    Effect.flip,
    Effect.map((failure) => failure.code === "in_progress" ? failure.retryAfterMillis : since)
  )
})
const failing = (failure: BridgeRefusal) =>
  Effect.flatMap(Once, (once) => Effect.flip(once.run(request, () => Effect.fail(failure))))

/** Alone: the whole bridge does something every two seconds, and fifteen days pass here. */
const bridge = Effect.provide(Layer.provideMerge(Once.layer, MemoryIdempotency.layer))

const lost = Effect.fail(
  new StoreError({ port: "Idempotency", operation: "extend", reason: "Unavailable", detail: "", cause: "" })
)
const unrenewed = (extend: Idempotency["Service"]["extend"]) =>
  Layer.effect(
    Idempotency,
    Effect.map(Idempotency, (inner) => Idempotency.of({ ...inner, extend }))
  ).pipe(Layer.provide(MemoryIdempotency.layer))

describe("an id", () => {
  it.effect("is free at once after a refusal, whether or not it may be tried again", () =>
    Effect.gen(function*() {
      for (const code of ["unavailable", "rate_limited", "bad_request"] as const) {
        assert.strictEqual((yield* failing(refusal(code))).code, code)
        assert.strictEqual((yield* failing(refusal(code, false))).code, code)
      }
      assert.strictEqual(yield* next, "fresh")
    }).pipe(bridge))

  it.effect("rests after doubt, and then says since when it must be looked for", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust(5_000)
      yield* failing(refusal("unavailable", true))
      assert.strictEqual(yield* next, doubtMillis)
      yield* TestClock.adjust(doubtMillis - 100)
      // Nobody is told to come back sooner than a quarter of a second.
      assert.strictEqual(yield* next, 250)
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* next, 5_000)
      yield* TestClock.adjust(doubtMillis)
      // What can be tried again keeps the doubt, and what is final ends it.
      yield* failing(refusal("rate_limited"))
      assert.strictEqual(yield* next, 5_000)
      yield* TestClock.adjust(doubtMillis)
      yield* failing(refusal("is_archived"))
      assert.strictEqual(yield* next, "fresh")
    }).pipe(bridge))

  it.effect("is held for as long as its request works or waits, ten minutes at most", () =>
    Effect.gen(function*() {
      const once = yield* Once
      const started = yield* Deferred.make<void>()
      const hanging = yield* Effect.forkChild(
        Effect.flip(once.run(request, () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)))
      )
      yield* Deferred.await(started)
      for (let waited = 0; waited < holdMillis - 20_000; waited += 7_000) {
        yield* TestClock.adjust(7_000)
        assert.strictEqual((yield* Effect.flip(once.run(request, () => Effect.succeed(result)))).code, "in_progress")
      }
      assert.isUndefined(hanging.pollUnsafe())
      yield* TestClock.adjust(40_000)
      assert.deepInclude(yield* Fiber.join(hanging), { code: "unavailable", uncertain: true })
    }).pipe(bridge))

  const renewals = { fails: () => lost, hangs: () => Effect.never, "is refused": () => Effect.succeed(false) }
  it.effect.each(Object.entries(renewals))(
    "whose renewal %s is held no longer than two seconds before its lease's end",
    ([, extend]) =>
      Effect.gen(function*() {
        const once = yield* Once
        for (const lease of [leaseMillis, 60_000]) {
          const own = { ...request, key: `k${lease}`, ...(lease === leaseMillis ? {} : { leaseMillis: lease }) }
          const started = yield* Deferred.make<void>()
          const hanging = yield* Effect.forkChild(
            Effect.flip(once.run(own, () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)))
          )
          yield* Deferred.await(started)
          const pending = yield* Effect.flip(once.run(own, () => Effect.succeed(result)))
          assert.deepInclude(pending, { code: "in_progress", retryAfterMillis: lease })
          yield* TestClock.adjust(lease - 2_001)
          assert.isUndefined(hanging.pollUnsafe())
          yield* TestClock.adjust(1)
          assert.isDefined(hanging.pollUnsafe())
          assert.deepInclude(yield* Fiber.join(hanging), {
            code: "unavailable",
            uncertain: true,
            retryAfterMillis: 2_000
          })
        }
      }).pipe(Effect.provide(Once.layer.pipe(Layer.provide(unrenewed(extend)))))
  )

  it.effect("is never told to wait longer than one lease", () =>
    Effect.gen(function*() {
      yield* (yield* Idempotency).begin(request.scope, request.key, "one", 500_000)
      assert.strictEqual(yield* next, leaseMillis)
    }).pipe(bridge))

  it.effect("gives its result for fifteen days, to the same body alone", () =>
    Effect.gen(function*() {
      const once = yield* Once
      assert.deepStrictEqual(yield* once.run(request, () => Effect.succeed(result)), result)
      yield* TestClock.adjust(recordMillis - 1)
      const again = once.run(request, () => Effect.succeed({ ok: true as const }))
      assert.deepStrictEqual(yield* again, { ...result, replayed: true })
      const other = yield* Effect.flip(once.run({ ...request, bodyHash: "two" }, () => Effect.succeed(result)))
      assert.deepInclude(other, { code: "already_done", recorded: result })
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* again, { ok: true })
      assert.strictEqual(recordMillis, 15 * 86_400_000)
    }).pipe(bridge))

  it.effect("counts as done though its record cannot be read any more", () =>
    Effect.gen(function*() {
      const idempotency = yield* Idempotency
      const begun = yield* idempotency.begin(request.scope, request.key, "one", 1_000)
      const token = begun._tag === "Fresh" ? begun.token : ""
      yield* idempotency.complete(request.scope, request.key, token, "an older form", 1_000)
      const once = yield* Once
      const answer = yield* once.run(request, () => Effect.succeed(result))
      assert.deepStrictEqual(answer, { ok: true, replayed: true })
    }).pipe(bridge))
})
