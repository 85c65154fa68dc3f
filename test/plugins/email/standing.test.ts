import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { allowsSender, provenSender, senderPattern } from "../../../plugins/email/protocol/allowedSenders.ts"
import { MessageId } from "../../../plugins/email/protocol/MailAddress.ts"
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  manifestJson
} from "../../../plugins/email/protocol/Manifest.ts"
import { boxKeyFromPrivate } from "../../../plugins/email/protocol/naclBox.ts"
import { certifiedSender, currentBox, readRevocations } from "../../../plugins/email/protocol/SenderDirectory.ts"
import { admits, type Verdict } from "../../../plugins/email/protocol/Verdict.ts"
import type { MailStatus } from "../../../plugins/email/protocol/wire.ts"
import { writeV1, writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { InstallName, type KeyId } from "../../../runtime/domain/sandbox/Ids.ts"
import { passedOn, resign } from "./rewriting.ts"
import {
  alice,
  bob,
  carol,
  certificate,
  certifier,
  counting,
  directory,
  directoryOf,
  encrypted,
  install,
  now,
  party,
  plain,
  read,
  revocationsOf,
  text,
  veteran
} from "./world.ts"

const draft = { from: { address: alice.address }, to: [bob.address], subject: "s", text: "hello" }
const day = 24 * 3600

const write = (options = plain, signer = alice.signer) =>
  Effect.map(writeV2(draft, signer, options), ([mail]) => text(mail?.raw ?? new Uint8Array()))

const revoke = (number: number, subject = alice.sender, keyId: KeyId = alice.key.keyId, by = certifier) =>
  signRevocation(by, { version: 1, install, number, subject, keyId, reason: "test", at: now })

const knownWith = (
  rows: Parameters<typeof certifiedSender>[0]["mail"],
  revocations: ReadonlyArray<ReturnType<typeof revoke>> = [],
  boxes: Parameters<typeof certifiedSender>[0]["boxes"] = []
) =>
  certifiedSender({
    certifierPublicKey: certifier.publicKey,
    install,
    sender: alice.sender,
    mail: rows,
    boxes,
    revocations: revocationsOf(revocations)
  })

describe("time", () => {
  it.effect("holds a message for good until the second of its expiry", () =>
    Effect.gen(function*() {
      const raw = yield* write({ ...plain, lifeSeconds: 3600 })
      assert.strictEqual((yield* read(raw, bob, { at: now - 60 + 3599 })).status, "verified")
      assert.deepInclude(yield* read(raw, bob, { at: now - 60 + 3600 }), { status: "expired", reason: "expired" })
    }))

  it.effect("lets a sender's clock run ahead by five minutes and no more", () =>
    Effect.gen(function*() {
      const raw = yield* write({ ...plain, createdSeconds: now + 300 })
      assert.strictEqual((yield* read(raw)).status, "verified")
      assert.deepInclude(yield* read(raw, bob, { at: now - 1 }), { status: "invalid", reason: "created-in-future" })
    }))

  it.effect("refuses a life of over 30 days, written or claimed", () =>
    Effect.gen(function*() {
      const refused = yield* Effect.flip(writeV2(draft, alice.signer, { ...plain, lifeSeconds: 30 * day + 1 }))
      assert.strictEqual(refused.reason, "bad-lifetime")
      const raw = yield* write()
      for (const expires of [now + 40 * day, now - 60]) {
        assert.deepInclude(yield* read(resign(raw, alice.key, { expires })), {
          status: "invalid",
          reason: "manifest-unreadable"
        })
      }
    }))

  it.effect("asks whether the key was valid when the message was written", () =>
    Effect.gen(function*() {
      const window = { notBefore: now - 3 * day, notAfter: now - day }
      const known = knownWith([certificate(alice.sender, alice.addresses, "mail", alice.key, window)])
      assert.isDefined(known)
      const view = directoryOf([[known, alice.addresses]])
      for (
        const [created, status] of [[now - day - 1, "verified"], [now - day, "expired"], [now - 3 * day, "verified"], [
          now - 3 * day - 1,
          "expired"
        ]] as const
      ) {
        const raw = yield* write({ ...plain, createdSeconds: created })
        assert.strictEqual((yield* read(raw, bob, { directory: view })).status, status, String(created - now))
      }
    }))

  it.effect("verifies mail of the old key after a rotation", () =>
    Effect.gen(function*() {
      const next = signingKeyFromSeed(counting(77))
      const known = knownWith([
        certificate(alice.sender, alice.addresses, "mail", alice.key),
        certificate(alice.sender, alice.addresses, "mail", next)
      ])
      assert.isDefined(known)
      const view = directoryOf([[known, alice.addresses]])
      for (const key of [alice.key, next]) {
        const raw = yield* write(plain, { ...alice.signer, key })
        assert.strictEqual((yield* read(raw, bob, { directory: view })).status, "verified")
      }
      const stranger = signingKeyFromSeed(counting(99))
      const raw = yield* write(plain, { ...alice.signer, key: stranger })
      assert.deepInclude(yield* read(raw, bob, { directory: view }), {
        status: "invalid",
        reason: "downgraded"
      })
    }))
})

describe("the directory is not trusted", () => {
  it.effect("revokes a key, whenever its message claims to be from", () =>
    Effect.gen(function*() {
      const known = party("sb-aaaa1111", [alice.address], 0, [revoke(1)]).known
      const view = directoryOf([[known, alice.addresses]])
      for (const createdSeconds of [now - 60, now - 2 * day]) {
        const raw = yield* write({ ...plain, createdSeconds })
        assert.deepInclude(yield* read(raw, bob, { directory: view }), { status: "revoked", reason: "key-revoked" })
      }
      const other = directoryOf([[
        party("sb-aaaa1111", [alice.address], 0, [revoke(1, bob.sender)]).known,
        alice.addresses
      ]])
      assert.strictEqual((yield* read(yield* write(), bob, { directory: other })).status, "verified")
    }))

  it.effect("a replaced key is good for what it wrote before its end, whatever certificate is put back", () =>
    Effect.gen(function*() {
      const words = { version: 1, install, subject: alice.sender, reason: "replaced", at: now } as const
      const mail = [certificate(alice.sender, alice.addresses, "mail", alice.key)]
      const boxes = [alice.box, boxKeyFromPrivate(counting(6))].map((key) =>
        certificate(alice.sender, [], "mail-box", key)
      )
      const ends = [alice.key.keyId, boxKeyFromPrivate(counting(6)).keyId].map((keyId, n) =>
        signRevocation(certifier, { ...words, number: n + 1, keyId, until: now - 60 })
      )
      const known = knownWith(mail, ends, boxes)
      assert.isDefined(known)
      const view = directoryOf([[known, alice.addresses]])
      const before = yield* write({ ...plain, createdSeconds: now - 61 })
      assert.strictEqual((yield* read(before, bob, { directory: view })).status, "verified")
      const after = yield* write({ ...plain, createdSeconds: now - 60 })
      assert.deepInclude(yield* read(after, bob, { directory: view }), {
        status: "expired",
        reason: "key-not-valid-then"
      })
      // The row that comes last is not the one to encrypt for.
      assert.strictEqual(currentBox(known, now)?.keyId, alice.box.keyId)
      // Taken back after it was replaced.
      const gone = knownWith(mail, [...ends, revoke(3)], boxes)
      assert.isDefined(gone)
      const verdict = yield* read(before, bob, { directory: directoryOf([[gone, alice.addresses]]) })
      assert.strictEqual(verdict.status, "revoked")
    }))

  it.effect("notices a revocation that was removed, changed or forged", () =>
    Effect.gen(function*() {
      const rows = [revoke(1), revoke(2, bob.sender, bob.key.keyId), revoke(3)]
      const check = (signed: typeof rows, atLeast = 0) => readRevocations(certifier.publicKey, install, signed, atLeast)
      assert.strictEqual((yield* check(rows, 3)).highest, 3)
      const [first, second, third] = rows
      assert.isDefined(first)
      assert.isDefined(second)
      assert.isDefined(third)
      assert.strictEqual((yield* Effect.flip(check([first, third]))).reason, "missing-revocation")
      assert.strictEqual((yield* Effect.flip(check([second, third]))).reason, "missing-revocation")
      assert.strictEqual((yield* Effect.flip(check([first, second], 3))).reason, "rolled-back")
      const forged = revoke(2, bob.sender, bob.key.keyId, alice.key)
      assert.strictEqual((yield* Effect.flip(check([first, forged]))).reason, "bad-signature")
      assert.strictEqual(
        (yield* Effect.flip(
          check([{ ...first, revocation: first.revocation.replace("\"number\":1", "\"number\":2") }])
        )).reason,
        "bad-signature"
      )
    }))

  it("counts only rows that the certifier signed for this sender, install and purpose", () => {
    const good = certificate(alice.sender, alice.addresses, "mail", alice.key)
    assert.isDefined(knownWith([good]))
    assert.isUndefined(knownWith([]))
    assert.isUndefined(knownWith([certificate(alice.sender, alice.addresses, "mail", alice.key, undefined, bob.key)]))
    assert.isUndefined(knownWith([certificate(bob.sender, alice.addresses, "mail", alice.key)]))
    assert.isUndefined(knownWith([certificate(alice.sender, alice.addresses, "bridge", alice.key)]))
    // A swapped key: the row's key is not the one that was certified.
    const swapped = {
      ...good,
      certificate: good.certificate.replace(
        Buffer.from(alice.key.publicKey).toString("base64"),
        Buffer.from(bob.key.publicKey).toString("base64")
      )
    }
    assert.isUndefined(knownWith([swapped]))
    assert.isUndefined(certifiedSender({
      certifierPublicKey: certifier.publicKey,
      install: InstallName.make("other"),
      sender: alice.sender,
      mail: [good],
      boxes: [],
      revocations: revocationsOf([])
    }))
    const tooLong = { notBefore: now, notAfter: now + 31 * day }
    assert.isUndefined(knownWith([certificate(alice.sender, alice.addresses, "mail", alice.key, tooLong)]))
  })

  it.effect("holds a key to the addresses that its certificate names", () =>
    Effect.gen(function*() {
      const raw = yield* Effect.map(
        writeV2({ ...draft, from: { address: "operator-km@mail.example" } }, alice.signer, plain),
        ([mail]) => mail?.raw ?? new Uint8Array()
      )
      assert.deepInclude(yield* read(raw), { status: "invalid", reason: "from-not-senders" })
    }))

  it.effect("does not know installs and senders that nobody certified", () =>
    Effect.gen(function*() {
      const elsewhere = { ...alice.signer, install: InstallName.make("other") }
      const strangers = directoryOf([])
      assert.deepInclude(yield* read(yield* write(plain, elsewhere), bob, { directory: strangers }), {
        status: "unknown-sender",
        reason: "other-install"
      })
      assert.deepInclude(yield* read(yield* write(), bob, { directory: strangers }), {
        status: "unknown-sender",
        reason: "sender-unknown"
      })
      // Naming an unknown signer does not make mail from a known address a stranger's.
      assert.deepInclude(yield* read(yield* write(plain, elsewhere), bob), { status: "invalid", reason: "downgraded" })
    }))
})

describe("encryption keys", () => {
  it("encrypts for the newest key that is valid and not revoked", () => {
    const old = boxKeyFromPrivate(counting(5))
    const next = boxKeyFromPrivate(counting(6))
    const mail = [certificate(alice.sender, alice.addresses, "mail", alice.key)]
    const boxes = [old, next].map((key) => certificate(alice.sender, [], "mail-box", key))
    const current = (revoked: ReadonlyArray<KeyId>, at = now) => {
      const known = knownWith(mail, revoked.map((keyId, n) => revoke(n + 1, alice.sender, keyId)), boxes)
      return known === undefined ? undefined : currentBox(known, at)?.keyId
    }
    assert.strictEqual(current([]), next.keyId)
    assert.strictEqual(current([next.keyId]), old.keyId)
    assert.isUndefined(current([next.keyId, old.keyId]))
    assert.isUndefined(current([], now + 21 * day))
  })

  it.effect("refuses content that was encrypted with a revoked or uncertified key", () =>
    Effect.gen(function*() {
      const raw = yield* write(encrypted)
      const mail = [certificate(alice.sender, alice.addresses, "mail", alice.key)]
      const box = certificate(alice.sender, [], "mail-box", alice.box)
      for (
        const [known, status, reason] of [
          [knownWith(mail, [], [box]), "verified", ""],
          [knownWith(mail, [revoke(1, alice.sender, alice.box.keyId)], [box]), "revoked", "key-revoked"],
          [knownWith(mail), "unknown-sender", "key-unknown"]
        ] as const
      ) {
        assert.isDefined(known)
        const verdict = yield* read(raw, bob, { directory: directoryOf([[known, alice.addresses]]) })
        assert.deepInclude(verdict, { status, reason })
      }
    }))

  it.effect("does not take what a recipient passes on for the first author's words to another", () =>
    Effect.gen(function*() {
      const raw = yield* write(encrypted)
      assert.strictEqual((yield* read(raw, bob)).status, "verified")
      const verdict = yield* read(passedOn(raw, bob, alice.box, carol), carol)
      assert.deepInclude(verdict, { status: "invalid", reason: "inner-differs" })
      assert.notInclude(verdict.mail?.text, "hello")
    }))
})

const verdictOf = (status: MailStatus, promised: Verdict["promised"] = "v2"): Verdict => ({
  status,
  reason: "",
  form: "v2",
  sender: alice.sender,
  promised,
  encrypted: false,
  duplicate: false,
  mail: undefined
})

describe("policy", () => {
  it("required takes only what is proven as promised", () => {
    assert.isTrue(admits("required", verdictOf("verified")))
    assert.isTrue(admits("required", verdictOf("verified-v1", "v1")))
    assert.isFalse(admits("required", verdictOf("verified-v1", "v2")))
    for (
      const status of [
        "unsigned",
        "invalid",
        "replayed",
        "unknown-sender",
        "expired",
        "revoked",
        "encrypted-unreadable"
      ] as const
    ) assert.isFalse(admits("required", verdictOf(status, "v1")), status)
  })

  it("optional takes strangers but no failed claims, off takes all", () => {
    for (const status of ["verified", "verified-v1", "unsigned", "unknown-sender", "encrypted-unreadable"] as const) {
      assert.isTrue(admits("optional", verdictOf(status)), status)
    }
    for (const status of ["invalid", "replayed", "expired", "revoked"] as const) {
      assert.isFalse(admits("optional", verdictOf(status)), status)
      assert.isTrue(admits("off", verdictOf(status)), status)
    }
  })

  it.effect("does not let a v2 sender's v1 signature stand for the message", () =>
    Effect.gen(function*() {
      const [mail] = yield* Effect.map(
        writeV1({ ...draft, text: "hello" }, alice.signer, { createdSeconds: now }),
        (one) => [one]
      )
      assert.deepInclude(yield* read(mail?.raw ?? new Uint8Array()), { status: "invalid", reason: "downgraded" })
    }))
})

describe("allowed senders", () => {
  const proven = { sender: alice.sender, alias: "build.alice", address: alice.address, certified: true }
  const allows = (patterns: ReadonlyArray<string>, self = bob.sender, who: typeof proven | undefined = proven) =>
    allowsSender(patterns, who, self)

  it("matches ids, aliases, globs, addresses, self and install", () => {
    for (
      const pattern of [
        "*",
        "install",
        "sb-aaaa1111",
        "SB-AAAA1111",
        "sb-*",
        "build.*",
        "build.alice",
        "*@mail.example",
        "sb-aaaa1111@*",
        "sb-aaaa1111@mail.example",
        " Build.Alice "
      ]
    ) assert.isTrue(allows([pattern]), pattern)
    for (
      const pattern of [
        "self",
        "sb-aaaa111",
        "sb-aaaa11112",
        "xsb-*",
        "build",
        "*.example",
        "*@example",
        "*@ail.example",
        "*@mail.example.evil",
        "b.*",
        "sb-aaaa1111@",
        "",
        "**",
        "a|b",
        ".*",
        "build?alice"
      ]
    ) assert.isFalse(allows([pattern]), pattern)
    assert.isTrue(allows(["self"], alice.sender))
    assert.isTrue(allows(["nobody", "build.*"]))
    assert.isFalse(allows([]))
    assert.isFalse(allows(["install"], bob.sender, { ...proven, certified: false }))
    assert.isUndefined(senderPattern("a*b*c*d*e*f"))
  })

  it.effect("asks only about proven senders", () =>
    Effect.gen(function*() {
      const good = yield* read(yield* write())
      assert.deepStrictEqual(provenSender(good, "build.alice"), proven)
      const forged = yield* read((yield* write()).replace("hello", "hullo"))
      assert.isUndefined(provenSender(forged, "build.alice"))
      assert.isFalse(
        allowsSender(["*", "self", "install", alice.sender], provenSender(forged, undefined), alice.sender)
      )
      // The reference let anybody in who wrote the reader's own id into a header.
      const self = `From: ${bob.address}\r\nTo: ${bob.address}\r\nX-KM-Sender-ID: ${bob.sender}\r\nSubject: x\r\n\r\nhi`
      assert.isFalse(allowsSender(["self"], provenSender(yield* read(self), undefined), bob.sender))
      const old = yield* writeV1({ ...draft, from: { address: veteran.address } }, veteran, { createdSeconds: now })
      const v1 = provenSender(yield* read(old.raw, bob, { directory }), undefined)
      assert.isTrue(allowsSender([veteran.sender], v1, bob.sender))
      assert.isFalse(allowsSender(["install"], v1, bob.sender))
    }))
})

const manifestOf = (bytes: number) => {
  const base: Manifest = {
    version: 2,
    install,
    sender: alice.sender,
    key: alice.key.keyId,
    created: now,
    expires: now + 1,
    nonce: "AAAAAAAAAAAAAAAAAAAAAA",
    id: MessageId.make("<id@mail.example>"),
    from: { address: alice.address, name: "" },
    to: [bob.address],
    cc: [],
    bcc: [],
    replyTo: null,
    subject: "",
    inReplyTo: null,
    references: [],
    hop: 0,
    bodySha256: "0".repeat(64),
    attachments: Array.from({ length: 180 }, () => ({
      name: "\u6587".repeat(190),
      type: "text/plain",
      size: 0,
      sha256: "0".repeat(64)
    })),
    encryption: null,
    v1Signature: null
  }
  const references: Array<MessageId> = []
  const length = () => Buffer.byteLength(manifestJson({ ...base, references }))
  while (length() < bytes) {
    const more = bytes - length() - (references.length === 0 ? 4 : 5)
    references.push(MessageId.make(`<${"x".repeat(more > 248 ? Math.min(240, more - 20) : more)}>`))
  }
  return manifestJson({ ...base, references })
}

describe("the manifest's size", () => {
  it("may be 128 KiB and not a byte more", () => {
    for (const [bytes, taken] of [[131_071, true], [131_072, true], [131_073, false], [131_074, false]] as const) {
      const json = manifestOf(bytes)
      assert.strictEqual(Buffer.byteLength(json), bytes)
      assert.strictEqual(decodeManifest(encodeManifest(json)) !== undefined, taken, `${bytes}`)
    }
  })
})
