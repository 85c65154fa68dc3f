/** What every directory of keys must do: keep history and revocations, renew, and leave tombstones for 30 days. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { KeyId, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { directoryHolding, directoryMaxAgeMillis, directoryMissRestMillis } from "../../../runtime/ports/Directory.ts"
import { Identities, tombstoneMillis } from "../../../runtime/ports/Identities.ts"
import { type Engine, timeOf } from "./Engine.ts"

const one = SandboxId.make("sb-00000001")
const keyId = (n: number): KeyId => KeyId.make(`000000000000000${n}`)
const key = (text: string) => ({ certificate: `{"n":"${text}"}`, signature: `sig-${text}` })
const revocation = (text: string) => ({ revocation: text, signature: "sig" })

/** The same store as another process sees it, with a copy of its own. */
export class OtherProcess extends Context.Service<OtherProcess, Identities["Service"]>()("km/test/OtherProcess") {
  static readonly layer = Layer.effect(OtherProcess, Identities)
}

export const identitiesContract = <LE>(engine: Engine<Identities | OtherProcess, LE>): void => {
  const { almost, exact, over, passTime } = timeOf(engine)
  const test = <E>(
    name: string,
    body: (identities: Identities["Service"], other: Identities["Service"]) => Effect.Effect<void, E>
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* body(yield* Identities, yield* OtherProcess)
      }).pipe(Effect.provide(engine.layer)))

  test("keeps a sender's keys by purpose, in order, and renews one in place", (identities) =>
    Effect.gen(function*() {
      yield* identities.put(one, "bridge", keyId(2), key("a"))
      yield* identities.put(one, "bridge", keyId(1), key("b"))
      yield* identities.put(one, "mail", keyId(1), key("m"))
      yield* identities.put("operator", "operator", keyId(1), key("o"))
      yield* identities.put(one, "bridge", keyId(2), key("a2"))
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf(one, "bridge"), [key("a2"), key("b")])
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf(one, "mail"), [key("m")])
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf("operator", "operator"), [key("o")])
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf("operator", "bridge"), [])
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
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf(one, "mail"), [key("a")])
      yield* over
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf(one, "mail"), [])
      assert.deepStrictEqual((yield* identities.directoryNow).keysOf("operator", "mail"), [key("o")])
      assert.deepStrictEqual((yield* identities.directoryNow).subjects, ["operator"])
      yield* identities.retire(SandboxId.make("sb-00000002"))
      assert.deepStrictEqual((yield* identities.directoryNow).subjects, ["operator"])
    }))

  test("names everybody who has rows, also the retired", (identities) =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* identities.directoryNow).subjects, [])
      yield* identities.put(one, "mail", keyId(1), key("a"))
      yield* identities.put(one, "bridge", keyId(2), key("b"))
      yield* identities.put("operator", "operator", keyId(3), key("o"))
      yield* identities.retire(one)
      assert.deepStrictEqual((yield* identities.directoryNow).subjects.toSorted(), ["operator", one])
    }))

  test("revocations come in order of their numbers; a taken number is refused, not replaced", (identities) =>
    Effect.gen(function*() {
      yield* identities.revoke(2, revocation("second"))
      yield* identities.revoke(1, revocation("first"))
      yield* identities.revoke(2, revocation("second"))
      const refused = yield* Effect.flip(identities.revoke(2, revocation("other")))
      assert.strictEqual(refused.reason, "Unavailable")
      assert.deepStrictEqual((yield* identities.directoryNow).revocations, [revocation("first"), revocation("second")])
    }))

  test("is one value, with who is whose and what was revoked", (identities) =>
    Effect.gen(function*() {
      yield* identities.put(one, "mail", keyId(1), key("a"))
      yield* identities.put(one, "mail", keyId(2), key("b"))
      yield* identities.revoke(1, revocation("first"))
      const { holds, keysOf, revocations } = yield* identities.directory
      assert.deepStrictEqual(keysOf(one, "mail"), [key("a"), key("b")])
      assert.deepStrictEqual([holds(one, keyId(2)), holds(one, keyId(3)), holds("operator", keyId(1))], [
        true,
        false,
        false
      ])
      assert.deepStrictEqual(revocations, [revocation("first")])
    }))

  test(
    "is the same value until 30 s are over, and then shows what another process wrote",
    (identities, other) =>
      Effect.gen(function*() {
        const before = yield* identities.directory
        yield* other.put(one, "mail", keyId(1), key("a"))
        yield* other.revoke(1, revocation("first"))
        yield* almost(directoryMaxAgeMillis)
        assert.strictEqual(yield* identities.directory, before)
        yield* over
        const after = yield* identities.directory
        assert.deepStrictEqual([after.keysOf(one, "mail"), after.revocations], [[key("a")], [revocation("first")]])
      })
  )

  test(
    "read anew it shows at once what another process wrote, also to who asks for the copy then",
    (identities, other) =>
      Effect.gen(function*() {
        yield* identities.directory
        yield* other.put(one, "mail", keyId(1), key("a"))
        const fresh = yield* identities.directoryNow
        assert.deepStrictEqual(fresh.keysOf(one, "mail"), [key("a")])
        assert.strictEqual(yield* identities.directory, fresh)
      })
  )

  test("shows at once what its own process wrote", (identities) =>
    Effect.gen(function*() {
      yield* identities.directory
      yield* identities.put(one, "mail", keyId(1), key("a"))
      assert.deepStrictEqual((yield* identities.directory).keysOf(one, "mail"), [key("a")])
      yield* identities.revoke(1, revocation("first"))
      assert.deepStrictEqual((yield* identities.directory).revocations, [revocation("first")])
      yield* identities.retire(one)
      yield* passTime(tombstoneMillis)
      yield* identities.put("operator", "operator", keyId(2), key("o"))
      assert.deepStrictEqual((yield* identities.directory).subjects, ["operator"])
    }))

  test(
    "what another process made a moment ago is looked for in the store, once a second at most",
    (identities, other) =>
      Effect.gen(function*() {
        yield* identities.directory
        yield* other.put(one, "mail", keyId(1), key("a"))
        yield* passTime(directoryMissRestMillis)
        const holds = (n: number) =>
          Effect.map(
            directoryHolding(identities, (found) => found.holds(one, keyId(n)), {
              restMillis: directoryMissRestMillis
            }),
            (found) => found.holds(one, keyId(n))
          )
        assert.isTrue(yield* holds(1))
        const copy = yield* identities.directory
        yield* other.put(one, "mail", keyId(2), key("b"))
        yield* holds(2)
        // A second may be over by itself on a clock that is not ours.
        if (exact) assert.strictEqual(yield* identities.directory, copy)
        yield* passTime(directoryMissRestMillis)
        assert.isTrue(yield* holds(2))
      })
  )
}
