import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Redacted, Ref, Schema } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import type { BridgeClientOptions } from "../../../../runtime/adapters/bridge/BridgeClient.ts"
import { laneOf, layer, SigningKeyMissing, waitMillis } from "../../../../runtime/adapters/bridge/BridgeClient.ts"
import { readAnswer } from "../../../../runtime/adapters/bridge/BridgeWire.ts"
import { generateSeed, signingKeyFromSeed, verifierOf } from "../../../../runtime/domain/identity/Ed25519.ts"
import { ChannelId, InstallName, MessageTs, requestIdOf, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { BridgeAction } from "../../../../runtime/domain/slack/BridgeProtocol.ts"
import { maxBridgeBodyBytes, signedText } from "../../../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../../../runtime/domain/text/Digest.ts"
import { Bridge } from "../../../../runtime/ports/Bridge.ts"
import type { OutboxEntry } from "../../../../runtime/ports/Outbox.ts"
import { Outbox } from "../../../../runtime/ports/Outbox.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { failure, ok, scriptedBridge } from "../../../support/ScriptedBridge.ts"

const seed = generateSeed()
const key = signingKeyFromSeed(seed)
const sender = SandboxId.make("sb-00000001")
const channel = ChannelId.make("C0CHANNEL")
const thread = MessageTs.make("1700000000.000100")

/** The outbox as a plain map that outlives the client, as a file outlives a process. */
const outboxOver = (entries: Map<string, OutboxEntry>) =>
  Layer.succeed(Outbox)(Outbox.of({
    put: (entry) => Effect.sync(() => void (entries.has(entry.id) || entries.set(entry.id, entry))),
    tried: (id) =>
      Effect.sync(() => {
        const entry = entries.get(id)
        if (entry !== undefined) entries.set(id, { ...entry, attempts: entry.attempts + 1 })
      }),
    remove: (id) => Effect.sync(() => void entries.delete(id)),
    pending: Effect.sync(() => [...entries.values()])
  }))

const secretsOver = (current: { seed: Uint8Array | undefined }) =>
  Layer.mock(Secrets, {
    get: () =>
      Effect.sync(() =>
        current.seed === undefined
          ? Option.none()
          : Option.some(Redacted.make(Buffer.from(current.seed).toString("base64")))
      )
  })

const client = (
  url: string,
  entries = new Map<string, OutboxEntry>(),
  options: Partial<BridgeClientOptions> = {},
  http: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerNodeHttp
) =>
  layer({
    url,
    install: InstallName.make("km"),
    sender,
    epoch: Effect.succeed(7),
    backoff: { firstMillis: 1, longestMillis: 4 },
    ...options
  }).pipe(Layer.provide([http, outboxOver(entries), secretsOver({ seed })]))

const post = (markdown: string, threadTs = thread): BridgeAction => ({ action: "post", channel, threadTs, markdown })

describe("BridgeClient against a real server", () => {
  it.live("signs what it sends: body, host, epoch and id are under the signature", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge(() => ok)
      yield* Effect.gen(function*() {
        yield* (yield* Bridge).call({ key: "T1:C1:1.0/answer/0", action: post("hello") })
      }).pipe(Effect.provide(client(server.url)))
      const [request] = server.arrived
      assert.isDefined(request)
      const header = (name: string) => String(request?.headers[name])
      const text = signedText({
        install: "km",
        host: server.host,
        method: "POST",
        path: "/v2",
        sender,
        key: key.keyId,
        epoch: "7",
        id: requestIdOf("T1:C1:1.0/answer/0"),
        timestamp: header("km-timestamp"),
        bodySha256: sha256Hex(request?.body ?? "")
      })
      assert.isTrue(verifierOf(key.publicKey)(text, header("km-signature")))
      assert.strictEqual(header("km-id"), requestIdOf("T1:C1:1.0/answer/0"))
      assert.deepStrictEqual(request?.action, { ...post("hello") })
    }))

  it.live("comes again after a drop, a 500, a 429 and in_progress with the same id and body, and then forgets", () =>
    Effect.gen(function*() {
      const script = [
        "drop" as const,
        { status: 500, body: "<html>proxy</html>" },
        { ...failure(429, "rate_limited") as object, headers: { "retry-after": "0" } } as never,
        failure(409, "in_progress", { retryAfterMillis: 2 }),
        { status: 200, body: { ok: true, parts: [{ ts: "1700000000.000200" }] } }
      ]
      const server = yield* scriptedBridge((_, index) => script[index] ?? ok)
      const entries = new Map<string, OutboxEntry>()
      const result = yield* Effect.gen(function*() {
        return yield* (yield* Bridge).call({ key: "effect-1", action: post("once") })
      }).pipe(Effect.provide(client(server.url, entries)))
      assert.deepStrictEqual(result.parts, [{ ts: MessageTs.make("1700000000.000200") }])
      assert.strictEqual(server.arrived.length, 5)
      assert.strictEqual(new Set(server.arrived.map((request) => request.body)).size, 1)
      assert.strictEqual(new Set(server.arrived.map((request) => request.headers["km-id"])).size, 1)
      assert.strictEqual(entries.size, 0)
    }))

  it.live("waits at least as long as Retry-After says", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge((_, index) =>
        index === 0 ? failure(429, "rate_limited", { retryAfterMillis: 120 }) : ok
      )
      yield* Effect.gen(function*() {
        yield* (yield* Bridge).call({ key: "effect-1", action: post("patient") })
      }).pipe(Effect.provide(client(server.url)))
      const [first, second] = server.arrived
      assert.isAtLeast((second?.at ?? 0) - (first?.at ?? 0), 115)
    }))

  it.live("an attempt that hangs is given up and made again", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge((_, index) => index === 0 ? "hang" : ok)
      yield* Effect.gen(function*() {
        yield* (yield* Bridge).call({ key: "effect-1", action: post("once") })
      }).pipe(Effect.provide(client(server.url, new Map(), { attemptTimeoutMillis: 100 })))
      assert.strictEqual(server.arrived.length, 2)
    }))

  it.live("already_done with a recorded result is a success; without one it is a refusal", () =>
    Effect.gen(function*() {
      const recorded = { ok: true, parts: [{ ts: "1700000000.000300" }] }
      const server = yield* scriptedBridge((_, index) =>
        index === 0
          ? {
            status: 409,
            body: { ok: false, error: { code: "already_done", message: "other body" }, recorded }
          }
          : failure(409, "already_done")
      )
      const [adopted, refusal] = yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        return [
          yield* bridge.call({ key: "effect-1", action: post("a") }),
          yield* Effect.flip(bridge.call({ key: "effect-2", action: post("b") }))
        ] as const
      }).pipe(Effect.provide(client(server.url)))
      assert.strictEqual(adopted.parts?.[0]?.ts, "1700000000.000300")
      assert.strictEqual(refusal.code, "already_done")
    }))

  it.live("a final code is refused once, forgotten, and does not block its thread", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge((_, index) => index === 0 ? failure(200, "is_archived") : ok)
      const entries = new Map<string, OutboxEntry>()
      const refusal = yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        const error = yield* Effect.flip(bridge.call({ key: "effect-1", action: post("a") }))
        yield* bridge.call({ key: "effect-2", action: post("b") })
        return error
      }).pipe(Effect.provide(client(server.url, entries)))
      assert.strictEqual(refusal.code, "is_archived")
      assert.strictEqual(server.arrived.length, 2)
      assert.strictEqual(entries.size, 0)
    }))

  it.live("besteffort is tried once and leaves nothing in the outbox", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge(() => failure(503, "unavailable"))
      const entries = new Map<string, OutboxEntry>()
      const refusal = yield* Effect.gen(function*() {
        return yield* Effect.flip(
          (yield* Bridge).call({ key: "effect-1", action: post("a"), patience: "besteffort" })
        )
      }).pipe(Effect.provide(client(server.url, entries)))
      assert.strictEqual(refusal.code, "unavailable")
      assert.strictEqual(server.arrived.length, 1)
      assert.strictEqual(entries.size, 0)
    }))

  it.live("an answer above the cap is not read to its end and counts as no answer", () =>
    Effect.gen(function*() {
      const huge = { ok: true, permalink: "x".repeat(maxBridgeBodyBytes) }
      const server = yield* scriptedBridge((_, index) => index === 0 ? { status: 200, body: huge } : ok)
      yield* Effect.gen(function*() {
        yield* (yield* Bridge).call({ key: "effect-1", action: post("a") })
      }).pipe(Effect.provide(client(server.url)))
      assert.strictEqual(server.arrived.length, 2)
    }))

  it.live("a process that died before the acknowledgement: the next one sends what is pending, in order", () =>
    Effect.gen(function*() {
      const entries = new Map<string, OutboxEntry>()
      const silent = yield* scriptedBridge(() => "hang")
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        for (const text of ["one", "two", "three"]) {
          yield* Effect.forkScoped(bridge.call({ key: `effect-${text}`, action: post(text) }), {
            startImmediately: true
          })
        }
        yield* Effect.repeat(Effect.yieldNow, { until: () => silent.arrived.length === 1 && entries.size === 3 })
      }).pipe(Effect.provide(client(silent.url, entries)), Effect.scoped)
      assert.strictEqual(entries.size, 3)

      const server = yield* scriptedBridge(() => ok)
      yield* Effect.gen(function*() {
        // Queued behind what is pending in the same thread.
        yield* (yield* Bridge).call({ key: "effect-four", action: post("four") })
      }).pipe(Effect.provide(client(server.url, entries)))
      assert.deepStrictEqual(server.arrived.map((request) => request.action["markdown"]), [
        "one",
        "two",
        "three",
        "four"
      ])
      assert.strictEqual(entries.size, 0)
    }))

  it.live("within a thread nothing overtakes a post that is being retried; another thread does not wait for it", () =>
    Effect.gen(function*() {
      const other = MessageTs.make("1700000000.000900")
      const released = { now: false }
      const server = yield* scriptedBridge((request) =>
        request.action["markdown"] === "first" && !released.now ? failure(503, "unavailable") : ok
      )
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        const first = yield* Effect.forkChild(bridge.call({ key: "e1", action: post("first") }), {
          startImmediately: true
        })
        const second = yield* Effect.forkChild(bridge.call({ key: "e2", action: post("second") }), {
          startImmediately: true
        })
        yield* bridge.call({ key: "e3", action: post("elsewhere", other) })
        assert.notInclude(server.arrived.map((request) => request.action["markdown"]), "second")
        released.now = true
        yield* Fiber.join(first)
        yield* Fiber.join(second)
      }).pipe(Effect.provide(client(server.url)))
      const sent = server.arrived.map((request) => request.action["markdown"])
      assert.isBelow(sent.lastIndexOf("first"), sent.indexOf("second"))
    }))

  it.live("interrupting the wait does not withdraw the request", () =>
    Effect.gen(function*() {
      const released = { now: false }
      const server = yield* scriptedBridge(() => released.now ? ok : failure(503, "unavailable"))
      const entries = new Map<string, OutboxEntry>()
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        const waiting = yield* Effect.forkChild(bridge.call({ key: "e1", action: post("kept") }), {
          startImmediately: true
        })
        yield* Fiber.interrupt(waiting)
        released.now = true
        // The same key joins the request that is still being made.
        yield* bridge.call({ key: "e1", action: post("kept") })
      }).pipe(Effect.provide(client(server.url, entries)))
      assert.strictEqual(new Set(server.arrived.map((request) => request.headers["km-id"])).size, 1)
      assert.strictEqual(entries.size, 0)
    }))

  it.live("a rotated key is read again and used", () =>
    Effect.gen(function*() {
      const current = { seed: seed as Uint8Array }
      const nextSeed = generateSeed()
      const server = yield* scriptedBridge((request) =>
        request.headers["km-key"] === key.keyId ? failure(401, "revoked_key") : ok
      )
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        assert.strictEqual((yield* Effect.flip(bridge.call({ key: "e1", action: post("a") }))).code, "revoked_key")
        current.seed = nextSeed
        yield* bridge.call({ key: "e2", action: post("b") })
      }).pipe(Effect.provide(
        layer({ url: server.url, install: InstallName.make("km"), sender, epoch: Effect.succeed(1) }).pipe(
          Layer.provide([NodeHttpClient.layerNodeHttp, outboxOver(new Map()), secretsOver(current)])
        )
      ))
      assert.strictEqual(server.arrived.at(-1)?.headers["km-key"], signingKeyFromSeed(nextSeed).keyId)
    }))

  it.live("a stale epoch is told to the lease's holder and the request is kept", () =>
    Effect.gen(function*() {
      const told = yield* Ref.make(0)
      const server = yield* scriptedBridge((_, index) => index === 0 ? failure(409, "stale_epoch") : ok)
      yield* Effect.gen(function*() {
        yield* (yield* Bridge).call({ key: "e1", action: post("a") })
      }).pipe(
        Effect.provide(client(server.url, new Map(), { onStaleEpoch: Ref.update(told, (count) => count + 1) }))
      )
      assert.strictEqual(yield* Ref.get(told), 1)
      assert.strictEqual(server.arrived.length, 2)
    }))

  it.live("without a usable key there is no client", () =>
    Effect.gen(function*() {
      for (const bad of [undefined, new Uint8Array(31)]) {
        const error = yield* Effect.flip(Layer.build(
          layer({
            url: "http://127.0.0.1:1",
            install: InstallName.make("km"),
            sender,
            epoch: Effect.succeed(1)
          }).pipe(
            Layer.provide([NodeHttpClient.layerNodeHttp, outboxOver(new Map()), secretsOver({ seed: bad })])
          )
        ))
        assert.instanceOf(error, SigningKeyMissing)
      }
    }))
})

describe("BridgeClient in virtual time", () => {
  it.effect("a bridge that is down for ten minutes: everything arrives afterwards, once and in order", () =>
    Effect.gen(function*() {
      const down = { now: true, tries: 0 }
      const taken: Array<string> = []
      const http = HttpClient.make((request) =>
        Effect.suspend(() => {
          down.tries += 1
          if (down.now) {
            return Effect.fail(
              new HttpClientError.HttpClientError({
                reason: new HttpClientError.TransportError({ request, description: "refused" })
              })
            )
          }
          const body = request.body._tag === "Uint8Array" ? Buffer.from(request.body.body).toString("utf8") : ""
          taken.push(body)
          return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(JSON.stringify({ ok: true }))))
        })
      )
      const entries = new Map<string, OutboxEntry>()
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        const calls = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, n) => n),
          (n) =>
            Effect.forkChild(bridge.call({ key: `e${n}`, action: post(`message ${n}`) }), { startImmediately: true })
        )
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(taken.length, 0)
        assert.strictEqual(entries.size, 40)
        // One request of the thread is tried, at most every 7.5 s once the waits are at their cap.
        assert.isBelow(down.tries, 100)
        down.now = false
        yield* TestClock.adjust("15 seconds")
        yield* Fiber.joinAll(calls)
      }).pipe(
        Effect.provide(
          client(
            "http://bridge.test",
            entries,
            { backoff: { firstMillis: 250, longestMillis: 15_000 } },
            Layer.succeed(
              HttpClient.HttpClient
            )(http)
          )
        )
      )
      const texts = taken.map((body) => JSON.parse(body).markdown)
      assert.deepStrictEqual(texts, Array.from({ length: 40 }, (_, n) => `message ${n}`))
      assert.strictEqual(entries.size, 0)
    }))
})

describe("waits and lanes", () => {
  it.prop(
    "a wait is at least half and at most the whole of the capped step, and never before the bridge's wish",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60 })),
      Schema.Finite.check(Schema.isBetween({
        minimum: 0,
        maximum: 0.999
      }))
    ],
    ([failures, random]) => {
      const backoff = { firstMillis: 250, longestMillis: 15_000 }
      const full = Math.min(15_000, 250 * 2 ** (failures - 1))
      const wait = waitMillis(failures, random, undefined, backoff)
      assert.isAtLeast(wait, full / 2)
      assert.isAtMost(wait, full + 1)
      assert.isAtLeast(waitMillis(failures, random, 60_000, backoff), 60_000)
    }
  )

  it("posts and live messages of a thread share a lane, its uploads have another; reads have none", () => {
    const lane = laneOf(post("a"))
    assert.isDefined(lane)
    assert.strictEqual(
      laneOf({ action: "live.set", channel, threadTs: thread, live: "x".repeat(16), seq: 1, markdown: "" }),
      lane
    )
    const file = {
      action: "upload",
      channel,
      threadTs: thread,
      object: "o",
      filename: "f",
      title: "t",
      contentType: "text/plain",
      size: 1,
      sha256: "0".repeat(64)
    } as const
    assert.isDefined(laneOf(file))
    assert.notStrictEqual(laneOf(file), lane)
    assert.strictEqual(laneOf({ ...file, replaces: "F1" }), laneOf(file))
    assert.isUndefined(laneOf({ action: "thread.lookup", threadTs: thread }))
    assert.notStrictEqual(laneOf({ action: "react", channel, ts: thread, emoji: "eyes" }), lane)
  })

  it("a body that is not the bridge's is never taken for an answer", () => {
    assert.strictEqual(readAnswer(200, "<html>", undefined)._tag, "Again")
    assert.strictEqual(readAnswer(200, "{\"ok\":true", undefined)._tag, "Again")
    assert.strictEqual(readAnswer(413, undefined, undefined)._tag, "Again")
    assert.strictEqual(
      readAnswer(403, JSON.stringify({ ok: false, error: { code: "forbidden", message: "" } }), 1)._tag,
      "Refused"
    )
  })
})
