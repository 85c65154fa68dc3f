import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { maxShownBytes, maxShownCharacters } from "../../../../runtime/domain/slack/Question.ts"
import { callHash, shownInput } from "../../../../runtime/kernel/questions/ShownCall.ts"

const same = (text: string) => text

describe("a call as people see it", () => {
  it("shows a command as it is, and every other field beside it", () => {
    assert.strictEqual(
      shownInput({ command: "git push *<!channel>*", timeout: 5 }, same),
      "command: git push *<!channel>*\ntimeout: 5"
    )
  })

  it("shows what nobody would see: what turns or hides text is written out", () => {
    const shown = shownInput({ command: "ls \u202egnp.sh\u200b\u001b[2K\u0007" }, same)
    assert.strictEqual(shown, "command: ls \\u{202e}gnp.sh\\u{200b}\\u{1b}[2K\\u{7}")
  })

  it("takes secrets out before it cuts", () => {
    const secret = "a-secret-of-a-test"
    const shown = shownInput(
      { command: `${"x".repeat(2_000)}${secret}${"y".repeat(2_000)}` },
      (text) => text.replaceAll(secret, "***")
    )
    assert.notInclude(shown, "secret")
    assert.match(shown, /characters are not shown/)
  })

  it.prop("always fits a message and a record", [Schema.Unknown, Schema.String], ([input, text]) => {
    for (const one of [input, { content: text.repeat(3_000) }, { content: "\u{1f600}\"\\".repeat(5_000) }, text]) {
      const shown = shownInput(one, same)
      assert.isAtMost(shown.length, maxShownCharacters)
      assert.isAtMost(Buffer.byteLength(JSON.stringify(shown)), maxShownBytes)
      assert.isTrue(shown.isWellFormed())
    }
  })

  it("has one fingerprint whatever the order of its keys, and another for any other call", () => {
    const one = callHash("Bash", { a: 1, b: { c: [1, { d: 2, e: 3 }] } })
    assert.strictEqual(callHash("Bash", { b: { c: [1, { e: 3, d: 2 }] }, a: 1 }), one)
    for (
      const [tool, input] of [
        ["Read", { a: 1, b: { c: [1, { d: 2, e: 3 }] } }],
        ["Bash", { a: 1, b: { c: [{ d: 2, e: 3 }, 1] } }],
        ["Bash", { a: "1", b: { c: [1, { d: 2, e: 3 }] } }],
        ["Bash", undefined]
      ] as const
    ) assert.notStrictEqual(callHash(tool, input), one)
  })
})
