/** Examples of foreign text and what a person is shown of it, for both functions that show it. */

/** [what it is, the text, on one line, as lines] */
export const foreignTexts: ReadonlyArray<readonly [what: string, text: string, line: string, lines: string]> = [
  ["plain words", "Deploy main, please.", "Deploy main, please.", "Deploy main, please."],
  ["nothing", "", "", ""],
  ["letters of other scripts", "Grüße 世界 שלום مرحبا", "Grüße 世界 שלום مرحبا", "Grüße 世界 שלום مرحبا"],
  [
    "a forged message in a name",
    "a.txt\nverified  operator@x\nSubject: go",
    "a.txt verified operator@x Subject: go",
    "a.txt\nverified  operator@x\nSubject: go"
  ],
  ["a carriage return that writes over the line", "evil\rgood", "evil good", "evil\ngood"],
  ["CRLF", "one\r\ntwo", "one two", "one\ntwo"],
  [
    "every other end of a line",
    "a\u000bb\u000cc\u001cd\u001de\u001ef\u0085g\u2028h\u2029i",
    "a b c d e f g h i",
    "a\nb\nc\nd\ne\nf\ng\nh\ni"
  ],
  ["colours", "\u001b[1;31mred\u001b[0m", "red", "red"],
  ["an 8-bit CSI", "\u009b2Jgone", "gone", "gone"],
  ["a window title", "\u001b]0;mine\u0007text", "text", "text"],
  ["a link of a terminal", "\u001b]8;;https://evil.example\u001b\\click\u001b]8;;\u001b\\", "click", "click"],
  ["an 8-bit OSC and DCS", "\u009d0;mine\u009ctext\u0090q\u009c", "text", "text"],
  ["a string without an end", "\u001b]0;mine and more", "0;mine and more", "0;mine and more"],
  ["a reset and a charset", "\u001bcone\u001b(0two", "onetwo", "onetwo"],
  ["an escape in an escape", "\u001b\u001b[31m[31mx", "[31mx", "[31mx"],
  ["backspaces", "abc\b\b\bxyz", "abcxyz", "abcxyz"],
  ["a reversed file name", "invoice\u202efdp.exe", "invoicefdp.exe", "invoicefdp.exe"],
  ["isolates and marks", "a\u2066b\u2069c\u200ed\u200fe\u061cf", "abcdef", "abcdef"],
  ["hidden letters", "op\u200ber\u00ada\u2060tor\ufeff", "operator", "operator"],
  ["tag characters", "go\u{e0068}\u{e0069}", "go", "go"],
  ["fillers that look empty", "a\u3164b\u115fc\uffa0d\u034fe", "abcde", "abcde"],
  ["kinds of space", "  a\u00a0\u2003b\t\tc\u2800\u3000d ", "a b c d", "  a\u00a0\u2003b\t\tc\u2800\u3000d "],
  [
    "a family and a Persian word",
    "👨\u200d👩\u200d👧 می\u200cخواهم ❤\ufe0f",
    "👨👩👧 میخواهم ❤",
    "👨\u200d👩\u200d👧 می\u200cخواهم ❤\ufe0f"
  ],
  ["half a character", "a\ud800b", "a\ufffdb", "a\ufffdb"],
  ["a line that never ends", "x".repeat(1_000), `${"x".repeat(199)}…`, "x".repeat(1_000)],
  ["at the limit", "x".repeat(200), "x".repeat(200), "x".repeat(200)],
  ["large characters at the limit", "𝕏".repeat(200), "𝕏".repeat(200), "𝕏".repeat(200)],
  ["large characters beyond the limit", "𝕏".repeat(201), `${"𝕏".repeat(199)}…`, "𝕏".repeat(201)]
]

/** [an address as it came, as it is shown] */
export const foreignAddresses: ReadonlyArray<readonly [address: string, shown: string]> = [
  ["sb-0a1b2c3d@km.invalid", "sb-0a1b2c3d@km.invalid"],
  ["First.Last+tag@Mail.Example", "First.Last+tag@Mail.Example"],
  ["", "\"\""],
  ["operator", "\"operator\""],
  ["operator @ km.invalid", "\"operator @ km.invalid\""],
  ["operator@km.invalid  verified", "\"operator@km.invalid  verified\""],
  ["a\" verified operator@km.invalid", "\"a\\\" verified operator@km.invalid\""],
  ["ѕb-a@km.invalid", "\"\\u0455b-a@km.invalid\""],
  ["sb-\u200ba@km.invalid", "\"sb-\\u200ba@km.invalid\""],
  ["\u202edilavni.mk@rotarepo", "\"\\u202edilavni.mk@rotarepo\""],
  ["x\u001b[2J@y\nverified  operator@km.invalid", "\"x\\u001b[2J@y\\nverified  operator@km.invalid\""],
  ["x\u009b2J@y", "\"x\\u009b2J@y\""],
  [`${"a".repeat(65)}@x`, `"${"a".repeat(65)}@x"`],
  ["a ".repeat(200), `"${"a ".repeat(127)}\\u2026"`]
]

/** [a value, its JSON] */
export const foreignJson: ReadonlyArray<readonly [value: unknown, json: string]> = [
  [{ a: 1, b: ["x y", null] }, "{\"a\":1,\"b\":[\"x y\",null]}"],
  [{ name: "invoice\u202efdp.exe" }, "{\"name\":\"invoice\\u202efdp.exe\"}"],
  [{ name: "\u009b2J\u007f\u0000" }, "{\"name\":\"\\u009b2J\\u007f\\u0000\"}"],
  [{ name: "a\u2028b\u00a0c\u200bd\u3164" }, "{\"name\":\"a\\u2028b\\u00a0c\\u200bd\\u3164\"}"],
  [{ name: "go\u{e0068}" }, "{\"name\":\"go\\udb40\\udc68\"}"],
  [{ "\u202e": "\ud800" }, "{\"\\u202e\":\"\\ud800\"}"]
]
