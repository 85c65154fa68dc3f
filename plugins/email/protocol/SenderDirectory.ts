/**
 * What the identity directory says about a sender, after checking that the certifier said it. The directory's store is
 * not trusted: whoever can write its rows can at worst make a sender unknown.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Certificate, CertifiedKey, SignedRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { certificatesOf } from "../../../runtime/domain/identity/Certificate.ts"
import { keyIdOf, verifierOf } from "../../../runtime/domain/identity/Ed25519.ts"
import { checkRevocations, type Revocations } from "../../../runtime/domain/identity/Revocations.ts"
import type { InstallName, KeyId, SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import { type MailAddress, mailAddress } from "./MailAddress.ts"
import { DirectoryTampered } from "./MailErrors.ts"
import { fromBase64 } from "./strictBase64.ts"

/** As `checkRevocations`, for readers of mail, who refuse all mail while the chain is not whole. */
export const readRevocations = (
  certifierPublicKey: Uint8Array,
  install: InstallName,
  signed: ReadonlyArray<SignedRevocation>,
  atLeast: number
): Effect.Effect<Revocations, DirectoryTampered> =>
  Result.match(checkRevocations(certifierPublicKey, install, signed, atLeast), {
    onSuccess: Effect.succeed,
    onFailure: (fault) => Effect.fail(new DirectoryTampered(fault))
  })

/** Unix seconds, `notAfter` exclusive. */
export interface Window {
  readonly notBefore: number
  readonly notAfter: number
}

export interface SenderKey {
  readonly keyId: KeyId
  /** The addresses that the certificate lets this key write from. */
  readonly addresses: ReadonlyArray<MailAddress>
  readonly window: Window
  readonly revoked: boolean
  readonly verify: (text: string, signatureBase64: string) => boolean
}

export interface SenderBox {
  readonly keyId: KeyId
  readonly publicKey: Uint8Array
  readonly window: Window
  readonly revoked: boolean
}

/**
 * A sender as readers know it. `promises` is the form in which everything it writes is signed: a message in a weaker
 * form that claims to be this sender's is not. Keep the value while the directory is unchanged: building the key
 * objects costs more than verifying.
 */
export interface KnownSender {
  readonly sender: SenderId
  readonly promises: "v2" | "v1" | "unsigned"
  /** Oldest first, also those that are no longer valid. */
  readonly keys: ReadonlyArray<SenderKey>
  readonly boxes: ReadonlyArray<SenderBox>
}

/**
 * From the rows of the directory. Rows that the certifier did not sign for this install, sender and purpose count for
 * nothing; with none left, the sender is unknown (`undefined`). Certified senders always write v2.
 */
export const certifiedSender = (input: {
  readonly certifierPublicKey: Uint8Array
  readonly install: InstallName
  readonly sender: SenderId
  readonly mail: ReadonlyArray<CertifiedKey>
  readonly boxes: ReadonlyArray<CertifiedKey>
  readonly revocations: Revocations
}): KnownSender | undefined => {
  const { certifierPublicKey, install, revocations, sender } = input
  const mail = certificatesOf(certifierPublicKey, install, sender, "mail", input.mail)
  if (mail.length === 0) return undefined
  /** A replaced key ends when the certifier said so, whatever older certificate of it is put back. */
  const windowOf = ({ keyId, notAfter, notBefore }: Certificate): Window => ({
    notBefore,
    notAfter: Math.min(notAfter, revocations.endOf(sender, keyId) ?? notAfter)
  })
  return {
    sender,
    promises: "v2",
    keys: mail.map((certificate) => ({
      keyId: certificate.keyId,
      addresses: certificate.addresses.flatMap((text) => mailAddress(text) ?? []),
      window: windowOf(certificate),
      revoked: revocations.isRevoked(sender, certificate.keyId),
      verify: verifierOf(Buffer.from(certificate.publicKey, "base64"))
    })),
    boxes: certificatesOf(certifierPublicKey, install, sender, "mail-box", input.boxes).map((certificate) => ({
      keyId: certificate.keyId,
      publicKey: Buffer.from(certificate.publicKey, "base64"),
      window: windowOf(certificate),
      revoked: revocations.isRevoked(sender, certificate.keyId)
    }))
  }
}

/**
 * A sender of the reference, which has no certificates: the operator vouches for its key by naming it. `undefined` for
 * a key that is not 32 bytes in base64.
 */
export const v1Sender = (
  sender: SenderId,
  publicKeyBase64: string,
  addresses: ReadonlyArray<string>
): KnownSender | undefined => {
  const publicKey = fromBase64(publicKeyBase64)
  if (publicKey === undefined || publicKey.length !== 32) return undefined
  return {
    sender,
    promises: "v1",
    keys: [{
      keyId: keyIdOf(publicKey),
      addresses: addresses.flatMap((text) => mailAddress(text) ?? []),
      window: { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER },
      revoked: false,
      verify: verifierOf(publicKey)
    }],
    boxes: []
  }
}

const isIn = (window: Window, seconds: number): boolean => window.notBefore <= seconds && seconds < window.notAfter

export const keyValidAt = (key: { readonly window: Window }, seconds: number): boolean => isIn(key.window, seconds)

/**
 * The alias that the certifier let a sender write from: the local part of an address of the install's `domain` that is
 * not the sender's id, while a key is good for it. Not what a table says, or whoever can write there could give a stranger a
 * trusted name; and not what an ended certificate says, because the alias may be another's since.
 */
export const certifiedAlias = (
  entry: KnownSender | undefined,
  domain: string,
  nowSeconds: number
): string | undefined =>
  entry?.keys.filter((key) => !key.revoked && isIn(key.window, nowSeconds)).flatMap(({ addresses }) => addresses).map((
    address
  ) => address.split("@")).find(
    ([local, at]) => at === domain && local !== entry.sender
  )?.[0]

/**
 * Whether somebody is called so: by its id, or because the certifier gave it this address or, for a bare alias, this local
 * part at `domain`. An alias may have gone to another since, so a key must be good for it now; an id never does.
 */
export const hasName = (
  sender: SenderId,
  entry: KnownSender | undefined,
  name: string,
  domain: string,
  nowSeconds: number
): boolean => {
  const address = name.includes("@") ? name : `${name}@${domain}`
  return address === `${sender}@${domain}` ||
    (entry?.keys ?? []).some((key) =>
      !key.revoked && isIn(key.window, nowSeconds) && key.addresses.some((one) => one === address)
    )
}

/** The newest X25519 key that is valid now and not revoked: what mail to this sender is encrypted for. */
export const currentBox = (sender: KnownSender, nowSeconds: number): SenderBox | undefined =>
  sender.boxes.findLast((box) => !box.revoked && isIn(box.window, nowSeconds))
