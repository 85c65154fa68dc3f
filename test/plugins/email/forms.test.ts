/** The small forms that everything else is made of, each bound from both sides: what a message may hold, byte for byte. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { allowsSender, type ProvenSender, senderPattern } from "../../../plugins/email/protocol/allowedSenders.ts"
import { canonicalBody, forbiddenBody, signedForms } from "../../../plugins/email/protocol/bodyText.ts"
import { canonicalJson } from "../../../plugins/email/protocol/CanonicalJson.ts"
import { checkDraft, type Draft } from "../../../plugins/email/protocol/Draft.ts"
import { DisplayName, domainOf, mailAddress, MessageId } from "../../../plugins/email/protocol/MailAddress.ts"
import { AttachmentName, AttachmentType, HeaderText } from "../../../plugins/email/protocol/Manifest.ts"
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from "../../../plugins/email/protocol/strictBase64.ts"
import { wrappedBase64 } from "../../../plugins/email/protocol/wrappedBase64.ts"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"

const check = (schema: Parameters<typeof Schema.is>[0], good: ReadonlyArray<string>, odd: ReadonlyArray<string>) => {
  const fits = Schema.is(schema)
  for (const text of good) assert.isTrue(fits(text), JSON.stringify(text))
  for (const text of odd) assert.isFalse(fits(text), JSON.stringify(text))
}

const file = (name: string, type = "text/plain", bytes = new Uint8Array(1)) => ({ name, type, bytes })
const many = (count: number, prefix: string) => Array.from({ length: count }, (_, n) => `${prefix}${n}@x`)

describe("canonical JSON", () => {
  it("sorts members by code units, keeps lists, and escapes as ECMAScript does", () => {
    assert.strictEqual(
      canonicalJson({ b: [3, 1, null], a: { "\u20ac": true, "\r": "\n", "1": "é\"" }, B: "", aa: false }),
      "{\"B\":\"\",\"a\":{\"\\r\":\"\\n\",\"1\":\"é\\\"\",\"€\":true},\"aa\":false,\"b\":[3,1,null]}"
    )
    assert.strictEqual(canonicalJson({}), "{}")
    assert.strictEqual(canonicalJson([]), "[]")
    assert.strictEqual(canonicalJson({ c: 1, b: 2, a: 3, d: 4 }), "{\"a\":3,\"b\":2,\"c\":1,\"d\":4}")
  })
  it("refuses what has more than one text", () => {
    assert.strictEqual(canonicalJson(Number.MAX_SAFE_INTEGER), "9007199254740991")
    for (const odd of [1.5, Number.MAX_SAFE_INTEGER + 1, Number.NaN, "\ud800", { "\udc00": 1 }, ["\ud800x"]]) {
      assert.throws(() => canonicalJson(odd), RangeError)
    }
  })
})

describe("addresses", () => {
  it("are taken in lower case, up to each length", () => {
    const label = "a".repeat(63)
    for (
      const good of [
        "a@b",
        "A.B+c_d-e@Example.ORG",
        " a@b.c ",
        "!#$%&'*+/=?^_`{|}~-@x",
        `${"l".repeat(64)}@b`,
        `a@${label}`,
        `a@${label}.${label}.x-y`,
        `a@${label}.${label}.${label}.${"d".repeat(60)}`
      ]
    ) {
      assert.strictEqual(mailAddress(good), good.trim().toLowerCase(), good)
    }
    assert.strictEqual(mailAddress(`a@${label}.${label}.${label}.${"d".repeat(60)}`)?.length, 254)
  })
  it("are refused beyond, and where two parsers may disagree", () => {
    const label = "a".repeat(63)
    for (
      const odd of [
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@.b",
        "a@b.",
        "a@b..c",
        "a@-b",
        "a@b-",
        "a@b.-c",
        "a@b.c-",
        "a@b_c",
        "a b@c",
        "\"a\"@b",
        "a@[1.2.3.4]",
        "a(x)@b",
        "ä@b",
        "a@bä",
        "a\n@b",
        `${"l".repeat(65)}@b`,
        `a@${label}a`,
        `a@b.${label}a`,
        `a@${label}.${label}.${label}.${"d".repeat(61)}`
      ]
    ) {
      assert.isUndefined(mailAddress(odd), odd)
    }
  })
  it("have the domain after their only @", () => {
    const address = mailAddress("a.b@c.d")
    assert.strictEqual(address === undefined ? "" : domainOf(address), "c.d")
  })
})

describe("ids and names", () => {
  const isId = Schema.is(MessageId)
  const isName = Schema.is(DisplayName)
  it("a message id is in angle brackets, printable, at most 250 long", () => {
    for (const good of ["<a@b>", "<x>", `<${"!".repeat(248)}>`, "<=~-;>"]) assert.isTrue(isId(good), good)
    for (
      const odd of ["", "<>", "a@b", "<a b>", "<a<b>", "<a>b>", "x<a>", "<a>x", "<é>", `<${"a".repeat(249)}>`, "<a\n>"]
    ) {
      assert.isFalse(isId(odd), odd)
    }
  })
  it("a display name is words of letters and digits with single spaces, at most 64 long", () => {
    for (const good of ["", "Ada", "Ada M. Lovelace-2", "Zoë", "İ", "日本 語", "e\u0301", "a".repeat(64), "_"]) {
      assert.isTrue(isName(good), good)
    }
    for (const odd of [" ", " a", "a ", "a  b", "a@b", "<a>", "\"a\"", "a,b", "a\tb", "a".repeat(65), "a\u200bb"]) {
      assert.isFalse(isName(odd), odd)
    }
  })
})

describe("header texts and attachments", () => {
  it("a header's text is one line of at most 998 characters", () => {
    check(HeaderText, ["", " a ", "é 日本 😀", "x".repeat(998)], [
      "x".repeat(999),
      "a\nb",
      "a\rb",
      "a\u0000",
      "a\u007f",
      "a\u0085",
      "a\u2028",
      "a\u2029",
      "\ufeffa",
      "\ud800"
    ])
  })
  it("a name is one path segment that nothing can misread", () => {
    check(AttachmentName, ["a", "...", "a.b", ".a", "a b", "é 😀.png", "x".repeat(200), "=x", "a?="], [
      "",
      ".",
      "..",
      " a",
      "a ",
      "a=?b",
      "a/b",
      "a\\b",
      "a\nb",
      "a\u200bb",
      "a\u2028b",
      "a\u2029b",
      "\ud800",
      "x".repeat(201)
    ])
  })
  it("a type is type/subtype in lower case, and no container", () => {
    check(AttachmentType, ["text/plain", "a/b", "image/svg+xml", "application/vnd.x-y_z.1", `a/${"b".repeat(125)}`], [
      "",
      "text",
      "text/",
      "/plain",
      "Text/plain",
      "text/Plain",
      "text/plain; charset=x",
      "text/plain/x",
      "multipart/mixed",
      "message/rfc822",
      ".a/b",
      "a/.b",
      "a b/c",
      `a/${"b".repeat(126)}`
    ])
  })
})

describe("bodies", () => {
  it("are signed with LF and without line ends at their end, and nothing else is changed", () => {
    assert.strictEqual(canonicalBody(" a\r\n\r\nb\rc \t\r\n\r\n\n\r"), " a\n\nb\nc \t")
    assert.strictEqual(canonicalBody("\r\n\n"), "")
    assert.strictEqual(canonicalBody("\n a"), "\n a")
  })
  it("may have been signed in these forms by older senders, most likely first", () => {
    assert.deepStrictEqual(signedForms("a\nb\n\n"), [
      "a\nb",
      "a\nb\n",
      "a\nb\n\n",
      "a\r\nb",
      "a\r\nb\r\n",
      "a\r\nb\r\n\r\n"
    ])
    assert.deepStrictEqual(signedForms("a"), ["a", "a\n", "a\r\n"])
    assert.deepStrictEqual(signedForms("a\r\nb\rc\r\n"), ["a\nb\nc", "a\nb\nc\n", "a\r\nb\r\nc", "a\r\nb\r\nc\r\n"])
    assert.deepStrictEqual(signedForms(""), ["", "\n", "\r\n"])
  })
  it("that could be something else that is signed are neither signed nor accepted", () => {
    for (const text of ["km-mail-v2", "km-bridge-v2\nx", "km-a-b-v10", "km-x9-v1 more"]) {
      assert.strictEqual(forbiddenBody(text), "context-name", text)
    }
    for (
      const text of [
        "km-mail-vx",
        "km--v1",
        "km-v1",
        "x km-mail-v2",
        "KM-mail-v2",
        "\nkm-mail-v2",
        "km-a--v1",
        "km-a-v"
      ]
    ) {
      assert.isUndefined(forbiddenBody(text), text)
    }
    const envelope = { action: 1, nonce: 1, sender_id: 1, timestamp: 1, version: 1 }
    assert.strictEqual(forbiddenBody(JSON.stringify(envelope)), "envelope")
    assert.strictEqual(forbiddenBody(`\r\n \t${JSON.stringify({ ...envelope, more: 1 })}\n`), "envelope")
    for (const name of Object.keys(envelope)) {
      assert.isUndefined(forbiddenBody(JSON.stringify({ ...envelope, [name]: undefined })), name)
    }
    assert.isUndefined(forbiddenBody("{ not json"))
    assert.isUndefined(forbiddenBody(JSON.stringify([envelope])))
    assert.isUndefined(forbiddenBody(`x ${JSON.stringify(envelope)}`))
  })
})

describe("base64", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  it("has one spelling", () => {
    for (const length of [0, 1, 2, 3, 255]) {
      const part = bytes.subarray(1, 1 + length)
      assert.deepStrictEqual(Buffer.from(fromBase64(toBase64(part)) ?? []), Buffer.from(part))
      assert.deepStrictEqual(Buffer.from(fromBase64Url(toBase64Url(part)) ?? []), Buffer.from(part))
    }
    assert.strictEqual(toBase64(bytes.subarray(251, 254)), "+/z9")
    assert.strictEqual(toBase64Url(bytes.subarray(251, 255)), "-_z9_g")
    for (const odd of ["YQ", "YQ=", "YR==", " YQ==", "YQ==\n", "YQ==x", "Y*Q=", "-_z9"]) {
      assert.isUndefined(fromBase64(odd), odd)
    }
    for (const odd of ["YQ==", "YR", "+/z9", " YQ"]) assert.isUndefined(fromBase64Url(odd), odd)
  })
  it("is wrapped as RFC 2045 wants, at 76 characters", () => {
    for (const length of [0, 1, 56, 57, 58, 114, 115, 200]) {
      const text = Buffer.from(wrappedBase64(bytes.subarray(0, length))).toString("latin1")
      assert.strictEqual(text.replaceAll("\r\n", ""), toBase64(bytes.subarray(0, length)), String(length))
      const lines = text.split("\r\n")
      assert.isTrue(lines.slice(0, -1).every((line) => line.length === 76), String(length))
      assert.strictEqual(lines.length, Math.max(1, Math.ceil(length / 57)), String(length))
    }
  })
})

describe("patterns of senders", () => {
  const id = SandboxId.make("sb-1a2b3c4d")
  const self = SandboxId.make("sb-2a2b3c4d")
  const proven: ProvenSender = { sender: id, alias: "build", address: "build@km.example", certified: true }
  const allows = (pattern: string, sender: ProvenSender | undefined = proven) => allowsSender([pattern], sender, self)

  it("fit whole names and addresses, in any case, a star for anything but @", () => {
    for (
      const good of [
        "*",
        "install",
        " SB-1a2b3c4d ",
        "sb-*",
        "*3c4d",
        "s*-*c*",
        "build",
        "b*d",
        "*@km.example",
        "build@*",
        "b*@*.example"
      ]
    ) assert.isTrue(allows(good), good)
    for (
      const odd of [
        "",
        "self",
        "sb",
        "sb-1a2b3c4",
        "uild",
        "buil",
        "other",
        "*@km.exampl",
        "*@m.example",
        "build@",
        "@km.example"
      ]
    ) assert.isFalse(allows(odd), odd)
    // A name's star fits no address, and a dot is a dot.
    assert.isFalse(allows("build.km"))
    assert.isFalse(allows("*@kmxexample"))
    assert.isTrue(allows("self", { ...proven, sender: self }))
    assert.isFalse(allows("install", { ...proven, certified: false }))
    assert.isFalse(allows("build", { ...proven, alias: undefined }))
  })
  it("allow nobody who is not proven, and nobody where there are none", () => {
    assert.isFalse(allowsSender(["*", "install"], undefined, self))
    assert.isFalse(allowsSender([], proven, self))
    assert.isTrue(allowsSender(["other", "build"], proven, self))
  })
  it("are none when they would be slow or mean nothing", () => {
    for (const odd of ["a**", "a*b*c*d*e*f", `${"a".repeat(255)}`, "-a", ".a", "a b", "a@b c", "a/b", "é", "a@b@c"]) {
      assert.isUndefined(senderPattern(odd), odd)
    }
    assert.strictEqual(senderPattern("a*b*c*d*e")?.kind, "name")
    assert.strictEqual(senderPattern("a".repeat(254))?.kind, "name")
    assert.strictEqual(senderPattern("a@b*")?.kind, "address")
  })
})

describe("a draft", () => {
  const draft: Draft = { from: { address: "a@km.example", name: "Ada" }, to: ["b@km.example"], subject: "s", text: "t" }
  const refused = (changes: Partial<Draft>, most?: number) =>
    Effect.map(Effect.flip(checkDraft({ ...draft, ...changes }, most)), ({ detail, reason }) => `${reason}: ${detail}`)

  it.effect("is taken with each address once, in To before Cc before Bcc", () =>
    Effect.gen(function*() {
      const checked = yield* checkDraft({
        ...draft,
        to: ["b@x", "B@x", "c@x"],
        cc: ["c@x", "d@x", "d@x"],
        bcc: ["b@x", "d@x", "e@x"],
        replyTo: "R@x",
        text: "t\r\n\r\n",
        inReplyTo: "<i@x>",
        references: ["<h@x>", "<i@x>"],
        hop: 100
      })
      assert.deepInclude(checked, {
        from: { address: "a@km.example", name: "Ada" },
        to: ["b@x", "c@x"],
        cc: ["d@x"],
        bcc: ["e@x"],
        replyTo: "r@x",
        text: "t",
        inReplyTo: "<i@x>",
        references: ["<h@x>", "<i@x>"],
        hop: 100
      } as never)
      assert.deepInclude(yield* checkDraft({ ...draft, from: { address: "a@x" } }), {
        from: { address: "a@x", name: "" },
        cc: [],
        bcc: [],
        replyTo: null,
        inReplyTo: null,
        references: [],
        hop: 0
      } as never)
    }))

  it.effect("is refused with the first thing that is wrong, by name", () =>
    Effect.gen(function*() {
      const none = "is no address that mail can be sent to"
      const cases: ReadonlyArray<readonly [Partial<Draft>, string]> = [
        [{ from: { address: "x" } }, `bad-address: from ${none}`],
        [{ from: { address: "a@x\n" } }, `bad-address: from ${none}`],
        [{ to: ["b@x", "x"] }, `bad-address: to[1] ${none}`],
        [{ cc: ["x"] }, `bad-address: cc[0] ${none}`],
        [{ bcc: ["x"] }, `bad-address: bcc[0] ${none}`],
        [{ replyTo: "x" }, `bad-address: replyTo ${none}`],
        [{ to: [] }, "no-recipient: the message has no recipient in To"],
        [{ inReplyTo: "i@x" }, "bad-header: inReplyTo is no message id; it is written <left@right>"],
        [{ references: ["<i@x>", "j"] }, "bad-header: references[1] is no message id; it is written <left@right>"],
        [{ hop: -1 }, "bad-header: hop is not within 0 to 100"],
        [{ hop: 101 }, "bad-header: hop is not within 0 to 100"],
        [{ hop: 0.5 }, "bad-header: hop is not within 0 to 100"],
        [{ text: "\ud800" }, "bad-text: the body has lone surrogates, so it is no Unicode text"],
        [
          { subject: "a\nb" },
          "bad-header: the subject has line breaks, control characters or over 998 characters"
        ],
        [
          { from: { address: "a@x", name: "a@b" } },
          "bad-header: the sender's name has characters other than letters, digits, `.`, `_`, `-` and single spaces"
        ],
        [
          { attachments: [file("a"), file("a/b")] },
          "bad-attachment: the name of attachment 2 cannot be carried by mail"
        ],
        [
          { attachments: [file("a", "nonsense")] },
          "bad-attachment: the type of attachment 1 is not one that is sent; use application/octet-stream"
        ]
      ]
      for (const [changes, expected] of cases) assert.strictEqual(yield* refused(changes), expected)
    }))

  it.effect("has at most so many recipients in all, and so many bytes", () =>
    Effect.gen(function*() {
      yield* checkDraft({ ...draft, to: many(40, "t"), cc: many(40, "c"), bcc: many(20, "b") })
      assert.match(
        yield* refused({ to: many(40, "t"), cc: many(40, "c"), bcc: many(21, "b") }),
        /^too-many-recipients: a message has at most 100 recipients$/
      )
      yield* checkDraft({ ...draft, text: "é", attachments: [file("a", "text/plain", new Uint8Array(8))] }, 10)
      assert.strictEqual(
        yield* refused({ text: "é", attachments: [file("a", "text/plain", new Uint8Array(9))] }, 10),
        "too-large: text and attachments have 11 bytes; the transport takes 10"
      )
    }))
})
