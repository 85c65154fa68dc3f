/** What a message's bytes are read as: parts, names, texts and the two judgements about its shape and its head. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { headerValues, parseMail, tokenIn } from "../../../plugins/email/protocol/MimeReader.ts"
import { writeMime } from "../../../plugins/email/protocol/MimeWriter.ts"
import { defaultReadLimits } from "../../../plugins/email/protocol/wire.ts"

const bytes = (...lines: ReadonlyArray<string>) => Buffer.from(lines.join("\r\n"), "latin1")
const parse = (...lines: ReadonlyArray<string>) => parseMail(bytes(...lines))
const limited = (limits: Partial<typeof defaultReadLimits>, ...lines: ReadonlyArray<string>) =>
  Effect.map(
    Effect.flip(parseMail(bytes(...lines), { ...defaultReadLimits, ...limits })),
    ({ detail, reason }) => [reason, detail]
  )

/** A multipart of these parts, each as its lines. */
const mixed = (...parts: ReadonlyArray<ReadonlyArray<string>>) => [
  "MIME-Version: 1.0",
  "Content-Type: multipart/mixed; boundary=b",
  "",
  ...parts.flatMap((lines) => ["--b", ...lines]),
  "--b--",
  ""
]
const words = ["Content-Type: text/plain", "", "hello"]
const file = ["Content-Type: Text/CSV; name=a.csv", "Content-Disposition: ATTACHMENT; filename=b.csv", "", "1,2"]

describe("a message's shape", () => {
  const shapes: ReadonlyArray<readonly [string, boolean, ReadonlyArray<string>]> = [
    ["one text", true, words],
    ["a text without a type", true, ["Subject: x", "", "hello"]],
    ["a text and attachments", true, mixed(words, file, file)],
    ["a text alone in a multipart", true, mixed(words)],
    ["HTML", false, ["Content-Type: text/html", "", "<p>"]],
    ["a text that is an attachment", false, ["Content-Type: text/plain", "Content-Disposition: attachment", "", "x"]],
    ["no part at all", false, mixed()],
    ["the attachment first", false, mixed(file, words)],
    ["a second text that is none", false, mixed(words, words)],
    ["another multipart", false, mixed(words, file).map((line) => line.replace("mixed", "alternative"))],
    [
      "a multipart inside",
      false,
      mixed(words, ["Content-Type: multipart/mixed; boundary=c", "", "--c", ...words, "--c--"])
    ],
    ["a header of content twice", false, ["Content-Type: text/plain", "Content-Type: text/plain", "", "x"]],
    ["a version twice", false, ["MIME-Version: 1.0", "MIME-Version: 1.0", "", "x"]],
    ["a header twice in a part", false, mixed(words, ["Content-Type: text/csv", ...file])],
    ["another header twice", true, ["Received: a", "Received: b", "", "x"]]
  ]
  for (const [name, plain, lines] of shapes) {
    it.effect(`is ${plain ? "" : "not "}the protocol's with ${name}`, () =>
      Effect.map(parse(...lines), ({ plainShape }) => assert.strictEqual(plainShape, plain)))
  }
})

describe("a message's head", () => {
  const heads: ReadonlyArray<readonly [boolean, string]> = [
    [true, "A: 1\r\nB: 2\r\n\r\nx"],
    [true, "A: 1\nB: 2\n\nx\0y"],
    [true, "A : 1\r\n\tmore\r\n  and more\r\n\r\nx"],
    [true, "A: 1\r\n"],
    [true, "A: 1"],
    [true, "\r\nbody: no\0 head"],
    [false, "A: 1\r\nno header\r\n\r\nx"],
    [false, " A: 1\r\n\r\nx"],
    [false, "A: 1\r\n \t\r\nB: 2\r\n\r\nx"],
    [false, "A: 1\rB: 2\r\n\r\nx"],
    [false, "A: 1\0\r\n\r\nx"],
    [false, "\u00e4: 1\r\n\r\nx"],
    [false, ": 1\r\n\r\nx"],
    [false, "A B: 1\r\n\r\nx"]
  ]
  for (const [plain, text] of heads) {
    it.effect(`is ${plain ? "" : "not "}plain: ${JSON.stringify(text)}`, () =>
      Effect.map(parseMail(Buffer.from(text, "latin1")), ({ plainHead }) => assert.strictEqual(plainHead, plain)))
  }
})

describe("a message's parts", () => {
  it.effect("are the first text that is no attachment, and every other leaf in its order", () =>
    Effect.gen(function*() {
      const mail = yield* parse(...mixed(
        ["Content-Type: text/html", "", "<p>no</p>"],
        file,
        words,
        ["Content-Disposition: inline", "Content-Type: text/plain; name*=utf-8''c%C3%A9.txt", "", "second"]
      ))
      assert.strictEqual(mail.text?.trim(), "hello")
      assert.strictEqual(mail.shownText.trim(), "hello")
      assert.deepStrictEqual(
        mail.attachments.map(({ bytes: own, name, type }) => [name, type, Buffer.from(own).toString().trim()]),
        [["", "text/html", "<p>no</p>"], ["b.csv", "text/csv", "1,2"], ["cé.txt", "text/plain", "second"]]
      )
    }))

  it.effect("without a text are shown by their HTML, and nothing of it is signed text", () =>
    Effect.gen(function*() {
      const mail = yield* parse("Content-Type: text/html", "", "<p>one</p><p>two</p>", "")
      assert.isUndefined(mail.text)
      assert.match(mail.shownText, /^one\s+two/)
      const attached = yield* parse("Content-Type: text/html", "Content-Disposition: attachment", "", "<p>one</p>", "")
      assert.deepStrictEqual([attached.text, attached.shownText], [undefined, ""])
    }))

  it.effect("have the text that was signed: charset, byte order mark and broken lines as they are", () =>
    Effect.gen(function*() {
      const textOf = (type: string, ...body: ReadonlyArray<string>) =>
        Effect.map(parse(`Content-Type: text/plain${type}`, "", ...body), ({ text }) => text?.replace(/\n$/, ""))
      assert.strictEqual(yield* textOf("", "\u00c3\u00bc"), "ü")
      for (const charset of ["utf-8", "UTF8", "us-ascii", " utf-8 "]) {
        assert.strictEqual(
          yield* textOf(`; charset="${charset}"`, "\u00ef\u00bb\u00bf\u00c3\u00bc"),
          "\ufeffü",
          charset
        )
      }
      assert.strictEqual(yield* textOf("; charset=iso-8859-1", "\u00fc"), "ü")
      assert.strictEqual(yield* textOf("; charset=of-nobody", "\u00c3\u00bc"), "ü")
      const flowed = yield* parse("Content-Type: text/plain; format=flowed", "", "one ", "two", "")
      assert.strictEqual(flowed.text, "one \ntwo\n")
      assert.strictEqual(flowed.shownText.trim(), "one two")
    }))

  it.effect("of a forwarded message are one file", () =>
    Effect.gen(function*() {
      const mail = yield* parse(...mixed(words, ["Content-Type: message/rfc822", "", "Subject: x", "", "inside"]))
      assert.deepStrictEqual(mail.attachments.map(({ type }) => type), ["message/rfc822"])
      assert.include(Buffer.from(mail.attachments[0]?.bytes ?? []).toString(), "inside")
    }))
})

describe("what is written", () => {
  it.effect("is read as one text and attachments, each of which every mail program takes for one", () =>
    Effect.gen(function*() {
      const raw = yield* writeMime({
        from: { address: "a@km.example" as never, name: "Ada" },
        to: ["b@km.example" as never],
        cc: [],
        replyTo: null,
        subject: "hello",
        inReplyTo: null,
        references: [],
        id: "<1@km.example>" as never,
        dateSeconds: 1_700_000_000,
        extra: [],
        text: "hello\n",
        attachments: [{ name: "a.txt", type: "text/plain", bytes: Buffer.from("file") }],
        boundary: new Uint8Array(8)
      })
      const mail = yield* parseMail(raw)
      assert.isTrue(mail.plainShape && mail.plainHead)
      assert.deepStrictEqual(mail.attachments.map(({ name, type }) => [name, type]), [["a.txt", "text/plain"]])
      const text = Buffer.from(raw).toString("latin1")
      assert.match(text, /^Content-Disposition: attachment; filename=a\.txt\r?$/m)
      assert.lengthOf(text.match(/^Content-Transfer-Encoding: base64\r?$/gm) ?? [], 1)
      assert.lengthOf(text.match(/^Content-Transfer-Encoding: 7bit\r?$/gm) ?? [], 1)
    }))
})

describe("what is beyond a limit", () => {
  it.effect("is refused whole, by name", () =>
    Effect.gen(function*() {
      const nested = [
        "Content-Type: multipart/mixed; boundary=a",
        "",
        "--a",
        "Content-Type: multipart/mixed; boundary=b",
        "",
        "--b",
        "Content-Type: multipart/mixed; boundary=c",
        "",
        "--c",
        ...words,
        "--c--",
        "--b--",
        "--a--",
        ""
      ]
      assert.deepStrictEqual(yield* limited({}, ""), ["empty", "it has no bytes"])
      const simple = bytes(...words).length
      assert.deepStrictEqual(yield* limited({ maxBytes: simple - 1 }, ...words), [
        "too-large",
        `it has over ${simple - 1} bytes`
      ])
      assert.isDefined((yield* parseMail(bytes(...words), { ...defaultReadLimits, maxBytes: simple })).text)
      assert.strictEqual((yield* limited({ maxDepth: 1 }, ...nested))[0], "too-deep")
      assert.strictEqual((yield* limited({ maxHeaderBytes: 10 }, ...words))[0], "too-large")
      assert.deepStrictEqual(yield* limited({ maxParts: 3 }, ...mixed(words, file, file)), [
        "too-many-parts",
        "it has over 3 parts"
      ])
      assert.lengthOf(
        (yield* parseMail(bytes(...mixed(words, file, file)), { ...defaultReadLimits, maxParts: 4 })).attachments,
        2
      )
      assert.deepStrictEqual(yield* limited({ maxLines: 2 }, ...words), ["too-large", "it has over 2 lines"])
      assert.isDefined((yield* parseMail(bytes(...words), { ...defaultReadLimits, maxLines: 3 })).text)
      const html = ["Content-Type: text/html", "", "<p>12</p>"]
      assert.deepStrictEqual(yield* limited({ maxHtmlBytes: 9 }, ...html), ["too-large", "its HTML is over 9 bytes"])
      assert.include((yield* parseMail(bytes(...html), { ...defaultReadLimits, maxHtmlBytes: 10 })).shownText, "12")
      // HTML that is only attached is not converted.
      const attached = ["Content-Type: text/html", "Content-Disposition: attachment", "", "<p>12</p>"]
      assert.lengthOf(
        (yield* parseMail(bytes(...attached), { ...defaultReadLimits, maxHtmlBytes: 1 })).attachments,
        1
      )
    }))
})

describe("the time for a message", () => {
  it.effect("is over when more than its milliseconds have passed", () =>
    Effect.gen(function*() {
      const lines = [...words, ...Array.from({ length: 300 }, () => "x")]
      assert.isDefined((yield* parseMail(bytes(...lines), { ...defaultReadLimits, maxMillis: 0 })).text)
      assert.deepStrictEqual(yield* limited({ maxMillis: -1 }, ...lines), ["too-slow", "parsing took over -1 ms"])
      assert.strictEqual((yield* limited({ maxMillis: -1 }, ...words))[0], "too-slow")
    }))
})

describe("a header", () => {
  it.effect("is found by its name in lower case, each of its values in order", () =>
    Effect.gen(function*() {
      const mail = yield* parse("X-A: 1", "x-a: 2", "X-B: one", " two\t three", "X-C: =?utf-8?Q?a_b?=", "", "")
      assert.deepStrictEqual(headerValues(mail, "x-a"), ["1", "2"])
      assert.deepStrictEqual(headerValues(mail, "X-A"), [])
      assert.strictEqual(tokenIn(mail, "X-A"), "1")
      assert.strictEqual(tokenIn(mail, "X-B"), "onetwothree")
      assert.strictEqual(tokenIn(mail, "x-c"), "ab")
      assert.isUndefined(tokenIn(mail, "x-d"))
    }))
})
