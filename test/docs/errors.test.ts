import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { codeUses, readUses } from "./codeUses.ts"
import { allCodes, errorsDocument } from "./errorsDocument.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const sources = ["runtime", "plugins", "hooks", "bridge", "km-cli"].flatMap((room) =>
  fs.readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => path.join(entry.parentPath, entry.name))
)

describe("docs/errors.md", () => {
  it("is what the tables say; `node test/docs/errorsDocument.ts` writes it", () => {
    assert.strictEqual(fs.readFileSync(path.join(root, "docs/errors.md"), "utf8"), errorsDocument())
  })

  it("no code has two meanings", () => {
    const codes = allCodes.map(({ code }) => code)
    assert.deepStrictEqual(codes.filter((code, index) => codes.indexOf(code) !== index), [])
  })

  it("every entry says what happened and what to do", () => {
    const mute = allCodes.filter(({ remedy, what }) => what.trim().length < 8 || remedy.trim().length < 4)
    assert.deepStrictEqual(mute, [])
  })

  it("every use of a code, in any family, was read against its sentence", () => {
    const uses = [...codeUses()].map(([code, times]) => `${code} ${times}`)
    const told = new Map(allCodes.map(({ code, what }) => [code, what]))
    const unread = uses.filter((use) => !readUses.includes(use)).map((use) => `${use} (${told.get(use.slice(0, 10))})`)
    assert.deepStrictEqual(unread, [], "read it, then write its line into test/docs/codeUses.ts")
    assert.deepStrictEqual(readUses.filter((use) => !uses.includes(use)), [], "gone from the source")
  })

  it("every code in the source is in a table", () => {
    const known = new Set(allCodes.map(({ code }) => code))
    const used = new Set(sources.flatMap((file) => fs.readFileSync(file, "utf8").match(/\bKM-[A-Z]{3}-\d{3}\b/g) ?? []))
    assert.isAbove(used.size, 50)
    assert.deepStrictEqual([...used].filter((code) => !known.has(code)).toSorted(), [])
  })
})
