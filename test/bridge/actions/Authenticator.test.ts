/** How long a bridge goes by what it read: keys and revocations that another process writes, on a clock that we move. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Logger, Redacted } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { Authenticator } from "../../../bridge/actions/Authenticator.ts"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { bridgePinPath } from "../../../runtime/domain/identity/Revocations.ts"
import { directoryMaxAgeMillis, directoryMissRestMillis } from "../../../runtime/ports/Directory.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import * as MemoryIdentities from "../../../runtime/ports/memory/MemoryIdentities.ts"
import { makeMemoryIdentitiesState } from "../../../runtime/ports/memory/MemoryIdentities.ts"
import * as MemoryLeases from "../../../runtime/ports/memory/MemoryLeases.ts"
import * as MemorySecrets from "../../../runtime/ports/memory/MemorySecrets.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { OtherProcess } from "../../runtime/ports/identitiesContract.ts"
import { certified, certifier, host, install, sandbox, sandboxKey, signedV2 } from "../world.ts"

const scene = Layer.suspend(() => {
  const state = makeMemoryIdentitiesState()
  return Authenticator.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(
      MemoryIdentities.layerOver(state),
      OtherProcess.layer.pipe(Layer.provide(Layer.fresh(MemoryIdentities.layerOver(state)))),
      MemoryLeases.layer,
      MemorySecrets.layer,
      Logger.layer([]),
      BridgeSettings.layer({
        install,
        host,
        publicUrl: "http://bridge.test",
        certifierPublicKey: certifier.publicKey,
        slackApiUrl: "http://127.0.0.1:1/",
        operators: new Set(),
        rateScale: 1
      })
    ))
  )
})

/** The verdict on a request that is signed now. */
const verdict = Effect.fnUntraced(function*(key = sandboxKey) {
  const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const { body, headers } = signedV2("a", { action: "whoami" }, { key, timestamp })
  const { check } = yield* Authenticator
  return yield* check({ method: "POST", path: "/v2", headers, body: Buffer.from(body) }).pipe(
    Effect.as("taken" as const),
    Effect.catch(({ code }) => Effect.succeed(code))
  )
})
const test = <E>(
  name: string,
  body: (other: Identities["Service"]) => Effect.Effect<void, E, Authenticator | Secrets>
) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.now())
      const other = yield* OtherProcess
      yield* other.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
      yield* body(other)
    }).pipe(Effect.provide(scene)))

const revocation = signRevocation(certifier, {
  version: 1,
  install,
  number: 1,
  subject: sandbox,
  keyId: sandboxKey.keyId,
  reason: "lost",
  at: Math.floor(Date.now() / 1_000)
})

/** The verdict on a request with these headers in place of its own. */
const withHeaders = Effect.fnUntraced(
  function*(changes: Record<string, string>, options: { readonly skew?: number } = {}) {
    const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1_000) + (options.skew ?? 0)
    const { body, headers } = signedV2("a", { action: "whoami" }, { timestamp })
    const { check } = yield* Authenticator
    return yield* check({ method: "POST", path: "/v2", headers: { ...headers, ...changes }, body: Buffer.from(body) })
      .pipe(
        Effect.as("taken" as const),
        Effect.catch(({ code }) => Effect.succeed(code))
      )
  }
)

describe("the headers of a request", () => {
  test("have one form each: what has another is not looked at any further", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* withHeaders({}), "taken")
      const odd: Readonly<Record<string, ReadonlyArray<string>>> = {
        "km-install": ["", "KM", "-km"],
        "km-sender": ["", "someone", "sb-"],
        "km-key": ["", "0123456789abcde", "0123456789ABCDEF"],
        "km-epoch": ["", "01", "-1", "1.5", "x1", "1x", " 1", "1234567890123456"],
        "km-id": ["", "short"],
        "km-timestamp": ["", "12345678", "1234567890123", "x1234567890", "1234567890x", "1234.56789"],
        "km-signature": ["", "A".repeat(79), "A".repeat(501), `${"A".repeat(86)}!!`, `!${"A".repeat(88)}`]
      }
      for (const [name, values] of Object.entries(odd)) {
        for (const value of values) {
          assert.strictEqual(yield* withHeaders({ [name]: value }), "bad_header", `${name}: ${value}`)
        }
      }
      // Of the right form, and not what was signed.
      for (
        const [name, value] of [["km-epoch", "123456789012345"], ["km-signature", "A".repeat(80)], [
          "km-signature",
          "A".repeat(500)
        ]] as const
      ) {
        assert.strictEqual(yield* withHeaders({ [name]: value }), "unauthenticated", name)
      }
      for (const timestamp of ["123456789", "123456789012"]) {
        assert.strictEqual(yield* withHeaders({ "km-timestamp": timestamp }), "stale_timestamp")
      }
    }))

  test("are of five minutes around now", () =>
    Effect.gen(function*() {
      for (
        const [skew, expected] of [[300, "taken"], [301, "stale_timestamp"], [-300, "taken"], [
          -301,
          "stale_timestamp"
        ]] as const
      ) {
        assert.strictEqual(yield* withHeaders({}, { skew }), expected, String(skew))
      }
    }))

  test("carry four signatures at most, of which one must hold", () =>
    Effect.gen(function*() {
      const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const { headers } = signedV2("a", { action: "whoami" }, { timestamp })
      const own = headers["km-signature"] ?? ""
      const other = Buffer.alloc(64).toString("base64")
      for (
        const [value, expected] of [
          [`${other},${own}`, "taken"],
          [`${other}, ${other} ${own}`, "taken"],
          [[other, other, other, own].join(","), "taken"],
          [[other, other, other, other, own].join(","), "unauthenticated"],
          [[other, other].join(","), "unauthenticated"]
        ] as const
      ) assert.strictEqual(yield* withHeaders({ "km-signature": value }), expected)
    }))

  test("name a key whose certificate has not ended", (other) =>
    Effect.gen(function*() {
      const young = signingKeyFromSeed(new Uint8Array(32).fill(6))
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      yield* TestClock.setTime(now * 1_000)
      yield* other.put(sandbox, "bridge", young.keyId, certified(sandbox, young, { notAfter: now + 10 }))
      yield* TestClock.adjust(9_999)
      assert.strictEqual(yield* verdict(young), "taken")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* verdict(young), "unauthenticated")
    }))
})

describe("what the bridge read of the directory", () => {
  test("a key that another process revokes is taken for 30 s at most, half of what is promised", (other) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* verdict(), "taken")
      yield* other.revoke(1, revocation)
      yield* TestClock.adjust(directoryMaxAgeMillis - 1)
      // Not a promise, but it shows that the sentence below is about the copy.
      assert.strictEqual(yield* verdict(), "taken")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* verdict(), "revoked_key")
    }))

  test("use does not make the copy last longer, and neither does looking for strangers", (other) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* verdict(), "taken")
      yield* other.revoke(1, revocation)
      for (let second = 0; second < 29; second++) {
        yield* TestClock.adjust("1 second")
        yield* verdict()
      }
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* verdict(), "revoked_key")
    }))

  test("a key that another process made a moment ago is found, for strangers the store is asked once a second", (other) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* verdict(), "taken")
      const young = signingKeyFromSeed(new Uint8Array(32).fill(6))
      yield* TestClock.adjust(directoryMissRestMillis)
      assert.strictEqual(yield* verdict(young), "unauthenticated")
      yield* other.put(sandbox, "bridge", young.keyId, certified(sandbox, young))
      assert.strictEqual(yield* verdict(young), "unauthenticated")
      yield* TestClock.adjust(directoryMissRestMillis)
      assert.strictEqual(yield* verdict(young), "taken")
    }))

  test("a copy that is older than the last revocation it was told of is no changed directory", (other) =>
    Effect.gen(function*() {
      const secrets = yield* Secrets
      const young = signingKeyFromSeed(new Uint8Array(32).fill(6))
      yield* other.put(sandbox, "bridge", young.keyId, certified(sandbox, young))
      // An unknown key makes the copy before its revocations were ever looked at.
      assert.strictEqual(yield* verdict(signingKeyFromSeed(new Uint8Array(32).fill(7))), "unauthenticated")
      yield* other.revoke(1, revocation)
      yield* secrets.put(bridgePinPath, Redacted.make("1"))
      assert.strictEqual(yield* verdict(young), "taken")
      assert.strictEqual(yield* verdict(), "revoked_key")
    }))
})
