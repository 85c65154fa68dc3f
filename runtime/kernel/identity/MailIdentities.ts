/** Makes and certifies the mail keys of a sandbox or the operator; each step may be repeated and then changes nothing. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { type Certificate, certificatesOf, certify } from "../../domain/identity/Certificate.ts"
import { keyIdOf, type SigningKey } from "../../domain/identity/Ed25519.ts"
import {
  generateMailBoxKey,
  generateMailSigningKey,
  mailBoxKeyPath,
  mailboxKeyPath,
  mailBoxPublicKey,
  mailCertificate,
  mailSigningKeyFromText,
  mailSigningKeyPath,
  operatorAddress
} from "../../domain/identity/MailIdentity.ts"
import type { InstallName, SenderId } from "../../domain/sandbox/Ids.ts"
import { Identities } from "../../ports/Identities.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { currentKeyId } from "./KeyRotation.ts"

/** Secrets of a mail identity: where each lies and how one is made. */
export const mailSecrets = (
  owner: SenderId,
  withBox: boolean
): ReadonlyArray<readonly [path: string, make: () => string]> => [
  [mailSigningKeyPath(owner), generateMailSigningKey],
  [mailboxKeyPath(owner), () => randomBytes(32).toString("base64")],
  ...(withBox ? [[mailBoxKeyPath(owner), generateMailBoxKey] as const] : [])
]

/** A secret that is there stays as it is. */
export const ensureSecret = Effect.fnUntraced(function*(
  secrets: Secrets["Service"],
  path: string,
  make: () => string
) {
  if (Option.isNone(yield* secrets.get(path))) yield* secrets.put(path, Redacted.make(make()))
})

/** Certifies the keys that are in the secret store. False when the signing key cannot be read. */
export const certifyMail = Effect.fnUntraced(function*(
  ports: { readonly identities: Identities["Service"]; readonly secrets: Secrets["Service"] },
  certifier: SigningKey,
  who: {
    readonly install: InstallName
    readonly subject: SenderId
    readonly addresses: ReadonlyArray<string>
    /** Unix milliseconds. */
    readonly madeAt: number
  }
) {
  const { identities, secrets } = ports
  const textOf = (path: string) => Effect.map(secrets.get(path), Option.map(Redacted.value))
  const now = yield* Clock.currentTimeMillis
  const signing = Option.map(yield* textOf(mailSigningKeyPath(who.subject)), mailSigningKeyFromText)
  if (Option.isNone(signing) || signing.value === undefined) return false
  const box = Option.getOrUndefined(Option.map(yield* textOf(mailBoxKeyPath(who.subject)), mailBoxPublicKey))
  const keys = [
    { purpose: "mail", publicKey: signing.value.publicKey } as const,
    ...(box === undefined ? [] : [{ purpose: "mail-box", publicKey: box } as const])
  ]
  for (const { publicKey, purpose } of keys) {
    // A key may be younger than its owner, and is as old as its first certificate says.
    const rows = (yield* identities.directoryNow).keysOf(who.subject, purpose)
    const own = certificatesOf(certifier.publicKey, who.install, who.subject, purpose, rows)
      .findLast(({ keyId }) => keyId === keyIdOf(publicKey))
    const madeAt = own === undefined ? who.madeAt : (own.notBefore + 300) * 1_000
    const certificate = mailCertificate({ ...who, purpose, publicKey, madeAt, now })
    yield* identities.put(who.subject, purpose, keyIdOf(publicKey), certify(certifier, certificate))
  }
  return true
})

/** Certificates are renewed this long before they end. */
export const renewBeforeSeconds = 10 * 24 * 3_600

const endOf = (certificates: ReadonlyArray<Certificate>): number =>
  Math.max(0, ...certificates.map(({ notAfter }) => notAfter))

/**
 * The operator's mail identity: makes keys that are missing, also in an install that an earlier version made, and
 * certifies them when the newest certificate ends within 10 days or names another address. True when it certified.
 */
export const ensureOperatorMail = Effect.fn("MailIdentities.ensureOperatorMail")(function*(
  certifier: SigningKey,
  install: InstallName,
  /** Of the install; `{install}.invalid` where it names none. */
  mailDomain: string | undefined
) {
  const ports = { identities: yield* Identities, secrets: yield* Secrets }
  for (const [path, make] of mailSecrets("operator", true)) yield* ensureSecret(ports.secrets, path, make)
  const now = yield* Clock.currentTimeMillis
  const addresses = [operatorAddress(install, mailDomain)]
  const known = Effect.fnUntraced(function*(purpose: "mail" | "mail-box") {
    const current = yield* currentKeyId(ports, "operator", purpose)
    const rows = (yield* ports.identities.directoryNow).keysOf("operator", purpose)
    return certificatesOf(certifier.publicKey, install, "operator", purpose, rows).filter((certificate) =>
      certificate.keyId === current && certificate.addresses.join() === addresses.join()
    )
  })
  const mail = yield* known("mail")
  const boxes = yield* known("mail-box")
  if (Math.min(endOf(mail), endOf(boxes)) - now / 1_000 > renewBeforeSeconds) return false
  return yield* certifyMail(ports, certifier, { install, subject: "operator", addresses, madeAt: now })
})
