import { assert, describe, it } from "@effect/vitest"
import { compareReaders } from "../../../support/compareReaders.ts"

/** A longer run of the same: `node test/bench/commonEvents.ts 1000000`. */
const events = 20_000

describe("the common event read by hand", () => {
  it("takes only what the schemas take, with the same value", () => {
    const { differing, taken, tried } = compareReaders(events, 20_261_130)
    assert.deepStrictEqual(differing, [])
    assert.strictEqual(tried, events)
    // Of a sample that it hardly ever takes, agreement would say nothing; nor of one that it always takes.
    assert.isAbove(taken, events / 4)
    assert.isBelow(taken, events * 0.75)
  })
})
