/** What the identity directory says about keys, judged as every reader judges it; for whoever shows it or warns of it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Certificate, type KeyPurpose, verifyCertificate } from "../../domain/identity/Certificate.ts"
import type { Revocations } from "../../domain/identity/Revocations.ts"
import type { Install } from "../../domain/install/Install.ts"
import { KeyId, type SenderId } from "../../domain/sandbox/Ids.ts"
import { Identities } from "../../ports/Identities.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { wholeRevocations } from "./Certifier.ts"

const decodeCertificate = Schema.decodeUnknownOption(Schema.fromJsonString(Certificate))

const purposes: ReadonlyArray<KeyPurpose> = ["bridge", "operator", "mail", "mail-box"]

/**
 * `replaced`: by a newer key; what it signed until then stays good. `untrusted`: not what the certifier signed for this
 * owner and purpose, so no reader believes it. `put-back`: an older certificate, which says more than the certifier does
 * now; readers go by the numbered statement.
 */
type Standing = "valid" | "not-yet" | "expired" | "revoked" | "replaced" | "untrusted" | "put-back"

export interface KeyView {
  readonly owner: string
  readonly purpose: KeyPurpose
  readonly keyId: string
  readonly standing: Standing
  readonly notBefore: string
  /** When it ends, by certificate or because it was replaced. */
  readonly notAfter: string
  /** What the certificate itself says. */
  readonly certifiedUntil: string
  readonly addresses: ReadonlyArray<string>
}

const noKey = KeyId.make("0000000000000000")

const iso = (seconds: number): string => new Date(seconds * 1_000).toISOString()

/** The identity directory is not as the certifier left it (KM-EML-030). */
export class DirectoryTampered extends Schema.TaggedError<DirectoryTampered>()("DirectoryTampered", {
  what: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `KM-EML-030: ${this.what}: ${this.detail}`
  }
}

export const tampered = (detail: string, what = "the identity directory was changed behind the certifier's back") =>
  new DirectoryTampered({ what, detail })

/** Proven whole, up to the last that was made here. */
export const revocationsOf = Effect.fnUntraced(function*(install: Install) {
  const ports = { identities: yield* Identities, secrets: yield* Secrets }
  const certifier = Buffer.from(install.certifierPublicKey, "base64")
  const whole = yield* wholeRevocations(ports, certifier, install.install)
  return Result.isSuccess(whole) ? whole.success : yield* tampered(
    whole.failure.detail,
    whole.failure.reason === "bad-signature" ? "a revocation was changed or forged" : "a revocation was removed"
  )
})

/** `gone`: only the tombstones of its keys are left, and nobody writes those anew. */
export const keysOf = Effect.fnUntraced(function*(
  install: Install,
  owner: SenderId,
  { endOf, isRevoked }: Revocations,
  gone = false
) {
  const { keysOf: keysIn } = yield* (yield* Identities).directory
  const certifier = Buffer.from(install.certifierPublicKey, "base64")
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const views: Array<KeyView> = []
  for (const purpose of purposes) {
    for (const key of keysIn(owner, purpose)) {
      const claimed = Option.getOrUndefined(decodeCertificate(key.certificate))
      const certificate = claimed === undefined ? undefined : verifyCertificate(certifier, key, claimed.notBefore)
      const own = certificate !== undefined && certificate.subject === owner && certificate.purpose === purpose
        && certificate.install === install.install
      const standing = (): Standing => {
        if (!own) return "untrusted"
        if (isRevoked(owner, certificate.keyId)) return "revoked"
        const end = endOf(owner, certificate.keyId)
        if (end !== undefined) return certificate.notAfter > end && !gone ? "put-back" : "replaced"
        if (now >= certificate.notAfter) return "expired"
        return now < certificate.notBefore ? "not-yet" : "valid"
      }
      views.push({
        owner,
        purpose,
        keyId: claimed?.keyId ?? "",
        standing: standing(),
        notBefore: iso(claimed?.notBefore ?? 0),
        notAfter: iso(Math.min(claimed?.notAfter ?? 0, endOf(owner, claimed?.keyId ?? noKey) ?? Infinity)),
        certifiedUntil: iso(claimed?.notAfter ?? 0),
        addresses: claimed?.addresses ?? []
      })
    }
  }
  return views
})

/** Of the operator and every sandbox that has a row. */
export const keysOfAll = Effect.fnUntraced(function*(install: Install) {
  const revocations = yield* revocationsOf(install)
  const rows = yield* (yield* Sandboxes).list
  const owners: ReadonlyArray<SenderId> = ["operator", ...rows.map(({ id }) => id)]
  const keys = yield* Effect.forEach(owners, (owner) => keysOf(install, owner, revocations))
  return { keys: keys.flat(), owners, revocations }
})

/** Warned of from here on, which is after a `km up` that may renew it has done so. */
const soonMillis = 7 * 24 * 3_600_000

/** A key that cannot be used, or soon not: what is the matter, and the command that helps. */
export interface DueKey {
  readonly owner: string
  readonly purpose: KeyPurpose
  readonly detail: string
  readonly command: string
}

/** Of each identity and purpose the key that lasts longest counts. */
export const dueKeys = (keys: ReadonlyArray<KeyView>, nowMillis: number): ReadonlyArray<DueKey> => {
  const groups = Map.groupBy(keys, ({ owner, purpose }) => `${owner} ${purpose}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const { owner, purpose } = first
    const ends = group.filter(({ standing }) => standing === "valid").map(({ notAfter }) => Date.parse(notAfter))
    const end = Math.max(0, ...ends)
    if (end - nowMillis > soonMillis) return []
    const renewable = end > 0 || group.some(({ standing }) => standing === "expired")
    return [{
      owner,
      purpose,
      detail: end === 0
        ? `${owner} has no valid key for ${purpose}`
        : `the ${purpose} key of ${owner} ends at ${iso(end / 1_000)}`,
      command: renewable ? `km identity renew ${owner}` : `km identity rotate ${owner}`
    }]
  })
}
