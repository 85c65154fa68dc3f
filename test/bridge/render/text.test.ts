import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { decodeSlackText, mentionedUsers } from "../../../bridge/render/decodeSlackText.ts"
import { clip, fallbackText, plainText } from "../../../bridge/render/fallbackText.ts"
import { neutralise } from "../../../bridge/render/neutralise.ts"
import { runs } from "../../support/runs.ts"

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

  it("breaks a typed ping where Slack would read one, and leaves addresses, links and code as they are", () => {
    for (
      const kept of [
        "write to ops@here.test or a@channel",
        "`@here` and ``x @channel``",
        "code over `two\nlines @here`",
        "```\n@here\n```",
        "- ```ts\n  import \"@channel/x\"\n  ```",
        "> - ```\n>   @everyone\n>   ```",
        "words\n\n    @here in code",
        "see https://medium.test/@here/post and [docs](https://x.test/@channel)",
        "<https://x.test/@here>",
        "| a |\n|---|\n| `@here` |"
      ]
    ) assert.strictEqual(neutralise(kept), kept, kept)
    for (
      const [typed, broken] of [
        ["**@here** (@channel)", "**@\u2060here** (@\u2060channel)"],
        ["`code` @here", "`code` @\u2060here"],
        ["` @here", "` @\u2060here"],
        ["- @here `x\n\n@here`", "- @\u2060here `x\n\n@\u2060here`"],
        ["[@here](https://x.test)", "[@\u2060here](https://x.test)"],
        ["https://@here and http:// @here", "https://@\u2060here and http:// @\u2060here"],
        ["| `a` | @here |\n|---|---|", "| `a` | @\u2060here |\n|---|---|"],
        ["\\`@here\\`", "\\`@\u2060here\\`"],
        ["<div @here>", "<div @\u2060here>"]
      ] as const
    ) assert.strictEqual(neutralise(typed), broken, typed)
    // What is too long to be read is broken.
    assert.include(neutralise(`${"word ".repeat(30_000)}\`@here\``), "@\u2060here")
  })

  it("shows nothing that is not seen", () => {
    assert.strictEqual(neutralise("a\u202eb\u200bc\u001b[31md\u001b[0m\r\ne"), "abcd\ne")
  })

  it.prop("does nothing more the second time", [Schema.String], ([text]) => {
    const once = neutralise(text)
    assert.strictEqual(neutralise(once), once)
    assert.isTrue(once.isWellFormed())
  }, runs(300))
})

describe("fallbackText", () => {
  it("shows words without marks, escaped, and is never empty", () => {
    assert.strictEqual(
      fallbackText("# Title\n\n**bold** `code` [a](https://b.test) <x> & y"),
      "Title\n\nbold code a (https://b.test) &lt;x&gt; &amp; y"
    )
    assert.strictEqual(fallbackText("```\n```"), "(no text)")
  })

  it("takes away marks that stress, and nothing else of what was written", () => {
    const cases = {
      "**bold**, ***both*** and ~~gone~~": "bold, both and gone",
      "**Note:** see **`x`** and [**a**](http://b)": "Note: see x and a (http://b)",
      "\u8fd9\u662f**\u91cd\u70b9**\u5185\u5bb9": "\u8fd9\u662f\u91cd\u70b9\u5185\u5bb9",
      "2**3**2": "2**3**2",
      "x**2 + y**2 and (n)**2**k": "x**2 + y**2 and (n)**2**k",
      "2\\*\\*3": "2**3",
      "f(*args, **kwargs), g(**a,**b), 2 ** 3": "f(*args, **kwargs), g(**a,**b), 2 ** 3",
      "my__a__b, __init__.py, __Very important__": "my__a__b, __init__.py, Very important",
      "`2**3**2 __x y__` and ``a`b``": "2**3**2 __x y__ and a`b",
      "a~~b~~c and `unclosed": "a~~b~~c and `unclosed",
      "# Title\n```py\n# c **x**\n[a](b)\n```\n## End": "Title\n# c **x**\n[a](b)\nEnd"
    }
    for (const [markdown, plain] of Object.entries(cases)) assert.strictEqual(fallbackText(markdown), plain)
  })

  it("stays short", () => {
    assert.isAtMost(fallbackText("<".repeat(10_000)).length, 4 * 3_000)
    assert.strictEqual(plainText("a < b &lt;!here>"), "a &lt; b &lt;!here&gt;")
  })

  it("clips between characters", () => {
    assert.strictEqual(clip("abc", 3), "abc")
    assert.strictEqual(clip("ab😀d", 4), "ab…")
  })
})
