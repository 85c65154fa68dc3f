import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import MarkdownIt from "markdown-it"
import { blocksOf } from "../../../bridge/render/markdownBlocks.ts"
import { joinParts, type MarkdownPart, splitMarkdown } from "../../../bridge/render/splitMarkdown.ts"
import { runs, sameRuns } from "../../support/runs.ts"

/** What may stand before a line: quotes, list items, indentations that continue them or make code. */
const mark = Schema.Literals([
  "",
  "",
  "",
  "> ",
  "- ",
  "  ",
  "1. ",
  "   ",
  "    ",
  "      ",
  "> - ",
  "- > ",
  "  > ",
  "> > ",
  ">",
  "- 12) ",
  "\t"
])
/** Lines that make trouble: fences of both kinds, long words, spans, emoji families, reserved characters. */
const content = Schema.Literals([
  "",
  "",
  "A sentence of some length, with commas, that goes on.",
  "short",
  "# Heading",
  "```ts",
  "```",
  "~~~",
  "````",
  "- item",
  "x".repeat(700),
  "word ".repeat(120).trim(),
  "one **two three ".repeat(30).trim(),
  `**bold ${"word ".repeat(90)}end**`,
  `a [label ${"word ".repeat(90)}end](https://a.test/x) b`,
  `${"see [the *docs*](https://docs.test/a_b) and `x = 1` ".repeat(12)}end`,
  "``code `with` marks`` ".repeat(30).trim(),
  `word - word # word > word 1. word ${"- a 2. b ".repeat(60)}`.trim(),
  "👩‍👩‍👧‍👦".repeat(60),
  "<&>".repeat(90),
  "  indented",
  "two  blanks   between    words ".repeat(30).trim(),
  "é̂".repeat(200)
])
/** Links by reference, of each form, and what they refer to: one line for each label, anywhere. */
const references = Schema.Literals([
  "[docs]: https://docs.test/a_b",
  "[the guide]: <https://guide.test/x y> \"A \\\"title\\\"\"",
  "> [quoted]: https://quoted.test/",
  "",
  "see [docs], [Docs][] and [the *docs*][docs] ".repeat(20).trim(),
  `a [label ${"word ".repeat(90)}end][The  Guide] b`,
  "![an image][docs] of [nothing] and [quoted] ".repeat(9).trim(),
  "- [the guide] [x] [docs](https://inline.test/)"
])
const tables = Schema.Literals(["| a | b |", "|---|---|", "| 1 | 2 |", "a | b", "--- | ---"])
const line = Schema.TemplateLiteral([mark, content])
const document = Schema.Array(line).check(Schema.isMinLength(8), Schema.isMaxLength(40))
const withReferences = Schema.Array(Schema.Union([line, references])).check(
  Schema.isMinLength(8),
  Schema.isMaxLength(40)
)
const withTables = Schema.Array(Schema.Union([line, tables])).check(Schema.isMinLength(12), Schema.isMaxLength(60))
const limit = Schema.Int.check(Schema.isBetween({ minimum: 300, maximum: 900 }))

const weight = (text: string): number => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").length

const renderer = new MarkdownIt("default", { html: false })

/** Each visible character with what it is shown as: code or words, in which quotes and lists, how marked, linked where. */
const shown = (markdown: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const around: Array<string> = []
  const put = (text: string, as: string) => {
    for (const character of text.replace(/[\s\u200b]/g, "")) found.push(`${as} ${character}`)
  }
  for (const token of renderer.parse(markdown, {})) {
    if (token.type === "fence" || token.type === "code_block") put(token.content, `${around.join("/")}/code`)
    else if (token.type === "inline") {
      const marks: Array<string> = []
      for (const child of token.children ?? []) {
        if (child.nesting === 1) marks.push(`${child.tag}${child.attrGet("href") ?? ""}`)
        else if (child.nesting === -1) marks.pop()
        else put(child.content, `${around.join("/")}/${marks.toSorted().join("+")}/${child.tag}`)
      }
    } else if (["blockquote", "ul", "ol", "h1"].includes(token.tag)) {
      if (token.nesting === 1) around.push(token.tag)
      else around.pop()
    }
  }
  return found
}

const tablesOf = (text: string): number =>
  renderer.parse(text, {}).filter((token) => token.type === "table_open").length

const shownByParts = (parts: ReadonlyArray<MarkdownPart>) => parts.flatMap((part) => shown(part.text))

/** Inline code between marks that would be a fence at a line's beginning: it cannot be cut in a line without a blank. */
const hasFenceLikeCode = (text: string): boolean =>
  renderer.parse(text, {}).some((token) =>
    (token.children ?? []).some((child) => child.type === "code_inline" && child.markup.length > 2)
  )

const assertAlike = (source: string, max: number) => {
  const parts = splitMarkdown(source, max)
  const [whole, cut] = [shown(source), shownByParts(parts)]
  const at = whole.findIndex((character, index) => character !== cut[index])
  assert.strictEqual(
    at < 0 ? cut.length : at,
    whole.length,
    `${whole.slice(at - 5, at + 20).join("\n")}\n--\n${cut.slice(at - 5, at + 20).join("\n")}\n--\n${
      JSON.stringify(parts, null, 1)
    }`
  )
}

/** What only goes on with a quote at the very end says nothing. */
const kept = (text: string): string => text.replace(/[\s>]+$/, "")
const tableOf = (count: number, cell: string) => `| a | b |\n|---|---|\n${`| ${cell} | 2 |\n`.repeat(count)}`
const rowsOf = (text: string): number => renderer.parse(text, {}).filter((token) => token.type === "tr_open").length

// The first two have about one exception in ten thousand cases: words that go on lazily from a list or a quote with what
// would be a definition at the beginning of a message. `KM_RUNS=20000` finds them.
describe("splitMarkdown", () => {
  it.prop("the parts read as the whole did", [document, limit], ([lines, max]) => {
    const source = lines.join("\n")
    if (!hasFenceLikeCode(source)) assertAlike(source, max)
  }, sameRuns(600))

  it.prop("so they do with links whose definitions stand in another part", [withReferences, limit], ([lines, max]) => {
    const source = lines.join("\n")
    if (!hasFenceLikeCode(source)) assertAlike(source, max)
  }, sameRuns(400))

  it.prop("with definitions too: the parts join to the source, and none is over the limit", [withReferences, limit], (
    [lines, max]
  ) => {
    const source = lines.join("\n")
    const parts = splitMarkdown(source, max)
    assert.strictEqual(kept(joinParts(parts)), kept(source))
    for (const part of parts) assert.isAtMost(weight(part.text), max)
  }, runs(200))

  it.prop("loses nothing: the parts join to the source", [withTables, limit], ([lines, max]) => {
    const source = lines.join("\n")
    const joined = joinParts(splitMarkdown(source, max))
    assert.strictEqual(kept(joined), kept(source))
  }, runs(400))

  it.prop("no part is over the limit, blank, or cut inside a character", [withTables, limit], ([lines, max]) => {
    for (const part of splitMarkdown(lines.join("\n"), max)) {
      assert.isAtMost(weight(part.text), max)
      assert.notStrictEqual(part.text.trim(), "")
      assert.isTrue(part.text.isWellFormed())
    }
  }, runs(400))

  it.prop("no part has two tables", [withTables, limit], ([lines, max]) => {
    for (const part of splitMarkdown(lines.join("\n"), max)) assert.isAtMost(tablesOf(part.text), 1, part.text)
  }, runs(400))

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

  it("keeps code and words apart wherever a fence stands", () => {
    const body = "const value = 1 // not prose\n"
    const wrapped = (first: string, further: string) =>
      `${first}\`\`\`ts
${`${further}${body}`.repeat(40)}${further}\`\`\`

${"words after it ".repeat(30)}`
    for (
      const [first, further] of [
        ["", ""],
        ["- ", "  "],
        ["1. ", "   "],
        ["> ", "> "],
        ["> - ", ">   "],
        ["- > ", "  > "],
        ["- 10. - ", "        "],
        ["-   ", "    "],
        ["- item\n\n      text\n\n  ", "  "]
      ] as const
    ) assertAlike(wrapped(first, further), 400)
    assertAlike(`- item\n\n${"      code = 1\n".repeat(60)}\n${"words ".repeat(80)}`, 400)
    assertAlike(`words\n\n${"    code = 1\n".repeat(60)}\n${"words ".repeat(80)}`, 400)
  })

  it("takes all blanks of a cut away, so that what is nested in an item stays there", () => {
    assertAlike(`- ${"word  ".repeat(150)}\n  - item\n   # Heading`, 300)
    assertAlike(`> - ${"word   ".repeat(150)}\n>   - item`, 300)
  })

  it("gives each part the definitions that its links use", () => {
    const words = "see [the docs], [more][docs] and `[docs]` ".repeat(20).trim()
    const source = `${words}\n\n[the docs]: https://a.test/ "A title"\n\n${words}\n\n[docs]: https://b.test/`
    const parts = splitMarkdown(source, 500)
    assert.isAbove(parts.length, 3)
    assertAlike(source, 500)
    // Behind code that nothing closes they would be code.
    assertAlike(`[docs]: https://b.test/\n\n${words}\n\n[docs]\n~~~\n${"code ".repeat(20)}`, 500)
    // Definitions of any length are no reason for a message that is too long.
    const long = `${words}\n\n[the docs]: https://a.test/${"x".repeat(600)}\n\n[docs]: https://b.test/`
    for (const part of splitMarkdown(long, 500)) assert.isAtMost(weight(part.text), 500)
  })

  it("cuts neither a link nor code, and closes and opens what is longer than a message", () => {
    const links = "see [the docs](https://docs.test/a/long/path?with=query) or `npm run thing` ".repeat(40)
    for (const part of splitMarkdown(links, 300)) {
      assert.strictEqual(
        (part.text.match(/\[the docs\]\(https:\/\/docs\.test\/a\/long\/path\?with=query\)/g) ?? []).length,
        (part.text.match(/docs\.test/g) ?? []).length
      )
      assert.strictEqual((part.text.match(/`/g) ?? []).length % 2, 0)
    }
    for (const part of splitMarkdown(`> ${"quoted words ".repeat(100)}`, 300)) assert.match(part.text, /^> /)
    for (const part of splitMarkdown(`**${"bold ".repeat(100)}end**`, 300)) {
      assert.match(part.text, /^\*\*bold[^*]*\*\*$/)
    }
  })

  it("shows a table in parts of at most 100 rows and 10,000 characters", () => {
    const many = splitMarkdown(tableOf(250, "1"))
    assert.deepStrictEqual(many.map((part) => rowsOf(part.text)), [100, 100, 53])
    for (const part of splitMarkdown(tableOf(90, "x".repeat(300)))) assert.isAtMost(part.text.length, 10_100)
  })

  it("keeps a family together", () => {
    const family = "👩‍👩‍👧‍👦"
    for (const part of splitMarkdown(family.repeat(100), 300)) assert.strictEqual(part.text.replaceAll(family, ""), "")
  })

  it("finds every line of a text that is nested deeper than it reads", () => {
    const deep = `${"> ".repeat(300)}words\n`.repeat(20)
    assert.strictEqual(blocksOf(deep).blockOf.length, 21)
    assert.strictEqual(joinParts(splitMarkdown(deep, 900)).trimEnd(), deep.trimEnd())
  })
})
