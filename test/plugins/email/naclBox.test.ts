/** Boxes of fixed sizes: what has another size is no nonce, no key and no box. */
import { assert, describe, it } from "@effect/vitest"
import {
  boxKeyFromPrivate,
  boxNonceBytes,
  boxTagBytes,
  generateBoxPrivate,
  openSealedBox,
  openSecretBox,
  sealBox,
  sealedBoxOverhead,
  secretBox,
  sharedKey,
  x25519
} from "../../../plugins/email/protocol/naclBox.ts"

const key = new Uint8Array(32).fill(7)
const nonce = new Uint8Array(24).fill(9)
const message = Buffer.from("hello")

describe("a secret box", () => {
  it("opens with its key and nonce, whole", () => {
    const box = secretBox(message, nonce, key)
    assert.strictEqual(boxNonceBytes, 24)
    assert.strictEqual(box.length, message.length + boxTagBytes)
    assert.deepStrictEqual(Buffer.from(openSecretBox(box, nonce, key) ?? []), message)
    assert.deepStrictEqual(
      Buffer.from(openSecretBox(secretBox(new Uint8Array(0), nonce, key), nonce, key) ?? [1]),
      Buffer.alloc(0)
    )
    assert.isUndefined(openSecretBox(box, nonce, new Uint8Array(32)))
    assert.isUndefined(openSecretBox(box, new Uint8Array(24), key))
    assert.isUndefined(openSecretBox(box.map((byte, n) => n === 0 ? byte ^ 1 : byte), nonce, key))
    for (const length of [0, 1, boxTagBytes - 1]) assert.isUndefined(openSecretBox(new Uint8Array(length), nonce, key))
  })

  it("takes no nonce and no key of another size", () => {
    for (const length of [0, 23, 25]) {
      const short = new Uint8Array(length)
      assert.throws(() => secretBox(message, short, key), RangeError)
      assert.throws(() => openSecretBox(new Uint8Array(32), short, key), RangeError)
    }
    for (const length of [0, 31, 33]) {
      const short = new Uint8Array(length)
      assert.throws(() => secretBox(message, nonce, short), RangeError)
      assert.throws(() => openSecretBox(new Uint8Array(32), nonce, short), RangeError)
    }
  })
})

/** Points of low order, whose secret with any key is zero. Source: RFC 7748 §6.1 and cr.yp.to/ecdh.html. */
const lowOrder = [
  "00".repeat(32),
  `01${"00".repeat(31)}`,
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  `ec${"ff".repeat(30)}7f`
].map((hex) => Buffer.from(hex, "hex"))

describe("a pair of keys", () => {
  const a = boxKeyFromPrivate(Buffer.alloc(32, 7))
  // Bob's of RFC 7748 §6.1.
  const b = boxKeyFromPrivate(Buffer.from("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", "hex"))

  it("has one secret, whichever side computes it, and one box key", () => {
    assert.strictEqual(
      Buffer.from(b.publicKey).toString("hex"),
      "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    )
    assert.match(b.keyId, /^[0-9a-f]{16}$/)
    assert.deepStrictEqual(x25519(a.privateKey, b.publicKey), x25519(b.privateKey, a.publicKey))
    const shared = sharedKey(a.privateKey, b.publicKey)
    assert.deepStrictEqual(shared, sharedKey(b.privateKey, a.publicKey))
    assert.strictEqual(shared?.length, 32)
    assert.notDeepEqual(Buffer.from(shared ?? []), Buffer.from(x25519(a.privateKey, b.publicKey) ?? []))
  })

  it("takes no key of another length, and no point whose secret anybody knows", () => {
    for (const peer of [...lowOrder, new Uint8Array(0), new Uint8Array(31).fill(9), new Uint8Array(33).fill(9)]) {
      assert.isUndefined(x25519(a.privateKey, peer))
      assert.isUndefined(sharedKey(a.privateKey, peer))
      assert.isUndefined(sealBox(message, peer, a))
    }
    for (const length of [0, 31, 33]) assert.throws(() => boxKeyFromPrivate(new Uint8Array(length)), RangeError)
    const [one, two] = [generateBoxPrivate(), generateBoxPrivate()]
    assert.strictEqual(one.length, 32)
    assert.notDeepEqual(one, two)
    assert.strictEqual(boxKeyFromPrivate(one).publicKey.length, 32)
  })

  it("seals for one, who opens it whole; nothing else, shorter or changed is opened", () => {
    for (const text of [message, Buffer.alloc(0)]) {
      const sealed = sealBox(text, b.publicKey, a) ?? new Uint8Array(0)
      assert.strictEqual(sealed.length, text.length + sealedBoxOverhead)
      assert.deepStrictEqual(Buffer.from(sealed.subarray(0, 32)), Buffer.from(a.publicKey))
      assert.deepStrictEqual(Buffer.from(openSealedBox(sealed, b) ?? [1]), text)
      assert.isUndefined(openSealedBox(sealed, a))
      for (const at of [0, 32, sealed.length - 1]) {
        assert.isUndefined(
          openSealedBox(Buffer.from(sealed.map((byte, n) => n === at ? byte ^ 1 : byte)), b),
          String(at)
        )
      }
    }
    for (const length of [0, 32, 47, 48]) assert.isUndefined(openSealedBox(new Uint8Array(length), b))
    assert.strictEqual(sealedBoxOverhead, 48)
  })
})
