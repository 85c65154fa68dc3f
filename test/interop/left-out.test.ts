/** Each plugin left out in turn: everything without it type-checks with its tests, and the other plugins' tests pass there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { pluginIds, ranIn, treeWithout } from "../support/leftOut.ts"

describe("the tests of the others", () => {
  it.live.each(pluginIds)("pass without %s", (id) =>
    Effect.gen(function*() {
      const tree = yield* treeWithout(id, true)
      assert.deepStrictEqual(yield* ranIn(tree, "typescript/bin/tsc", ["-p", "."]), { exit: 0, said: "" })
      const others = pluginIds.filter((other) => other !== id).map((other) => `test/plugins/${other}/`)
      const { exit, said } = yield* ranIn(tree, "vitest/vitest.mjs", ["run", ...others])
      assert.strictEqual(exit, 0, said)
    }))
})
