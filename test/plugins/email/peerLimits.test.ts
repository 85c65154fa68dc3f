import { assert, describe, it } from "@effect/vitest"
import { maxPerMinute, PeerLimits } from "../../../plugins/email/PeerLimits.ts"

describe("PeerLimits", () => {
  it("lets a peer write so often a minute, counts each peer by itself, and forgets", () => {
    const limits = new PeerLimits()
    for (let n = 0; n < maxPerMinute; n++) assert.isFalse(limits.exceeds("a", 0))
    assert.isTrue(limits.exceeds("a", 59_999))
    assert.isFalse(limits.exceeds("b", 59_999))
    assert.isFalse(limits.exceeds("a", 60_000))
  })

  it("the same content again is a repetition, unless it is the same delivery after a crash", () => {
    const limits = new PeerLimits()
    assert.isFalse(limits.repeats("a", "x", "d1", 0))
    assert.isFalse(limits.repeats("a", "x", "d1", 1))
    assert.isTrue(limits.repeats("a", "x", "d2", 2))
    assert.isFalse(limits.repeats("b", "x", "d2", 2))
    assert.isFalse(limits.repeats("a", "y", "d3", 2))
    assert.isFalse(limits.repeats("a", "x", "d4", 60_000))
  })
})
