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

const deep = (levels: number) => htmlText(`${"<b>".repeat(levels)}end`, never)

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

  it("has one empty line between paragraphs at most, one line for each line, and spaces where there are any", async () => {
    for (
      const [html, text] of [
        ["a<br>b", "a\nb"],
        ["a<br><br>b", "a\n\nb"],
        ["a<br><br><br><br>b", "a\n\nb"],
        ["<br>a<p></p><hr>b<br>", "a\n\n---\n\nb"],
        ["a <b> b </b> c", "a b c"],
        ["a<b>b</b>c", "abc"],
        ["a <b>\t</b> c", "a c"],
        ["<p>a</p> <p> b </p>", "a\n\nb"],
        ["<div>a<div>b</div>c</div>d", "a\nb\nc\nd"],
        ["<h1>a</h1>b<blockquote>c</blockquote>", "a\n\nb\n\nc"],
        ["<ol><li>a</li><li>b</li></ol>", "* a\n* b"],
        ["<th>a</th><th>b</th>", "a b"],
        ["x<pre> a\n\n\n b </pre>y  z", "x\n\n a\n\n\n b \n\ny z"],
        ["<pre>a<b> b</b></pre><pre> c</pre> d", "a b\n\n c\n\nd"],
        ["<img alt='one'> <img alt=''> <img alt='two'>", "one two"]
      ] as const
    ) assert.strictEqual(await htmlText(html, never), text, html)
  })

  it("hides what a style hides, and nothing that only looks so", async () => {
    for (
      const style of [
        "display:none",
        "color:red;display:none",
        "color:red; display : none !important",
        "DISPLAY:NONE",
        "visibility:hidden",
        "visibility : collapse",
        "opacity:0",
        "opacity: 0 ",
        "opacity:0.00!important",
        "opacity:0;color:red",
        "font-size:0",
        "font-size:0px",
        "font-size:0.0%",
        "font-size : 0em ;color:red",
        "mso-hide:all",
        "mso-hide : all"
      ]
    ) assert.strictEqual(await htmlText(`a<i style="${style}">b</i>c`, never), "ac", style)
    for (
      const style of [
        "xdisplay:none",
        "display:block",
        "visibility:visible",
        "opacity:0.01",
        "opacity:00.1",
        "opacity:0x",
        "font-size:0.5px",
        "font-size:1px",
        "font-size:0px1",
        "mso-hide:none",
        ""
      ]
    ) assert.strictEqual(await htmlText(`a<i style="${style}">b</i>c`, never), "abc", style)
    for (
      const tag of "head title script style noscript template iframe object svg math audio video canvas map select"
        .split(" ")
    ) {
      assert.strictEqual(await htmlText(`a<${tag}>b</${tag}>c`, never), "ac", tag)
    }
  })

  it("says where a link leads, cut to two thousand characters", async () => {
    const link = (href: string, shown = "go") => htmlText(`<a href="${href}">${shown}</a>`, never)
    for (const length of [1_999, 2_000]) {
      assert.strictEqual(await link("x".repeat(length)), `go (${"x".repeat(length)})`)
    }
    assert.strictEqual(await link("x".repeat(2_001)), `go (${"x".repeat(2_000)}…)`)
    for (
      const [href, shown] of [["", "go"], [" ", "go"], ["#top", "go"], ["https://a.test", "https://a.test"], [
        "mailto:a@b",
        "a@b"
      ]] as const
    ) {
      assert.strictEqual(await link(href, shown), shown)
    }
    assert.strictEqual(await link("mailto:c@b", "a@b"), "a@b (mailto:c@b)")
    assert.strictEqual(await link("https://a.test", " <b>https://a.test</b> "), "https://a.test")
    assert.strictEqual(await htmlText("<p>before</p><a href='x'>before</a>", never), "before\n\nbefore (x)")
    assert.strictEqual(await htmlText("<a>go</a>", never), "go")
  })

  it("goes 256 levels deep, and looks at the clock before each 16 KiB", async () => {
    assert.strictEqual(await deep(256), "end")
    assert.strictEqual(await deep(257), "[The rest of this HTML is not shown.]")
    for (const [length, looks] of [[0, 0], [1, 1], [16_384, 1], [16_385, 2], [32_768, 2], [32_769, 3]] as const) {
      let looked = 0
      await htmlText("x".repeat(length), () => ++looked > 100)
      assert.strictEqual(looked, looks, String(length))
    }
  })

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
