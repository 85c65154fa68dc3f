import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { refreshed, refreshes } from "../../support/socketRefreshes.ts"

const times = 200

describe("the socket", () => {
  for (const refresh of refreshes) {
    it.effect(
      `loses and doubles nothing in ${times} times ${refresh.name}`,
      () =>
        Effect.gen(function*() {
          const { deafMillis, doubled, lost, mostOpen, said } = yield* refreshed(refresh, times)
          assert.isAtLeast(said, times * 6)
          assert.deepStrictEqual({ doubled, lost }, { doubled: 0, lost: 0 })
          assert.isAtMost(mostOpen, 2)
          if (refresh.announced) assert.strictEqual(deafMillis, 0)
        }),
      180_000
    )
  }
})
