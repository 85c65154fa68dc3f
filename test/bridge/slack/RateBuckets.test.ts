import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { bucketsOf, makeRateBuckets } from "../../../bridge/slack/RateBuckets.ts"

const method = Schema.Literals(["chat.postMessage", "chat.update", "reactions.remove", "users.info", "made.up"])
const gaps = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000 }))).check(
  Schema.isMinLength(20),
  Schema.isMaxLength(200)
)

describe("RateBuckets", () => {
  it.prop("never lets more calls go in a minute than Slack's tier and its burst", [method, gaps], ([name, pauses]) => {
    const buckets = makeRateBuckets(1)
    const went: Array<number> = []
    let now = 0
    for (const pause of pauses) {
      now += pause
      const { granted, waitMillis } = buckets.reserve(name, "C1", now, 3_600_000)
      assert.isTrue(granted)
      went.push(now + waitMillis)
    }
    for (const { rate } of bucketsOf(name, "C1")) {
      for (const from of went) {
        const inMinute = went.filter((at) => at >= from && at < from + 60_000).length
        assert.isAtMost(inMinute, rate.perMinute + rate.burst)
      }
    }
  })

  it("takes no place when the wait is longer than asked for", () => {
    const buckets = makeRateBuckets(1)
    for (let n = 0; n < 4; n++) {
      assert.deepStrictEqual(buckets.reserve("chat.postMessage", "C1", 0, 0), { waitMillis: 0, granted: true })
    }
    assert.deepStrictEqual(buckets.reserve("chat.postMessage", "C1", 0, 999), { waitMillis: 1_000, granted: false })
    assert.deepStrictEqual(buckets.reserve("chat.postMessage", "C1", 0, 1_000), { waitMillis: 1_000, granted: true })
    assert.deepStrictEqual(buckets.reserve("chat.postMessage", "C1", 0, 2_000), { waitMillis: 2_000, granted: true })
    assert.deepStrictEqual(buckets.reserve("chat.postMessage", "C2", 0, 0), { waitMillis: 0, granted: true })
  })

  it("holds a channel back for as long as Slack asks, and only that channel", () => {
    const buckets = makeRateBuckets(1)
    buckets.block("chat.postMessage", "C1", 0, 30_000)
    assert.strictEqual(buckets.reserve("chat.postMessage", "C1", 10_000, 0).waitMillis, 20_000)
    assert.strictEqual(buckets.reserve("chat.postMessage", "C2", 10_000, 0).waitMillis, 0)
    assert.strictEqual(buckets.reserve("chat.postMessage", "C1", 30_000, 0).waitMillis, 0)
  })

  it("a shorter Retry-After never shortens a longer one", () => {
    const buckets = makeRateBuckets(1)
    buckets.block("chat.update", undefined, 0, 30_000)
    buckets.block("chat.update", undefined, 1_000, 1_000)
    assert.strictEqual(buckets.reserve("chat.update", undefined, 2_000, 0).waitMillis, 28_000)
    buckets.block("chat.update", undefined, 2_000, 60_000)
    assert.strictEqual(buckets.reserve("chat.update", undefined, 2_000, 0).waitMillis, 60_000)
  })
})
