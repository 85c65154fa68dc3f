/**
 * Where a sandbox is reached by mail and where its mail keys are kept: names and layouts that create, runtime and
 * operator share.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto"
import type { Profile } from "../profile/Profile.ts"
import type { Alias, InstallName, SandboxId, SenderId } from "../sandbox/Ids.ts"
import type { Certificate } from "./Certificate.ts"
import { maxCertificateSeconds } from "./Certificate.ts"
import type { SigningKey } from "./Ed25519.ts"
import { generateSeed, keyIdOf, signingKeyFromSeed } from "./Ed25519.ts"

/** Ed25519, signs mail only: base64 of 64 bytes, seed then public key, as the reference keeps its signing keys. */
export const mailSigningKeyPath = (owner: SenderId): string => `sandbox/${owner}/mail-signing-key`

/** X25519, opens encrypted mail: base64 of 32 bytes, the reference's own name. */
export const mailBoxKeyPath = (owner: SenderId): string => `sandbox/${owner}/encryption-key`

/**
 * Every other X25519 key that mail may have been encrypted for, a line of base64 each, oldest first: the replaced ones,
 * so that stored mail opens, and the coming one, before anybody can know its public half.
 */
export const mailBoxHistoryPath = (owner: SenderId): string => `sandbox/${owner}/encryption-key-history`

/**
 * The history keeps the newest, so that it fits a secret's 4 KB: a key every month is more than six years, and mail lives
 * for 30 days at most.
 */
export const keptBoxKeys = 80

/** The lines of such a history. */
export const mailBoxHistory = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")

/**
 * A decimal number: the highest revocation that was known when the identity was made or a key of the install was last
 * replaced or taken back. Its readers never accept less, not even for the first message that they read.
 */
export const directoryPinPath = (owner: SenderId): string => `sandbox/${owner}/directory-pin`

/** 32 random bytes in base64: seals what was decided about received mail, so that nobody edits it in the store. */
export const mailboxKeyPath = (owner: SenderId): string => `sandbox/${owner}/mailbox-key`

/** Of an install that names no domain of its own. `.invalid` never resolves (RFC 2606), so nothing leaves by mistake. */
export const defaultMailDomain = (install: InstallName): string => `${install.replace(/-+$/, "")}.invalid`

/** Where people of the install are reached by its sandboxes; no sandbox can have this name. */
export const operatorAddress = (install: InstallName, mailDomain: string | undefined): string =>
  `operator@${mailDomain ?? defaultMailDomain(install)}`

export const hasMail = (profile: Profile): boolean => profile.spec.cli.notifyEmailEnabled

/** Whether it gets an X25519 key. */
export const opensMail = (profile: Profile): boolean => hasMail(profile) && profile.spec.email.encryption !== "off"

/** By id first; by alias too, where it has one that is nobody's id. */
export const mailAddressesOf = (
  owner: SenderId,
  alias: Alias | undefined,
  domain: string
): ReadonlyArray<string> => [`${owner}@${domain}`, ...(alias === undefined ? [] : [`${alias}@${domain}`])]

/** Fresh key, in the reference's layout. */
export const generateMailSigningKey = (): string => {
  const seed = generateSeed()
  return Buffer.concat([seed, signingKeyFromSeed(seed).publicKey]).toString("base64")
}

/** `undefined` unless the second half is the public key of the first. */
export const mailSigningKeyFromText = (text: string): SigningKey | undefined => {
  const bytes = Buffer.from(text.trim(), "base64")
  if (bytes.length !== 64) return undefined
  const key = signingKeyFromSeed(bytes.subarray(0, 32))
  return bytes.subarray(32).equals(key.publicKey) ? key : undefined
}

/** DER prefixes of RFC 8410 X25519 keys: what stands before the 32 raw bytes. */
const pkcs8Prefix = Buffer.from("302e020100300506032b656e04220420", "hex")
const spkiPrefixLength = 12

/** Base64 of 32 fresh private bytes. */
export const generateMailBoxKey = (): string =>
  generateKeyPairSync("x25519").privateKey.export({ format: "der", type: "pkcs8" }).subarray(pkcs8Prefix.length)
    .toString("base64")

/** The 32 raw public bytes of a private key as stored; `undefined` for anything else. */
export const mailBoxPublicKey = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text.trim(), "base64")
  if (bytes.length !== 32) return undefined
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, bytes]), format: "der", type: "pkcs8" })
  return new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(spkiPrefixLength))
}

/** Mail lives seven days unless its sender says otherwise, so a renewed certificate reaches that far back. */
const coversSeconds = 7 * 24 * 3_600

/** What the certifier says of a mail key: valid from 5 minutes before `madeAt`, but at most 7 days back; 30 days in all. */
export const mailCertificate = (input: {
  readonly install: InstallName
  readonly subject: SandboxId | "operator"
  readonly addresses: ReadonlyArray<string>
  readonly purpose: "mail" | "mail-box"
  readonly publicKey: Uint8Array
  /** Unix milliseconds. */
  readonly madeAt: number
  readonly now: number
}): Certificate => {
  const notBefore = Math.max(Math.floor(input.madeAt / 1_000) - 300, Math.floor(input.now / 1_000) - coversSeconds)
  return {
    version: 1,
    install: input.install,
    subject: input.subject,
    addresses: input.addresses,
    purpose: input.purpose,
    keyId: keyIdOf(input.publicKey),
    publicKey: Buffer.from(input.publicKey).toString("base64"),
    notBefore,
    notAfter: notBefore + maxCertificateSeconds
  }
}
