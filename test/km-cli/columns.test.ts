import { assert, it } from "@effect/vitest"
import { columns } from "../../km-cli/Output.ts"

it("a row of a table is one line, whatever its cells hold, and is as wide as what is shown", () => {
  assert.deepStrictEqual(
    columns([["NAME", "SAID"], ["  a\nok  forged", "x\u2028y\u001b[31m\u202e"], ["b", ""]]),
    ["NAME            SAID", "  a ok  forged  x y", "b"]
  )
})
