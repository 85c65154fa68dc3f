/** When Slack was heard first and last: the first for ten years, whoever asks meanwhile and whatever another bridge does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { Heard } from "../../../bridge/events/Heard.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import * as MemoryIdempotency from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { makeMemoryIdempotencyState } from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { certifier, host, install } from "../world.ts"

/** One bridge's life over what outlives it. */
const life = (state = makeMemoryIdempotencyState()) =>
  Layer.fresh(Heard.layer).pipe(
    Layer.provideMerge(MemoryIdempotency.layerOver(state)),
    Layer.provide(BridgeSettings.layer({
      install,
      host,
      publicUrl: "http://bridge.test",
      certifierPublicKey: certifier.publicKey,
      slackApiUrl: "http://slack.test/api/",
      operators: new Set(),
      rateScale: 1
    }))
  )
const state = Effect.flatMap(Heard, (heard) => heard.state)

describe("what the bridge heard", () => {
  it.effect("is nothing at its start, and then the last of each kind", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(5_000)
      yield* Effect.gen(function*() {
        const heard = yield* Heard
        yield* TestClock.adjust(1_000)
        assert.deepStrictEqual(yield* heard.state, { startedAt: 5_000 })
        yield* heard.signed("challenge")
        assert.deepStrictEqual(yield* heard.state, { startedAt: 5_000, challengeAt: 6_000, firstAt: 6_000 })
        yield* TestClock.adjust(1_000)
        yield* heard.signed("event")
        yield* TestClock.adjust(1_000)
        yield* heard.signed("event")
        yield* heard.refused("KM-BRG-101", "x".repeat(201))
        assert.deepStrictEqual(yield* heard.state, {
          startedAt: 5_000,
          challengeAt: 6_000,
          eventAt: 8_000,
          firstAt: 6_000,
          refused: { at: 8_000, code: "KM-BRG-101", detail: "x".repeat(200) }
        })
      }).pipe(Effect.provide(life()))
    }))

  it.effect("was first heard by an earlier bridge, as every later one says for ten years", () =>
    Effect.gen(function*() {
      const kept = makeMemoryIdempotencyState()
      yield* TestClock.setTime(1_000)
      // To ask is not to hear.
      assert.notProperty(yield* Effect.provide(state, life(kept)), "firstAt")
      yield* Effect.flatMap(Heard, (heard) => heard.signed("event")).pipe(Effect.provide(life(kept)))
      yield* TestClock.adjust(10 * 365 * 86_400_000 - 1)
      assert.strictEqual((yield* Effect.provide(state, life(kept))).firstAt, 1_000)
      yield* Effect.flatMap(Heard, (heard) => heard.signed("event")).pipe(Effect.provide(life(kept)))
      assert.strictEqual((yield* Effect.provide(state, life(kept))).firstAt, 1_000)
    }))

  it.effect("is told without waiting while another bridge writes it down, which may take a second", () =>
    Effect.gen(function*() {
      const kept = makeMemoryIdempotencyState()
      yield* Effect.gen(function*() {
        yield* (yield* Idempotency).begin(`${install}/bridge`, "slack-heard", "", 1_000)
        const heard = yield* Heard
        assert.notProperty(yield* heard.state, "firstAt")
        yield* heard.signed("event")
        assert.notProperty(yield* heard.state, "firstAt")
        yield* TestClock.adjust(1_000)
        yield* heard.signed("event")
        assert.strictEqual((yield* heard.state).firstAt, 1_000)
      }).pipe(Effect.provide(life(kept)))
    }))

  it.effect("is remembered of a challenge that came while another look held the record, though it comes once", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(5_000)
      yield* Effect.gen(function*() {
        const heard = yield* Heard
        const held = yield* (yield* Idempotency).begin(`${install}/bridge`, "slack-heard", "", 1_000)
        assert.strictEqual(held._tag, "Fresh")
        yield* heard.signed("challenge")
        assert.notProperty(yield* heard.state, "firstAt")
        yield* TestClock.adjust(1_000)
        assert.deepInclude(yield* heard.state, { challengeAt: 5_000, firstAt: 5_000 })
      }).pipe(Effect.provide(life()))
    }))
})
