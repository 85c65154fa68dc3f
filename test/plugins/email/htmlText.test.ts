/** Mail that is HTML alone is shown as the text that a person would see of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { htmlText } from "../../../plugins/email/protocol/htmlText.ts"
import { read } from "./world.ts"

const never = () => false

const cases: ReadonlyArray<readonly [html: string, text: string]> = [
  ["<p>one</p><p>two<br>three</p>", "one\n\ntwo\nthree"],
  ["<html><head><title>T</title><style>p{}</style></head><body>Hi <b>you</b>,\n  there</body></html>", "Hi you, there"],
  ["a<script>alert(1)</script>b<!-- c --><style>x</style><template>t</template>", "ab"],
  [
    "see <a href='https://evil.example/x'>https://bank.example</a>!",
    "see https://bank.example (https://evil.example/x)!"
  ],
  [
    "<a href='https://x.example'>https://x.example</a> <a href='mailto:a@x'>a@x</a> <a href='#top'>up</a>",
    "https://x.example a@x up"
  ],
  ["<a href='java\nscript:alert(1)'>go</a>", "go (javascript:alert(1))"],
  ["<ul><li>a<li>b</ul>c", "* a\n* b\n\nc"],
  ["<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"],
  ["<pre>a\n  b</pre>", "a\n  b"],
  ["<img src='https://track.example/x.png' alt='our logo'>text", "our logotext"],
  ["a<img src='https://track.example/x.png'>b", "ab"],
  ["<b>one</b><span href='https://x.example'>two</span>", "onetwo"],
  ["<div style='opacity:0.00;x:y'>no</div><b style='font-size:0.00em'>no</b><b style='opacity:0.001'>yes</b>", "yes"],
  ["&lt;b&gt; &amp; &#8364;", "<b> & €"],
  ["<div style='color:red; DISPLAY : none'>no</div><p hidden>no<b>no</b></p>yes", "yes"],
  ["<span style='font-size:0px'>no</span><span style='opacity:0'>no</span><i style='visibility:hidden'>no</i>y", "y"],
  ["<span style='opacity:0.5'>yes</span>", "yes"],
  ["<div hidden><div>no</div>no</div>yes<div hidden>", "yes"],
  ["<p>not closed <b>at all", "not closed at all"],
  ["", ""]
]

describe("HTML as text", () => {
  it("is what a person would see", async () => {
    for (const [html, text] of cases) assert.strictEqual(await htmlText(html, never), text, html)
  })

  it.effect("is the body of mail that has no other, in its own charset", () =>
    Effect.gen(function*() {
      const head = "From: x@y.example\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n"
      const verdict = yield* read(Buffer.from(`${head}<p>Gr\u00fc\u00dfe</p><script>x</script>`, "latin1"))
      assert.deepInclude(verdict.mail, { text: "Gr\u00fc\u00dfe" })
      const parts = "From: x@y.example\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
      const both = yield* read(`${parts}\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>other</p>\r\n--b--`)
      assert.strictEqual(both.mail?.text.trim(), "plain")
      const only = yield* read(`${parts}Content-Type: text/html\r\n\r\n<p>only</p>\r\n--b--`)
      assert.strictEqual(only.mail?.text, "only")
    }))

  it("ends, and says so, where it is nested without end or takes too long", async () => {
    const rest = "[The rest of this HTML is not shown.]"
    for (const tag of ["<div>", "<b>", "<ul><li>", "<table><tr><td>", "<blockquote>"]) {
      assert.match(
        await htmlText(`begin ${tag.repeat(Math.ceil(1_000_000 / tag.length))}`, never),
        /^begin[^]*not shown\.\]$/
      )
    }
    let looks = 0
    const slow = await htmlText(`<p>${"word ".repeat(50_000)}`, () => ++looks > 2)
    assert.isTrue(slow.startsWith("word word") && slow.endsWith(rest) && slow.length < 50_000)
  })
})
