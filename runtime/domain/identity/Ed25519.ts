/** Ed25519 by `node:crypto` over raw 32-byte keys: pure functions, so every room may sign and verify alike. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto"
import { KeyId } from "../sandbox/Ids.ts"
import { sha256Hex } from "../text/Digest.ts"

/** DER prefixes of RFC 8410 keys: what stands before the 32 raw bytes. */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex")
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex")

/** A private key in memory. It prints and serialises as nothing of itself (`KeyObject` is opaque). */
export interface SigningKey {
  readonly keyId: KeyId
  /** 32 raw bytes. */
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
}

/** First 16 hex digits of the SHA-256 of the 32 raw public bytes. */
export const keyIdOf = (publicKey: Uint8Array): KeyId => KeyId.make(sha256Hex(publicKey).slice(0, 16))

const rawPublic = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(spkiPrefix.length))

/** From the 32-byte seed; throws `RangeError` on another length. */
export const signingKeyFromSeed = (seed: Uint8Array): SigningKey => {
  if (seed.length !== 32) throw new RangeError("an Ed25519 seed has 32 bytes")
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" })
  const publicKey = rawPublic(privateKey)
  return { keyId: keyIdOf(publicKey), publicKey, privateKey }
}

/** A fresh 32-byte seed from the system's generator. */
export const generateSeed = (): Uint8Array => {
  const { privateKey } = generateKeyPairSync("ed25519")
  return new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }).subarray(pkcs8Prefix.length))
}

/** Standard base64 with padding, 88 characters. */
export const signText = (key: SigningKey, text: string): string =>
  sign(null, Buffer.from(text, "utf8"), key.privateKey).toString("base64")

/** Verifier for one public key: building the key object costs more than a verification, so keep it. */
export const verifierOf = (
  publicKey: Uint8Array
): (text: string | Uint8Array, signatureBase64: string) => boolean => {
  if (publicKey.length !== 32) return () => false
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: "der", type: "spki" })
  return (text, signatureBase64) => {
    const signature = Buffer.from(signatureBase64, "base64")
    const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text
    return signature.length === 64 && verify(null, bytes, key, signature)
  }
}
