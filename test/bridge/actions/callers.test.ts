/** Who a request's sender is: headers, clocks, caches and rotated keys; and what the answers carry. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { signingKeyFromSeed, signText } from "../../../runtime/domain/identity/Ed25519.ts"
import { bridgePinPath } from "../../../runtime/domain/identity/Revocations.ts"
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Leases } from "../../../runtime/ports/Leases.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { bridgeOverScript, channel, limited, scriptedSlack, secretsStored, threadTs, unclear } from "../scripted.ts"
import {
  callV2,
  certified,
  certifier,
  codeOf,
  install,
  operatorKey,
  otherSandbox,
  rowOf,
  sandbox,
  sandboxKey,
  send,
  signedV2,
  type V2Options
} from "../world.ts"
import { bytes, upload } from "./scene.ts"

const react = { action: "react", channel, ts: threadTs, emoji: "eyes" }

const furnished = Effect.gen(function*() {
  yield* secretsStored
  const identities = yield* Identities
  yield* identities.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
  yield* identities.put("operator", "operator", operatorKey.keyId, certified("operator", operatorKey))
  yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
})
/** A request that is signed now, by the test's clock. */
const call = Effect.fnUntraced(function*(key: string, action: object = react, options: V2Options = {}) {
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  return yield* callV2(key, action, { timestamp: now, ...options })
})
const okay = Effect.map(call("ok"), (answer) => codeOf(answer) ?? answer.status)
/** The time first: what the bridge does every two seconds would be done for each since 1970. */
const bridge =
  (slack = scriptedSlack(), options: Parameters<typeof bridgeOverScript>[1] = {}) =>
  <A, E>(test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof bridgeOverScript>>>) =>
    Effect.andThen(TestClock.setTime(Date.now()), Effect.provide(test, bridgeOverScript(slack, options)))

describe("a caller", () => {
  it.effect("is let in with a clock that is five minutes off, and no more", () =>
    Effect.gen(function*() {
      yield* furnished
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      for (
        const [off, code] of [[300, undefined], [-300, undefined], [301, "stale_timestamp"], [
          -301,
          "stale_timestamp"
        ]] as const
      ) {
        assert.strictEqual(codeOf(yield* call(`${off}`, react, { timestamp: now + off })), code, String(off))
      }
    }).pipe(bridge()))

  it.effect("needs each header in its form", () =>
    Effect.gen(function*() {
      yield* furnished
      const { headers } = signedV2("a", react)
      const wrong: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
        ["km-install", ["", "UPPER"]],
        ["km-sender", ["", "root"]],
        ["km-key", ["", "short"]],
        ["km-epoch", ["", "01", "-1", "1x", "x1", "1234567890123456"]],
        ["km-id", ["", "short"]],
        ["km-timestamp", ["", "12345678", "1234567890123", "1700000000x", "x1700000000"]],
        ["km-signature", ["", "short", `${headers["km-signature"]}!`, `!${headers["km-signature"]}`]]
      ]
      for (const [name, values] of wrong) {
        for (const value of values) {
          const answer = yield* call("a", react, { headers: { [name]: value } })
          assert.strictEqual(codeOf(answer), "bad_header", `${name}: ${value}`)
        }
      }
      assert.strictEqual((yield* call("b", react, { epoch: "123456789012345" })).status, 200)
    }).pipe(bridge()))

  it.effect("may sign with several keys while one is rotated, four at most", () =>
    Effect.gen(function*() {
      yield* furnished
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const { headers } = signedV2("a", react, { timestamp: now })
      const own = headers["km-signature"] ?? ""
      const other = signText(signingKeyFromSeed(new Uint8Array(32).fill(9)), "x")
      const signed = (...signatures: ReadonlyArray<string>) =>
        call("a", react, { timestamp: now, headers: { "km-signature": signatures.join(", ") } })
      assert.strictEqual((yield* signed(other, other, other, own)).status, 200)
      assert.strictEqual((yield* signed(own, other)).status, 200)
      assert.strictEqual(codeOf(yield* signed(other, other, other, other, own)), "unauthenticated")
      assert.strictEqual(codeOf(yield* signed(other)), "unauthenticated")
    }).pipe(bridge()))

  it.effect("signs the path without its query", () =>
    Effect.gen(function*() {
      yield* furnished
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const { body, headers } = signedV2("a", react, { timestamp: now })
      assert.strictEqual((yield* send("POST", "/v2?x=1", headers, body)).status, 200)
      assert.strictEqual((yield* send("POST", "/v2/?x=1", headers, body)).status, 404)
    }).pipe(bridge()))

  it.effect("is judged by keys that are thirty seconds old at most, and only by its own", () =>
    Effect.gen(function*() {
      yield* furnished
      const identities = yield* Identities
      assert.strictEqual(yield* okay, 200)
      // A certificate for somebody else, another purpose, another install or by another certifier is none.
      const key = signingKeyFromSeed(new Uint8Array(32).fill(6))
      for (const certificate of [certified(otherSandbox, key), certified("operator", key)]) {
        yield* identities.put(sandbox, "bridge", key.keyId, certificate)
        assert.strictEqual(codeOf(yield* call("x", react, { key })), "unauthenticated")
      }
      yield* identities.put(sandbox, "bridge", key.keyId, certified(sandbox, key))
      assert.strictEqual((yield* call("y", react, { key })).status, 200)
      // Its end is looked at in what is remembered too.
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const brief = signingKeyFromSeed(new Uint8Array(32).fill(7))
      yield* identities.put(sandbox, "bridge", brief.keyId, certified(sandbox, brief, { notAfter: now + 10 }))
      assert.strictEqual((yield* call("b", react, { key: brief })).status, 200)
      yield* TestClock.adjust(11_000)
      assert.strictEqual(codeOf(yield* call("b", react, { key: brief })), "unauthenticated")
    }).pipe(bridge()))

  it.effect("is stopped by a revocation thirty seconds later at most, and by none that is somebody else's", () =>
    Effect.gen(function*() {
      yield* furnished
      const identities = yield* Identities
      assert.strictEqual(yield* okay, 200)
      const at = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const words = { version: 1, install, keyId: sandboxKey.keyId, reason: "lost", at } as const
      yield* identities.revoke(1, signRevocation(certifier, { ...words, number: 1, subject: otherSandbox }))
      yield* identities.revoke(2, signRevocation(certifier, { ...words, number: 2, subject: sandbox }))
      yield* TestClock.adjust(30_001)
      assert.strictEqual(yield* okay, "revoked_key")
    }).pipe(bridge()))

  it.effect("goes on by what was known when revocations vanish; a pin that was seen counts", () =>
    Effect.gen(function*() {
      yield* furnished
      const secrets = yield* Secrets
      assert.strictEqual(yield* okay, 200)
      yield* secrets.put(bridgePinPath, Redacted.make(" 1\n"))
      yield* TestClock.adjust(31_000)
      assert.strictEqual(yield* okay, 200)
    }).pipe(bridge()))

  it.effect("meets a bridge that believes nobody while it cannot know who is revoked", () =>
    Effect.gen(function*() {
      yield* furnished
      yield* (yield* Secrets).put(bridgePinPath, Redacted.make("1"))
      const answer = yield* call("a")
      assert.deepStrictEqual([answer.status, codeOf(answer)], [503, "unavailable"])
      assert.strictEqual(answer.headers.get("retry-after"), "10")
    }).pipe(bridge()))

  it.effect("with an older epoch than the lease is refused, and an operator has none", () =>
    Effect.gen(function*() {
      yield* furnished
      const leases = yield* Leases
      yield* leases.acquire(sandbox, "a")
      const taken = yield* leases.acquire(sandbox, "a")
      const epoch = taken._tag === "Some" ? taken.value.epoch : 0
      assert.strictEqual(codeOf(yield* call("a", react, { epoch: String(epoch - 1) })), "stale_epoch")
      assert.strictEqual((yield* call("b", react, { epoch: String(epoch + 1) })).status, 200)
      assert.strictEqual((yield* call("c", react, { sender: "operator" })).status, 200)
    }).pipe(bridge()))
})

describe("an answer", () => {
  it.effect("says in whole seconds when to ask again, one at least", () =>
    Effect.gen(function*() {
      for (const [failure, seconds] of [[limited("x"), "1"], [unclear("x"), "1"]] as const) {
        const answer = yield* Effect.andThen(furnished, call("a")).pipe(
          bridge(scriptedSlack({ "reactions.add": failure }))
        )
        assert.strictEqual(answer.headers.get("retry-after"), seconds)
        assert.isAtLeast(answer.status, 429)
      }
      const forbidden = yield* Effect.andThen(furnished, call("a", { ...react, channel: "C0ELSE0001" })).pipe(bridge())
      assert.isNull(forbidden.headers.get("retry-after"))
      assert.isNull(forbidden.headers.get("km-replayed"))
    }))

  it.effect("tells when it is a record, and of what is only set to a value keeps none", () =>
    Effect.gen(function*() {
      yield* furnished
      assert.isNull((yield* call("a")).headers.get("km-replayed"))
      assert.strictEqual((yield* call("a")).headers.get("km-replayed"), "true")
      const session = "3f0c1f1e-0000-4000-8000-000000000001"
      for (
        const [action, options] of [
          [{ action: "live.set", channel, threadTs, live: "live-0000000000000001", seq: 1, markdown: "x" }, {}],
          [{ action: "permalink", channel, ts: threadTs }, {}],
          [{ action: "thread.put", channel, threadTs, session }, {}],
          [{ action: "thread.lookup", threadTs }, {}],
          [{ action: "user.lookup", user: "U0ADA00001" }, {}],
          [{ action: "activity", lastActiveAt: 0, ready: true, confined: true, plugins: [] }, {}],
          [{ action: "test", channel }, { sender: "operator" }]
        ] as const
      ) {
        for (let time = 0; time < 2; time++) {
          const answer = yield* call(`un-${action.action}`, action, options)
          assert.deepStrictEqual([answer.status, answer.headers.get("km-replayed")], [200, null], action.action)
        }
      }
      for (const [action, from] of [["update", sandbox], ["archive", "operator"], ["purge", "operator"]] as const) {
        const own = action === "update"
          ? (yield* call("post", { action: "post", channel, threadTs, markdown: "x" })).json["parts"]
          : []
        const ts: unknown = Array.isArray(own) ? own[0]?.ts : undefined
        const body = { action, channel, sandbox: otherSandbox, ts, markdown: "y" }
        yield* call(`re-${action}`, body, { sender: from })
        const again = yield* call(`re-${action}`, body, { sender: from })
        assert.deepStrictEqual([again.status, again.headers.get("km-replayed")], [200, "true"], action)
      }
    }).pipe(bridge(scriptedSlack({ "chat.getPermalink": { ok: true, permalink: "https://a.test/" } }))))

  it.effect("holds the id longer for what takes longer: files, channels, long texts", () =>
    Effect.gen(function*() {
      yield* furnished
      const idempotency = yield* Idempotency
      yield* (yield* Objects).put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes))
      const ensure = { action: "channel.ensure", sandbox, name: "x", private: false, topic: "", inviteEmails: [] }
      for (
        const [key, action, from, seconds] of [
          ["u", upload(channel, threadTs), sandbox, 180],
          ["c", ensure, "operator", 60],
          ["p", { action: "post", channel, threadTs, markdown: "short" }, sandbox, 20],
          ["q", { action: "post", channel, threadTs, markdown: "A word. ".repeat(4_500) }, sandbox, 26],
          ["r", react, sandbox, 20]
        ] as const
      ) {
        const fiber = yield* Effect.forkChild(call(key, action, { sender: from }))
        yield* Effect.yieldNow.pipe(Effect.repeat({ times: 50 }))
        const begun = yield* idempotency.begin(`${install}/${from}`, requestIdOf(key), "", 1)
        assert.strictEqual(begun._tag === "Pending" ? begun.retryAfterMillis : begun._tag, seconds * 1_000, key)
        yield* Fiber.interrupt(fiber)
      }
    }).pipe(bridge(scriptedSlack({
      "files.getUploadURLExternal": Effect.never,
      "conversations.create": Effect.never,
      "chat.postMessage": Effect.never,
      "reactions.add": Effect.never
    }))))

  it.effect("names what is wrong with a body", () =>
    Effect.gen(function*() {
      yield* furnished
      const detail = (action: object) => Effect.map(call("a", action), ({ json }) => JSON.stringify(json))
      assert.include(yield* detail({ action: "x".repeat(100) }), "x".repeat(60))
      assert.notInclude(yield* detail({ action: "x".repeat(100) }), "x".repeat(61))
      assert.strictEqual(codeOf(yield* call("a", {})), "bad_request")
      assert.isBelow((yield* detail({ action: "post", channel: "c".repeat(5_000) })).length, 1_000)
      // What a browser or an editor puts into a text is taken out when it is shown.
      const control = yield* call("b", { action: "post", channel, threadTs, markdown: "a\u0007b" })
      assert.strictEqual(control.status, 200)
    }).pipe(bridge()))
})

describe("a store that fails", () => {
  it.effect("refuses nobody for good", () =>
    Effect.gen(function*() {
      const broken = new StoreError({
        port: "Leases",
        operation: "current",
        reason: "Unavailable",
        detail: "",
        cause: undefined
      })
      const posts = scriptedSlack()
      const sandboxes = Layer.mock(Sandboxes, {
        lagMillis: 0,
        insert: () => Effect.void,
        get: () => Effect.fail(broken)
      })
      const answer = yield* Effect.andThen(furnished, call("a")).pipe(bridge(posts, { sandboxes }))
      assert.strictEqual(answer.status, 503)
      assert.isNotNull(answer.headers.get("retry-after"))
    }))
})
