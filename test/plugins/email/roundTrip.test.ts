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

const withImage = (bytes: Uint8Array) => ({
  ...draft,
  text: "",
  attachments: [{ name: "disk.img", type: "application/octet-stream", bytes }]
})

const named = (count: number) => ({
  ...draft,
  to: [bob.address],
  cc: [],
  attachments: Array.from({ length: count }, (_, n) => ({
    name: `${n}${"\u6587".repeat(190)}`,
    type: "text/plain",
    bytes: Buffer.from("x")
  }))
})

describe("v2", () => {
  for (const subject of ["  two before", "two behind  ", "two  within", " ", "\u00a0", ""]) {
    it.effect(`carries the spaces of ${JSON.stringify(subject)} sealed as in the open`, () =>
      Effect.gen(function*() {
        for (const options of [plain, encrypted]) {
          const [mail] = yield* writeV2({ ...draft, to: [bob.address], cc: [], subject }, alice.signer, options)
          assert.deepInclude((yield* read(mail?.raw ?? "")).mail, { subject })
        }
      }))
  }

  for (const [kind, options] of [["plain", plain], ["encrypted", encrypted]] as const) {
    it.effect(
      `refuses ${kind} mail whose attachments' names no reader would take, and writes what is just short of it`,
      () =>
        Effect.gen(function*() {
          let most = 200
          for (let step = 128; step >= 1; step /= 2) {
            const count = most - step
            const fits = yield* Effect.match(writeV2(named(count), alice.signer, options), {
              onSuccess: () => true,
              onFailure: ({ reason }) => (assert.strictEqual(reason, "too-large"), false)
            })
            if (!fits) most = count
          }
          assert.isAbove(most, 100)
          const [mail] = yield* writeV2(named(most - 1), alice.signer, options)
          assert.strictEqual((yield* read(mail?.raw ?? "")).status, "verified")
        })
    )
  }

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

  it.effect("carries 40 MiB, encrypted, and refuses one byte more", () =>
    Effect.gen(function*() {
      const most = 40 * 1024 * 1024
      const bytes = Buffer.alloc(most, "not all of it alike: ")
      const [mail] = yield* writeV2(withImage(bytes), alice.signer, encrypted)
      const verdict = yield* read(mail?.raw ?? new Uint8Array())
      assert.strictEqual(verdict.status, "verified", verdict.reason)
      assert.strictEqual(Buffer.compare(verdict.mail?.attachments[0]?.bytes ?? new Uint8Array(), bytes), 0)
      const refused = yield* Effect.flip(writeV2(withImage(new Uint8Array(most + 1)), alice.signer, plain))
      assert.strictEqual(refused.reason, "too-large")
    }))

  it.effect("refuses what no header, address or file name may hold", () =>
    Effect.gen(function*() {
      const evil = "x\r\nX-KM-Sender-ID: operator"
      const part = { name: "a", type: "text/plain", bytes: new Uint8Array(1) }
      for (
        const [change, reason] of [
          [{ subject: evil }, "bad-header"],
          [{ subject: "a\u0000b" }, "bad-header"],
          [{ subject: "a\u2028b" }, "bad-header"],
          [{ subject: "x".repeat(999) }, "bad-header"],
          [{ from: { address: alice.address, name: evil } }, "bad-header"],
          [{ from: { address: alice.address, name: "boss@good.example" } }, "bad-header"],
          [{ from: { address: `${alice.address}\r\nBcc: m@evil.example` } }, "bad-address"],
          [{ to: [`${bob.address}\n`] }, "bad-address"],
          [{ to: ["a@b.example, c@d.example"] }, "bad-address"],
          [{ to: ["<a@b.example>"] }, "bad-address"],
          [{ to: ["ü@b.example"] }, "bad-address"],
          [{ cc: ["carol"] }, "bad-address"],
          [{ bcc: ["a@-b.example"] }, "bad-address"],
          [{ replyTo: evil }, "bad-address"],
          [{ to: [] }, "no-recipient"],
          [{ to: Array.from({ length: 101 }, (_, n) => `a${n}@b.example`), cc: [] }, "too-many-recipients"],
          [{ inReplyTo: "first@mail.example" }, "bad-header"],
          [{ references: ["<a@b>\r\nX: y"] }, "bad-header"],
          [{ text: "\ud800" }, "bad-text"],
          [{ hop: 101 }, "bad-header"],
          ...[
            "",
            "../../etc/passwd",
            "a\\b",
            "a\r\nb",
            ".",
            "..",
            " a",
            "a\u202efdp.exe",
            "=?utf-8?Q?x?=",
            "n".repeat(201)
          ].map((
            name
          ) => [{ attachments: [{ ...part, name }] }, "bad-attachment"] as const),
          ...["text", "text/plain; charset=x", "multipart/mixed", "message/rfc822", "Text/Plain", "a/b\r\nX: y"].map((
            type
          ) => [{ attachments: [{ ...part, type }] }, "bad-attachment"] as const)
        ] as const
      ) {
        const refused = yield* Effect.flip(writeV2({ ...draft, ...change }, alice.signer, plain))
        assert.strictEqual(refused.reason, reason, JSON.stringify(change).slice(0, 80))
        assert.match(refused.message, /^KM-EML-0\d\d: /)
        assert.notInclude(refused.message, "evil")
      }
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
