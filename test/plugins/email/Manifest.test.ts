/** What a manifest may say, member by member, and the numbers that both ends agree on. */
import { assert, describe, it } from "@effect/vitest"
import { defaultMaxContentBytes } from "../../../plugins/email/protocol/Draft.ts"
import {
  decodeManifest,
  defaultLifeSeconds,
  encodeManifest,
  type Manifest,
  manifestContext,
  manifestJson,
  manifestSha256,
  manifestSignedText,
  maxAttachments,
  maxLifeSeconds,
  maxManifestBytes,
  maxRecipients,
  maxSkewSeconds,
  signManifest
} from "../../../plugins/email/protocol/Manifest.ts"
import { defaultReadLimits, headerNames, MailReason, MailStatus } from "../../../plugins/email/protocol/wire.ts"
import { generateSeed, signingKeyFromSeed, verifierOf } from "../../../runtime/domain/identity/Ed25519.ts"

const attachment = { name: "a.txt", type: "text/plain", size: 3, sha256: "a".repeat(64) }
const placeholder = { ...attachment, name: "message.km", type: "application/octet-stream" }
const box = { key: "0123456789abcdef", nonce: "n".repeat(32), box: "b".repeat(64) }
const encryption = { scheme: "km-box-1", key: "0123456789abcdef", recipients: [box] }
const addresses = (count: number, letter = "r") => Array.from({ length: count }, (_, n) => `${letter}${n}@x.example`)

const manifest = {
  version: 2,
  install: "km",
  sender: "sb-1a2b3c4d",
  key: "0123456789abcdef",
  created: 1_700_000_000,
  expires: 1_700_000_100,
  nonce: `${"n".repeat(21)}A`,
  id: "<1@km.example>",
  from: { address: "a@km.example", name: "Ada" },
  to: ["b@km.example"],
  cc: [],
  bcc: [],
  replyTo: null,
  subject: "hello",
  inReplyTo: null,
  references: [],
  hop: 0,
  bodySha256: "0123456789abcdef".repeat(4),
  attachments: [attachment],
  encryption: null,
  v1Signature: `${"s".repeat(85)}A==`
}

/** Whether a reader takes the manifest with these members in place of its own. */
const reads = (changes: object): boolean => {
  const json = manifestJson({ ...manifest, ...changes } as unknown as Manifest)
  const found = decodeManifest(encodeManifest(json))
  if (found !== undefined) assert.strictEqual(found.json, json)
  return found !== undefined
}

const read = (text: string) => decodeManifest(encodeManifest(text))

const coded = (bytes: Uint8Array) => decodeManifest(Buffer.from(bytes).toString("base64url"))

describe("a manifest", () => {
  it("is one text in UTF-8 alone: no byte order mark, no byte that is none, no other length", () => {
    const json = manifestJson(manifest as unknown as Manifest)
    assert.strictEqual(coded(Buffer.from(json))?.json, json)
    assert.isUndefined(coded(Buffer.from(`\ufeff${json}`)))
    assert.isUndefined(coded(Buffer.from(json.replace("hello", "h\u00e9llo"), "latin1")))
    assert.isDefined(coded(Buffer.from(json.replace("hello", "h\u00e9llo"))))
    assert.isUndefined(decodeManifest(`${encodeManifest(json)}=`))
    assert.isUndefined(decodeManifest(""))
    for (const value of ["null", "[]", "1", "\"x\"", "{}", "{"]) assert.isUndefined(coded(Buffer.from(value)), value)
  })

  it("is read as it was written", () => {
    assert.isTrue(reads({}))
    assert.isTrue(reads({ attachments: [placeholder], encryption, v1Signature: null }))
  })

  const taken: Readonly<Record<string, ReadonlyArray<unknown>>> = {
    version: [2],
    install: ["a", "km-2"],
    sender: ["operator", "sb-1"],
    created: [0, 32_503_680_000],
    expires: [0, 32_503_680_000],
    nonce: [..."AQgw"].map((end) => `${"_".repeat(20)}-${end}`),
    bcc: [[], ["x@x.example"]],
    replyTo: [null, "x@x.example"],
    subject: ["", "x".repeat(998), "é 日本"],
    inReplyTo: [null, "<2@km.example>"],
    references: [Array.from({ length: 50 }, (_, n) => `<${n}@x>`)],
    hop: [0, 100],
    bodySha256: ["0".repeat(64), "f".repeat(64)],
    v1Signature: [null, ...[..."AQgw"].map((end) => `+/${"s".repeat(83)}${end}==`)],
    to: [addresses(100)],
    attachments: [[], Array.from({ length: 200 }, () => attachment), [{ ...attachment, size: 0 }]]
  }
  const refused: Readonly<Record<string, ReadonlyArray<unknown>>> = {
    version: [1, 3, "2"],
    install: ["", "2km", "KM"],
    sender: ["", "someone"],
    key: ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"],
    created: [-1, 32_503_680_001],
    expires: [-1, 32_503_680_001],
    nonce: ["n".repeat(22), `${"n".repeat(20)}A`, `${"n".repeat(22)}A`, `${"n".repeat(20)}+A`, `${"n".repeat(21)}A=`],
    id: ["", "1@km.example", null],
    from: [{ address: "a", name: "" }, { address: "a@x.example", name: "a@b" }, { address: "a@x.example" }],
    to: [[], addresses(101), ["B@x.example"], ["x"], ["b@x.example", "b@x.example"]],
    cc: [addresses(100), ["b@km.example"], ["x"]],
    bcc: [["x@x.example", "y@x.example"], ["b@km.example"]],
    replyTo: ["", "x", "X@x.example"],
    subject: ["x".repeat(999), "a\nb", "a\u0000", "a\u2028b", "a\ufeff", null],
    inReplyTo: ["", "2@km.example"],
    references: [Array.from({ length: 51 }, (_, n) => `<${n}@x>`), ["x"]],
    hop: [-1, 101],
    bodySha256: ["0".repeat(63), "0".repeat(65), "F".repeat(64), `${"0".repeat(63)}g`, ""],
    attachments: [
      Array.from({ length: 201 }, () => attachment),
      [{ ...attachment, size: -1 }],
      [{ ...attachment, sha256: "0".repeat(65) }],
      [{ ...attachment, sha256: `x${"0".repeat(64)}` }],
      [{ ...attachment, more: 1 }]
    ],
    v1Signature: [`${"s".repeat(86)}==`, `${"s".repeat(84)}A==`, `${"s".repeat(86)}A==`, `${"s".repeat(85)}A=`, ""],
    more: [null, "x"]
  }

  for (const [member, values] of Object.entries(taken)) {
    it(`may say this as ${member}`, () => {
      for (const value of values) assert.isTrue(reads({ [member]: value }), JSON.stringify(value).slice(0, 80))
    })
  }
  for (const [member, values] of Object.entries(refused)) {
    it(`may not say this as ${member}`, () => {
      for (const value of values) assert.isFalse(reads({ [member]: value }), JSON.stringify(value).slice(0, 80))
    })
  }

  it("has a hundred recipients in all, each once", () => {
    assert.isTrue(reads({ to: addresses(60), cc: addresses(39, "c"), bcc: addresses(1, "b") }))
    assert.isFalse(reads({ to: addresses(60), cc: addresses(40, "c"), bcc: addresses(1, "b") }))
    assert.isFalse(reads({ to: addresses(2), cc: addresses(1) }))
    assert.isFalse(reads({ to: addresses(2), bcc: addresses(1) }))
  })

  it("that is encrypted carries one ciphertext and nothing else", () => {
    const sealed = { attachments: [placeholder], encryption, v1Signature: null }
    assert.isTrue(reads(sealed))
    assert.isFalse(reads({ ...sealed, v1Signature: manifest.v1Signature }))
    assert.isFalse(reads({ ...sealed, attachments: [] }))
    assert.isFalse(reads({ ...sealed, attachments: [placeholder, attachment] }))
    assert.isFalse(reads({ ...sealed, attachments: [{ ...placeholder, name: "a.km" }] }))
    assert.isFalse(reads({ ...sealed, attachments: [{ ...placeholder, type: "text/plain" }] }))
    const boxed = (changes: object) =>
      reads({ ...sealed, encryption: { ...encryption, recipients: [{ ...box, ...changes }] } })
    for (const nonce of ["n".repeat(31), "n".repeat(33), `${"n".repeat(31)}+`, `=${"n".repeat(32)}`]) {
      assert.isFalse(boxed({ nonce }), nonce)
    }
    for (const text of ["b".repeat(63), "b".repeat(65), `${"b".repeat(63)}/`]) {
      assert.isFalse(boxed({ box: text }), text)
    }
    assert.isFalse(boxed({ key: "0" }))
    assert.isFalse(reads({ ...sealed, encryption: { ...encryption, scheme: "km-box-2" } }))
    const all = (count: number) => ({ ...encryption, recipients: Array.from({ length: count }, () => box) })
    assert.isFalse(reads({ ...sealed, encryption: all(0) }))
    assert.isTrue(reads({ ...sealed, encryption: all(100) }))
    assert.isFalse(reads({ ...sealed, encryption: all(101) }))
  })

  it("is refused in any other spelling, and where it is longer than it may be", () => {
    const json = manifestJson(manifest as unknown as Manifest)
    assert.isDefined(read(json))
    for (
      const odd of [
        ` ${json}`,
        `${json}\n`,
        json.replace("{\"attachments\"", "{ \"attachments\""),
        JSON.stringify(manifest),
        json.replace("\"hop\":0", "\"hop\":-0"),
        json.replace("\"hop\":0", "\"hop\":0,\"hop\":0"),
        "[]",
        "null",
        "{",
        ""
      ]
    ) assert.isUndefined(read(odd), odd.slice(0, 40))
    assert.isUndefined(decodeManifest("not base64url!"))
    assert.isUndefined(decodeManifest(Buffer.from([0x22, 0xff, 0x22]).toString("base64url")))
    assert.isUndefined(read(`\ufeff${json}`))
    // Long names in three bytes a character; the subject fills it up to the last byte.
    const attachments = Array.from({ length: 182 }, () => ({ ...attachment, name: "日".repeat(200) }))
    const sized = (subject: string) => manifestJson({ ...manifest, attachments, subject } as unknown as Manifest)
    const left = maxManifestBytes - Buffer.byteLength(sized(""))
    assert.isTrue(left > 0 && left < 998)
    assert.isDefined(read(sized("x".repeat(left))))
    assert.isUndefined(read(sized("x".repeat(left + 1))))
  })

  it("is signed under its own first line", () => {
    const key = signingKeyFromSeed(generateSeed())
    const { json, signature } = signManifest(key, manifest as unknown as Manifest)
    assert.strictEqual(manifestSignedText(json), `km-mail-v2\n${json}`)
    assert.isTrue(verifierOf(key.publicKey)(`km-mail-v2\n${json}`, signature))
    assert.isFalse(verifierOf(key.publicKey)(json, signature))
    assert.lengthOf(signature, 88)
    assert.match(manifestSha256(json), /^[0-9a-f]{64}$/)
  })
})

describe("the protocol's numbers and words", () => {
  it("are those of docs/email-protocol.md", () => {
    assert.deepStrictEqual(
      { defaultLifeSeconds, maxAttachments, maxLifeSeconds, maxManifestBytes, maxRecipients, maxSkewSeconds },
      {
        defaultLifeSeconds: 604_800,
        maxAttachments: 200,
        maxLifeSeconds: 2_592_000,
        maxManifestBytes: 131_072,
        maxRecipients: 100,
        maxSkewSeconds: 300
      }
    )
    assert.strictEqual(defaultMaxContentBytes, 41_943_040)
    assert.deepStrictEqual(defaultReadLimits, {
      maxBytes: 100_663_296,
      maxHeaderBytes: 524_288,
      maxDepth: 8,
      maxParts: 256,
      maxLines: 2_000_000,
      maxHtmlBytes: 1_048_576,
      maxMillis: 30_000
    })
    assert.strictEqual(manifestContext, "km-mail-v2")
    assert.deepStrictEqual(headerNames, {
      sender: "X-KM-Sender-ID",
      signature: "X-KM-Signature",
      encrypted: "X-KM-Encrypted",
      manifest: "X-KM-Manifest",
      manifestSignature: "X-KM-Manifest-Signature"
    })
    for (const words of [MailStatus.literals, MailReason.literals]) {
      assert.strictEqual(new Set(words).size, words.length)
      assert.isTrue(words.every((word) => word === "" || /^[a-z][a-z0-9-]+$/.test(word)))
    }
    assert.deepStrictEqual(MailReason.literals.filter((word) => String(word) === ""), [""])
    assert.notInclude(MailStatus.literals as ReadonlyArray<string>, "")
  })
})
