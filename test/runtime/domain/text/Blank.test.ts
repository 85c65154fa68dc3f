import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isBlank } from "../../../../runtime/domain/text/Blank.ts"

const hidden = [
  "",
  " \t\r\n\u00a0\u3000",
  "\u200b\u200c\u200d\u2060\ufeff\u00ad",
  "\u202a\u202e\u2066\u2069",
  "\u115f\u3164\uffa0\u2800\u034f",
  "\ufe0f\u{e0100}\u{e0041}",
  "\u0000\u0007\u009f",
  "\ud800",
  "\u001b[31m\u001b[0m\u009b1m",
  "\u001b]8;;https://example.com\u001b\\\u001b]0;title\u0007"
]

describe("isBlank", () => {
  it("is true of everything that shows nothing, in any mix", () => {
    for (const one of hidden) {
      for (const other of hidden) assert.isTrue(isBlank(`${one}${other}`), JSON.stringify(`${one}${other}`))
    }
  })

  it.prop("is false of a text with one visible character in it", [
    Schema.Literals(hidden),
    Schema.Literals(["a", "0", ".", "界", "🦊", "ع", "-", "…"]),
    Schema.Literals(hidden)
  ], ([before, shown, after]) => {
    // What an escape swallows is not shown either: the character stands outside of it.
    assert.isFalse(isBlank(`${before}${shown}${after}`.replace(/^\ud800/, "")))
  })
})
