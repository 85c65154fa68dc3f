/** Directory names of turns: safe on every file system, and never shared by two turns. */
import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import { TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { runDirectory, turnDirectoryName, turnOfDirectory } from "../../../../runtime/kernel/turns/RunDirectory.ts"

describe("RunDirectory", () => {
  it("is one directory per attempt", () => {
    assert.strictEqual(runDirectory("/s/runs", TurnKey.make("T1:C1:17.000001~2"), 3), "/s/runs/T1=C1=17.000001~2/3")
  })

  it.prop("is safe, and reversible", [TurnKey], ([key]) => {
    const name = turnDirectoryName(key)
    assert.match(name, /^[A-Za-z0-9_~=+][A-Za-z0-9._~=+-]*$/)
    assert.isAtMost(name.length, 129)
    assert.deepStrictEqual(turnOfDirectory(name), Option.some(key))
  })

  it("takes no other name for a turn's", () => {
    for (const name of ["lost+found", "..x", "+ab", "a b c", "..", ""]) {
      assert.deepStrictEqual(turnOfDirectory(name), Option.none(), name)
    }
  })
})
