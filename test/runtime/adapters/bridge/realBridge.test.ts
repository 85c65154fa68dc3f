/** The client against the real bridge and a Slack that misbehaves: everything arrives once, in order, as it was meant. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Option, Redacted } from "effect"
import type { WorkspaceHandle } from "../../../../km-cli/local/workspace/Workspace.ts"
import * as BridgeClient from "../../../../runtime/adapters/bridge/BridgeClient.ts"
import { ChannelId, type MessageTs } from "../../../../runtime/domain/sandbox/Ids.ts"
import { Bridge } from "../../../../runtime/ports/Bridge.ts"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import * as MemoryOutbox from "../../../../runtime/ports/memory/MemoryOutbox.ts"
import { makeMemoryOutboxState } from "../../../../runtime/ports/memory/MemoryOutbox.ts"
import * as MemorySecrets from "../../../../runtime/ports/memory/MemorySecrets.ts"
import { makeMemorySecretsState } from "../../../../runtime/ports/memory/MemorySecrets.ts"
import { bridgeOver, furnish, host, install, listen, room, sandbox, say } from "../../../bridge/world.ts"

/** The seed of `sandboxKey` in the bridge's world. */
const seed = Redacted.make(Buffer.from(new Uint8Array(32).fill(2)).toString("base64"))

const clientOf = (url: string, outbox = makeMemoryOutboxState(), epoch = 0, onStaleEpoch = Effect.void) => {
  const secrets = makeMemorySecretsState()
  secrets.values.set(`sandbox/${sandbox}/signing-key`, [seed])
  return BridgeClient.layer({
    url,
    host,
    install,
    sender: sandbox,
    epoch: Effect.succeed(epoch),
    onStaleEpoch,
    backoff: { firstMillis: 5, longestMillis: 50 }
  }).pipe(
    Layer.provide([NodeHttpClient.layerNodeHttp, MemoryOutbox.layerOver(outbox), MemorySecrets.layerOver(secrets)])
  )
}

/** What the bot wrote in a thread, in order. */
const replies = (bot: Effect.Success<ReturnType<typeof room>>["bot"], channel: ChannelId, ts: MessageTs) =>
  Effect.map(
    Effect.promise(() => bot.conversations.replies({ channel, ts })),
    ({ messages = [] }) => messages.filter((message) => message.ts !== ts).map(({ text }) => text)
  )

const postIn = (channel: ChannelId, threadTs: MessageTs) => (markdown: string) => ({
  action: "post" as const,
  channel,
  threadTs,
  markdown
})

const faults: ReadonlyArray<Parameters<WorkspaceHandle["faults"]["add"]>[0]> = [
  { method: "chat.postMessage", fault: { kind: "drop-before" } },
  { method: "chat.postMessage", fault: { kind: "drop-after" } },
  { method: "chat.postMessage", fault: { kind: "server-error" } },
  { method: "chat.postMessage", fault: { kind: "rate-limit", retryAfterSeconds: 1 } }
]

describe("BridgeClient and the real bridge", () => {
  for (const rule of faults) {
    it.live(`a post through Slack's ${rule.fault.kind} is in the thread once, before the one behind it`, () =>
      Effect.gen(function*() {
        const { ada, bot, channel, workspace } = yield* room()
        yield* Effect.gen(function*() {
          yield* furnish(workspace, channel)
          const url = yield* listen(workspace)
          const threadTs = yield* say(ada, channel, "hello")
          yield* workspace.faults.add(rule)
          yield* Effect.gen(function*() {
            const bridge = yield* Bridge
            const post = postIn(channel, threadTs)
            const calls = [
              bridge.call({ key: "turn/answer/0", action: post("first") }),
              bridge.call({ key: "turn/answer/1", action: post("second") })
            ]
            const [first] = yield* Effect.all(calls, { concurrency: "unbounded" })
            // The same effect again, as after a restart: the recorded result.
            const again = yield* bridge.call({ key: "turn/answer/0", action: post("first") })
            assert.deepStrictEqual(again.parts, first?.parts)
          }).pipe(Effect.provide(clientOf(url)))
          assert.deepStrictEqual(yield* replies(bot, channel, threadTs), ["first", "second"])
        }).pipe(Effect.provide(bridgeOver(workspace)))
      }))
  }

  it.live("another body under the same key adopts what the first one came to", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const url = yield* listen(workspace)
        const threadTs = yield* say(ada, channel, "hello")
        const [first, second] = yield* Effect.gen(function*() {
          const bridge = yield* Bridge
          const post = postIn(channel, threadTs)
          return [
            yield* bridge.call({ key: "turn/answer/0", action: post("as it was") }),
            yield* bridge.call({ key: "turn/answer/0", action: post("as it is rendered now") })
          ]
        }).pipe(Effect.provide(clientOf(url)))
        assert.deepStrictEqual(second?.parts, first?.parts)
        assert.deepStrictEqual(yield* replies(bot, channel, threadTs), ["as it was"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("an archived channel and a channel of others are final, and leave nothing in the outbox", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const url = yield* listen(workspace)
        const other = yield* Effect.promise(() => bot.conversations.create({ name: "others" }))
        yield* Effect.promise(() => bot.conversations.archive({ channel }))
        const outbox = makeMemoryOutboxState()
        const codes = yield* Effect.gen(function*() {
          const bridge = yield* Bridge
          const to = (target: string) =>
            Effect.map(
              Effect.flip(bridge.call({
                key: `to ${target}`,
                action: { action: "post", channel: ChannelId.make(target), markdown: "hello" }
              })),
              ({ code }) => code
            )
          return [yield* to(channel), yield* to(other.channel?.id ?? "")]
        }).pipe(Effect.provide(clientOf(url, outbox)))
        assert.deepStrictEqual(codes, ["is_archived", "forbidden"])
        assert.strictEqual(outbox.entries.size, 0)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a runtime whose lease went to another one gets nothing into the thread and keeps it in its outbox", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const url = yield* listen(workspace)
        const threadTs = yield* say(ada, channel, "hello")
        const leases = yield* Leases
        const lease = Option.getOrThrow(yield* leases.acquire(sandbox, "first"))
        yield* leases.release(lease)
        yield* leases.acquire(sandbox, "second")
        const outbox = makeMemoryOutboxState()
        const action = { action: "post" as const, channel, threadTs, markdown: "too late" }
        const told = yield* Deferred.make<void>()
        const onStaleEpoch = Effect.asVoid(Deferred.succeed(told, undefined))
        yield* Effect.gen(function*() {
          yield* Effect.forkScoped((yield* Bridge).call({ key: "turn/answer/0", action }))
          yield* Deferred.await(told)
        }).pipe(Effect.provide(clientOf(url, outbox, 1, onStaleEpoch)), Effect.scoped)
        assert.deepStrictEqual(yield* replies(bot, channel, threadTs), [])
        assert.strictEqual(outbox.entries.size, 1)
        // The next holder on the same disk takes it up.
        yield* Effect.gen(function*() {
          yield* (yield* Bridge).call({ key: "turn/answer/0", action })
        }).pipe(Effect.provide(clientOf(url, outbox, 2)))
        assert.deepStrictEqual(yield* replies(bot, channel, threadTs), ["too late"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
