/** What a header says: addresses where it must be exactly those, text without its folding, and claims as claims. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { claimed } from "../../../plugins/email/protocol/claimedMail.ts"
import {
  authorOf,
  bareAddresses,
  comparableText,
  mailboxesOf,
  onOneLine
} from "../../../plugins/email/protocol/headerText.ts"
import { parseMail } from "../../../plugins/email/protocol/MimeReader.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"

describe("a header's text", () => {
  it("is one line, whose runs of white space are one space", () => {
    assert.strictEqual(onOneLine(" a\r\n\t b\u00a0\u2003c "), "a b c")
    assert.strictEqual(onOneLine("\ta"), "a")
    assert.strictEqual(onOneLine("a b"), "a b")
    assert.strictEqual(onOneLine(""), "")
    assert.strictEqual(comparableText("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?Q?_du?="), "Grüße du")
    assert.strictEqual(comparableText("=?utf-8?Q?__a__?="), "a")
  })

  it("is addresses, or no list of them at all", () => {
    assert.deepStrictEqual(bareAddresses("A@B.example"), ["a@b.example"])
    assert.deepStrictEqual(bareAddresses(" <a@b.example>,\r\n c@d.example , < e@f.example > "), [
      "a@b.example",
      "c@d.example",
      "e@f.example"
    ])
    const none = ["", "a", "a@b.example,", "<a@b.example", "a@b.example>", "Ann <a@b.example>", "a@b.example (Ann)"]
    for (
      const value of [...none, "a @b.example", "a@b.example c@d.example", "group: a@b.example;", "\"a\"@b.example"]
    ) {
      assert.isUndefined(bareAddresses(value), JSON.stringify(value))
    }
  })

  it("is an author: an address, with a name before it or without", () => {
    const address = "a@b.example"
    assert.deepStrictEqual(authorOf("A@b.example"), { name: "", address })
    assert.deepStrictEqual(authorOf("<a@b.example>"), { name: "", address })
    assert.deepStrictEqual(authorOf("Ann  Lee\r\n <a@b.example>"), { name: "Ann Lee", address })
    assert.deepStrictEqual(authorOf("\"Ann, Lee\" <a@b.example>"), { name: "Ann, Lee", address })
    assert.deepStrictEqual(authorOf("=?utf-8?B?w4RubmU=?= <a@b.example>"), { name: "Änne", address })
    assert.deepStrictEqual(authorOf("\"Ann <a@b.example>"), { name: "\"Ann", address })
    const none = ["", "Ann", "a@b.example, c@d.example", "Ann <a@b.example, c@d.example>", "<a@b.example> Ann"]
    for (
      const value of [...none, "Ann <<a@b.example>", "Ann <a@b.example> <c@d.example>", "Ann a@b.example", "Ann <>"]
    ) {
      assert.isUndefined(authorOf(value), JSON.stringify(value))
    }
  })

  it("is mailboxes as a mail program reads them, where groups and bare names are none", () => {
    assert.deepStrictEqual(mailboxesOf("Ann <A@B.example>, c@d.example"), [
      { name: "Ann", address: "a@b.example" },
      { name: "", address: "c@d.example" }
    ])
    assert.deepStrictEqual(mailboxesOf("Ann Lee, group: a@b.example;").map((box) => box?.address), [
      undefined,
      undefined
    ])
    assert.deepStrictEqual(mailboxesOf(""), [])
  })
})

const claims = (...lines: ReadonlyArray<string>) =>
  Effect.map(
    parseMail(Buffer.from(lines.join("\r\n"))),
    (mail) => claimed(mail)
  )

describe("what a message claims of itself", () => {
  it.effect("is read from its headers, the first of each where one counts", () =>
    Effect.gen(function*() {
      const mail = yield* claims(
        "Message-ID: <1@x> <2@x>",
        "From: Ann <A@x.example>, bob@x.example",
        "To: <c@x.example>, Team: d@x.example;",
        "To: e@x.example",
        "Cc: f@x.example",
        "Reply-To: g@x.example, h@x.example",
        "Subject: =?utf-8?Q?one?=",
        " two",
        "In-Reply-To: <3@x> <4@x>",
        "References: <5@x>",
        " <6@x> none < 7@x>",
        "",
        "a\rb",
        ""
      )
      assert.deepInclude(mail, {
        id: "<1@x>",
        from: { name: "Ann", address: "a@x.example" },
        cc: ["f@x.example"],
        replyTo: "g@x.example",
        subject: "one two",
        inReplyTo: "<3@x>",
        references: ["<5@x>", "<6@x>"],
        created: null,
        hop: 0,
        attachments: []
      })
      assert.includeMembers([...mail.to], ["c@x.example", "e@x.example"])
      assert.notInclude(mail.text, "\r")
      assert.match(mail.text, /^a\nb/)
    }))

  it.effect("is nothing where there is nothing, and words where an author is no address", () =>
    Effect.gen(function*() {
      const bare = yield* claims("X-Other: 1", "", "")
      assert.deepInclude(bare, {
        id: null,
        from: { address: "", name: "" },
        to: [],
        cc: [],
        replyTo: null,
        subject: "",
        inReplyTo: null,
        references: []
      })
      const named = yield* claims("From: =?utf-8?Q?=C3=84nne?=", "Message-ID: none", "", "")
      assert.deepStrictEqual([named.from, named.id], [{ address: "", name: "Änne" }, null])
      const group = yield* claims("From: Team: a@x.example;", "References: none", "In-Reply-To: 3@x", "", "")
      assert.deepStrictEqual([group.references, group.inReplyTo], [[], null])
    }))

  it.effect("has attachments with their size and digest", () =>
    Effect.gen(function*() {
      const { attachments, text } = yield* claims(
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=b",
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        "hello",
        "--b",
        "Content-Type: application/pdf",
        "Content-Disposition: attachment; filename=a.pdf",
        "Content-Transfer-Encoding: base64",
        "",
        "AAEC",
        "--b--",
        ""
      )
      assert.strictEqual(text.trim(), "hello")
      const bytes = Uint8Array.of(0, 1, 2)
      assert.deepStrictEqual(
        attachments.map(({ bytes: own, ...rest }) => [[...own], rest]),
        [[[0, 1, 2], { name: "a.pdf", type: "application/pdf", size: 3, sha256: sha256Hex(bytes) }]]
      )
    }))
})
