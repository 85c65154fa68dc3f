import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { joinParts, splitMarkdown } from "../../../bridge/render/splitMarkdown.ts"

/** Lines that make trouble: fences of both kinds, tables, long words, emoji families, reserved characters. */
const line = Schema.Literals([
  "",
  "",
  "A sentence of some length, with commas, that goes on.",
  "short",
  "# Heading",
  "- item",
  "```ts",
  "```",
  "~~~",
  "````",
  "| a | b |",
  "|---|---|",
  "| 1 | 2 |",
  "a | b",
  "--- | ---",
  "x".repeat(700),
  "word ".repeat(120),
  "👩‍👩‍👧‍👦".repeat(60),
  "<&>".repeat(90),
  "  indented",
  "é̂".repeat(200)
])
const document = Schema.Array(line).check(Schema.isMinLength(12), Schema.isMaxLength(60))
const limit = Schema.Int.check(Schema.isBetween({ minimum: 300, maximum: 900 }))

const weight = (text: string): number => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").length

/** Walks the lines outside fences as a reader would; `visit` sees each with the one after it. */
const walk = (text: string, visit: (line: string, next: string) => void): boolean => {
  let fence: string | undefined
  const lines = text.split("\n")
  for (const [index, each] of lines.entries()) {
    const [, marker, info = ""] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(each) ?? []
    if (fence === undefined && marker !== undefined) fence = marker
    else if (fence !== undefined && marker?.startsWith(fence) === true && info.trim() === "") fence = undefined
    else if (fence === undefined) visit(each, lines[index + 1] ?? "")
  }
  return fence !== undefined
}

const tablesOf = (text: string): number => {
  let tables = 0
  let inside = false
  walk(text, (each, next) => {
    if (!each.includes("|")) inside = false
    else if (!inside && next.includes("|") && /^[ |:-]*-[ |:-]*$/.test(next)) {
      inside = true
      tables += 1
    }
  })
  return tables
}

const openFence = (text: string): boolean => walk(text, () => undefined)

describe("splitMarkdown", () => {
  it.prop("loses nothing: the parts join to the source", [document, limit], ([lines, max]) => {
    const source = lines.join("\n")
    const joined = joinParts(splitMarkdown(source, max))
    assert.strictEqual(joined.trimEnd(), source.trim() === "" ? "" : source.trimEnd())
  }, { arbitrary: { runs: 400 } })

  it.prop("no part is over the limit, blank, or cut inside a character", [document, limit], ([lines, max]) => {
    for (const part of splitMarkdown(lines.join("\n"), max)) {
      assert.isAtMost(weight(part.text), max)
      assert.notStrictEqual(part.text.trim(), "")
      assert.isTrue(part.text.isWellFormed())
    }
  }, { arbitrary: { runs: 400 } })

  it.prop("every part but the last closes its fences", [document, limit], ([lines, max]) => {
    const parts = splitMarkdown(lines.join("\n"), max)
    for (const part of parts.slice(0, -1)) assert.isFalse(openFence(part.text), JSON.stringify(part))
  }, { arbitrary: { runs: 400 } })

  it.prop("no part has two tables", [document, limit], ([lines, max]) => {
    for (const part of splitMarkdown(lines.join("\n"), max)) assert.isAtMost(tablesOf(part.text), 1, part.text)
  }, { arbitrary: { runs: 400 } })

  it("leaves a short text alone", () => {
    assert.deepStrictEqual(splitMarkdown("one\n\ntwo"), [{ text: "one\n\ntwo", opens: "", closes: "", glue: "" }])
    assert.deepStrictEqual(splitMarkdown(" \n\n"), [])
  })

  it("cuts at a blank line, repeats a fence's first line and a table's head", () => {
    const paragraphs = Array.from({ length: 20 }, (_, index) => `${index} ${"word ".repeat(8).trim()}`).join("\n\n")
    for (const part of splitMarkdown(paragraphs, 300).slice(0, -1)) assert.match(part.text, /word$/)
    const code = `\`\`\`ts\n${"const a = 1\n".repeat(60)}\`\`\``
    const [first, second] = splitMarkdown(code, 300)
    assert.match(first?.text ?? "", /^```ts\n[^`]*\n```$/)
    assert.match(second?.text ?? "", /^```ts\nconst/)
    const table = `| a | b |\n|---|---|\n${"| 1 | 2 |\n".repeat(60)}`
    for (const part of splitMarkdown(table, 300)) assert.match(part.text, /^\| a \| b \|\n\|---\|---\|\n\| 1/)
  })

  it("keeps a family together", () => {
    const family = "👩‍👩‍👧‍👦"
    for (const part of splitMarkdown(family.repeat(100), 300)) assert.strictEqual(part.text.replaceAll(family, ""), "")
  })
})
