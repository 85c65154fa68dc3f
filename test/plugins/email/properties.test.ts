import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Schema } from "effect"
import { createHash } from "node:crypto"
import { wrap } from "nodemailer/lib/base64"
import nacl from "tweetnacl"
import { canonicalBody } from "../../../plugins/email/protocol/bodyText.ts"
import { canonicalJson } from "../../../plugins/email/protocol/CanonicalJson.ts"
import { mailAddress } from "../../../plugins/email/protocol/MailAddress.ts"
import { decodeManifest, encodeManifest, manifestJson } from "../../../plugins/email/protocol/Manifest.ts"
import { parseMail } from "../../../plugins/email/protocol/MimeReader.ts"
import { openSecretBox, secretBox } from "../../../plugins/email/protocol/naclBox.ts"
import { defaultReadLimits, MailStatus } from "../../../plugins/email/protocol/wire.ts"
import { wrappedBase64 } from "../../../plugins/email/protocol/wrappedBase64.ts"
import { writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { draftFrom, garbageFrom } from "./generated.ts"
import { likeSes, manifestIn } from "./rewriting.ts"
import { alice, bob, encrypted, plain, read, text } from "./world.ts"

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff }))
const isStatus = Schema.is(MailStatus)

const asShown = (draft: ReturnType<typeof draftFrom>) => ({
  from: { address: draft.from.address, name: draft.from.name ?? "" },
  to: draft.to.filter((address, n, all) => all.indexOf(address) === n),
  subject: draft.subject,
  text: canonicalBody(draft.text),
  replyTo: draft.replyTo ?? null,
  inReplyTo: draft.inReplyTo ?? null,
  references: (draft.references ?? []).slice(-50),
  hop: draft.hop ?? 0
})

const checkContent = (
  verdict: Effect.Success<ReturnType<typeof read>>,
  draft: ReturnType<typeof draftFrom>
) => {
  assert.strictEqual(verdict.status, "verified", verdict.reason)
  const shown = asShown(draft)
  assert.deepInclude(verdict.mail, shown)
  assert.deepStrictEqual(
    verdict.mail?.attachments.map(({ bytes, name, type }) => ({ name, type, bytes: Buffer.from(bytes) })),
    (draft.attachments ?? []).map(({ bytes, name, type }) => ({ name, type, bytes: Buffer.from(bytes) }))
  )
}

describe("round trips", () => {
  it.effect.prop("what is written is read, as it was or after a hop", [Seed], ([seed]) =>
    Effect.gen(function*() {
      const draft = draftFrom(seed)
      const [mail] = yield* writeV2(draft, alice.signer, plain)
      assert.isDefined(mail)
      checkContent(yield* read(mail.raw), draft)
      const kept = likeSes(text(mail.raw), "kept")
      checkContent(yield* read(kept), draft)
      const manifest = manifestIn(text(mail.raw))
      assert.deepStrictEqual(decodeManifest(encodeManifest(manifestJson(manifest)))?.manifest, manifest)
      for (const line of text(mail.raw).split("\r\n")) assert.isBelow(Buffer.byteLength(line), 999)
    }), { arbitrary: { runs: 600 } })

  it.effect.prop("what is encrypted is read, and none of it is outside", [Seed], ([seed]) =>
    Effect.gen(function*() {
      const draft = { ...draftFrom(seed), to: [bob.address], cc: [] }
      const [mail] = yield* writeV2(draft, alice.signer, encrypted)
      assert.isDefined(mail)
      checkContent(yield* read(mail.raw), draft)
      const manifest = manifestIn(text(mail.raw))
      assert.strictEqual(manifest.subject, "Encrypted message")
      assert.deepStrictEqual(manifest.attachments.map(({ name }) => name), ["message.km"])
    }), { arbitrary: { runs: 150 } })
})

describe("canonical JSON", () => {
  it("is RFC 8785's own example, as far as manifests have it", () => {
    assert.strictEqual(
      canonicalJson({
        "\u20ac": "Euro",
        "\r": "CR",
        "1": "One",
        "\u0080": "C",
        "\ud83d\ude02": "Smiley",
        "\u00f6": "o",
        "\ufb33": "D"
      }),
      "{\"\\r\":\"CR\",\"1\":\"One\",\"\u0080\":\"C\",\"\u00f6\":\"o\",\"\u20ac\":\"Euro\",\"\ud83d\ude02\":\"Smiley\",\"\ufb33\":\"D\"}"
    )
    assert.strictEqual(
      canonicalJson({ b: [1, null, true], a: "\u0007\"\\/" }),
      "{\"a\":\"\\u0007\\\"\\\\/\",\"b\":[1,null,true]}"
    )
    for (const bad of [0.5, Number.NaN, 2 ** 53, "\ud800"]) assert.throws(() => canonicalJson(bad))
  })
})

describe("garbage", () => {
  it.effect.prop("is read to a verdict or refused, never more", [Seed], ([seed]) =>
    Effect.gen(function*() {
      const verdict = yield* read(garbageFrom(seed))
      assert.isTrue(isStatus(verdict.status))
      assert.notStrictEqual(verdict.status, "verified")
      assert.notStrictEqual(verdict.status, "verified-v1")
    }), { arbitrary: { runs: 1500 } })

  it.prop("addresses are taken in one spelling or refused", [Schema.String], ([any]) => {
    const address = mailAddress(any)
    if (address !== undefined) assert.match(address, /^[!-?a-~^_`]+@[a-z0-9.-]+$/)
    const made = mailAddress(`${any.slice(0, 20)}@Mail.Example`)
    if (made !== undefined) assert.strictEqual(made, `${any.slice(0, 20).trim().toLowerCase()}@mail.example`)
  }, { arbitrary: { runs: 500 } })
})

const reasonFor = (raw: string, limits = {}) =>
  Effect.map(Effect.flip(parseMail(Buffer.from(raw), { ...defaultReadLimits, ...limits })), ({ reason }) => reason)

const nested = (levels: number): string =>
  Array.from({ length: levels }, (_, n) => `Content-Type: multipart/mixed; boundary=b${n}\r\n\r\n--b${n}\r\n`).join("")
  + "\r\nx\r\n"

const manyParts = (parts: number): string =>
  `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b\r\n\r\nx\r\n".repeat(parts)}--b--\r\n`

describe("limits", () => {
  it.effect("refuses one more than allowed, and takes what is allowed", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* reasonFor(""), "empty")
      assert.strictEqual(yield* reasonFor("Subject: 123456789\r\n\r\n", { maxBytes: 21 }), "too-large")
      yield* parseMail(Buffer.from("Subject: 123456789\r\n\r\n"), { ...defaultReadLimits, maxBytes: 22 })
      assert.strictEqual(yield* reasonFor(nested(9)), "too-deep")
      yield* parseMail(Buffer.from(nested(8)))
      assert.strictEqual(yield* reasonFor(manyParts(256)), "too-many-parts")
      assert.strictEqual((yield* parseMail(Buffer.from(manyParts(255)))).attachments.length, 254)
      assert.strictEqual(yield* reasonFor(`X: ${"y".repeat(600_000)}\r\n\r\n`), "too-large")
      const html = `Content-Type: text/html\r\n\r\n${"<p>x</p>\r\n".repeat(120_000)}`
      assert.strictEqual(yield* reasonFor(html), "too-large")
    }))

  it.effect("gives up when the clock says so", () =>
    Effect.gen(function*() {
      let now = 0
      const hurried: Clock.Clock = {
        ...(yield* Clock.Clock),
        currentTimeMillisUnsafe: () => (now += 12_000)
      }
      const long = "Subject: x\r\n\r\n".concat("line\r\n".repeat(2_000))
      assert.strictEqual(yield* Effect.provideService(reasonFor(long), Clock.Clock, hurried), "too-slow")
      now = 0
      yield* parseMail(Buffer.from("Subject: x\r\n\r\nshort")).pipe(Effect.provideService(Clock.Clock, hurried))
    }))

  it.effect("is not made slow by what makes parsers slow", () =>
    Effect.gen(function*() {
      const big = 400_000
      for (
        const raw of [
          `From: ${"(".repeat(big)}\r\n\r\n`,
          `From: ${"\"".repeat(big)}\r\n\r\n`,
          `To: ${"a@b.example,".repeat(30_000)}\r\n\r\n`,
          `To: ${"g:".repeat(big / 2)}\r\n\r\n`,
          `Subject: ${"=?utf-8?Q?a?= ".repeat(20_000)}\r\n\r\n`,
          `Subject: ${" \r\n ".repeat(90_000)}x\r\n\r\n`,
          `References: ${"<".repeat(big)}\r\n\r\n`,
          `Content-Type: text/plain${";a=b".repeat(90_000)}\r\n\r\n`,
          `${"a:b\r\n".repeat(90_000)}\r\n`,
          `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b \t".repeat(200_000)}`,
          `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--bx\r\n".repeat(200_000)}`,
          `Content-Type: text/html\r\n\r\n${"<".repeat(900_000)}`,
          `Content-Type: text/html\r\n\r\n${"<a href=".repeat(100_000)}`,
          `Content-Transfer-Encoding: base64\r\n\r\n${"=".repeat(big)}`,
          `Content-Transfer-Encoding: quoted-printable\r\n\r\n${"=\r\n".repeat(big)}`,
          `Content-Type: text/plain; format=flowed\r\n\r\n${"a \r\n".repeat(100_000)}`,
          `X-KM-Manifest: ${"A".repeat(big)}\r\nX-KM-Manifest-Signature: A\r\n\r\n`
        ]
      ) {
        const verdict = yield* read(raw)
        assert.isTrue(["invalid", "unsigned"].includes(verdict.status), raw.slice(0, 40))
      }
    }))
})

describe("what is faster than the libraries' own is the same", () => {
  it("wraps base64 as nodemailer does", () => {
    for (const length of [0, 1, 2, 3, 55, 56, 57, 58, 113, 114, 115, 171, 5000]) {
      const bytes = createHash("shake256", { outputLength: Math.max(1, length) }).update("x").digest().subarray(
        0,
        length
      )
      assert.strictEqual(
        Buffer.from(wrappedBase64(bytes)).toString("latin1"),
        wrap(bytes.toString("base64")),
        String(length)
      )
    }
  })

  it("boxes as tweetnacl does", () => {
    const key = new Uint8Array(32).fill(7)
    const nonce = new Uint8Array(24).fill(9)
    for (const length of [0, 1, 31, 32, 33, 64, 1000]) {
      const message = new Uint8Array(length).fill(length & 255)
      const box = secretBox(message, nonce, key)
      assert.deepStrictEqual([...box], [...nacl.secretbox(message, nonce, key)])
      assert.deepStrictEqual([...(openSecretBox(box, nonce, key) ?? [])], [...message])
      const changed = Uint8Array.from(box)
      changed[length] = (changed[length] ?? 0) ^ 1
      assert.isUndefined(openSecretBox(changed, nonce, key))
    }
    assert.isUndefined(openSecretBox(new Uint8Array(15), nonce, key))
    assert.throws(() => secretBox(new Uint8Array(1), new Uint8Array(23), key))
  })
})
