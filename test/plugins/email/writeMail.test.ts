/** Which copies are written, to whom, for whose keys, and what is refused before anything is signed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeV1, writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { headerOf, manifestIn } from "./rewriting.ts"
import { alice, bob, carol, encrypted, now, plain, read, text, veteran } from "./world.ts"

const draft = {
  from: { address: alice.address, name: "build.alice" },
  to: [bob.address],
  subject: "s",
  text: "hello\r\n"
}
const stranger = "person@elsewhere.example"
/** What it is refused for, or how many copies there are and whether they are encrypted. */
const v2 = (changes: object = {}, options: object = {}, signer = alice.signer) =>
  Effect.match(writeV2({ ...draft, ...changes }, signer, { ...plain, ...options }), {
    onSuccess: (mails) => [mails.length, mails.every((mail) => mail.encrypted)],
    onFailure: ({ detail, reason }) => `${reason}: ${detail}`
  })
const { box: _box, ...boxless } = alice.signer

const files = (count: number) => ({
  attachments: Array.from(
    { length: count },
    (_, n) => ({ name: `${n}${"文".repeat(190)}`, type: "text/plain", bytes: new Uint8Array(1) })
  )
})

describe("a v2 message", () => {
  it.effect("is one copy for To and Cc, and one for each who is not seen, each with a nonce of its own", () =>
    Effect.gen(function*() {
      const given = { ...draft, cc: [carol.address], bcc: [alice.address, stranger] }
      const mails = yield* writeV2(given, alice.signer, plain)
      assert.deepStrictEqual(mails.map(({ recipients }) => recipients.map(String)), [
        [String(bob.address), String(carol.address)],
        [String(alice.address)],
        [stranger]
      ])
      const manifests = mails.map(({ raw }) => manifestIn(text(raw)))
      assert.deepStrictEqual(manifests.map(({ bcc }) => bcc.map(String)), [[], [String(alice.address)], [stranger]])
      assert.strictEqual(new Set(manifests.map(({ nonce }) => nonce)).size, 3)
      assert.strictEqual(new Set(mails.map(({ id }) => id)).size, 1)
      for (const [n, { encrypted: isEncrypted, id, manifest, raw }] of mails.entries()) {
        const signed = manifests[n]
        assert.deepInclude(signed, {
          version: 2,
          sender: alice.sender,
          key: alice.key.keyId,
          created: now - 60,
          expires: now - 60 + 7 * 24 * 3600,
          id,
          encryption: null,
          hop: 0
        })
        assert.isFalse(isEncrypted)
        assert.deepStrictEqual([manifest?.nonce, manifest?.expires], [signed?.nonce, signed?.expires])
        assert.match(manifest?.sha256 ?? "", /^[0-9a-f]{64}$/)
        assert.strictEqual(headerOf(text(raw), "Message-ID"), id)
        assert.notInclude(headerOf(text(raw), "To") ?? "", stranger)
        assert.strictEqual(headerOf(text(raw), "X-KM-Signature"), signed?.v1Signature)
        assert.strictEqual(headerOf(text(raw), "X-KM-Sender-ID"), alice.sender)
      }
      assert.match(mails[0]?.id ?? "", /^<[A-Za-z0-9_-]{22}@mail\.example>$/)
      const named = yield* writeV2(draft, alice.signer, { ...plain, idBytes: new Uint8Array(16) })
      assert.strictEqual(named[0]?.id, `<${"A".repeat(22)}@mail.example>`)
    }))

  it.effect("carries no older signature where the body could be something else, or is encrypted", () =>
    Effect.gen(function*() {
      for (const [changes, options] of [[{ text: "km-bridge-v2 x" }, plain], [{}, encrypted]] as const) {
        const [mail] = yield* writeV2({ ...draft, ...changes }, alice.signer, options)
        const raw = text(mail?.raw ?? new Uint8Array())
        assert.isNull(manifestIn(raw).v1Signature)
        assert.isUndefined(headerOf(raw, "X-KM-Signature"))
        assert.strictEqual((yield* read(raw)).status, "verified")
      }
    }))

  it.effect("lives a second to thirty days", () =>
    Effect.gen(function*() {
      const most = 30 * 24 * 3600
      for (const lifeSeconds of [1, most]) {
        const [mail] = yield* writeV2(draft, alice.signer, { ...plain, lifeSeconds })
        assert.strictEqual(mail?.manifest?.expires, now - 60 + lifeSeconds)
      }
      for (const lifeSeconds of [0, -1, 1.5, most + 1, Number.NaN]) {
        assert.strictEqual(yield* v2({}, { lifeSeconds }), `bad-lifetime: a message lives 1 to ${most} seconds`)
      }
    }))

  it.effect("is encrypted for everybody or for nobody, as it is asked for", () =>
    Effect.gen(function*() {
      const required = { encryption: "required" }
      const optional = { encryption: "optional" }
      const missing = `no-encryption-key: encryption is required, and there is no key for ${stranger}`
      assert.deepStrictEqual(yield* v2({}, { encryption: "off" }), [1, false])
      assert.deepStrictEqual(yield* v2({}, required), [1, true])
      assert.deepStrictEqual(yield* v2({}, optional), [1, true])
      assert.deepStrictEqual(yield* v2({ cc: [carol.address], bcc: [alice.address] }, required), [2, true])
      for (const field of ["to", "cc", "bcc"]) {
        assert.deepStrictEqual(yield* v2({ [field]: [stranger] }, required), missing, field)
        assert.strictEqual((yield* v2({ [field]: [stranger] }, optional))[1], false, field)
      }
      const noKey = "no-encryption-key: encryption is required, and the sender has no encryption key"
      assert.strictEqual(yield* v2({}, required, boxless), noKey)
      assert.deepStrictEqual(yield* v2({}, optional, boxless), [1, false])
      // A key that anybody could have computed counts as none.
      const weak = { boxOf: () => ({ keyId: bob.box.keyId, publicKey: new Uint8Array(32) }) }
      assert.include(yield* v2({}, { ...required, ...weak }), "no-encryption-key")
      assert.deepStrictEqual(yield* v2({}, { ...optional, ...weak }), [1, false])
    }))

  it.effect("has the content key in a box for each who gets this copy, and for nobody else", () =>
    Effect.gen(function*() {
      const mails = yield* writeV2({ ...draft, cc: [carol.address], bcc: [alice.address] }, alice.signer, encrypted)
      const boxes = mails.map(({ raw }) => manifestIn(text(raw)).encryption)
      assert.deepStrictEqual(boxes.map((each) => each?.recipients.map(({ key }) => key)), [
        [bob.box.keyId, carol.box.keyId],
        [alice.box.keyId]
      ])
      assert.isTrue(boxes.every((each) => each?.scheme === "km-box-1" && each.key === alice.box.keyId))
      assert.strictEqual(new Set(boxes.flatMap((each) => each?.recipients.map(({ nonce }) => nonce) ?? [])).size, 3)
      for (const { raw } of mails) {
        assert.deepStrictEqual(manifestIn(text(raw)).attachments.map(({ name, type }) => [name, type]), [
          ["message.km", "application/octet-stream"]
        ])
        assert.strictEqual(headerOf(text(raw), "Subject"), "Encrypted message")
        assert.notInclude(text(raw), "hello")
      }
    }))

  it.effect("is refused where its manifest would be more than readers take", () =>
    Effect.gen(function*() {
      assert.include(yield* v2(files(190)), "more than a manifest may name")
      assert.deepStrictEqual(yield* v2(files(100)), [1, false])
    }))
})

describe("a v1 message", () => {
  const old = { ...draft, from: { address: veteran.address } }
  const refused = (changes: object, sealFor?: Uint8Array) =>
    Effect.map(
      Effect.flip(
        writeV1({ ...old, ...changes }, veteran, { createdSeconds: now, ...(sealFor === undefined ? {} : { sealFor }) })
      ),
      ({ detail, reason }) => `${reason}: ${detail}`
    )

  it.effect("is the same bytes for all, signed as they are", () =>
    Effect.gen(function*() {
      const mail = yield* writeV1({ ...old, cc: [carol.address], bcc: [alice.address] }, veteran, {
        createdSeconds: now
      })
      assert.deepStrictEqual([mail.recipients.map(String), mail.encrypted, mail.manifest], [
        [bob, carol, alice].map(({ address }) => String(address)),
        false,
        undefined
      ])
      const raw = text(mail.raw)
      assert.isUndefined(headerOf(raw, "X-KM-Encrypted"))
      assert.isUndefined(headerOf(raw, "X-KM-Manifest"))
      assert.strictEqual((yield* read(raw)).status, "verified-v1")
    }))

  it.effect("is sealed for one, in lines of 76 characters", () =>
    Effect.gen(function*() {
      const mail = yield* writeV1({ ...old, text: "for you ".repeat(30) }, veteran, {
        createdSeconds: now,
        sealFor: bob.box.publicKey
      })
      const raw = text(mail.raw)
      assert.strictEqual(headerOf(raw, "X-KM-Encrypted"), "true")
      assert.isTrue(mail.encrypted)
      const verdict = yield* read(raw)
      assert.deepInclude(verdict, { status: "verified-v1", encrypted: true })
      assert.strictEqual(verdict.mail?.text, "for you ".repeat(30))
      const lines = raw.split("\r\n").filter((line) => /^[A-Za-z0-9+/]{50,}=*$/.test(line))
      assert.deepStrictEqual(lines.slice(0, -1).map(({ length }) => length), lines.slice(1).map(() => 76))
    }))

  it.effect("is refused before it is signed, by name", () =>
    Effect.gen(function*() {
      const own = "which is signed with the same key"
      assert.strictEqual(
        yield* refused({ text: "km-mail-v2" }),
        `forbidden-body: the body begins like or is a context-name, ${own}`
      )
      const envelope = JSON.stringify({ action: 1, nonce: 1, sender_id: 1, timestamp: 1, version: 1 })
      assert.strictEqual(
        yield* refused({ text: envelope }),
        `forbidden-body: the body begins like or is a envelope, ${own}`
      )
      const one = "no-encryption-key: v1 encrypts for one recipient only"
      for (const more of [{ to: [bob.address, carol.address] }, { cc: [carol.address] }, { bcc: [carol.address] }]) {
        assert.strictEqual(yield* refused(more, bob.box.publicKey), one)
      }
      for (const key of [new Uint8Array(32), new Uint8Array(31)]) {
        assert.strictEqual(yield* refused({}, key), "no-encryption-key: the recipient's encryption key is not usable")
      }
      assert.include(yield* refused({ to: [] }), "no-recipient")
    }))
})
