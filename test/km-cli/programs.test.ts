/** What km tells a person to type can be typed where the person is. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { children, firstCreate } from "../../km-cli/Programs.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

describe("the bridge of km up", () => {
  it("is started with a small young generation, before its program", () => {
    assert.strictEqual(children.bridge.args[0], "--max-semi-space-size=4")
    assert.match(children.bridge.args[1] ?? "", /bridge/)
    assert.notMatch(children.control.args[0] ?? "", /^-/)
  })
})

describe("the first command after km up", () => {
  it("names the profile beside the reader, else the one that km came with", () => {
    assert.strictEqual(firstCreate(root), "km create profiles/demo.yaml --alias demo")
    const [, file = ""] = /^km create '?([^']+?)'? --alias demo$/.exec(firstCreate(tmpdir())) ?? []
    assert.isTrue(path.isAbsolute(file))
    assert.isTrue(existsSync(file))
  })
})
