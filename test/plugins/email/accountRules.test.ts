/** What a mail account decides at its limits: the last answer in a row, attachments that are not those verified, old aliases. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { maxHops } from "../../../plugins/email/MailTurns.ts"
import { certifiedAlias, certifiedSender, hasName } from "../../../plugins/email/protocol/SenderDirectory.ts"
import { writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { mailSigningKeyFromText, mailSigningKeyPath } from "../../../runtime/domain/identity/MailIdentity.ts"
import { InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Mailer } from "../../../runtime/ports/Mail.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { mailState } from "../../support/MailState.ts"
import { alice, certificate, certifier, install, now, revocationsOf } from "./world.ts"

const ada = SandboxId.make("sb-aaaa1111")
const bob = SandboxId.make("sb-bbbb2222")

describe("a mail account", () => {
  it.live("writes and takes exactly the answers in a row that it may", () =>
    Effect.gen(function*() {
      const { accountOf } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const [from, to] = [yield* accountOf(ada), yield* accountOf(bob)]
      const letter = { ...from.letter, to: [bob], subject: "again", body: "and again" }
      assert.strictEqual(maxHops, 20)
      yield* from.send({ ...letter, hop: 20 })
      const taken = yield* to.judge
      assert.deepStrictEqual([taken?.folder, taken?.judged.hop, taken?.judged.reason], ["inbox", 20, ""])
      const refused = yield* Effect.flip(from.send({ ...letter, hop: 21 }))
      assert.deepInclude(refused, { code: "KM-EML-102" })
    }).pipe(Effect.scoped))

  it.live("keeps out one answer more, which a writer that does not count would send", () =>
    Effect.gen(function*() {
      const { accountOf, ports } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const to = yield* accountOf(bob)
      const key = yield* Effect.flatMap(Secrets, (secrets) => secrets.get(mailSigningKeyPath(ada))).pipe(
        Effect.map((text) => mailSigningKeyFromText(Redacted.value(Option.getOrThrow(text)))),
        Effect.provideContext(ports)
      )
      if (key === undefined) return assert.fail("it has a key")
      for (const hop of [maxHops, maxHops + 1]) {
        const [copy] = yield* writeV2(
          {
            from: { address: "ada@km.invalid", name: "" },
            to: ["bob@km.invalid"],
            cc: [],
            subject: `answer ${hop}`,
            text: "again",
            attachments: [],
            hop
          },
          { install: InstallName.make("km"), sender: ada, key },
          { createdSeconds: Math.floor(Date.now() / 1_000), encryption: "off", boxOf: () => undefined }
        )
        yield* Effect.flatMap(
          Mailer,
          (mailer) => mailer.send({ id: `${ada}/${hop}`, to: [bob], raw: copy?.raw ?? new Uint8Array() })
        ).pipe(Effect.provideContext(ports))
        const judged = yield* to.judge
        assert.deepStrictEqual(
          [judged?.folder, judged?.judged.status, judged?.judged.hop, judged?.judged.reason],
          hop === maxHops ? ["inbox", "verified", 20, ""] : ["quarantine", "verified", 21, "too-many-hops"]
        )
      }
    }).pipe(Effect.scoped))

  it.live("gives out attachments only when they are those that were verified", () =>
    Effect.gen(function*() {
      const { accountOf } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const [from, to] = [yield* accountOf(ada), yield* accountOf(bob)]
      const parts = ["one", "two"].map((name) => ({ name, type: "text/plain", bytes: Buffer.from(name) }))
      yield* from.send({ ...from.letter, to: [bob], subject: "files", body: "", attachments: parts })
      const { delivery = "", judged } = (yield* to.judge) ?? {}
      const { row } = yield* to.get(delivery)
      if (judged === undefined) return assert.fail("nothing was filed")
      const given = yield* to.attachments(delivery, judged, row.receivedAt)
      assert.deepStrictEqual(given.map(({ bytes }) => Buffer.from(bytes).toString()), ["one", "two"])
      const [first, second] = judged.attachments
      if (first === undefined || second === undefined) return assert.fail("an attachment is missing")
      const others = [[second, first], [first], [], [first, second, second], [first, {
        ...second,
        sha256: "0".repeat(64)
      }]]
      for (const attachments of others) {
        const refused = yield* Effect.flip(to.attachments(delivery, { ...judged, attachments }, row.receivedAt))
        assert.deepInclude(refused, { code: "KM-EML-111" })
      }
    }).pipe(Effect.scoped))
})

describe("an alias", () => {
  const domain = "mail.example"
  const called = (alias: string, window: { readonly notBefore: number; readonly notAfter: number }) =>
    certificate(alice.sender, [`${alice.sender}@${domain}`, `${alias}@${domain}`], "mail", alice.key, window)
  const entry = certifiedSender({
    certifierPublicKey: certifier.publicKey,
    install,
    sender: alice.sender,
    mail: [
      called("older", { notBefore: now - 200, notAfter: now - 100 }),
      called("newer", { notBefore: now - 100, notAfter: now + 100 })
    ],
    boxes: [],
    revocations: revocationsOf([])
  })

  it("is the sender's for as long as a certificate says so, and then another's to have", () => {
    assert.strictEqual(certifiedAlias(entry, domain, now - 150), "older")
    assert.strictEqual(certifiedAlias(entry, domain, now), "newer")
    assert.isUndefined(certifiedAlias(entry, domain, now + 100))
    assert.isUndefined(certifiedAlias(entry, "other.example", now))
    for (
      const [at, older, newer] of [[now - 101, true, false], [now - 100, false, true], [
        now + 100,
        false,
        false
      ]] as const
    ) {
      assert.strictEqual(hasName(alice.sender, entry, "older", domain, at), older)
      assert.strictEqual(hasName(alice.sender, entry, "newer", domain, at), newer)
      assert.isTrue(hasName(alice.sender, entry, alice.sender, domain, at))
    }
  })
})
