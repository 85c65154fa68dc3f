/** A sandbox's keys and certificates, for the bridge and for mail: made by its create, renewed for as long as it lives. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { certify, maxCertificateSeconds } from "../../domain/identity/Certificate.ts"
import type { SigningKey } from "../../domain/identity/Ed25519.ts"
import { generateSeed } from "../../domain/identity/Ed25519.ts"
import {
  defaultMailDomain,
  directoryPinPath,
  hasMail,
  mailAddressesOf,
  opensMail
} from "../../domain/identity/MailIdentity.ts"
import { type InstallName, SandboxId } from "../../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { Identities } from "../../ports/Identities.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { certifierKeyPath, makePin, signingKeyFromText } from "../identity/Certifier.ts"
import { certifiedUntil, endFormerHolders, renewKey, rotatable, signingKeyPath } from "../identity/KeyRotation.ts"
import { certifyMail, ensureSecret, mailSecrets, renewBeforeSeconds } from "../identity/MailIdentities.ts"
import { type CreateRequest, failed } from "./CreateRequest.ts"
import type { PlannedItems } from "./PlannedItems.ts"
import { SandboxRefused } from "./SandboxErrors.ts"

/** A certificate for a bridge key, valid from 5 minutes ago (clocks differ) for 30 days in all. */
export const bridgeCertificate = (
  certifier: SigningKey,
  install: InstallName,
  subject: SandboxId | "operator",
  key: SigningKey,
  nowMillis: number
) => {
  const notBefore = Math.floor(nowMillis / 1_000) - 300
  return certify(certifier, {
    version: 1,
    install,
    subject,
    addresses: [],
    purpose: subject === "operator" ? "operator" : "bridge",
    keyId: key.keyId,
    publicKey: Buffer.from(key.publicKey).toString("base64"),
    notBefore,
    notAfter: notBefore + maxCertificateSeconds
  })
}

export const makeSandboxIdentity = Effect.fnUntraced(function*(items: PlannedItems) {
  const identities = yield* Identities
  const sandboxes = yield* Sandboxes
  const secrets = yield* Secrets

  const certifierOf = Effect.fnUntraced(function*(id: SandboxId) {
    const text = yield* secrets.get(certifierKeyPath)
    const key = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (key !== undefined) return key
    return yield* new SandboxRefused({
      code: "KM-CLI-106",
      sandbox: id,
      step: "identity",
      reason: "this install has no certifier key",
      remedy: "put secrets/certifier back, which the first km up made"
    })
  })

  const makeKey = Effect.fnUntraced(function*(id: SandboxId) {
    const path = signingKeyPath(id)
    const found = yield* secrets.get(path)
    if (Option.isSome(found) && signingKeyFromText(Redacted.value(found.value)) !== undefined) return {}
    yield* secrets.put(path, Redacted.make(Buffer.from(generateSeed()).toString("base64")))
    return {}
  })

  const certifyKey = Effect.fnUntraced(function*(row: Pick<SandboxRow, "id" | "install">) {
    const certifier = yield* certifierOf(row.id)
    const text = yield* secrets.get(signingKeyPath(row.id))
    const key = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (key === undefined) return yield* failed(row.id, "identity", "its signing key cannot be read")
    const now = yield* Clock.currentTimeMillis
    yield* identities.put(row.id, "bridge", key.keyId, bridgeCertificate(certifier, row.install, row.id, key, now))
    return {}
  })

  /** An alias that is another sandbox's id gives no address: an id always names its own sandbox. */
  const addressesOf = Effect.fnUntraced(function*({ alias, id, install, mailDomain }: CreateRequest) {
    const isId = alias !== undefined && Schema.is(SandboxId)(alias) && Option.isSome(yield* sandboxes.get(alias))
    const usable = isId || alias === "operator" ? undefined : alias
    return mailAddressesOf(id, usable, mailDomain ?? defaultMailDomain(install))
  })

  const certifyMailKeys = Effect.fnUntraced(function*(row: SandboxRow, addresses: ReadonlyArray<string>) {
    const certifier = yield* certifierOf(row.id)
    const who = { install: row.install, subject: row.id, addresses, madeAt: row.createdAt }
    const living = new Set((yield* sandboxes.list).map(({ id }) => id))
    yield* endFormerHolders(
      { identities, secrets },
      certifier,
      who,
      addresses,
      (subject) => subject !== "operator" && !living.has(subject)
    ).pipe(
      Effect.catchTag(
        "IdentityRefused",
        ({ reason, remedy }) => Effect.fail(failed(row.id, "identity", reason, remedy))
      )
    )
    if (yield* certifyMail({ identities, secrets }, certifier, who)) return { mailAddresses: addresses }
    return yield* failed(row.id, "identity", "its mail key cannot be read")
  })

  const makeMail = Effect.fnUntraced(function*(request: CreateRequest, begun: SandboxRow) {
    let row = begun
    if (!hasMail(row.profile)) return row
    for (const [path, makeSecret] of mailSecrets(row.id, opensMail(row.profile))) {
      row = yield* items.add(row, "secret", path, Effect.as(ensureSecret(secrets, path, makeSecret), {}))
    }
    row = yield* items.add(row, "secret", directoryPinPath(row.id), Effect.as(makePin(secrets, row.id), {}))
    return yield* items.add(row, "identity", `${row.id}/mail`, certifyMailKeys(row, yield* addressesOf(request)))
  })

  /** The key that signs what it asks the bridge, and the certificate of it. */
  const makeBridge = Effect.fnUntraced(function*(begun: SandboxRow, told: Effect.Effect<void>) {
    const row = yield* items.add(begun, "secret", signingKeyPath(begun.id), makeKey(begun.id))
    yield* told
    return yield* items.add(row, "identity", row.id, certifyKey(row))
  })

  /** True when one of its certificates ended within 10 days, and now does not. */
  const renew = Effect.fn("SandboxIdentity.renew")(
    function*(row: SandboxRow) {
      const certifier = yield* certifierOf(row.id)
      const ports = { identities, secrets }
      const owner = { install: row.install, subject: row.id }
      const now = yield* Clock.currentTimeMillis
      const ends = yield* Effect.forEach(rotatable, (what) => certifiedUntil(ports, certifier, owner, what))
      if (ends.every((end) => end === undefined || end - now / 1_000 > renewBeforeSeconds)) return false
      yield* Effect.forEach(rotatable, (what) => renewKey(ports, certifier, owner, what), { discard: true })
      return true
    },
    (effect, row) =>
      effect.pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.fail(failed(row.id, "identity", error.message)),
          IdentityRefused: (error) => Effect.fail(failed(row.id, "identity", error.reason, error.remedy))
        })
      )
  )

  return { makeBridge, makeMail, renew }
})
