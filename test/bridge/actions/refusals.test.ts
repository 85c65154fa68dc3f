import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Redacted } from "effect"
import { signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { bridgePinPath } from "../../../runtime/domain/identity/Revocations.ts"
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Leases } from "../../../runtime/ports/Leases.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import {
  bridgeOver,
  callV2,
  certified,
  certifier,
  codeOf,
  furnish,
  install,
  otherSandbox,
  sandbox,
  sandboxKey
} from "../world.ts"
import { partsOf, scene } from "./scene.ts"

describe("POST /v2 refuses", () => {
  it.live("in the order of the protocol, with a stable code, and stores nothing", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const stranger = signingKeyFromSeed(new Uint8Array(32).fill(9))
        const now = Math.floor(Date.now() / 1000)
        const post = { action: "post", channel, threadTs: ts, markdown: "x" }
        const foreign = { ...post, channel: "C0FOREIGN1" }
        const cases: ReadonlyArray<readonly [string, number, string, ReturnType<typeof callV2>]> = [
          ["over the cap", 413, "too_large", callV2("a", post, { body: " ".repeat(1024 * 1024 + 1) })],
          ["a missing header", 400, "bad_header", callV2("a", post, { headers: { "km-id": "short" } })],
          ["stale", 401, "stale_timestamp", callV2("a", post, { timestamp: now - 302 })],
          ["future", 401, "stale_timestamp", callV2("a", post, { timestamp: now + 302 })],
          ["an unknown sender", 401, "unauthenticated", callV2("a", post, { sender: otherSandbox })],
          ["another key", 401, "unauthenticated", callV2("a", post, { key: stranger })],
          [
            "another host",
            401,
            "unauthenticated",
            callV2("a", post, { host: "elsewhere.test", headers: { host: "elsewhere.test" } })
          ],
          [
            "a changed header",
            401,
            "unauthenticated",
            callV2("a", post, { headers: { "km-id": requestIdOf("other") } })
          ],
          ["another install", 401, "unauthenticated", callV2("a", post, { headers: { "km-install": "other" } })],
          ["not UTF-8", 400, "bad_request", callV2("a", post, { body: Buffer.from([0xff]) })],
          ["not JSON", 400, "bad_request", callV2("a", post, { body: "{" })],
          [
            "half a character",
            400,
            "bad_request",
            callV2("a", post, { body: JSON.stringify({ ...post, markdown: "\ud83d" }) })
          ],
          ["an unknown action", 400, "unknown_action", callV2("a", { action: "explode" })],
          ["a wrong field", 400, "bad_request", callV2("a", { ...post, channel: "nowhere" })],
          ["a blank text", 400, "bad_request", callV2("a", { ...post, markdown: " \n " })],
          ["a foreign channel", 403, "forbidden", callV2("a", foreign)],
          ["another's message", 403, "forbidden", callV2("a", { action: "update", channel, ts, markdown: "x" })],
          ["an operator's action", 403, "forbidden", callV2("a", { action: "archive", channel })]
        ]
        for (const [what, status, code, call] of cases) {
          const answer = yield* call
          assert.deepStrictEqual([answer.status, codeOf(answer)], [status, code], what)
        }
        const thread = yield* workspace.thread(channel, ts)
        assert.lengthOf(thread?.replies ?? [], 0)
        // The id is as fresh as if nobody had used it.
        const begun = yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("a"), "", 1)
        assert.strictEqual(begun._tag, "Fresh")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("unknown senders and bad signatures in the same words", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const action = { action: "permalink", channel, ts: "1700000000.000001" }
        const unknown = yield* callV2("a", action, { sender: otherSandbox })
        const wrong = yield* callV2("a", action, { key: signingKeyFromSeed(new Uint8Array(32).fill(9)) })
        assert.deepStrictEqual(unknown.json, wrong.json)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("revoked and expired keys, and a runtime that another has replaced", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const identities = yield* Identities
        const old = signingKeyFromSeed(new Uint8Array(32).fill(4))
        const gone = signingKeyFromSeed(new Uint8Array(32).fill(5))
        const now = Math.floor(Date.now() / 1000)
        yield* identities.put(sandbox, "bridge", old.keyId, certified(sandbox, old, { notAfter: now - 1 }))
        yield* identities.put(sandbox, "bridge", gone.keyId, certified(sandbox, gone))
        yield* identities.revoke(
          1,
          signRevocation(certifier, {
            version: 1,
            install,
            number: 1,
            subject: sandbox,
            keyId: gone.keyId,
            reason: "lost",
            at: now
          })
        )
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual(codeOf(yield* callV2("a", react, { key: old })), "unauthenticated")
        assert.strictEqual(codeOf(yield* callV2("a", react, { key: gone })), "revoked_key")
        const leases = yield* Leases
        yield* leases.acquire(sandbox, "first")
        const taken = yield* leases.acquire(sandbox, "first")
        const epoch = taken._tag === "Some" ? taken.value.epoch : 0
        assert.strictEqual(codeOf(yield* callV2("a", react, { epoch: String(epoch - 1) })), "stale_epoch")
        assert.strictEqual((yield* callV2("a", react, { epoch: String(epoch) })).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a key that it knew as good, within 60 s of its revocation", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual((yield* callV2("a", react)).status, 200)
        const at = Math.floor(Date.now() / 1000)
        const { keyId } = sandboxKey
        const words = { version: 1, install, number: 1, subject: sandbox, keyId, reason: "lost", at } as const
        yield* (yield* Identities).revoke(1, signRevocation(certifier, words))
        const clock = yield* Clock.Clock
        const inAMinute: Clock.Clock = {
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + 59_000,
          currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + 59_000),
          currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
          currentTimeNanos: clock.currentTimeNanos,
          monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
          monotonicTimeNanos: clock.monotonicTimeNanos,
          sleep: (duration) => clock.sleep(duration)
        }
        const answer = yield* Effect.provideService(callV2("b", react), Clock.Clock, inAMinute)
        assert.strictEqual(codeOf(answer), "revoked_key")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a replaced key from its end on, not before", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const now = Math.floor(Date.now() / 1000)
        const ending = signingKeyFromSeed(new Uint8Array(32).fill(7))
        const ended = signingKeyFromSeed(new Uint8Array(32).fill(8))
        const identities = yield* Identities
        for (const [n, key, until] of [[1, ending, now + 250], [2, ended, now]] as const) {
          yield* identities.put(sandbox, "bridge", key.keyId, certified(sandbox, key))
          const words = {
            version: 1,
            install,
            number: n,
            subject: sandbox,
            keyId: key.keyId,
            reason: "replaced",
            at: now
          }
          yield* identities.revoke(n, signRevocation(certifier, { ...words, version: 1, until }))
        }
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual((yield* callV2("a", react, { key: ending })).status, 200)
        assert.strictEqual(codeOf(yield* callV2("b", react, { key: ended })), "revoked_key")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("everybody, while a revocation is missing that it was told of", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Secrets).put(bridgePinPath, Redacted.make("1"))
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual(codeOf(yield* callV2("a", react)), "unavailable")
        const at = Math.floor(Date.now() / 1000)
        const words = { version: 1, install, number: 1, subject: otherSandbox, keyId: sandboxKey.keyId } as const
        yield* (yield* Identities).revoke(1, signRevocation(certifier, { ...words, reason: "lost", at }))
        assert.strictEqual((yield* callV2("b", react)).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("no key that was certified a moment ago, though the sender's others are remembered", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual((yield* callV2("a", react)).status, 200)
        const fresh = signingKeyFromSeed(new Uint8Array(32).fill(6))
        yield* (yield* Identities).put(sandbox, "bridge", fresh.keyId, certified(sandbox, fresh))
        assert.strictEqual((yield* callV2("b", react, { key: fresh })).status, 200)
        assert.strictEqual((yield* callV2("c", react)).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("in a shared channel, threads and messages that the sandbox did not start", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Sandboxes).update(sandbox, { channelMode: "shared" })
        yield* (yield* Posts).record({ sender: otherSandbox, channel, ts })
        const refused = [
          { action: "post", channel, threadTs: ts, markdown: "x" },
          { action: "react", channel, ts, emoji: "eyes" },
          { action: "update", channel, ts, markdown: "x" }
        ]
        for (const action of refused) assert.strictEqual(codeOf(yield* callV2("a", action)), "forbidden", action.action)
        const [own] = partsOf(yield* callV2("b", { action: "post", channel, markdown: "a notice" }))
        assert.strictEqual(
          (yield* callV2("c", { action: "post", channel, threadTs: own, markdown: "more" })).status,
          200
        )
        assert.strictEqual((yield* callV2("d", { action: "react", channel, ts: own, emoji: "eyes" })).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
