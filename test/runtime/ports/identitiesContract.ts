/** What every directory of keys must do: keep history and revocations, renew, and leave tombstones for 30 days. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { KeyId, SandboxId } from "../../../runtime/domain/Ids.ts"
import { Identities, tombstoneMillis } from "../../../runtime/ports/Identities.ts"
import { type Engine, timeOf } from "./Engine.ts"

const one = SandboxId.make("sb-00000001")
const keyId = (n: number): KeyId => KeyId.make(`000000000000000${n}`)
const key = (text: string) => ({ certificate: `{"n":"${text}"}`, signature: `sig-${text}` })
const revocation = (text: string) => ({ revocation: text, signature: "sig" })

export const identitiesContract = <LE>(engine: Engine<Identities, LE>): void => {
  const { almost, passTime, over } = timeOf(engine)
  const test = <E>(name: string, body: (identities: Identities["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Identities, body), engine.layer))

  test("keeps a sender's keys by purpose, in order, and renews one in place", (identities) =>
    Effect.gen(function*() {
      yield* identities.put(one, "bridge", keyId(2), key("a"))
      yield* identities.put(one, "bridge", keyId(1), key("b"))
      yield* identities.put(one, "mail", keyId(1), key("m"))
      yield* identities.put("operator", "operator", keyId(1), key("o"))
      yield* identities.put(one, "bridge", keyId(2), key("a2"))
      assert.deepStrictEqual(yield* identities.keys(one, "bridge"), [key("a2"), key("b")])
      assert.deepStrictEqual(yield* identities.keys(one, "mail"), [key("m")])
      assert.deepStrictEqual(yield* identities.keys("operator", "operator"), [key("o")])
      assert.deepStrictEqual(yield* identities.keys("operator", "bridge"), [])
    }))

  test("a retired sender's keys stay 30 days", (identities) =>
    Effect.gen(function*() {
      yield* identities.put(one, "mail", keyId(1), key("a"))
      yield* identities.put("operator", "mail", keyId(2), key("o"))
      yield* passTime("1 hour")
      yield* identities.retire(one)
      yield* passTime("1 hour")
      yield* identities.retire(one)
      yield* almost(tombstoneMillis - 3_600_000)
      assert.deepStrictEqual(yield* identities.keys(one, "mail"), [key("a")])
      yield* over
      assert.deepStrictEqual(yield* identities.keys(one, "mail"), [])
      assert.deepStrictEqual(yield* identities.keys("operator", "mail"), [key("o")])
      assert.deepStrictEqual(yield* identities.subjects, ["operator"])
      yield* identities.retire(SandboxId.make("sb-00000002"))
      assert.deepStrictEqual(yield* identities.subjects, ["operator"])
    }))

  test("names everybody who has rows, also the retired", (identities) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* identities.subjects, [])
      yield* identities.put(one, "mail", keyId(1), key("a"))
      yield* identities.put(one, "bridge", keyId(2), key("b"))
      yield* identities.put("operator", "operator", keyId(3), key("o"))
      yield* identities.retire(one)
      assert.deepStrictEqual((yield* identities.subjects).toSorted(), ["operator", one])
    }))

  test("revocations come in order of their numbers; a taken number is refused, not replaced", (identities) =>
    Effect.gen(function*() {
      yield* identities.revoke(2, revocation("second"))
      yield* identities.revoke(1, revocation("first"))
      yield* identities.revoke(2, revocation("second"))
      const refused = yield* Effect.flip(identities.revoke(2, revocation("other")))
      assert.strictEqual(refused.reason, "Unavailable")
      assert.deepStrictEqual(yield* identities.revocations, [revocation("first"), revocation("second")])
    }))
}
