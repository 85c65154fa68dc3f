/** Promise 5: no secret of ours is within the agent's reach where the agent is confined. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { hunt } from "../support/canary.ts"

describe("canaries", () => {
  it.live.each(["none", "shared"] as const)(
    "in the jail the agent's own search finds none (network %s)",
    (network) =>
      Effect.gen(function*() {
        const found = yield* hunt(network)
        assert.isTrue(found.confinement.confined, found.confinement.detail)
        assert.strictEqual(found.outcome._tag, "Answered", found.left.answer)
        // The search ran to its end and finds what it may find.
        assert.include(found.left.answer, "-- searched")
        assert.include(found.left.answer, found.visible)
        assert.include(found.left.hooks, found.visible)
        assert.include(found.left.transcript, found.visible)
        // The real key was used all the same.
        assert.deepStrictEqual(new Set(found.upstreamKeys), new Set([found.apiKey]))
        for (const [door, text] of Object.entries(found.left)) {
          for (const secret of found.secrets) assert.notInclude(text, secret, door)
        }
      })
  )

  it.live("without a jail the same search finds them, so it is a search; status says unconfined", () =>
    Effect.gen(function*() {
      const found = yield* hunt("no jail")
      assert.isFalse(found.confinement.confined)
      assert.match(found.confinement.detail, /^unconfined: /)
      assert.include(found.left.answer, "-- searched")
      const seen = found.secrets.filter((secret) => found.left.answer.includes(secret))
      assert.isAbove(seen.length, 0)
    }))
})
