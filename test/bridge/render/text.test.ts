import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { decodeSlackText, mentionedUsers } from "../../../bridge/render/decodeSlackText.ts"
import { clip, fallbackText, plainText } from "../../../bridge/render/fallbackText.ts"
import { neutralise } from "../../../bridge/render/neutralise.ts"

const nameOf = (user: string): string | undefined => user === "U0ADA" ? "Ada" : undefined

describe("decodeSlackText", () => {
  it("turns Slack's encoding into what the person typed", () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      ["a &amp; b &lt;now&gt;", "a & b <now>"],
      ["&amp;lt;", "&lt;"],
      ["hi <@U0ADA> and <@U0BOB>", "hi @Ada and @U0BOB"],
      ["<@U0BOB|bob>", "@bob"],
      ["<#C0DEV|dev> <#C0OPS>", "#dev #C0OPS"],
      ["<https://a.test/?a=1&amp;b=2>", "https://a.test/?a=1&b=2"],
      ["<https://a.test|docs>", "docs (https://a.test)"],
      ["<https://a.test|https://a.test>", "https://a.test"],
      ["<mailto:a@b.test|a@b.test>", "a@b.test"],
      ["<!here> <!channel|channel>", "@here channel"],
      ["<!subteam^S1|@ops>", "@ops"],
      ["&lt;@U0ADA&gt;", "<@U0ADA>"],
      ["<@U0BOT> !stop", "!stop"],
      ["  <@U0BOT>: do it, <@U0BOT>", "do it, @U0BOT"]
    ]
    for (const [encoded, typed] of cases) {
      assert.strictEqual(decodeSlackText(encoded, { self: "U0BOT", nameOf }), typed, encoded)
    }
  })

  it("finds who is mentioned, once each", () => {
    assert.deepStrictEqual(mentionedUsers("<@U0ADA> <@U0ADA|x> <@W0BOB> &lt;@U0EVE&gt;"), ["U0ADA", "W0BOB"])
  })

  it.prop("never throws and leaves plain text alone", [Schema.String], ([text]) => {
    decodeSlackText(text, { nameOf })
    const plain = text.replace(/[&<>]/g, "")
    assert.strictEqual(decodeSlackText(plain, { nameOf }), plain)
  })
})

describe("neutralise", () => {
  it("lets nobody be pinged", () => {
    for (const ping of ["<!channel>", "<!here|here>", "<!everyone>", "<!subteam^S1>", "<@U0ADA>", "<@W0BOB|bob>"]) {
      assert.match(neutralise(`hi ${ping}`), /^hi &lt;[!@]/)
    }
    for (const typed of ["@here", "@channel", "@Everyone"]) assert.notInclude(neutralise(typed), typed)
    assert.strictEqual(
      neutralise("mail a@hereford.test, <https://a.test>, <div>"),
      "mail a@hereford.test, <https://a.test>, <div>"
    )
  })

  it("shows nothing that is not seen", () => {
    assert.strictEqual(neutralise("a\u202eb\u200bc\u001b[31md\u001b[0m\r\ne"), "abcd\ne")
  })

  it.prop("does nothing more the second time", [Schema.String], ([text]) => {
    const once = neutralise(text)
    assert.strictEqual(neutralise(once), once)
    assert.isTrue(once.isWellFormed())
  }, { arbitrary: { runs: 300 } })
})

describe("fallbackText", () => {
  it("shows words without marks, escaped, and is never empty", () => {
    assert.strictEqual(
      fallbackText("# Title\n\n**bold** `code` [a](https://b.test) <x> & y"),
      "Title\n\nbold code a (https://b.test) &lt;x&gt; &amp; y"
    )
    assert.strictEqual(fallbackText("```\n```"), "(no text)")
    assert.isAtMost(fallbackText("<".repeat(10_000)).length, 4 * 3_000)
    assert.strictEqual(plainText("a < b &lt;!here>"), "a &lt; b &lt;!here&gt;")
  })

  it("clips between characters", () => {
    assert.strictEqual(clip("abc", 3), "abc")
    assert.strictEqual(clip("ab😀d", 4), "ab…")
  })
})
