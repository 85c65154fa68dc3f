/** Calls that travel together are as safe as those that come alone: each is written down, repeated and answered by itself. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import { layer } from "../../../../runtime/adapters/bridge/BridgeClient.ts"
import { generateSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import {
  ChannelId,
  InstallName,
  MessageTs,
  requestIdOf,
  SandboxId,
  SessionId
} from "../../../../runtime/domain/sandbox/Ids.ts"
import { maxBatchActions } from "../../../../runtime/domain/slack/BridgeBatch.ts"
import { maxBridgeBodyBytes } from "../../../../runtime/domain/slack/BridgeProtocol.ts"
import { Bridge, type BridgeCall, type BridgeWait, together } from "../../../../runtime/ports/Bridge.ts"
import * as MemoryOutbox from "../../../../runtime/ports/memory/MemoryOutbox.ts"
import { makeMemoryOutboxState } from "../../../../runtime/ports/memory/MemoryOutbox.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { type Arrived, failure, ok, scriptedBridge } from "../../../support/ScriptedBridge.ts"
import { untilReal } from "../../../support/untilReal.ts"

const seed = Buffer.from(generateSeed()).toString("base64")
const channel = ChannelId.make("C0CHANNEL")
const ts = MessageTs.make("1700000000.000100")

const lookup: BridgeCall = { key: "lookup", action: { action: "thread.lookup", threadTs: ts } }
const put: BridgeCall = {
  key: "put",
  action: {
    action: "thread.put",
    channel,
    threadTs: ts,
    session: SessionId.make("3f0c1f1e-0000-4000-8000-000000000001")
  }
}
const mark = (key: string, patience: "durable" | "besteffort" = "durable"): BridgeCall => ({
  key,
  patience,
  action: { action: "react", channel, ts, emoji: key }
})

const client = (url: string, outbox: MemoryOutbox.MemoryOutboxState) =>
  layer({
    url,
    install: InstallName.make("km"),
    sender: SandboxId.make("sb-00000001"),
    epoch: Effect.succeed(7),
    backoff: { firstMillis: 1, longestMillis: 4 }
  }).pipe(Layer.provide([
    NodeHttpClient.layerNodeHttp,
    MemoryOutbox.layerOver(outbox),
    Layer.mock(Secrets, { get: () => Effect.succeedSome(Redacted.make(seed)) })
  ]))

/** What one request asked for: names of its actions, or of the one. */
const asked = ({ action, headers }: Arrived): ReadonlyArray<unknown> => {
  const { actions } = action
  return Array.isArray(actions) ? actions.map((one) => one.id) : [headers["km-id"]]
}
const ids = (...calls: ReadonlyArray<BridgeCall>) => calls.map(({ key }) => requestIdOf(key))
const all = (...answers: ReadonlyArray<unknown>) => ({ status: 200, body: { ok: true, answers } })
const again = { ok: false, error: { code: "rate_limited", message: "later" } }
const no = { ok: false, error: { code: "not_in_channel", message: "no" } }

/** What each wait came to: `ok`, or the code. */
const outcomes = (waits: ReadonlyArray<BridgeWait>) =>
  Effect.forEach(waits, (wait) => Effect.match(wait, { onSuccess: () => "ok", onFailure: ({ code }) => code }))

const run = Effect.fnUntraced(function*(
  url: string,
  calls: ReadonlyArray<BridgeCall>,
  outbox = makeMemoryOutboxState()
) {
  return yield* Effect.gen(function*() {
    return yield* outcomes(yield* together(yield* Bridge, calls))
  }).pipe(Effect.provide(client(url, outbox)))
})

describe("calls that travel together", () => {
  it.live("are one request, written down before it and forgotten after it, each under its own id", () =>
    Effect.gen(function*() {
      const outbox = makeMemoryOutboxState()
      const kept: Array<ReadonlyArray<string>> = []
      const server = yield* scriptedBridge(() => {
        kept.push([...outbox.entries.keys()])
        return all({ ok: true }, { ok: true }, { ok: true }, { ok: true })
      })
      const calls = [lookup, put, mark("done"), mark("wait", "besteffort")]
      assert.deepStrictEqual(yield* run(server.url, calls, outbox), ["ok", "ok", "ok", "ok"])
      assert.deepStrictEqual(server.arrived.map(asked), [ids(...calls)])
      // Neither what is only read nor what is tried once.
      assert.deepStrictEqual(kept, [ids(put, mark("done"))])
      assert.strictEqual(outbox.entries.size, 0)
    }))

  it.live("come again as far as they have to, alone in the end", () =>
    Effect.gen(function*() {
      const outbox = makeMemoryOutboxState()
      const script = [
        "drop" as const,
        all({ ok: true }, again, no, again),
        failure(503, "unavailable"),
        all({ ok: true }, again),
        ok
      ]
      const server = yield* scriptedBridge((_, index) => script[index] ?? "hang")
      const [a, b, c] = [mark("a"), mark("b"), mark("c")]
      assert.deepStrictEqual(yield* run(server.url, [put, a, b, c], outbox), ["ok", "ok", "not_in_channel", "ok"])
      assert.deepStrictEqual(server.arrived.map(asked), [
        ids(put, a, b, c),
        ids(put, a, b, c),
        ids(a, c),
        ids(a, c),
        ids(c)
      ])
      assert.deepStrictEqual(server.arrived.at(-1)?.action, { ...c.action })
      assert.strictEqual(outbox.entries.size, 0)
    }))

  it.live("do not come again where they are tried once", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge((_, index) => index === 0 ? failure(503, "unavailable") : ok)
      const wait = mark("wait", "besteffort")
      assert.deepStrictEqual(yield* run(server.url, [lookup, wait]), ["ok", "unavailable"])
      assert.deepStrictEqual(server.arrived.map(asked), [ids(lookup, wait), ids(lookup)])
    }))

  it.live("are taken up after a crash, each by itself, with the same id and body", () =>
    Effect.gen(function*() {
      const outbox = makeMemoryOutboxState()
      const server = yield* scriptedBridge((_, index) => index === 0 ? "hang" : ok)
      const life = yield* Scope.make()
      const first = yield* Layer.buildWithScope(client(server.url, outbox), life)
      yield* Effect.flatMap(Bridge, (bridge) => together(bridge, [put, mark("a")])).pipe(Effect.provide(first))
      yield* untilReal("the first request is there", Effect.sync(() => server.arrived.length === 1))
      yield* Scope.close(life, Exit.void)
      assert.deepStrictEqual([...outbox.entries.keys()], ids(put, mark("a")))
      yield* Layer.build(client(server.url, outbox))
      yield* untilReal("nothing is left", Effect.sync(() => outbox.entries.size === 0))
      assert.sameDeepMembers(server.arrived.slice(1).map(asked), [ids(put), ids(mark("a"))])
      assert.sameDeepMembers(server.arrived.slice(1).map(({ action }) => action), [{ ...put.action }, {
        ...mark("a").action
      }])
    }))

  it.live("go one after the other to a bridge that knows no batches", () =>
    Effect.gen(function*() {
      let failures = 1
      const server = yield* scriptedBridge((request) =>
        Array.isArray(request.action["actions"])
          ? failure(400, "unknown_action")
          : asked(request)[0] === requestIdOf("a") && failures-- > 0
          ? failure(503, "unavailable")
          : ok
      )
      const [a, b] = [mark("a"), mark("b")]
      assert.deepStrictEqual(yield* run(server.url, [put, a, b]), ["ok", "ok", "ok"])
      // What is to be asked for again is not overtaken.
      const alone = server.arrived.map(asked).filter(({ length }) => length === 1)
      assert.deepStrictEqual(alone, [ids(put), ids(a), ids(a), ids(b)])
    }))

  it.live("go one after the other where they are too many, or too much, for one request", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge(() => ok)
      const many = Array.from({ length: maxBatchActions + 1 }, (_, n) => mark(`m${n}`))
      assert.lengthOf(yield* run(server.url, many), many.length)
      const long = [1, 2, 3].map((n): BridgeCall => ({
        key: `long ${n}`,
        action: { action: "post", channel, markdown: "x".repeat(maxBridgeBodyBytes / 3) }
      }))
      assert.deepStrictEqual(yield* run(server.url, long), ["ok", "ok", "ok"])
      assert.deepStrictEqual(server.arrived.map(asked), [...many, ...long].map((call) => ids(call)))
    }))

  it.live("keep their place behind what was asked before, but for what is tried once", () =>
    Effect.gen(function*() {
      const held = { until: false }
      const server = yield* scriptedBridge((request) =>
        asked(request).length > 1
          ? all(...asked(request).map(() => ({ ok: true })))
          : request.headers["km-id"] === requestIdOf("first") && !held.until
          ? failure(503, "unavailable")
          : ok
      )
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        yield* together(bridge, [mark("first")])
        const behind = yield* together(bridge, [put, mark("second")])
        assert.deepStrictEqual(
          yield* outcomes(yield* together(bridge, [lookup, mark("wait", "besteffort")])),
          ["ok", "ok"]
        )
        assert.isEmpty(server.arrived.filter((request) => asked(request).includes(requestIdOf("second"))))
        held.until = true
        assert.deepStrictEqual(yield* outcomes(behind), ["ok", "ok"])
      }).pipe(Effect.provide(client(server.url, makeMemoryOutboxState())))
    }))

  it.live("answer who asks for one of them meanwhile, and one that fits no protocol fails alone", () =>
    Effect.gen(function*() {
      const server = yield* scriptedBridge((request) =>
        asked(request).length > 1 ? all(...asked(request).map(() => ({ ok: true }))) : ok
      )
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        const waits = yield* together(bridge, [put, mark("a"), mark("NOT AN EMOJI")])
        const once = yield* Effect.option(bridge.call(put))
        assert.isTrue(Option.isSome(once))
        assert.deepStrictEqual(yield* outcomes(waits), ["ok", "ok", "bad_request"])
        assert.lengthOf(server.arrived, 1)
      }).pipe(Effect.provide(client(server.url, makeMemoryOutboxState())))
    }))
})
