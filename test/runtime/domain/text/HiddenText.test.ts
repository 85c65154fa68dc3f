import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { withoutHidden } from "../../../../runtime/domain/text/HiddenText.ts"
import { runs } from "../../../support/runs.ts"

const esc = "\u001b"
const st = `${esc}\\`

/** Terminal escapes, each to vanish whole from between two words. */
const whole: ReadonlyArray<readonly [name: string, escape: string]> = [
  ["colour", `${esc}[32m`],
  ["colour, many parameters", `${esc}[1;38;2;255;0;0m`],
  ["colour, colons", `${esc}[38:2::255:0:0m`],
  ["reset", `${esc}[m`],
  ["private mode", `${esc}[?25l`],
  ["erase line", `${esc}[K`],
  ["cursor shape, an intermediate byte", `${esc}[2 q`],
  ["colour, 8-bit", "\u009b31m"],
  ["title, BEL", `${esc}]0;a title\u0007`],
  ["title, ST", `${esc}]0;a title${st}`],
  ["title, 8-bit", "\u009d2;a title\u009c"],
  ["hyperlink opens", `${esc}]8;id=1;https://example.com/a${st}`],
  ["hyperlink closes", `${esc}]8;;${st}`],
  ["device control string over lines", `${esc}Pq#0\n!14~-${st}`],
  ["device control string, 8-bit", "\u0090q#0\u009c"],
  ["application string", `${esc}_Gf=24;AAAA${st}`],
  ["privacy message", `${esc}^hidden${st}`],
  ["start of string", `${esc}Xhidden${st}`],
  ["character set", `${esc}(B`],
  ["character set, G1", `${esc})0`],
  ["save cursor", `${esc}7`],
  ["keypad", `${esc}=`],
  ["reset to initial state", `${esc}c`],
  ["escape twice", `${esc}${esc}[0m`],
  ["a colour with a hidden character in it", `${esc}[3\u200b2m`]
]

const hiddenCharacters: ReadonlyArray<string> = [
  ..."\u0000\u0007\u0008\u007f\u0080\u009c\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u200f",
  ..."\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2064\u2065\u2066\u2069\u206a\u206f\u3164\ufe00\ufe0f\ufeff\uffa0",
  ..."\ufff0\ufff9\ufffa\ufffb\ufdd0\uffff",
  "\u{1bca0}",
  "\u{1d173}",
  "\u{e0001}",
  "\u{e0041}",
  "\u{e007f}",
  "\u{e0100}",
  "\u{e01ef}",
  "\u{e0fff}",
  "\u{50000}"
]

const flag = (tags: number) => `\u{1f3f4}${"\u{e0061}".repeat(tags)}\u{e007f}`

describe("withoutHidden", () => {
  it("takes out escapes whole", () => {
    for (const [name, escape] of whole) assert.strictEqual(withoutHidden(`one${escape}two`), "onetwo", name)
  })

  it("takes out an escape that was cut, and nothing beyond its line", () => {
    for (const cut of [`${esc}`, `${esc}[`, `${esc}[38;5`, `${esc}]0;title`, `${esc}]8;;https://a.test`, `${esc}(`]) {
      assert.strictEqual(withoutHidden(`one${cut}`), "one", JSON.stringify(cut))
      assert.strictEqual(withoutHidden(`one${cut}\ntwo`), "one\ntwo", JSON.stringify(cut))
    }
  })

  it("takes out every character that is not seen", () => {
    for (const character of hiddenCharacters) {
      assert.strictEqual(withoutHidden(`a${character}b`), "ab", `U+${character.codePointAt(0)?.toString(16)}`)
    }
  })

  it("keeps what scripts and emoji need, white space, and ordinary text of any language", () => {
    for (
      const kept of [
        "👩‍👩‍👧 ❤️‍🔥 ❤️ 1️⃣ #️⃣ ☎︎ 👍🏽 🇩🇪",
        "می‌خواهم",
        "ന്‍ അവന്‍",
        "क्‍ष",
        "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        "葛\u{e0100}城",
        "é e\u0301 ﬁ ™ ½ “quoted” – —",
        "\tif (a[31] === b) {\r\n\treturn `${c}`\r\n}",
        "שלום, مرحبا، ١٢٣ \u0600١٢",
        "\ue0b0 a powerline glyph"
      ]
    ) assert.strictEqual(withoutHidden(kept), kept)
  })

  it("keeps of a run of joiners what its neighbours need, and nothing at an edge", () => {
    for (
      const [given, kept] of [
        ["1\ufe0f\u20e3", "1\ufe0f\u20e3"],
        ["#\ufe0f\u20e3*\ufe0f\u20e3", "#\ufe0f\u20e3*\ufe0f\u20e3"],
        ["a\ufe0f\u20e3", "a\u20e3"],
        ["1\ufe0e\u20e3", "1\u20e3"],
        ["1\u200d\u20e3", "1\u20e3"],
        ["1\ufe0f\ufe0f\u20e3", "1\u20e3"],
        ["1\ufe0fé", "1é"],
        ["\ufe0fé", "é"],
        ["\u200dé", "é"],
        ["é\u200d", "é"],
        ["é\ufe0f", "é\ufe0f"],
        ["é\u200da", "éa"],
        ["é\u200dé", "é\u200dé"],
        ["é\ufe0f\u200dé", "é\ufe0f\u200dé"],
        ["é\ufe0f\u200da", "é\ufe0fa"],
        ["é\u200d\ufe0fé", "é\u200dé"],
        ["é\ufe0f\u{e0100}\u200dé", "é\ufe0fé"],
        ["क्\u200d", "क्\u200d"],
        ["क्\u200da", "क्\u200da"],
        ["क्\u200c\u200da", "क्\u200ca"]
      ] as const
    ) assert.strictEqual(withoutHidden(given), kept, JSON.stringify(given))
  })

  it("keeps flags of regions of three to six tags, and no other tags", () => {
    for (const tags of [3, 4, 5, 6]) assert.strictEqual(withoutHidden(flag(tags)), flag(tags))
    for (const tags of [0, 1, 2, 7]) assert.strictEqual(withoutHidden(flag(tags)), "\u{1f3f4}")
    for (const tag of ["\u{e0030}", "\u{e0039}", "\u{e007a}"]) {
      const kept = `\u{1f3f4}${tag.repeat(3)}\u{e007f}`
      assert.strictEqual(withoutHidden(kept), kept)
    }
    for (const tag of ["\u{e002f}", "\u{e003a}", "\u{e0060}", "\u{e007b}", "\u{e0041}"]) {
      assert.strictEqual(withoutHidden(`\u{1f3f4}${tag.repeat(3)}\u{e007f}`), "\u{1f3f4}")
    }
  })

  it("lets no joiner or selector hide beside ASCII, nor many of them anywhere", () => {
    assert.strictEqual(withoutHidden("a\u200db\ufe0fc\u200c"), "abc")
    assert.strictEqual(withoutHidden("1\ufe0f"), "1")
    assert.strictEqual(withoutHidden(`😀${"\u{e0100}\u{e0101}".repeat(50)}!`), "😀\u{e0100}!")
    assert.strictEqual(withoutHidden(`🏴${"\u{e0061}".repeat(50)}`), "🏴")
  })

  it("makes halves of characters visible", () => {
    assert.strictEqual(withoutHidden("half \ud83d"), "half \ufffd")
  })

  const pieces: ReadonlyArray<string> = [
    ...whole.map(([, escape]) => escape),
    ...hiddenCharacters,
    ...Array.from("a[mé😀\n]3;🏴\u20e3\\\ud83d")
  ]
  const piece = Schema.Literals(pieces)
  it.prop("changes nothing more the second time, and leaves nothing unseen", [Schema.Array(piece)], ([parts]) => {
    const once = withoutHidden(parts.join(""))
    assert.strictEqual(withoutHidden(once), once)
    // oxlint-disable-next-line no-control-regex
    assert.notMatch(once, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u202e\ufeff]/)
    assert.isTrue(once.isWellFormed())
  }, runs(500))

  it.prop("leaves visible ASCII alone", [Schema.String], ([text]) => {
    const ascii = text.replace(/[^\t\n\r -~]/g, "")
    assert.strictEqual(withoutHidden(ascii), ascii)
  })

  it("takes time in proportion to hostile text", () => {
    // Nothing is timed: quadratic matching of these would outlast the test's own limit.
    const parts = [
      `${esc}[`,
      `${esc}]`,
      `${esc}P\n`,
      esc,
      "\u0090",
      "\u{1f3f4}\u{e0061}",
      "é\u200d",
      `\u200b${esc}[0`,
      "["
    ]
    for (const part of parts) assert.isAtMost(withoutHidden(part.repeat(1e6 / part.length)).length, 1e6)
  })
})
