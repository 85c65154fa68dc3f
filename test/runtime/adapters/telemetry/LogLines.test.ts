import { assert, describe, it, vi } from "@effect/vitest"
import { gathering } from "../../../../runtime/adapters/telemetry/LogLines.ts"

const collected = () => {
  const written: Array<string> = []
  return { written, ...gathering((text) => void written.push(text)) }
}

describe("gathered log lines", () => {
  it("what only tells how things go is written together, once 50 ms have passed", () => {
    vi.useFakeTimers()
    try {
      const { add, written } = collected()
      add("one", false)
      add("two", false)
      vi.advanceTimersByTime(49)
      assert.deepStrictEqual(written, [])
      vi.advanceTimersByTime(1)
      assert.deepStrictEqual(written, ["one\ntwo\n"])
      vi.advanceTimersByTime(1_000)
      assert.lengthOf(written, 1)
      add("three", false)
      vi.advanceTimersByTime(50)
      assert.deepStrictEqual(written.slice(1), ["three\n"])
    } finally {
      vi.useRealTimers()
    }
  })

  it("a warning comes at once, behind what was said before it", () => {
    const { add, written } = collected()
    add("one", false)
    add("trouble", true)
    assert.deepStrictEqual(written, ["one\ntrouble\n"])
  })

  it("what is left is written at the end, and nothing twice", () => {
    const { add, flush, written } = collected()
    add("last", false)
    flush()
    flush()
    assert.deepStrictEqual(written, ["last\n"])
  })

  it("much is not kept for long", () => {
    const { add, written } = collected()
    for (let n = 0; n < 100; n++) add("x".repeat(1_000), false)
    assert.isAtLeast(written.length, 1)
  })
})
