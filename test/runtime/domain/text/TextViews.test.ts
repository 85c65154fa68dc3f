/** What each reading takes away, and where in the original its characters stand: exact to the character. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { makeRedactor, redactedMark } from "../../../../runtime/domain/text/Redactor.ts"
import { viewsOf } from "../../../../runtime/domain/text/TextViews.ts"
import { runs } from "../../../support/runs.ts"

/** Built from pieces, so that no scanner of this repository takes them for real ones. */
const body = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
const token = `ghp_${body}`
const tokens = [
  token,
  `AKIA${"ABCDEFGHIJKLMNOP"}`,
  ["xoxb", "1234567890", body.slice(0, 12)].join("-"),
  ["SG", body.slice(0, 22), `${body}abcdefgh`].join(".")
]
const esc = "\u001b"
const { text } = makeRedactor([])
/** A token with this in it. */
const holding = (what: string) => `a ${token.slice(0, 14)}${what}${token.slice(14)} b`
const found = `a ${redactedMark} b`
const isFound = (given: string) => assert.strictEqual(text(given), found, given.slice(0, 80))
const stays = (given: string) => assert.strictEqual(text(given), given, given.slice(0, 80))

describe("what is taken out", () => {
  const seen = [
    "",
    "**",
    "`",
    "~~",
    "<b>",
    "&#8203;",
    "\\u200b",
    "%E2%80%8B",
    "<!-- a > b -->",
    "[",
    "](https://a.test)"
  ] as const
  const Piece = Schema.Struct({
    word: Schema.Literals(["plain", "snake_case", "a*b", "50%", "x\\ny", "&amp;"]),
    token: Schema.Literals(tokens),
    before: Schema.Literals(seen),
    within: Schema.Literals(seen),
    behind: Schema.Literals(seen),
    at: Schema.Int
  })
  it.prop(
    "is each token from its first to its last character, and nothing beside it",
    [Schema.Array(Piece)],
    ([all]) => {
      const given = all.map(({ at, before, behind, token: one, within, word }) => {
        const half = 1 + Math.abs(at) % (one.length - 1)
        return `${word} ${before}${one.slice(0, half)}${within}${one.slice(half)}${behind}`
      })
      const left = all.map(({ before, behind, word }) => `${word} ${before}${redactedMark}${behind}`)
      assert.strictEqual(text(given.join(" ")), left.join(" "))
    },
    runs(300)
  )

  it("is each character of it, however that is written", () => {
    for (const one of tokens) {
      for (let at = 0; at < one.length; at++) {
        const code = one.charCodeAt(at)
        const hex = code.toString(16).padStart(2, "0")
        for (
          const written of [
            `&#${code};`,
            `&#x${hex};`,
            `&#X${hex.toUpperCase()};`,
            `\\u00${hex}`,
            `\\\\u00${hex}`,
            `\\u{${hex}}`,
            `\\x${hex}`,
            `%${hex}`
          ]
        ) isFound(`a ${one.slice(0, at)}${written}${one.slice(at + 1)} b`)
      }
    }
  })

  it("begins behind a backslash that only seems to belong to it", () => {
    const redactor = makeRedactor(["bcorrect-horse"])
    assert.strictEqual(redactor.text("a \\bcorrect-horse b"), `a \\${redactedMark} b`)
  })
})

describe("encoded characters", () => {
  it("have HTML's names, which stand for what tokens are made of or for nothing", () => {
    for (
      const named of [
        `ghp&lowbar;${body}`,
        `ghp&UnderBar;${body}`,
        `xoxb&hyphen;${body.slice(0, 8)}`,
        `xoxb&dash;${body.slice(0, 8)}`,
        `ya29&period;${body.slice(0, 20)}`,
        `whsec_${body.slice(0, 19)}&plus;`,
        `hooks.slack.com&sol;services&sol;${body.slice(0, 8)}`,
        `xoxd-${body.slice(0, 7)}&equals;`
      ]
    ) isFound(`a ${named} b`)
    for (const name of ["shy", "zwj", "zwnj", "lrm", "rlm", "ZeroWidthSpace", "NoBreak"]) isFound(holding(`&${name};`))
    for (const name of ["amp", "nbsp", "shyness", "SHY"]) stays(holding(`&${name};`))
  })

  it("are those that there are: others are nothing, and what is no encoding stays", () => {
    for (
      const nothing of [
        "&#x110000;",
        "&#1114112;",
        "&#9999999;",
        "\\u{110000}",
        "&#x10ffff;",
        "&#x8;",
        "&#8;",
        "\\u{8}"
      ]
    ) isFound(holding(nothing))
    for (const odd of ["%ff", "%E2%28", "&#;", "&#x;", "&#12345678;", "\\u12", "\\u{}", "\\xg0"]) stays(holding(odd))
  })
})

describe("an escape that is written", () => {
  const seven = ["u001b", "u001B", "u{1b}", "u{01B}", "x1b", "x1B", "033", "33", "e"].map((each) => `\\${each}`)
  const eight = ["\\u009b", "\\u009B", "\\u{9b}", "\\x9b", "\\x9B", "%c2%9b", "%C2%9B", "&#155;", "&#x9b;"]
  it("may be cut before a token, whose first letter it would take", () => {
    for (const one of [...seven, "^", "%1b", "%1B", "&#27;", "&#x1b;"]) {
      for (const cut of ["[32", "[", "[38;5"]) {
        assert.strictEqual(text(`a ${one}${cut}${token} b`), `a ${one}${cut}${redactedMark} b`, one + cut)
      }
    }
    for (const one of eight) {
      assert.strictEqual(text(`a ${one}32${token} b`), `a ${one}32${redactedMark} b`, one)
    }
  })

  it("vanishes whole from within one", () => {
    isFound(holding("^[0m"))
    for (const one of [...seven, "%1b", "&#27;"]) {
      isFound(holding(`${one}[0m`))
      // What ends a string is a backslash behind an escape, which is doubled where backslashes are.
      for (const end of ["\\", "\\\\", "\\\\\\\\"]) isFound(holding(`${one}]8;;https://a.test${one}${end}`))
    }
    for (const one of eight) isFound(holding(`${one}0m`))
  })
})

describe("what Markdown and HTML take away", () => {
  it("is looked at for so many characters", () => {
    const limits: ReadonlyArray<readonly [begin: string, fill: string, end: string, most: number]> = [
      ["<!--", ">", "-->", 300],
      ["<?", ">", "?>", 300],
      ["<b t=\"", ">", "\">", 300],
      ["<b t='", ">", "'>", 300],
      ["<b", "\n", ">", 300],
      ["<", "1", ">", 300],
      ["](", "x", ")", 2_000]
    ]
    for (const [begin, fill, end, most] of limits) {
      isFound(holding(`${begin}${end}`))
      isFound(holding(`${begin}${fill.repeat(most)}${end}`))
      stays(holding(`${begin}${fill.repeat(most + 1)}${end}`))
    }
    for (const whole of ["<>", "</b>", "</ b>", "<![CDATA[", "]]>", "![", "]"]) isFound(holding(whole))
  })

  it("is an underscore at the side of a word, and none within one", () => {
    for (
      const marked of [
        `xoxb_[_](https://a.test)-${body}`,
        `xoxb-_[_](https://a.test)${body}`,
        `_xoxb_-${body}`,
        `xoxb-_${body}`,
        `gh__p_${body}`
      ]
    ) assert.notInclude(text(`a ${marked} b`), body.slice(0, 20), marked)
    for (const one of [`gh_p_${body}`, `xo_xb-${body}`]) stays(`a ${one} b`)
  })

  it("is not our own mark, which nothing is joined across", () => {
    for (const one of [`xoxb-${redactedMark}${body}`, `ghp_${redactedMark}${body}`, `gh${redactedMark}p_${body}`]) {
      stays(one)
    }
  })
})

describe("readings", () => {
  it("are no more than the text can have: each is one more pass over it", () => {
    for (
      const [given, count] of [
        ["plain words, 12 % and a_b", 1],
        ["**bold** words", 2],
        ["<b>bold</b> words", 2],
        ["**bold** <b>words</b>", 3],
        ["50%ff and a\\qb", 1],
        ["\\u0041 xoxb", 2],
        ["a\u200bb", 1]
      ] as const
    ) assert.lengthOf(viewsOf(given), count, given)
    assert.isAbove(viewsOf(`${esc}[0mx`).length, 1)
  })
})
