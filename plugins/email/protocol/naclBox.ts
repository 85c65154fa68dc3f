/**
 * NaCl's boxes, assembled from parts that are each checked elsewhere: X25519 by `node:crypto`, HSalsa20 and
 * XSalsa20-Poly1305 by tweetnacl, BLAKE2b by @noble/hashes.
 */
import { blake2b } from "@noble/hashes/blake2.js"
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto"
import nacl from "tweetnacl"
import { keyIdOf } from "../../../runtime/domain/identity/Ed25519.ts"
import type { KeyId } from "../../../runtime/domain/sandbox/Ids.ts"

/** DER prefixes of RFC 8410 keys: what stands before the 32 raw bytes. */
const pkcs8Prefix = Buffer.from("302e020100300506032b656e04220420", "hex")
const spkiPrefix = Buffer.from("302a300506032b656e032100", "hex")

/** Bytes of a box's nonce, of its tag, and of what a sealed box adds (ephemeral key and tag). */
export const boxNonceBytes = 24
export const boxTagBytes = 16
export const sealedBoxOverhead = 48

/** An X25519 private key in memory; `KeyObject` prints and serialises as nothing of itself. */
export interface BoxKey {
  /** As for signing keys: first 16 hex digits of the SHA-256 of the raw public key. */
  readonly keyId: KeyId
  /** 32 raw bytes. */
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
}

const rawPublic = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(spkiPrefix.length))

/** From the 32 raw private bytes (the reference's `encryption-key`); throws `RangeError` on another length. */
export const boxKeyFromPrivate = (bytes: Uint8Array): BoxKey => {
  if (bytes.length !== 32) throw new RangeError("an X25519 private key has 32 bytes")
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, bytes]), format: "der", type: "pkcs8" })
  const publicKey = rawPublic(privateKey)
  return { keyId: keyIdOf(publicKey), publicKey, privateKey }
}

/** 32 fresh private bytes from the system's generator. */
export const generateBoxPrivate = (): Uint8Array => {
  const { privateKey } = generateKeyPairSync("x25519")
  return new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }).subarray(pkcs8Prefix.length))
}

/** X25519; `undefined` for a peer key of another length or of low order, whose secret anybody would know. */
export const x25519 = (privateKey: KeyObject, peer: Uint8Array): Uint8Array | undefined => {
  if (peer.length !== 32) return undefined
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([spkiPrefix, peer]), format: "der", type: "spki" })
    const secret = diffieHellman({ privateKey, publicKey })
    return secret.every((byte) => byte === 0) ? undefined : secret
  } catch {
    // OpenSSL refuses a point of low order by an error without a type of its own.
    return undefined
  }
}

/** HSalsa20's constant and input block, as NaCl's `crypto_box_beforenm` uses them. */
const sigma = Buffer.from("expand 32-byte k", "latin1")
const zeros16 = new Uint8Array(16)

type Primitive = (...parameters: ReadonlyArray<Uint8Array | number>) => unknown

/** tweetnacl's typings leave `lowlevel` out; checked once, so that a changed library fails at start, not in secret. */
const primitive = (name: string): Primitive => {
  const lowlevel: unknown = Reflect.get(nacl, "lowlevel")
  const found: unknown = typeof lowlevel === "object" && lowlevel !== null ? Reflect.get(lowlevel, name) : undefined
  if (typeof found !== "function") throw new Error(`tweetnacl has no ${name}`)
  return (...parameters) => Reflect.apply(found, undefined, parameters)
}

const hsalsa20 = primitive("crypto_core_hsalsa20")
/** The library's own `secretbox` around these two copies byte by byte: a quarter of the time for a large message. */
const lowSecretBox = primitive("crypto_secretbox")
const lowOpen = primitive("crypto_secretbox_open")

/** NaCl's precomputed box key for a pair; `undefined` as for `x25519`. Symmetric: both sides compute the same. */
export const sharedKey = (privateKey: KeyObject, peer: Uint8Array): Uint8Array | undefined => {
  const secret = x25519(privateKey, peer)
  if (secret === undefined) return undefined
  const key = new Uint8Array(32)
  hsalsa20(key, zeros16, secret, sigma)
  return key
}

/** Zero bytes that the C interface wants before message and box. */
const zeroBytes = 32
const boxZeroBytes = 16

const assertSizes = (nonce: Uint8Array, key: Uint8Array): void => {
  if (nonce.length !== boxNonceBytes || key.length !== 32) throw new RangeError("a nonce has 24 bytes, a key 32")
}

/** XSalsa20-Poly1305: 16 bytes of tag, then the ciphertext. A nonce is used once per key. */
export const secretBox = (message: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array => {
  assertSizes(nonce, key)
  const padded = new Uint8Array(zeroBytes + message.length)
  padded.set(message, zeroBytes)
  const box = new Uint8Array(padded.length)
  lowSecretBox(box, padded, padded.length, nonce, key)
  return box.subarray(boxZeroBytes)
}

/** `undefined` when the tag does not fit. */
export const openSecretBox = (box: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array | undefined => {
  assertSizes(nonce, key)
  if (box.length < boxTagBytes) return undefined
  const padded = new Uint8Array(boxZeroBytes + box.length)
  padded.set(box, boxZeroBytes)
  const message = new Uint8Array(padded.length)
  return lowOpen(message, padded, padded.length, nonce, key) === 0 ? message.subarray(zeroBytes) : undefined
}

const sealNonce = (ephemeral: Uint8Array, recipient: Uint8Array): Uint8Array =>
  blake2b.create({ dkLen: boxNonceBytes }).update(ephemeral).update(recipient).digest()

/** v1's anonymous sealed box (`crypto_box_seal`). `ephemeral` is a fresh key, used for nothing else. */
export const sealBox = (
  message: Uint8Array,
  recipient: Uint8Array,
  ephemeral: BoxKey
): Uint8Array | undefined => {
  const key = sharedKey(ephemeral.privateKey, recipient)
  if (key === undefined) return undefined
  return Buffer.concat([
    ephemeral.publicKey,
    secretBox(message, sealNonce(ephemeral.publicKey, recipient), key)
  ])
}

/** `undefined` when it was sealed for another key, or changed. */
export const openSealedBox = (sealed: Uint8Array, recipient: BoxKey): Uint8Array | undefined => {
  if (sealed.length < sealedBoxOverhead) return undefined
  const ephemeral = sealed.subarray(0, 32)
  const key = sharedKey(recipient.privateKey, ephemeral)
  return key === undefined
    ? undefined
    : openSecretBox(sealed.subarray(32), sealNonce(ephemeral, recipient.publicKey), key)
}
