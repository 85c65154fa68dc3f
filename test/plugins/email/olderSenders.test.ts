/** Writers of the older form, for whom the operator vouches in `install.json`, read by the account that runtimes use. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { writeV1 } from "../../../plugins/email/protocol/writeMail.ts"
import { generateSeed, signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { mailBoxKeyPath, mailBoxPublicKey } from "../../../runtime/domain/identity/MailIdentity.ts"
import { InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { rotateKey, type RotationPorts } from "../../../runtime/kernel/identity/KeyRotation.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Mailer } from "../../../runtime/ports/Mail.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { mailState } from "../../support/MailState.ts"
import { slackProfile } from "../../support/profiles.ts"

const install = InstallName.make("km")
const ada = SandboxId.make("sb-aaaa1111")
const bob = SandboxId.make("sb-bbbb2222")
const old = SandboxId.make("sb-0ld00001")
const policy = { ...slackProfile.spec.email, allowedSenders: ["*@old.example"] }

describe("v1 senders of the install", () => {
  it.live("are verified-v1 by the key and addresses that the operator named, and by nothing else", () =>
    Effect.gen(function*() {
      const { certifier, ports, accountOf } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const onPorts = <A, E>(act: (all: RotationPorts) => Effect.Effect<A, E>) =>
        Effect.gen(function*() {
          return yield* act({
            identities: yield* Identities,
            idempotency: yield* Idempotency,
            secrets: yield* Secrets
          })
        }).pipe(Effect.provideContext(ports))
      const key = signingKeyFromSeed(generateSeed())
      const stranger = signingKeyFromSeed(generateSeed())
      const publicKey = Buffer.from(key.publicKey).toString("base64")
      const v1Senders = [
        { sender: old, publicKey, addresses: [`${old}@old.example`, "ada@km.invalid"] },
        // Who is certified here does not become a writer of the older form.
        { sender: ada, publicKey, addresses: [`${ada}@old.example`] }
      ]
      const account = yield* accountOf(bob, undefined, { v1Senders, policy })
      let n = 0
      const judged = Effect.fnUntraced(function*(from: string, sender: SandboxId, by: typeof key, strip = false) {
        const { raw } = yield* writeV1(
          { from: { address: from }, to: [`${bob}@km.invalid`], subject: `s ${n}`, text: `hello ${n}` },
          { sender, key: by },
          { createdSeconds: Math.floor(Date.now() / 1_000) }
        )
        const text = Buffer.from(raw).toString("latin1")
        const sent = strip ? text.replace(/^X-KM-[^\r]*\r\n(?:[ \t][^\r]*\r\n)*/gm, "") : text
        n += 1
        yield* Effect.flatMap(
          Mailer,
          (mailer) => mailer.send({ id: `old/${n}`, to: [bob], raw: Buffer.from(sent, "latin1") })
        ).pipe(Effect.provideContext(ports))
        const filed = yield* account.judge
        return [filed?.folder, filed?.judged.status, filed?.judged.reason]
      })
      /** Sealed for what Bob's key was before. */
      const before = yield* onPorts(({ secrets }) => secrets.get(mailBoxKeyPath(bob)))
      const sealFor = mailBoxPublicKey(Redacted.value(Option.getOrThrow(before)))
      yield* onPorts((all) => rotateKey(all, certifier, { install, subject: bob }, "mail-box"))
      const address = `${old}@old.example`
      const sealed = yield* writeV1(
        { from: { address }, to: [`${bob}@km.invalid`], subject: "sealed", text: "for the old key" },
        { sender: old, key },
        { createdSeconds: Math.floor(Date.now() / 1_000), ...(sealFor === undefined ? {} : { sealFor }) }
      )
      assert.isTrue(sealed.encrypted)
      yield* Effect.flatMap(Mailer, (mailer) => mailer.send({ id: "old/sealed", to: [bob], raw: sealed.raw })).pipe(
        Effect.provideContext(ports)
      )
      const opened = yield* account.judge
      assert.deepInclude(opened?.judged, { status: "verified-v1", encrypted: true, body: "for the old key" })
      assert.deepStrictEqual(yield* judged(address, old, key), ["inbox", "verified-v1", ""])
      assert.deepStrictEqual(yield* judged(address, old, stranger), ["quarantine", "invalid", "signature-wrong"])
      assert.deepStrictEqual(yield* judged(address, old, key, true), ["quarantine", "invalid", "downgraded"])
      assert.deepStrictEqual(yield* judged("ada@km.invalid", old, key), ["quarantine", "invalid", "from-not-senders"])
      assert.deepStrictEqual(yield* judged(`${ada}@km.invalid`, ada, key), ["quarantine", "invalid", "signature-wrong"])
    }))
})
