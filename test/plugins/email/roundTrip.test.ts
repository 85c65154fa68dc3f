import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeV1, writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { alice, bob, carol, encrypted, now, plain, read, text, veteran } from "./world.ts"

const draft = {
  from: { address: alice.address, name: "build.alice" },
  to: [bob.address],
  cc: [carol.address],
  subject: "Tests für dich: ✅ done",
  text: "All green.\n\n-- \nalice  \n\n",
  attachments: [
    { name: "report.txt", type: "text/plain", bytes: Buffer.from("one\r\ntwo\n") },
    { name: "größe.bin", type: "application/octet-stream", bytes: Uint8Array.from({ length: 1000 }, (_, n) => n & 255) }
  ],
  replyTo: alice.address,
  inReplyTo: "<first@mail.example>",
  references: ["<zeroth@mail.example>", "<first@mail.example>"]
}

describe("v2", () => {
  it.effect("is read as it was written", () =>
    Effect.gen(function*() {
      const [mail, ...more] = yield* writeV2(draft, alice.signer, plain)
      assert.isDefined(mail)
      assert.deepStrictEqual(more, [])
      const verdict = yield* read(mail.raw)
      assert.deepInclude(verdict, {
        status: "verified",
        reason: "",
        form: "v2",
        sender: alice.sender,
        duplicate: false
      })
      assert.deepInclude(verdict.mail, {
        id: mail.id,
        from: { address: alice.address, name: "build.alice" },
        to: [bob.address],
        cc: [carol.address],
        replyTo: alice.address,
        subject: draft.subject,
        inReplyTo: draft.inReplyTo,
        references: draft.references,
        created: now - 60,
        hop: 0,
        text: "All green.\n\n-- \nalice  "
      })
      assert.deepStrictEqual(
        verdict.mail?.attachments.map(({ bytes, name, type }) => ({ name, type, bytes: Buffer.from(bytes) })),
        draft.attachments.map(({ bytes, name, type }) => ({ name, type, bytes: Buffer.from(bytes) }))
      )
    }))

  it.effect("gives each blind recipient a copy of its own and names it nowhere else", () =>
    Effect.gen(function*() {
      const mails = yield* writeV2({ ...draft, cc: [], bcc: [carol.address] }, alice.signer, plain)
      assert.deepStrictEqual(mails.map(({ recipients }) => recipients), [[bob.address], [carol.address]])
      const [open, blind] = mails
      assert.isDefined(open)
      assert.isDefined(blind)
      assert.notInclude(text(open.raw), carol.address)
      assert.strictEqual((yield* read(open.raw, bob)).status, "verified")
      assert.strictEqual((yield* read(blind.raw, carol)).status, "verified")
      assert.deepInclude(yield* read(open.raw, carol), { status: "invalid", reason: "not-a-recipient" })
      assert.deepInclude(yield* read(blind.raw, bob), { status: "verified" })
      assert.strictEqual(open.id, blind.id)
    }))

  it.effect("encrypts subject, body and attachments for everybody at once", () =>
    Effect.gen(function*() {
      const mails = yield* writeV2({ ...draft, bcc: ["build.alice@mail.example"] }, alice.signer, encrypted)
      assert.strictEqual(mails.length, 2)
      for (const mail of mails) {
        assert.isTrue(mail.encrypted)
        for (const word of ["green", "report", "Tests", Buffer.from("one\r\ntwo\n").toString("base64")]) {
          assert.notInclude(text(mail.raw), word)
        }
      }
      const [open, blind] = mails
      assert.isDefined(open)
      assert.isDefined(blind)
      for (const [raw, who] of [[open.raw, bob], [open.raw, carol], [blind.raw, alice]] as const) {
        const verdict = yield* read(raw, who)
        assert.deepInclude(verdict, { status: "verified", encrypted: true })
        assert.deepInclude(verdict.mail, { subject: draft.subject, text: "All green.\n\n-- \nalice  " })
        assert.deepStrictEqual(verdict.mail?.attachments.map(({ name }) => name), ["report.txt", "größe.bin"])
      }
      // Bob is named in the blind copy too, but the key in it is not boxed to him.
      assert.deepInclude(yield* read(blind.raw, bob), { status: "encrypted-unreadable", reason: "no-key-for-reader" })
    }))

  it.effect("never falls back to plain text when encryption is required", () =>
    Effect.gen(function*() {
      for (const field of ["to", "cc", "bcc"] as const) {
        const refused = yield* Effect.flip(
          writeV2({ ...draft, [field]: ["person@elsewhere.example"] }, alice.signer, encrypted)
        )
        assert.strictEqual(refused.reason, "no-encryption-key")
        assert.include(refused.message, "person@elsewhere.example")
      }
      const { install, key, sender } = alice.signer
      const refused = yield* Effect.flip(writeV2(draft, { install, key, sender }, encrypted))
      assert.strictEqual(refused.reason, "no-encryption-key")
      const [open] = yield* writeV2({ ...draft, to: ["person@elsewhere.example"] }, alice.signer, {
        ...encrypted,
        encryption: "optional"
      })
      assert.isFalse(open?.encrypted)
    }))
})

describe("v1", () => {
  const old = { ...draft, from: { address: veteran.address }, to: [bob.address], cc: [] }

  it.effect("is read as it was written, but proves the body only", () =>
    Effect.gen(function*() {
      const mail = yield* writeV1(old, veteran, { createdSeconds: now })
      const verdict = yield* read(mail.raw)
      assert.deepInclude(verdict, { status: "verified-v1", reason: "", form: "v1", sender: veteran.sender })
      assert.strictEqual(verdict.mail?.text, "All green.\n\n-- \nalice  ")
    }))

  it.effect("opens a sealed body", () =>
    Effect.gen(function*() {
      const mail = yield* writeV1(old, veteran, { createdSeconds: now, sealFor: bob.box.publicKey })
      assert.notInclude(text(mail.raw), "green")
      const verdict = yield* read(mail.raw)
      assert.deepInclude(verdict, { status: "verified-v1", encrypted: true })
      assert.strictEqual(verdict.mail?.text, "All green.\n\n-- \nalice  ")
      assert.deepInclude(yield* read(mail.raw, carol), { status: "encrypted-unreadable", reason: "cannot-decrypt" })
    }))
})
