/** Makes and certifies the mail keys of a sandbox or the operator; each step may be repeated and then changes nothing. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { certify } from "../domain/Certificate.ts"
import { keyIdOf, type SigningKey } from "../domain/Ed25519.ts"
import type { InstallName, SenderId } from "../domain/Ids.ts"
import {
  generateMailBoxKey,
  generateMailSigningKey,
  mailBoxKeyPath,
  mailboxKeyPath,
  mailBoxPublicKey,
  mailCertificate,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../domain/MailIdentity.ts"
import type { Identities } from "../ports/Identities.ts"
import type { Secrets } from "../ports/Secrets.ts"

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
    const certificate = mailCertificate({ ...who, purpose, publicKey, now })
    yield* identities.put(who.subject, purpose, keyIdOf(publicKey), certify(certifier, certificate))
  }
  return true
})
