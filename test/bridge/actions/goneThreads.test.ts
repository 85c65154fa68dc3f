/** Slack posts to the channel when a thread's first message is gone: nothing of ours may stay there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { makeMemoryIdempotencyState } from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { bridgeOver, callsOf, callV2, codeOf, furnish, install, sandbox } from "../world.ts"
import { partsOf, scene } from "./scene.ts"

describe("a thread whose first message was deleted", () => {
  const live = "live-0000000000000001"

  it.live("takes nothing, and nothing is left beside it", () =>
    Effect.gen(function*() {
      const { ada, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
        const place = { channel, threadTs: ts }
        for (
          const [key, action] of [
            ["post", { action: "post", ...place, markdown: "the answer" }],
            ["shown in the channel too", { action: "post", ...place, broadcast: true, markdown: "the answer" }],
            ["many parts", { action: "post", ...place, markdown: "A sentence of some length. ".repeat(1_300) }],
            ["live", { action: "live.set", ...place, live, seq: 1, markdown: "working" }]
          ] as const
        ) {
          const answer = yield* callV2(key, action)
          assert.deepStrictEqual([answer.status, codeOf(answer)], [422, "thread_gone"], key)
          assert.deepStrictEqual(yield* workspace.messages(channel), [], key)
        }
        // A note for the channel itself stays.
        const note = yield* callV2("note", { action: "post", channel, markdown: "a note" })
        assert.deepStrictEqual((yield* workspace.messages(channel)).map((message) => message.ts), [...partsOf(note)])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("takes nothing though Slack's answers are lost, or taking back fails at first", () =>
    Effect.gen(function*() {
      const { ada, channel, ts, workspace } = yield* scene
      const memory = makeMemoryIdempotencyState()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
        const post = { action: "post", channel, threadTs: ts, markdown: "the answer" }
        yield* workspace.faults.add({ method: "chat.postMessage", channel, fault: { kind: "drop-after" } })
        assert.strictEqual(codeOf(yield* callV2("lost", post)), "thread_gone")
        yield* workspace.faults.add({ method: "chat.delete", channel, fault: { kind: "server-error" } })
        assert.strictEqual(codeOf(yield* callV2("stays", post)), "unavailable")
        assert.lengthOf(yield* workspace.messages(channel), 1)
        // The next attempt looks before it acts.
        for (const [id, record] of memory.records) memory.records.set(id, { ...record, leaseUntil: 0 })
        assert.strictEqual(codeOf(yield* callV2("stays", post)), "thread_gone")
        assert.deepStrictEqual(yield* workspace.messages(channel), [])
      }).pipe(Effect.provide(bridgeOver(workspace, { idempotency: memory })))
    }), 40_000)

  it.live("goes on when it has replies: Slack keeps it under a tombstone", () =>
    Effect.gen(function*() {
      const { ada, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const post = { action: "post", channel, threadTs: ts, markdown: "one" }
        const first = yield* callV2("one", post)
        yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
        const second = yield* callV2("two", { ...post, broadcast: true })
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map((reply) => reply.ts), [...partsOf(first), ...partsOf(second)])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("ends a look that Slack refuses for good, instead of asking for ever", () =>
    Effect.gen(function*() {
      const { bot, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("left"), "", 0)
        yield* Effect.promise(() => bot.conversations.leave({ channel }))
        const before = yield* callsOf(workspace, "chat.postMessage")
        const answer = yield* callV2("left", { action: "post", channel, threadTs: ts, markdown: "x" })
        assert.include(["not_in_channel", "channel_not_found"], codeOf(answer))
        assert.strictEqual(yield* callsOf(workspace, "chat.postMessage"), before)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
