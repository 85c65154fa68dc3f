/** The published vectors, read as a third party would: from the files alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { readFileSync } from "node:fs"
import { MailAddress } from "../../../plugins/email/protocol/MailAddress.ts"
import { boxKeyFromPrivate } from "../../../plugins/email/protocol/naclBox.ts"
import { readMail } from "../../../plugins/email/protocol/readMail.ts"
import { makeSeenMemory } from "../../../plugins/email/protocol/SeenMail.ts"
import { certifiedSender, readRevocations, v1Sender } from "../../../plugins/email/protocol/SenderDirectory.ts"
import { MailReason } from "../../../plugins/email/protocol/wire.ts"
import { CertifiedKey, SignedRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { InstallName, SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import { vectors } from "../../vectors/email/generate.ts"
import { directoryOf } from "./world.ts"

const file = (name: string): string => readFileSync(new URL(`../../vectors/email/${name}`, import.meta.url), "utf8")

const Context = Schema.fromJsonString(Schema.Struct({
  install: InstallName,
  now: Schema.Int,
  certifierPublicKey: Schema.String,
  senders: Schema.Array(Schema.Struct({
    sender: SenderId,
    addresses: Schema.Array(Schema.String),
    mail: Schema.Array(CertifiedKey),
    boxes: Schema.Array(CertifiedKey)
  })),
  v1Senders: Schema.Array(Schema.Struct({
    sender: SenderId,
    publicKey: Schema.String,
    addresses: Schema.Array(Schema.String)
  })),
  revocations: Schema.Array(SignedRevocation),
  readers: Schema.Record(
    Schema.String,
    Schema.Struct({ addresses: Schema.Array(MailAddress), boxPrivateKeys: Schema.Array(Schema.String) })
  )
}))

const Cases = Schema.fromJsonString(Schema.Struct({
  cases: Schema.Array(Schema.Struct({
    name: Schema.String,
    reader: Schema.String,
    seen: Schema.optionalKey(
      Schema.Array(Schema.Struct({ sender: SenderId, nonce: Schema.String, manifestSha256: Schema.String }))
    ),
    raw: Schema.String,
    expect: Schema.Struct({
      status: Schema.String,
      reason: Schema.String,
      duplicate: Schema.optionalKey(Schema.Boolean),
      sender: Schema.optionalKey(Schema.String),
      subject: Schema.optionalKey(Schema.String),
      text: Schema.optionalKey(Schema.String),
      attachments: Schema.optionalKey(Schema.Array(Schema.String))
    })
  }))
}))

const context = Schema.decodeSync(Context)(file("context.json"))
const certifierPublicKey = Buffer.from(context.certifierPublicKey, "base64")

const known = Effect.gen(function*() {
  const revocations = yield* readRevocations(
    certifierPublicKey,
    context.install,
    context.revocations,
    context.revocations.length
  )
  return directoryOf([
    ...context.senders.flatMap(({ addresses, boxes, mail, sender }) => {
      const { install } = context
      const entry = certifiedSender({ certifierPublicKey, install, sender, mail, boxes, revocations })
      return entry === undefined ? [] : [[entry, addresses] as const]
    }),
    ...context.v1Senders.flatMap(({ addresses, publicKey, sender }) => {
      const entry = v1Sender(sender, publicKey, addresses)
      return entry === undefined ? [] : [[entry, addresses] as const]
    })
  ])
})

for (const [name, least] of [["v1.json", 50], ["v2.json", 240]] as const) {
  describe(name, () => {
    const { cases } = Schema.decodeSync(Cases)(file(name))

    it("has cases of every kind, each once", () => {
      assert.isAbove(cases.length, least)
      assert.strictEqual(new Set(cases.map((one) => one.name)).size, cases.length)
      assert.isAbove(cases.filter(({ expect }) => expect.status.startsWith("verified")).length, 5)
    })

    for (const one of cases) {
      it.effect(one.name, () =>
        Effect.gen(function*() {
          const who = context.readers[one.reader]
          assert.isDefined(who)
          const reader = {
            install: context.install,
            addresses: who.addresses,
            boxes: who.boxPrivateKeys.map((key) => boxKeyFromPrivate(Buffer.from(key, "base64"))),
            nowSeconds: context.now
          }
          const seen = makeSeenMemory()
          for (const entry of one.seen ?? []) {
            yield* seen.record({ ...entry, delivery: "earlier", keepUntilSeconds: context.now })
          }
          const verdict = yield* readMail(Buffer.from(one.raw, "utf8"), reader, yield* known, seen, "now")
          const { expect } = one
          if (expect.status === "") assert.notInclude(["verified", "verified-v1"], verdict.status)
          else assert.strictEqual(verdict.status, expect.status, verdict.reason)
          if (expect.reason !== "" || expect.status.startsWith("verified")) {
            assert.strictEqual(verdict.reason, expect.reason)
          }
          assert.strictEqual(verdict.duplicate, expect.duplicate ?? false)
          if (expect.sender !== undefined) assert.strictEqual(verdict.sender, expect.sender)
          if (expect.subject !== undefined) assert.strictEqual(verdict.mail?.subject, expect.subject)
          if (expect.text !== undefined) assert.strictEqual(verdict.mail?.text, expect.text)
          if (expect.attachments !== undefined) {
            assert.deepStrictEqual(verdict.mail?.attachments.map((part) => part.name), expect.attachments)
          }
        }))
    }
  })
}

const Lists = Schema.fromJsonString(Schema.Struct({
  certifierPublicKey: Schema.String,
  install: InstallName,
  cases: Schema.Array(Schema.Struct({
    name: Schema.String,
    highest: Schema.Int,
    revocations: Schema.Array(SignedRevocation),
    taken: Schema.Boolean
  }))
}))

describe("directory.json", () => {
  const { cases, certifierPublicKey: key, install } = Schema.decodeSync(Lists)(file("directory.json"))
  for (const { highest, name, revocations, taken } of cases) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const read = yield* Effect.result(readRevocations(Buffer.from(key, "base64"), install, revocations, highest))
        assert.strictEqual(read._tag, taken ? "Success" : "Failure")
      }))
  }

  it("has lists of both kinds", () => {
    assert.isAbove(cases.filter(({ taken }) => taken).length, 1)
    assert.isAbove(cases.filter(({ taken }) => !taken).length, 5)
  })
})

describe("the files", () => {
  it.effect("are what the generator writes", () =>
    Effect.gen(function*() {
      for (const [name, content] of Object.entries(yield* vectors)) {
        assert.strictEqual(file(name), `${JSON.stringify(content, null, 1)}\n`, name)
      }
    }))

  it.effect("name every status", () =>
    Effect.sync(() => {
      const all = ["v1.json", "v2.json"].flatMap((name) => Schema.decodeSync(Cases)(file(name)).cases)
      assert.deepStrictEqual(
        [...new Set(all.map(({ expect }) => expect.status))].toSorted().filter((status) => status !== ""),
        [
          "encrypted-unreadable",
          "expired",
          "invalid",
          "replayed",
          "revoked",
          "unknown-sender",
          "unsigned",
          "verified",
          "verified-v1"
        ]
      )
    }))

  it("name every reason, and so does the document", () => {
    const all = ["v1.json", "v2.json"].flatMap((name) => Schema.decodeSync(Cases)(file(name)).cases)
    const named = new Set(all.map(({ expect }) => expect.reason))
    const document = readFileSync(new URL("../../../docs/email-protocol.md", import.meta.url), "utf8")
    for (const reason of MailReason.literals) {
      assert.isTrue(named.has(reason), `no vector has ${reason}`)
      assert.include(document, reason)
    }
  })
})
