/** What the older form proves: a body, by a key of whoever is named as its only author. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseMail } from "../../../plugins/email/protocol/MimeReader.ts"
import { sealBox } from "../../../plugins/email/protocol/naclBox.ts"
import type { Reader } from "../../../plugins/email/protocol/Reader.ts"
import { readV1 } from "../../../plugins/email/protocol/readV1.ts"
import { type KnownSender, v1Sender } from "../../../plugins/email/protocol/SenderDirectory.ts"
import { signText } from "../../../runtime/domain/identity/Ed25519.ts"
import { alice, bob, carol, now, readerOf, veteran } from "./world.ts"

const known = v1Sender(veteran.sender, Buffer.from(veteran.key.publicKey).toString("base64"), [veteran.address])
assert.isDefined(known)
const [key] = known.keys
assert.isDefined(key)

interface Given {
  readonly text?: string
  readonly signed?: string
  readonly signature?: string
  readonly from?: string
  readonly head?: string
  readonly entry?: Partial<KnownSender>
  readonly reader?: Partial<Reader>
}
const judged = Effect.fnUntraced(function*(given: Given = {}) {
  const { entry = {}, from = veteran.address, head = "", reader = {}, text = "hello" } = given
  const { signature = signText(veteran.key, given.signed ?? text) } = given
  const mail = yield* parseMail(Buffer.from(`From: ${from}\r\n${head}\r\n${text}`))
  const verdict = readV1(mail, signature, { ...known, ...entry }, { ...readerOf(bob), ...reader })
  const proven = verdict.status === "verified-v1" || verdict.status === "encrypted-unreadable"
  assert.strictEqual(verdict.sender, proven ? veteran.sender : undefined)
  assert.deepInclude(verdict, { form: "v1", duplicate: false })
  return verdict
})
const said = (given: Given = {}) => Effect.map(judged(given), ({ reason, status }) => [status, reason])
const wrong = ["invalid", "signature-wrong"]
const sealedFor = (text: string, who = bob) =>
  Buffer.from(sealBox(Buffer.from(text), who.box.publicKey, alice.box) ?? []).toString("base64")
const encrypted = "X-KM-Encrypted: true\r\n"

describe("a v1 message", () => {
  it.effect("is proven by a signature of its body, in any form in which it may have been signed", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* said(), ["verified-v1", ""])
      assert.deepStrictEqual(yield* said({ text: "a\r\nb\r\n", signed: "a\nb" }), ["verified-v1", ""])
      for (const signed of ["a\nb\n", "a\r\nb", "a\r\nb\r\n"]) {
        assert.deepStrictEqual(yield* said({ text: "a\r\nb\r\n", signed }), ["verified-v1", "legacy-form"], signed)
      }
      for (const signed of ["ab", "a\nb\n\n\n", "a b", ""]) {
        assert.deepStrictEqual(yield* said({ text: "a\r\nb\r\n", signed }), wrong, signed)
      }
      for (
        const signature of [
          "",
          "no base64!",
          "AAAA",
          Buffer.alloc(63).toString("base64"),
          Buffer.alloc(65).toString("base64")
        ]
      ) {
        assert.deepStrictEqual(yield* said({ signature }), wrong, signature)
      }
      assert.strictEqual((yield* judged({ text: "a\r\nb\r\n\r\n", signed: "a\nb" })).mail?.text, "a\nb")
    }))

  it.effect("is never one whose body could be something else that is signed", () =>
    Effect.gen(function*() {
      for (
        const text of [
          "km-bridge-v2 x",
          JSON.stringify({ action: 1, nonce: 1, sender_id: 1, timestamp: 1, version: 1 })
        ]
      ) {
        assert.deepStrictEqual(yield* said({ text }), ["invalid", "forbidden-body"])
        const body = sealedFor(text)
        assert.deepStrictEqual(yield* said({ text: body, head: encrypted }), ["invalid", "forbidden-body"])
      }
    }))

  it.effect("is by a key that is good now and not revoked, of the one author", () =>
    Effect.gen(function*() {
      const window = (notBefore: number, notAfter: number) =>
        said({ entry: { keys: [{ ...key, window: { notBefore, notAfter } }] } })
      assert.deepStrictEqual(yield* window(now, now + 1), ["verified-v1", ""])
      assert.deepStrictEqual(yield* window(now + 1, now + 2), ["expired", "key-not-valid-then"])
      assert.deepStrictEqual(yield* window(now - 1, now), ["expired", "key-not-valid-then"])
      assert.deepStrictEqual(yield* said({ entry: { keys: [] } }), wrong)
      assert.deepStrictEqual(yield* said({ entry: { keys: [{ ...key, revoked: true }] } }), ["revoked", "key-revoked"])
      // One key under two certificates: the one that is not revoked counts, in whatever order.
      for (const keys of [[key, { ...key, revoked: true }], [{ ...key, revoked: true }, key]]) {
        assert.deepStrictEqual(yield* said({ entry: { keys } }), ["verified-v1", ""])
      }
      const notSenders = ["invalid", "from-not-senders"]
      assert.deepStrictEqual(yield* said({ from: `Old Hand <${veteran.address}>` }), ["verified-v1", ""])
      for (
        const from of [
          "x@y.example",
          `${veteran.address}, x@y.example`,
          `x@y.example, ${veteran.address}`,
          "Team: x@y.example;",
          ""
        ]
      ) {
        assert.deepStrictEqual(yield* said({ from }), notSenders, from)
      }
      assert.deepStrictEqual(yield* said({ head: `From: ${veteran.address}\r\n` }), notSenders)
      assert.deepStrictEqual(yield* said({ entry: { keys: [{ ...key, addresses: [] }] } }), notSenders)
      assert.deepStrictEqual(yield* said({ entry: { promises: "v2" } }), ["invalid", "downgraded"])
      assert.deepStrictEqual(yield* said({ entry: { promises: "unsigned" } }), ["verified-v1", ""])
    }))

  it.effect("is opened where it says that it is sealed, by whichever key it was sealed for", () =>
    Effect.gen(function*() {
      const body = sealedFor("for you\r\n")
      for (const word of ["true", "TRUE", "yes", "1"]) {
        const verdict = yield* judged({ text: body, head: `X-KM-Encrypted: ${word}\r\n` })
        assert.deepInclude(verdict, { status: "verified-v1", encrypted: true })
        assert.strictEqual(verdict.mail?.text, "for you")
      }
      for (const head of ["", "X-KM-Encrypted: false\r\n", "X-KM-Encrypted: untrue\r\n", "X-KM-Encrypted: true2\r\n"]) {
        const verdict = yield* judged({ text: body, head })
        assert.deepInclude(verdict, { status: "verified-v1", encrypted: false })
        assert.strictEqual(verdict.mail?.text, body)
      }
      const wrapped = body.replaceAll(/.{20}/g, "$&\r\n \t")
      assert.strictEqual(
        (yield* judged({ text: wrapped, signed: wrapped.replaceAll("\r\n", "\n"), head: encrypted })).mail?.text,
        "for you"
      )
      assert.strictEqual((yield* judged({ text: sealedFor("\ufeffmark"), head: encrypted })).mail?.text, "\ufeffmark")
      const keys = { text: body, head: encrypted, reader: { boxes: [carol.box, bob.box] } }
      assert.deepStrictEqual(yield* said(keys), ["verified-v1", ""])
      const unreadable = "encrypted-unreadable"
      assert.deepStrictEqual(yield* said({ ...keys, reader: { boxes: [carol.box] } }), [unreadable, "cannot-decrypt"])
      assert.deepStrictEqual(yield* said({ ...keys, reader: { boxes: [] } }), [unreadable, "no-key-for-reader"])
      assert.deepStrictEqual(yield* said({ text: "no box", head: encrypted }), [unreadable, "cannot-decrypt"])
    }))
})
