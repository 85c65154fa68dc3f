import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { pauseAfter } from "../../../runtime/ports/Backoff.ts"

const Millis = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3_600_000 }))
const Failures = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

describe("back-off", () => {
  it("doubles from the first to the longest", () => {
    const pauses = [0, 1, 2, 3, 4, 5, 6, 1_000].map((n) => pauseAfter({ firstMillis: 100, longestMillis: 1_000 }, n))
    assert.deepStrictEqual(pauses, [100, 100, 200, 400, 800, 1_000, 1_000, 1_000])
  })

  it.prop("never falls, never leaves its bounds", [Millis, Millis, Failures], ([first, longest, n]) => {
    const backoff = { firstMillis: Math.min(first, longest), longestMillis: longest }
    const pause = pauseAfter(backoff, n)
    assert.isAtLeast(pause, backoff.firstMillis)
    assert.isAtMost(pause, longest)
    assert.isAtLeast(pauseAfter(backoff, n + 1), pause)
  })
})
