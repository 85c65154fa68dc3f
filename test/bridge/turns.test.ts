import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Marks } from "../../bridge/events/Marks.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { userIdOf } from "../support/Workspace.ts"
import { bridgeOver, callsOf, callV2, furnish, listen, room, say, waiting } from "./world.ts"

const decodeRequest = Schema.decodeUnknownSync(Schema.fromJsonString(TurnRequest))

describe("a message's way into the queue and back into the thread", () => {
  it.live("is queued once, gets one 👀, and its answer arrives in the thread", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const ts = yield* say(ada, channel, `<@${workspace.botUserId}> fix a & b <now>`)
        yield* workspace.eventsDelivered
        yield* (yield* Marks).drain

        const entries = yield* waiting
        assert.strictEqual(entries.length, 1)
        const request = decodeRequest(entries[0]?.body)
        assert.strictEqual(request.text, "fix a & b <now>")
        assert.strictEqual(request.key, `${workspace.teamId}:${channel}:${ts}`)
        assert.strictEqual(request.group, `${channel}:${ts}`)
        assert.deepInclude(request.origin, { kind: "slack", userName: "ada", threadTs: ts })
        assert.match(request.traceparent ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
        const marked = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp: ts }))
        assert.deepStrictEqual(marked.message?.reactions?.map(({ count, name }) => [name, count]), [["eyes", 1]])
        // `message` and `app_mention` are one gesture.
        assert.strictEqual(yield* callsOf(workspace, "reactions.add"), 1)

        const live = (seq: number, markdown: string) =>
          callV2(`live-${seq}`, {
            action: "live.set",
            channel,
            threadTs: ts,
            live: "live-0000000000000001",
            seq,
            markdown
          })
        const first = yield* live(1, "working")
        assert.strictEqual(first.status, 200, JSON.stringify(first.json))
        const second = yield* live(2, "working, **done**")
        assert.deepStrictEqual(second.json["parts"], first.json["parts"])
        const posted = yield* callV2("answer", { action: "post", channel, threadTs: ts, markdown: "the answer" })
        assert.strictEqual(posted.status, 200)
        yield* callV2("done", { action: "react", channel, ts, emoji: "white_check_mark" })
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["working, done", "the answer"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("an edit replaces the waiting text, a deletion withdraws it, and `!stop` is no turn", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const ts = yield* say(ada, channel, "first text")
        yield* workspace.eventsDelivered
        yield* Effect.promise(() => ada.chat.update({ channel, ts, text: "second text" }))
        yield* workspace.eventsDelivered
        const [entry] = yield* waiting
        assert.strictEqual(decodeRequest(entry?.body).text, "second text")
        yield* say(ada, channel, "!stop", ts)
        yield* workspace.eventsDelivered
        assert.strictEqual((yield* waiting).length, 1)
        yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
        yield* workspace.eventsDelivered
        assert.strictEqual((yield* waiting).length, 0)
        assert.isNotEmpty(userIdOf(workspace, "ada"))
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
