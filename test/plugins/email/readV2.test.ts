/** What is compared with the manifest, and what each key, box and inside of an encrypted message comes to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseMail } from "../../../plugins/email/protocol/MimeReader.ts"
import { openSecretBox, secretBox, sharedKey } from "../../../plugins/email/protocol/naclBox.ts"
import { manifestOf, readV2 } from "../../../plugins/email/protocol/readV2.ts"
import type { KnownSender } from "../../../plugins/email/protocol/SenderDirectory.ts"
import { writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import {
  addHeader,
  duplicateHeader,
  manifestIn,
  partsOf,
  resign,
  setHeader,
  withoutHeader,
  withParts
} from "./rewriting.ts"
import { fullDraft, tamperings } from "./tampering.ts"
import { alice, bob, carol, encrypted, now, plain, read, readerOf, text } from "./world.ts"

const written = Effect.map(writeV2(fullDraft, alice.signer, plain), (mails) => text(mails[0]?.raw ?? new Uint8Array()))
const sealed = Effect.map(
  writeV2({ ...fullDraft, to: [bob.address] }, alice.signer, encrypted),
  (mails) => text(mails[0]?.raw ?? new Uint8Array())
)

describe("tampering", () => {
  it.effect("leaves a message alone that nobody touched", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* read(yield* written)).status, "verified")
    }))

  for (const { apply, name, reason, status } of tamperings) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const raw = yield* written
        const changed = apply(raw)
        assert.notStrictEqual(changed, raw)
        const verdict = yield* read(changed)
        assert.include(status.split("|"), verdict.status)
        assert.include(reason.split("|"), verdict.reason)
        assert.isUndefined(verdict.sender)
      }))
  }

  it("covers every name once", () => {
    assert.strictEqual(new Set(tamperings.map(({ name }) => name)).size, tamperings.length)
    assert.isAbove(tamperings.length, 150)
  })
})

/** The verdict on a message of Alice's by somebody who knows her so. */
const judged = Effect.fnUntraced(function*(raw: string, changes: Partial<KnownSender> = {}, at = now, who = bob) {
  const mail = yield* parseMail(Buffer.from(raw))
  const found = manifestOf(mail)
  if (typeof found === "string") return [found]
  const { mail: shown, reason, sender, status } = yield* readV2(
    mail,
    found,
    { ...alice.known, ...changes },
    readerOf(who, at)
  )
  assert.strictEqual(sender, status === "verified" || status === "encrypted-unreadable" ? alice.sender : undefined)
  // What is not proven is shown as a claim, without a time.
  assert.strictEqual(shown?.created !== null, sender !== undefined)
  return [status, reason]
})
const [key] = alice.known.keys
const [box] = alice.known.boxes
assert.isDefined(key)
assert.isDefined(box)
const early = { notBefore: 0, notAfter: now - 60 }
const late = { notBefore: now - 59, notAfter: now + 60 }

describe("the key of a message", () => {
  it.effect("is one of the sender's, not revoked, and good when the message was written", () =>
    Effect.gen(function*() {
      const raw = yield* written
      const cases: ReadonlyArray<readonly [ReadonlyArray<KnownSender["keys"][number]>, ReadonlyArray<string>]> = [
        [[], ["unknown-sender", "key-unknown"]],
        [carol.known.keys, ["unknown-sender", "key-unknown"]],
        [[{ ...key, verify: () => false }], ["invalid", "signature-wrong"]],
        [[{ ...key, revoked: true }], ["revoked", "key-revoked"]],
        [[{ ...key, window: early }], ["expired", "key-not-valid-then"]],
        [[{ ...key, window: late }], ["expired", "key-not-valid-then"]],
        [[{ ...key, window: { notBefore: now - 60, notAfter: now - 59 } }], ["verified", ""]],
        // Of several certificates of one key, one that was good then and has the address.
        [[{ ...key, window: early }, key], ["verified", ""]],
        [[key, { ...key, window: early }], ["verified", ""]],
        [[{ ...key, window: early }, { ...key, addresses: [] }], ["invalid", "from-not-senders"]],
        [[{ ...key, addresses: bob.addresses }], ["invalid", "from-not-senders"]]
      ]
      for (const [keys, expected] of cases) assert.deepStrictEqual(yield* judged(raw, { keys }), expected)
    }))

  it.effect("signs a life that has begun and not ended, of thirty days at most", () =>
    Effect.gen(function*() {
      const raw = yield* written
      const { created } = manifestIn(raw)
      const lived = (expires: number, at = now) => judged(resign(raw, alice.key, { expires }), {}, at)
      const day = 24 * 3600
      assert.deepStrictEqual(yield* lived(created + 30 * day), ["verified", ""])
      assert.deepStrictEqual(yield* lived(created + 30 * day + 1), ["invalid", "manifest-unreadable"])
      assert.deepStrictEqual(yield* lived(created), ["invalid", "manifest-unreadable"])
      assert.deepStrictEqual(yield* lived(created + 1, created), ["verified", ""])
      assert.deepStrictEqual(yield* lived(created + 1, created + 1), ["expired", "expired"])
      assert.deepStrictEqual(yield* judged(raw, {}, created - 300), ["verified", ""])
      assert.deepStrictEqual(yield* judged(raw, {}, created - 301), ["invalid", "created-in-future"])
      assert.deepStrictEqual(yield* judged(raw, {}, now, alice), ["invalid", "not-a-recipient"])
      assert.deepStrictEqual(yield* judged(raw, {}, now, carol), ["verified", ""])
    }))
})

/** What Bob can do with a message to him: its inside changed, sealed again, and signed by Alice all the same. */
const withInner = (raw: string, change: (inner: string) => string | Uint8Array, nonceBytes = 24): string => {
  const { attachments, encryption } = manifestIn(raw)
  const boxed = encryption?.recipients.find((one) => one.key === bob.box.keyId)
  const shared = sharedKey(bob.box.privateKey, alice.box.publicKey)
  assert.isDefined(boxed)
  assert.isDefined(shared)
  const content = openSecretBox(Buffer.from(boxed.box, "base64url"), Buffer.from(boxed.nonce, "base64url"), shared)
  assert.isDefined(content)
  const [first = "", part = ""] = partsOf(raw)
  const end = part.indexOf("\r\n\r\n") + 4
  const cipher = Buffer.from(part.slice(end), "base64")
  const nonce = cipher.subarray(0, 24)
  const inner = openSecretBox(cipher.subarray(24), nonce, content)
  assert.isDefined(inner)
  const changed = change(Buffer.from(inner).toString("utf8"))
  const again = Buffer.concat([nonce, secretBox(Buffer.from(changed), nonce, content)]).subarray(
    0,
    nonceBytes < 24 ? nonceBytes : undefined
  )
  const body = again.toString("base64").replaceAll(/.{76}/g, "$&\r\n")
  return resign(withParts(raw, [first, part.slice(0, end) + body]), alice.key, {
    attachments: attachments.map((one) => ({ ...one, size: again.length, sha256: sha256Hex(again) }))
  })
}

describe("an encrypted message", () => {
  it.effect("is opened by a key of the sender's that was good then, for a reader that it names", () =>
    Effect.gen(function*() {
      const raw = yield* sealed
      const cases: ReadonlyArray<readonly [KnownSender["boxes"], ReadonlyArray<string>]> = [
        [alice.known.boxes, ["verified", ""]],
        [[], ["unknown-sender", "key-unknown"]],
        [carol.known.boxes, ["unknown-sender", "key-unknown"]],
        [[{ ...box, revoked: true }], ["revoked", "key-revoked"]],
        [[{ ...box, window: early }], ["expired", "key-not-valid-then"]],
        [[{ ...box, window: early }, box], ["verified", ""]],
        // A key that anybody could have computed opens nothing.
        [[{ ...box, publicKey: new Uint8Array(32) }], ["encrypted-unreadable", "cannot-decrypt"]]
      ]
      for (const [boxes, expected] of cases) assert.deepStrictEqual(yield* judged(raw, { boxes }), expected)
      const { encryption } = manifestIn(raw)
      assert.isNotNull(encryption)
      const given = encryption?.recipients ?? []
      const recipients = (
        change: (one: (typeof given)[number]) => (typeof given)[number],
        from = given
      ) =>
        judged(resign(raw, alice.key, {
          encryption: encryption === null ? null : { ...encryption, recipients: from.map(change) }
        }))
      assert.deepStrictEqual(yield* recipients((one) => ({ ...one, key: alice.key.keyId })), [
        "encrypted-unreadable",
        "no-key-for-reader"
      ])
      assert.deepStrictEqual(yield* recipients((one) => ({ ...one, nonce: "A".repeat(32) })), [
        "encrypted-unreadable",
        "cannot-decrypt"
      ])
      // Named twice: one of the two opens it.
      const mine = given.filter((one) => one.key === bob.box.keyId)
      const twice = [...mine.map((one) => ({ ...one, nonce: "A".repeat(32) })), ...mine]
      assert.deepStrictEqual(yield* recipients((one) => one, twice), ["verified", ""])
    }))

  it.effect("shows its placeholder to whom cannot open it", () =>
    Effect.gen(function*() {
      const verdict = yield* read(yield* sealed, { ...bob, box: alice.box })
      assert.deepInclude(verdict, { status: "encrypted-unreadable", encrypted: true, promised: "v2", form: "v2" })
      assert.strictEqual(verdict.mail?.subject, "Encrypted message")
    }))

  const differs = ["invalid", "inner-differs"]
  const unreadable = ["encrypted-unreadable", "cannot-decrypt"]
  const insides: ReadonlyArray<readonly [string, (inner: string) => string, ReadonlyArray<string>]> = [
    ["as it was", (inner) => inner, ["verified", ""]],
    ["with another date", (inner) => setHeader(inner, "Date", "Mon, 23 Nov 2026 12:34:56 +0000"), ["verified", ""]],
    ["from another", (inner) => setHeader(inner, "From", carol.address), differs],
    ["to another", (inner) => setHeader(inner, "To", carol.address), differs],
    ["without who gets a copy", (inner) => withoutHeader(inner, "Cc"), differs],
    ["with a sender", (inner) => addHeader(inner, `Sender: ${carol.address}`), differs],
    ["with another id", (inner) => setHeader(inner, "Message-ID", "<other@mail.example>"), differs],
    ["without an id", (inner) => withoutHeader(inner, "Message-ID"), differs],
    ["with two ids", (inner) => duplicateHeader(inner, "Message-ID"), differs],
    ["with two subjects", (inner) => duplicateHeader(inner, "Subject"), differs],
    [
      "with a subject over its length",
      (inner) => setHeader(inner, "Subject", `${"s".repeat(500)}\r\n ${"s".repeat(500)}`),
      differs
    ],
    ["with a control character in its subject", (inner) => setHeader(inner, "Subject", "=?utf-8?Q?a=07b?="), differs],
    ["with a header of ours", (inner) => addHeader(inner, "X-KM-Sender-ID: operator"), differs],
    ["with a line that is no header", (inner) => addHeader(inner, "no header"), differs],
    ["as HTML", (inner) => inner.replace("text/plain; charset", "text/html; charset"), differs],
    ["with a file of no name", (inner) => inner.replaceAll("a.txt", " "), differs],
    ["with a file that is a path", (inner) => inner.replaceAll("a.txt", "a/b"), differs],
    [
      "with a file of a type that hides others",
      (inner) => inner.replace("application/json", "message/rfc822"),
      differs
    ],
    ["with other words", (inner) => inner.replace("first line", "another line"), ["verified", ""]],
    ["as nothing", () => "", differs]
  ]
  for (const [name, change, expected] of insides) {
    it.effect(`has an inside that says the same as the outside: ${name}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* judged(withInner(yield* sealed, change)), expected)
      }))
  }

  it.effect("without a subject, or with two hundred files and no more, is one", () =>
    Effect.gen(function*() {
      const raw = yield* sealed
      assert.deepStrictEqual(yield* judged(withInner(raw, (inner) => withoutHeader(inner, "Subject"))), [
        "verified",
        ""
      ])
      const files = (count: number) =>
        judged(withInner(raw, (inner) => {
          const [first = "", file = ""] = partsOf(inner)
          return withParts(inner, [first, ...Array.from({ length: count }, () => file)])
        }))
      assert.deepStrictEqual(yield* files(200), ["verified", ""])
      assert.deepStrictEqual(yield* files(201), differs)
    }))

  it.effect("whose sealed part is cut short is not opened", () =>
    Effect.gen(function*() {
      for (const length of [0, 1, 23]) {
        assert.deepStrictEqual(
          yield* judged(withInner(yield* sealed, (inner) => inner, length)),
          unreadable,
          String(length)
        )
      }
    }))
})
