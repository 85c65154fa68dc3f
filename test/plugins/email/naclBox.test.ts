/** Boxes of fixed sizes: what has another size is no nonce, no key and no box. */
import { assert, describe, it } from "@effect/vitest"
import { boxNonceBytes, boxTagBytes, openSecretBox, secretBox } from "../../../plugins/email/protocol/naclBox.ts"

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
