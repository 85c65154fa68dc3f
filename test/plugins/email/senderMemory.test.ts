/** A memory of what rows said must never answer for other rows: each change of the directory counts at once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeSenderMemory } from "../../../plugins/email/SenderMemory.ts"
import { signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { alice, bob, certificate, certifier, install, now } from "./world.ts"

const revoke = (number: number, { key, sender }: typeof alice) =>
  signRevocation(certifier, {
    version: 1,
    install,
    number,
    subject: sender,
    keyId: key.keyId,
    reason: "test",
    at: now
  })

const rowsOf = ({ addresses, box, key, sender }: typeof alice) => ({
  sender,
  mail: [certificate(sender, addresses, "mail", key)],
  boxes: [certificate(sender, [], "mail-box", box)]
})

const memoryOf = () => makeSenderMemory({ certifierPublicKey: certifier.publicKey, install })

describe("SenderMemory", () => {
  it.effect("checks the same rows once, and other rows anew", () =>
    Effect.gen(function*() {
      const memory = memoryOf()
      const none = yield* memory.revocations([], 0)
      const known = memory.sender(rowsOf(alice), none)
      assert.strictEqual(memory.sender(rowsOf(alice), yield* memory.revocations([], 0)), known)
      assert.isFalse(known?.keys[0]?.revoked)
      // Another sender with the same rows: they are not that sender's.
      assert.isUndefined(memory.sender({ ...rowsOf(alice), sender: bob.sender }, none))
      const forged = { ...rowsOf(alice), mail: [{ ...rowsOf(alice).mail[0] ?? assert.fail(), signature: "" }] }
      assert.isUndefined(memory.sender(forged, none))
      assert.deepStrictEqual(memory.sender({ ...rowsOf(alice), boxes: [] }, none)?.boxes, [])

      const one = yield* memory.revocations([revoke(1, alice)], 0)
      assert.isTrue(memory.sender(rowsOf(alice), one)?.keys[0]?.revoked)
      assert.isFalse(memory.sender(rowsOf(bob), one)?.keys[0]?.revoked)
      // Whoever still has the earlier answer gets what was true for it, not more.
      assert.strictEqual(memory.sender(rowsOf(alice), none), known)
    }))

  it.effect("never takes fewer revocations than its caller has seen, known rows or not", () =>
    Effect.gen(function*() {
      const memory = memoryOf()
      const rows = [revoke(1, alice), revoke(2, bob)]
      assert.strictEqual((yield* memory.revocations(rows, 0)).revocations.highest, 2)
      assert.strictEqual((yield* Effect.flip(memory.revocations(rows, 3))).reason, "rolled-back")
      assert.strictEqual((yield* Effect.flip(memory.revocations(rows.slice(0, 1), 2))).reason, "rolled-back")
      assert.strictEqual((yield* Effect.flip(memory.revocations(rows.slice(1), 0))).reason, "missing-revocation")
      assert.strictEqual((yield* memory.revocations(rows, 2)).revocations.highest, 2)
    }))
})
