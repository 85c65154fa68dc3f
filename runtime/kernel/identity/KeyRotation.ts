/**
 * How a key is replaced while mail and requests of the old one are under way. Every step can be the last one before a
 * crash: what is used next is certified first, what may still be opened is kept, and the same call again completes it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import {
  type Certificate,
  certificatesOf,
  certify,
  type KeyPurpose,
  maxCertificateSeconds
} from "../../domain/identity/Certificate.ts"
import { generateSeed, keyIdOf, type SigningKey } from "../../domain/identity/Ed25519.ts"
import {
  generateMailBoxKey,
  generateMailSigningKey,
  keptBoxKeys,
  mailBoxHistory,
  mailBoxHistoryPath,
  mailBoxKeyPath,
  mailBoxPublicKey,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../../domain/identity/MailIdentity.ts"
import type { InstallName, KeyId, SenderId } from "../../domain/sandbox/Ids.ts"
import type { Idempotency } from "../../ports/Idempotency.ts"
import { announce, type CertifierPorts, signingKeyFromText, wholeRevocations } from "./Certifier.ts"
import { identityRefused } from "./IdentityErrors.ts"

/** What people call the keys: `bridge` is the operator's `operator` key too. */
export const rotatable = ["mail", "mail-box", "bridge"] as const
export type Rotatable = typeof rotatable[number]

/** Where a sender's private half for the bridge is kept: base64 of a 32-byte seed. */
export const signingKeyPath = (sender: string): string => `sandbox/${sender}/signing-key`

/** A replaced key is good for this long still: for what is just being signed, and clocks that differ (seconds). */
export const overlapSeconds = 300

/** Mail lives seven days unless its sender says otherwise, so a renewed certificate reaches that far back. */
const inFlightSeconds = 7 * 24 * 3_600

/** A rotation takes far less; after a crash the next one waits this long at most (milliseconds). */
const leaseMillis = 10_000

interface Slot {
  readonly purpose: KeyPurpose
  readonly path: string
  readonly make: () => string
  readonly publicKey: (text: string) => Uint8Array | undefined
}

const slotOf = (owner: SenderId, what: Rotatable): Slot => {
  switch (what) {
    case "mail":
      return {
        purpose: "mail",
        path: mailSigningKeyPath(owner),
        make: generateMailSigningKey,
        publicKey: (text) => mailSigningKeyFromText(text)?.publicKey
      }
    case "mail-box":
      return {
        purpose: "mail-box",
        path: mailBoxKeyPath(owner),
        make: generateMailBoxKey,
        publicKey: mailBoxPublicKey
      }
    case "bridge":
      return {
        purpose: owner === "operator" ? "operator" : "bridge",
        path: signingKeyPath(owner),
        make: () => Buffer.from(generateSeed()).toString("base64"),
        publicKey: (text) => signingKeyFromText(text)?.publicKey
      }
  }
}

/** The coming key, until it is the current one: a rotation that was cut off goes on with it. */
const comingPath = (path: string): string => {
  const cut = path.lastIndexOf("/")
  return `${path.slice(0, cut)}/next${path.slice(cut)}`
}

export interface RotationPorts extends CertifierPorts {
  readonly idempotency: Idempotency["Service"]
}

interface Owner {
  readonly install: InstallName
  readonly subject: SenderId
}

const secretText = (ports: CertifierPorts, path: string) =>
  Effect.map(ports.secrets.get(path), (found) => Option.getOrUndefined(Option.map(found, Redacted.value)))

/** What is current, with its public half; `undefined` where the identity has no such key. */
const currentOf = Effect.fnUntraced(function*(ports: CertifierPorts, { path, publicKey }: Slot) {
  const text = yield* secretText(ports, path)
  if (text === undefined) return undefined
  const key = publicKey(text)
  if (key === undefined) return yield* identityRefused("KM-IDN-103", `the secret ${path} is no key`)
  return { text: text.trim(), publicKey: key, keyId: keyIdOf(key) }
})

const certifiedBy = Effect.fnUntraced(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  { install, subject }: Owner,
  purpose: KeyPurpose
) {
  const directory = yield* ports.identities.directoryNow
  return certificatesOf(certifier.publicKey, install, subject, purpose, directory.keysOf(subject, purpose))
})

/**
 * From the first second of the key's first certificate, but at most 7 days back; 30 days in all. The addresses are those
 * that the certifier gave before: the sandbox's row is not asked, for whoever writes it would choose them.
 */
const certificateOf = (
  { install, subject }: Owner,
  purpose: KeyPurpose,
  publicKey: Uint8Array,
  before: ReadonlyArray<Certificate>,
  now: number
): Certificate => {
  const keyId = keyIdOf(publicKey)
  const own = before.findLast((certificate) => certificate.keyId === keyId)
  const notBefore = own === undefined ? now - 300 : Math.max(own.notBefore, now - inFlightSeconds)
  return {
    version: 1,
    install,
    subject,
    addresses: (own ?? before.at(-1))?.addresses ?? [],
    purpose,
    keyId,
    publicKey: Buffer.from(publicKey).toString("base64"),
    notBefore,
    notAfter: notBefore + maxCertificateSeconds
  }
}

const seconds = Effect.map(Clock.currentTimeMillis, (millis) => Math.floor(millis / 1_000))

/**
 * Ends every key of the purpose but `keyId`: the rows first, so that a certificate which says more than the numbered
 * statement is known to be an old one that was put back.
 */
const endOthers = Effect.fnUntraced(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  owner: Owner,
  purpose: KeyPurpose,
  current: KeyId,
  alsoEnd: ReadonlyArray<KeyId>
) {
  const { install, subject } = owner
  const whole = yield* wholeRevocations(ports, certifier.publicKey, install)
  if (Result.isFailure(whole)) return yield* identityRefused("KM-IDN-103", whole.failure.detail)
  const { endOf, isRevoked } = whole.success
  const certificates = yield* certifiedBy(ports, certifier, owner, purpose)
  const until = (yield* seconds) + overlapSeconds
  const ended: Array<{ readonly keyId: KeyId; readonly until: number }> = []
  for (const keyId of new Set([...certificates.map((certificate) => certificate.keyId), ...alsoEnd])) {
    if (keyId === current || endOf(subject, keyId) !== undefined || isRevoked(subject, keyId)) continue
    const certificate = certificates.find((one) => one.keyId === keyId)
    if (certificate !== undefined && certificate.notAfter > until) {
      const shortened = { ...certificate, notBefore: Math.min(certificate.notBefore, until - 1), notAfter: until }
      yield* ports.identities.put(subject, purpose, keyId, certify(certifier, shortened))
    }
    yield* announce(ports, certifier, { install, subject, keyId, reason: `replaced by ${current}`, until })
    ended.push({ keyId, until })
  }
  return ended
})

/**
 * Before an identity is certified for its addresses: keys that were there before it under its name, and keys of those
 * who had one of its addresses and are gone, sign nothing more. What they wrote until now stays theirs.
 */
export const endFormerHolders = Effect.fn("KeyRotation.endFormerHolders")(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  owner: Owner,
  addresses: ReadonlyArray<string>,
  isGone: (subject: SenderId) => boolean
) {
  const { install } = owner
  const now = yield* seconds
  for (const subject of (yield* ports.identities.directoryNow).subjects) {
    if (subject !== owner.subject && !isGone(subject)) continue
    for (const what of rotatable) {
      const slot = slotOf(subject, what)
      const current = subject === owner.subject ? yield* currentOf(ports, slot) : undefined
      const certificates = yield* certifiedBy(ports, certifier, { install, subject }, slot.purpose)
      const former = certificates.filter((certificate) =>
        subject === owner.subject
          ? certificate.keyId !== current?.keyId
          : certificate.addresses.some((address) => addresses.includes(address))
      )
      for (const certificate of former) {
        const { keyId } = certificate
        const whole = yield* wholeRevocations(ports, certifier.publicKey, install)
        if (Result.isFailure(whole)) return yield* identityRefused("KM-IDN-103", whole.failure.detail)
        if (whole.success.endOf(subject, keyId) !== undefined || whole.success.isRevoked(subject, keyId)) continue
        // The rows of those who are gone stay as they are: writing them would make them last longer.
        if (subject === owner.subject && certificate.notAfter > now && certificate.notBefore < now) {
          const shortened = certify(certifier, { ...certificate, notAfter: now })
          yield* ports.identities.put(subject, slot.purpose, keyId, shortened)
        }
        yield* announce(ports, certifier, { install, subject, keyId, reason: `${owner.subject} follows`, until: now })
      }
    }
  }
})

export interface Rotation {
  readonly purpose: Rotatable
  readonly keyId: KeyId
  /** The keys that end, with the Unix second from which nothing new of theirs counts. */
  readonly ended: ReadonlyArray<{ readonly keyId: KeyId; readonly until: number }>
  /** It went on with what an earlier rotation had begun. */
  readonly completed: boolean
}

const replace = Effect.fnUntraced(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  owner: Owner,
  what: Rotatable
) {
  const { identities, secrets } = ports
  const { subject } = owner
  const slot = slotOf(subject, what)
  const { make, path, publicKey, purpose } = slot
  const current = yield* currentOf(ports, slot)
  if (current === undefined) return yield* identityRefused("KM-IDN-101", `${subject} has no ${what} key`)
  const begun = yield* secretText(ports, comingPath(path))
  if (begun === undefined) yield* secrets.put(comingPath(path), Redacted.make(make()))
  const coming = (yield* secretText(ports, comingPath(path)))?.trim() ?? ""
  const comingPublic = publicKey(coming)
  if (comingPublic === undefined) {
    return yield* identityRefused("KM-IDN-103", `the secret ${comingPath(path)} is no key`)
  }
  const keyId = keyIdOf(comingPublic)
  if (what === "mail-box") {
    // Openable before anybody can encrypt for it, and the old one as long as the history holds it.
    const kept = mailBoxHistory((yield* secretText(ports, mailBoxHistoryPath(subject))) ?? "")
    const all = [...new Set([...kept, current.text, coming])]
    if (all.length > kept.length) {
      yield* secrets.put(mailBoxHistoryPath(subject), Redacted.make(all.slice(-keptBoxKeys).join("\n")))
    }
  }
  const before = yield* certifiedBy(ports, certifier, owner, purpose)
  if (what === "mail" && before.length === 0) {
    return yield* identityRefused("KM-IDN-103", `the directory has no certificate of ${subject} for mail`)
  }
  const certificate = certificateOf(owner, purpose, comingPublic, before, yield* seconds)
  yield* identities.put(subject, purpose, keyId, certify(certifier, certificate))
  if (current.keyId !== keyId) yield* secrets.put(path, Redacted.make(coming))
  const ended = yield* endOthers(ports, certifier, owner, purpose, keyId, [current.keyId])
  yield* secrets.delete(comingPath(path))
  return { purpose: what, keyId, ended, completed: begun !== undefined } satisfies Rotation
})

const isEnded = (ports: CertifierPorts, certifier: SigningKey, { install, subject }: Owner, keyId: KeyId) =>
  Effect.map(
    wholeRevocations(ports, certifier.publicKey, install),
    (whole) => Result.isSuccess(whole) && whole.success.endOf(subject, keyId) !== undefined
  )

/**
 * Certifies the current key for 30 more days, less the time that the certificate reaches back. False where the identity
 * has no such key.
 */
export const renewKey = Effect.fn("KeyRotation.renewKey")(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  owner: Owner,
  what: Rotatable
) {
  const slot = slotOf(owner.subject, what)
  const current = yield* currentOf(ports, slot)
  if (current === undefined) return false
  const before = yield* certifiedBy(ports, certifier, owner, slot.purpose)
  if (what === "mail" && before.length === 0) {
    return yield* identityRefused("KM-IDN-103", `the directory has no certificate of ${owner.subject} for mail`)
  }
  const certificate = certificateOf(owner, slot.purpose, current.publicKey, before, yield* seconds)
  yield* ports.identities.put(owner.subject, slot.purpose, current.keyId, certify(certifier, certificate))
  return true
})

/** Unix seconds at which the current key's certificate ends, 0 without one; `undefined` where there is no such key. */
export const certifiedUntil = Effect.fn("KeyRotation.certifiedUntil")(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  owner: Owner,
  what: Rotatable
) {
  const slot = slotOf(owner.subject, what)
  const current = yield* currentOf(ports, slot)
  if (current === undefined) return undefined
  const certificates = yield* certifiedBy(ports, certifier, owner, slot.purpose)
  return Math.max(0, ...certificates.filter(({ keyId }) => keyId === current.keyId).map(({ notAfter }) => notAfter))
})

/** What would be replaced, for a dry run; `undefined` where there is no such key. */
export const currentKeyId = (ports: CertifierPorts, subject: SenderId, what: Rotatable) =>
  Effect.map(currentOf(ports, slotOf(subject, what)), (current) => current?.keyId)

/**
 * Replaces the key and keeps the old one good for what it has signed. One at a time per identity; a second call waits.
 * `KM-IDN-101` where the identity has no such key.
 */
export const rotateKey = Effect.fn("KeyRotation.rotateKey")(function*(
  ports: RotationPorts,
  certifier: SigningKey,
  owner: Owner,
  what: Rotatable
) {
  const { idempotency } = ports
  const { subject } = owner
  const once = Effect.gen(function*() {
    const begin = yield* idempotency.begin("identity-rotate", subject, what, leaseMillis)
    if (begin._tag === "Pending" || begin._tag === "Done") return yield* Effect.fail("busy" as const)
    const act = Effect.gen(function*() {
      const done = yield* replace(ports, certifier, owner, what)
      // We were halted for longer than the lease, and another rotation has ended what we made current.
      return (yield* isEnded(ports, certifier, owner, done.keyId))
        ? yield* replace(ports, certifier, owner, what)
        : done
    })
    return yield* act.pipe(
      Effect.ensuring(Effect.ignore(idempotency.abandon("identity-rotate", subject, begin.token)))
    )
  })
  let waited = 0
  while (true) {
    const done = yield* Effect.result(once)
    if (Result.isSuccess(done)) return done.success
    if (done.failure !== "busy") return yield* done.failure
    if (waited > 3 * leaseMillis) {
      return yield* identityRefused("KM-IDN-102", `another command replaces keys of ${subject}`)
    }
    waited += 500
    yield* Effect.sleep("500 millis")
  }
})
