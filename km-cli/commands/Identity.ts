/** `km identity`: who is known in this install, which of their keys hold, and the taking back of a key. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import {
  Certificate,
  type KeyPurpose,
  signRevocation,
  verifyCertificate,
  verifyRevocation
} from "../../runtime/domain/Certificate.ts"
import { KeyId, SandboxId, type SenderId } from "../../runtime/domain/Ids.ts"
import type { Install } from "../../runtime/domain/Install.ts"
import { certifierKeyPath, signingKeyFromText } from "../../runtime/kernel/Provisioning.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { KmError, kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"
import { resolve } from "../Reference.ts"

const decodeCertificate = Schema.decodeUnknownOption(Schema.fromJsonString(Certificate))

const purposes: ReadonlyArray<KeyPurpose> = ["bridge", "operator", "mail", "mail-box"]

/** The highest revocation made here: the directory's own rows cannot say that the last one was removed. */
export const lastRevocationPath = "certifier/last-revocation"

/** `untrusted`: not what the certifier signed for this owner and purpose, so no reader believes it. */
type Standing = "valid" | "not-yet" | "expired" | "revoked" | "untrusted"

interface KeyView {
  readonly owner: string
  readonly purpose: KeyPurpose
  readonly keyId: string
  readonly standing: Standing
  readonly notBefore: string
  readonly notAfter: string
  readonly addresses: ReadonlyArray<string>
}

const iso = (seconds: number): string => new Date(seconds * 1_000).toISOString()

const tampered = (detail: string) =>
  new KmError({
    code: "KM-EML-030",
    exit: 6,
    what: "the identity directory was changed by someone who is not the certifier",
    why: detail,
    next: "restore the rows from a backup, and look for who can write the engine's tables"
  })

const lastKnown = Effect.gen(function*() {
  const found = yield* (yield* Secrets).get(lastRevocationPath)
  return Option.match(found, { onNone: () => 0, onSome: (text) => Number(Redacted.value(text)) })
})

/** Every signature, and the numbers from 1 without a gap up to the last that was made here. */
const revocationsOf = Effect.fnUntraced(function*(install: Install) {
  const signed = yield* (yield* Identities).revocations
  const atLeast = yield* lastKnown
  const certifier = Buffer.from(install.certifierPublicKey, "base64")
  const revoked = new Set<string>()
  let highest = 0
  for (const row of signed) {
    const revocation = verifyRevocation(certifier, row)
    if (revocation === undefined || revocation.install !== install.install) {
      return yield* tampered(`the revocation after number ${highest} is not the certifier's`)
    }
    if (revocation.number !== highest + 1) return yield* tampered(`revocation ${highest + 1} is missing`)
    highest = revocation.number
    revoked.add(`${revocation.subject} ${revocation.keyId}`)
  }
  if (highest < atLeast) return yield* tampered(`revocation ${atLeast} was there before, now the last is ${highest}`)
  return { highest, isRevoked: (owner: SenderId, keyId: KeyId) => revoked.has(`${owner} ${keyId}`) }
})

const keysOf = Effect.fnUntraced(function*(
  install: Install,
  owner: SenderId,
  isRevoked: (owner: SenderId, key: KeyId) => boolean
) {
  const identities = yield* Identities
  const certifier = Buffer.from(install.certifierPublicKey, "base64")
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const views: Array<KeyView> = []
  for (const purpose of purposes) {
    for (const key of yield* identities.keys(owner, purpose)) {
      const claimed = Option.getOrUndefined(decodeCertificate(key.certificate))
      const certificate = claimed === undefined ? undefined : verifyCertificate(certifier, key, claimed.notBefore)
      const own = certificate !== undefined && certificate.subject === owner && certificate.purpose === purpose
        && certificate.install === install.install
      const standing = (): Standing => {
        if (!own) return "untrusted"
        if (isRevoked(owner, certificate.keyId)) return "revoked"
        if (now >= certificate.notAfter) return "expired"
        return now < certificate.notBefore ? "not-yet" : "valid"
      }
      views.push({
        owner,
        purpose,
        keyId: claimed?.keyId ?? "",
        standing: standing(),
        notBefore: iso(claimed?.notBefore ?? 0),
        notAfter: iso(claimed?.notAfter ?? 0),
        addresses: claimed?.addresses ?? []
      })
    }
  }
  return views
})

const inInstall = <A, E, R>(
  act: (install: Install) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const { backend } = yield* opened
    const install = yield* backend.install
    return yield* act(install).pipe(Effect.provide(backend.ports("short")))
  })

const allKeys = Effect.fnUntraced(function*(install: Install) {
  const revocations = yield* revocationsOf(install)
  const rows = yield* (yield* Sandboxes).list
  const owners: ReadonlyArray<SenderId> = ["operator", ...rows.map(({ id }) => id)]
  const keys = yield* Effect.forEach(owners, (owner) => keysOf(install, owner, revocations.isRevoked))
  return { keys: keys.flat(), owners: owners.length, revocations: revocations.highest }
})

const table = (keys: ReadonlyArray<KeyView>): ReadonlyArray<string> =>
  columns([
    ["OWNER", "PURPOSE", "KEY", "STANDING", "UNTIL"],
    ...keys.map(({ keyId, notAfter, owner, purpose, standing }) => [owner, purpose, keyId, standing, notAfter])
  ])

export const identityList = Effect.fn("km.identity.list")(() =>
  inInstall(Effect.fnUntraced(function*(install) {
    const { keys } = yield* allKeys(install)
    return yield* data(table(keys), { ok: true, keys })
  }))
)

/** `operator`, or whatever names a sandbox. */
const ownerOf = Effect.fnUntraced(function*(reference: string) {
  if (reference === "operator") return "operator" as const
  return (yield* resolve(reference)).id
})

export const identityShow = Effect.fn("km.identity.show")((input: { readonly reference: string }) =>
  inInstall(Effect.fnUntraced(function*(install) {
    const owner = yield* ownerOf(input.reference)
    const { isRevoked } = yield* revocationsOf(install)
    const keys = yield* keysOf(install, owner, isRevoked)
    const addresses = [...new Set(keys.flatMap((key) => key.addresses))]
    return yield* data(
      [`${owner}${addresses.length === 0 ? " has no mail address" : `  ${addresses.join("  ")}`}`, ...table(keys)],
      { ok: true, owner, addresses, keys }
    )
  }))
)

export const identityVerify = Effect.fn("km.identity.verify")(() =>
  inInstall(Effect.fnUntraced(function*(install) {
    const { keys, owners, revocations } = yield* allKeys(install)
    const bad = keys.filter(({ standing }) => standing === "untrusted")
    const [first] = bad
    if (first !== undefined) {
      return yield* tampered(
        `${bad.length} of ${keys.length} keys are not the certifier's, first ${first.owner} ${first.purpose} ${first.keyId}`
      )
    }
    return yield* data(
      [`${keys.length} keys of ${owners} identities and ${revocations} revocations are as the certifier signed them`],
      { ok: true, keys: keys.length, identities: owners, revocations }
    )
  }))
)

/** Signed, numbered, never removed; every reader refuses the key from then on. */
export const identityRevoke = Effect.fn("km.identity.revoke")(
  (input: { readonly reference: string; readonly key: string; readonly reason: string; readonly dryRun: boolean }) =>
    inInstall(Effect.fnUntraced(function*(install) {
      // A sandbox that was destroyed has no row, but its key may still be believed.
      const gone = Schema.decodeUnknownOption(SandboxId)(input.reference)
      const owner = Option.isSome(gone) ? gone.value : yield* ownerOf(input.reference)
      const { highest, isRevoked } = yield* revocationsOf(install)
      const keyId = Option.getOrUndefined(Schema.decodeUnknownOption(KeyId)(input.key))
      const keys = yield* keysOf(install, owner, isRevoked)
      if (keyId === undefined || !keys.some((key) => key.keyId === keyId)) {
        return yield* kmError(
          "KM-CLI-001",
          `${owner} has no key ${JSON.stringify(input.key)}`,
          "",
          `km identity show ${owner}`
        )
      }
      const number = highest + 1
      const lines = [`${input.dryRun ? "would revoke" : "revoked"} ${keyId} of ${owner} as number ${number}`]
      const answer = { ok: true, dryRun: input.dryRun, owner, keyId, number }
      if (input.dryRun || isRevoked(owner, keyId)) return yield* data(lines, answer)
      const secrets = yield* Secrets
      const text = yield* secrets.get(certifierKeyPath)
      const certifier = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
      if (certifier === undefined) {
        return yield* kmError("KM-CLI-004", "this install has no certifier key", "", "restore it from a backup")
      }
      const at = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const revocation = {
        version: 1,
        install: install.install,
        number,
        subject: owner,
        keyId,
        reason: input.reason,
        at
      } as const
      yield* (yield* Identities).revoke(number, signRevocation(certifier, revocation))
      yield* secrets.put(lastRevocationPath, Redacted.make(String(number)))
      return yield* data(lines, answer)
    }))
)
