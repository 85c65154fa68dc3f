/** `km identity list`, `show`, `verify`: who is known in this install, and which of their keys hold. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Certificate, type KeyPurpose, verifyCertificate } from "../../runtime/domain/Certificate.ts"
import type { SenderId } from "../../runtime/domain/Ids.ts"
import type { Install } from "../../runtime/domain/Install.ts"
import type { Revocations } from "../../runtime/domain/Revocations.ts"
import { wholeRevocations } from "../../runtime/kernel/Certifier.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { KmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"
import { resolve } from "../Reference.ts"

const decodeCertificate = Schema.decodeUnknownOption(Schema.fromJsonString(Certificate))

const purposes: ReadonlyArray<KeyPurpose> = ["bridge", "operator", "mail", "mail-box"]

/**
 * `replaced`: by a newer key; what it signed until then stays good. `untrusted`: not what the certifier signed for this
 * owner and purpose, so no reader believes it. `put-back`: an older certificate, which says more than the certifier does
 * now; readers go by the numbered statement.
 */
type Standing = "valid" | "not-yet" | "expired" | "revoked" | "replaced" | "untrusted" | "put-back"

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

export const tampered = (detail: string) =>
  new KmError({
    code: "KM-EML-030",
    exit: 6,
    what: "the identity directory was changed by someone who is not the certifier",
    why: detail,
    next: "restore the rows from a backup, and look for who can write the engine's tables"
  })

/** Proven whole, up to the last that was made here. */
export const revocationsOf = Effect.fnUntraced(function*(install: Install) {
  const ports = { identities: yield* Identities, secrets: yield* Secrets }
  const certifier = Buffer.from(install.certifierPublicKey, "base64")
  const whole = yield* wholeRevocations(ports, certifier, install.install)
  return Result.isSuccess(whole) ? whole.success : yield* tampered(whole.failure.detail)
})

export const keysOf = Effect.fnUntraced(function*(
  install: Install,
  owner: SenderId,
  { endOf, isRevoked }: Revocations
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
        const end = endOf(owner, certificate.keyId)
        if (end !== undefined) return certificate.notAfter > end ? "put-back" : "replaced"
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

export const inInstall = <A, E, R>(
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
  const keys = yield* Effect.forEach(owners, (owner) => keysOf(install, owner, revocations))
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
export const ownerOf = Effect.fnUntraced(function*(reference: string) {
  if (reference === "operator") return "operator" as const
  return (yield* resolve(reference)).id
})

export const identityShow = Effect.fn("km.identity.show")((input: { readonly reference: string }) =>
  inInstall(Effect.fnUntraced(function*(install) {
    const owner = yield* ownerOf(input.reference)
    const keys = yield* keysOf(install, owner, yield* revocationsOf(install))
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
