/**
 * Certified public keys and signed revocations: who vouches that a key is a sandbox's. The certifier's key is used by
 * create and rotate only; every reader pins its public half.
 */
import * as Schema from "effect/Schema"
import { InstallName, KeyId, SenderId } from "../sandbox/Ids.ts"
import type { SigningKey } from "./Ed25519.ts"
import { keyIdOf, signText, verifierOf } from "./Ed25519.ts"

/** First line of what is signed; no other signature of ours begins with it. */
const certificateContext = "km-certificate-v1"
const revocationContext = "km-revocation-v1"

/** Longest life of a certificate: 30 days (docs/architecture.md). */
export const maxCertificateSeconds = 30 * 24 * 3600

/** `mail` signs (Ed25519); `mail-box` opens what is encrypted (X25519, with key ids made alike). */
export const KeyPurpose = Schema.Literals(["bridge", "mail", "mail-box", "operator"])
export type KeyPurpose = typeof KeyPurpose.Type

export const Certificate = Schema.Struct({
  version: Schema.Literal(1),
  install: InstallName,
  subject: SenderId,
  /** Mail addresses the key may write from; empty for bridge keys. */
  addresses: Schema.Array(Schema.String),
  purpose: KeyPurpose,
  keyId: KeyId,
  /** Base64 of 32 raw bytes. */
  publicKey: Schema.String,
  /** Unix seconds, inclusive. */
  notBefore: Schema.Int,
  /** Unix seconds, exclusive. */
  notAfter: Schema.Int
})
export type Certificate = typeof Certificate.Type

/** As stored: `certificate` is the exact JSON text that was signed. */
export const CertifiedKey = Schema.Struct({ certificate: Schema.String, signature: Schema.String })
export type CertifiedKey = typeof CertifiedKey.Type

export const Revocation = Schema.Struct({
  version: Schema.Literal(1),
  install: InstallName,
  /** Rises by one; a gap means that one was removed. */
  number: Schema.Int,
  subject: SenderId,
  keyId: KeyId,
  reason: Schema.String,
  /** Unix seconds. */
  at: Schema.Int,
  /**
   * Unix seconds. Present where a key was replaced rather than taken back: what it signed before then stays good, and no
   * certificate makes it good for later. Who does not know this member takes the key for revoked.
   */
  until: Schema.optionalKey(Schema.Int)
})
export type Revocation = typeof Revocation.Type
export const SignedRevocation = Schema.Struct({ revocation: Schema.String, signature: Schema.String })
export type SignedRevocation = typeof SignedRevocation.Type

const encodeCertificate = Schema.encodeSync(Schema.fromJsonString(Certificate))
const decodeCertificate = Schema.decodeUnknownOption(Schema.fromJsonString(Certificate))
const encodeRevocation = Schema.encodeSync(Schema.fromJsonString(Revocation))
const decodeRevocation = Schema.decodeUnknownOption(Schema.fromJsonString(Revocation))

export const certify = (certifier: SigningKey, certificate: Certificate): CertifiedKey => {
  const text = encodeCertificate(certificate)
  return { certificate: text, signature: signText(certifier, `${certificateContext}\n${text}`) }
}

/**
 * The certificate, when the certifier signed it, its key id is its key's, its life is at most 30 days and `nowSeconds`
 * lies in it; otherwise `undefined`. Revocations are the caller's to check.
 */
export const verifyCertificate = (
  certifierPublicKey: Uint8Array,
  key: CertifiedKey,
  nowSeconds: number
): Certificate | undefined => {
  if (!verifierOf(certifierPublicKey)(`${certificateContext}\n${key.certificate}`, key.signature)) return undefined
  const decoded = decodeCertificate(key.certificate)
  if (decoded._tag === "None") return undefined
  const certificate = decoded.value
  const publicKey = Buffer.from(certificate.publicKey, "base64")
  const honest = publicKey.length === 32 && keyIdOf(publicKey) === certificate.keyId
    && certificate.notAfter - certificate.notBefore <= maxCertificateSeconds
    && certificate.notBefore <= nowSeconds && nowSeconds < certificate.notAfter
  return honest ? certificate : undefined
}

/**
 * What the certifier said of a sender's keys for one purpose, in the order of the rows. Rows that it did not sign for
 * this install, sender and purpose count for nothing. Their time is the caller's to check.
 */
export const certificatesOf = (
  certifierPublicKey: Uint8Array,
  install: InstallName,
  subject: SenderId,
  purpose: KeyPurpose,
  keys: ReadonlyArray<CertifiedKey>
): ReadonlyArray<Certificate> =>
  keys.flatMap((key) => {
    const claimed = decodeCertificate(key.certificate)
    if (claimed._tag === "None") return []
    const certificate = verifyCertificate(certifierPublicKey, key, claimed.value.notBefore)
    return certificate !== undefined && certificate.install === install && certificate.subject === subject
        && certificate.purpose === purpose
      ? [certificate]
      : []
  })

export const signRevocation = (certifier: SigningKey, revocation: Revocation): SignedRevocation => {
  const text = encodeRevocation(revocation)
  return { revocation: text, signature: signText(certifier, `${revocationContext}\n${text}`) }
}

export const verifyRevocation = (
  certifierPublicKey: Uint8Array,
  signed: SignedRevocation
): Revocation | undefined => {
  if (!verifierOf(certifierPublicKey)(`${revocationContext}\n${signed.revocation}`, signed.signature)) return undefined
  const decoded = decodeRevocation(signed.revocation)
  return decoded._tag === "Some" ? decoded.value : undefined
}
