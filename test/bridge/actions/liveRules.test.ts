/** When live messages are sent, edited, posted anew and taken away, call by call, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { LiveMessages } from "../../../bridge/actions/LiveMessages.ts"
import { ChannelId, type SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import * as MemoryPosts from "../../../runtime/ports/memory/MemoryPosts.ts"
import { makeMemoryPostsState } from "../../../runtime/ports/memory/MemoryPosts.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import {
  bridgeOverScript,
  channel,
  refused,
  requestId,
  type ScriptedSlack,
  scriptedSlack,
  threadTs,
  unclear
} from "../scripted.ts"
import { otherSandbox, sandbox } from "../world.ts"

const live = "live-0000000000000001"
const long = (word: string) => `${word} of some length. `.repeat(400)

interface Set {
  readonly seq: number
  readonly markdown: string
  readonly live?: string
  readonly channel?: ChannelId
  readonly threadTs?: typeof threadTs | undefined
  readonly sender?: SenderId
}
const start = ({ markdown, sender = sandbox, seq, ...changes }: Set) => {
  const { threadTs: thread, ...place } = { threadTs, live, channel, ...changes }
  return Effect.flatMap(LiveMessages, (lives) =>
    Effect.forkChild(Effect.result(lives.set({ sender, id: requestId }, {
      action: "live.set",
      ...place,
      ...(thread === undefined ? {} : { threadTs: thread }),
      seq,
      markdown
    }))))
}
/** Sets it and waits as long as it takes; the messages' ts, or the refusal's code. */
const set = Effect.fnUntraced(function*(given: Set) {
  const fiber = yield* start(given)
  for (let second = 0; second < 60 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
  const answer = yield* Fiber.join(fiber)
  return answer._tag === "Success" ? (answer.success.parts ?? []).map(({ ts }) => ts) : answer.failure.code
})
const over = (slack: ScriptedSlack, options: Parameters<typeof bridgeOverScript>[1] = {}) =>
  Effect.provide(bridgeOverScript(slack, options))
const sent = (slack: ScriptedSlack) => slack.methods().filter((method) => method.startsWith("chat."))

const shrink = (answer: object) => {
  const slack = scriptedSlack({ "chat.delete": answer })
  return Effect.gen(function*() {
    yield* set({ seq: 1, markdown: long("One") })
    return yield* set({ seq: 2, markdown: "short" })
  }).pipe(over(slack))
}

describe("a live message", () => {
  it.effect("is posted once, then edited where its text has changed, part by part", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const first = yield* set({ seq: 1, markdown: "one" })
        assert.lengthOf(first, 1)
        assert.deepInclude(slack.argsOf("chat.postMessage")[0], { channel, thread_ts: threadTs })
        assert.deepStrictEqual(yield* set({ seq: 2, markdown: "two <!here>" }), first)
        assert.deepInclude(slack.argsOf("chat.update")[0], { channel, ts: first[0] })
        assert.notInclude(JSON.stringify(slack.argsOf("chat.update")), "<!here>")
        const grown = yield* set({ seq: 3, markdown: long("One") })
        assert.isAtLeast(grown.length, 2)
        const before = sent(slack).length
        // The same text again asks nothing of Slack.
        assert.deepStrictEqual(yield* set({ seq: 4, markdown: long("One") }), grown)
        assert.lengthOf(sent(slack), before)
        assert.deepStrictEqual(yield* set({ seq: 5, markdown: "short" }), first)
        assert.deepStrictEqual(
          slack.argsOf("chat.delete"),
          [...grown].slice(1).toReversed().map((ts) => ({ channel, ts }))
        )
        // Even without a text one message stays, so that there is something to edit.
        assert.deepStrictEqual(yield* set({ seq: 6, markdown: " " }), first)
        const owner = yield* (yield* Posts).owner(channel, threadTs)
        assert.strictEqual(owner._tag, "None")
      }).pipe(over(slack))
    }))

  it.effect("of the channel itself carries no thread", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* set({ seq: 1, markdown: "x", threadTs: undefined }).pipe(over(slack))
      assert.notProperty(slack.argsOf("chat.postMessage")[0], "thread_ts")
    }))

  it.effect("is left alone by what is older or just as old, and stays in its channel", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const first = yield* set({ seq: 5, markdown: "five" })
        assert.deepStrictEqual(yield* set({ seq: 4, markdown: "four" }), first)
        assert.deepStrictEqual(yield* set({ seq: 5, markdown: "five again" }), first)
        assert.deepStrictEqual(sent(slack), ["chat.postMessage"])
        const elsewhere = ChannelId.make("C0ELSE0001")
        assert.strictEqual(yield* set({ seq: 6, markdown: "six", channel: elsewhere }), "forbidden")
        assert.deepStrictEqual(yield* set({ seq: 6, markdown: "six" }), first)
        // Another sandbox's of the same name is another.
        assert.notDeepEqual(yield* set({ seq: 1, markdown: "mine", sender: otherSandbox }), first)
        assert.notDeepEqual(yield* set({ seq: 1, markdown: "x", live: "live-0000000000000002" }), first)
      }).pipe(over(slack))
    }))

  it.effect("changes once a second in one channel, without waiting for other channels, and the latest wins", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        yield* Fiber.join(yield* start({ seq: 1, markdown: "one" }))
        const [second, third] = [yield* start({ seq: 2, markdown: "two" }), yield* start({ seq: 3, markdown: "three" })]
        const other = yield* start({ seq: 1, markdown: "other", live: "live-0000000000000002" })
        const elsewhere = yield* start({
          seq: 1,
          markdown: "x",
          live: "live-0000000000000003",
          channel: ChannelId.make("C0ELSE0001")
        })
        yield* Fiber.join(elsewhere)
        yield* TestClock.adjust(999)
        assert.lengthOf(slack.argsOf("chat.postMessage"), 2)
        assert.lengthOf(slack.argsOf("chat.update"), 0)
        yield* TestClock.adjust(2_001)
        yield* Fiber.join(second)
        yield* Fiber.join(third)
        yield* Fiber.join(other)
        assert.lengthOf(slack.argsOf("chat.update"), 1)
        assert.include(JSON.stringify(slack.argsOf("chat.update")), "three")
        // After a pause nobody waits.
        yield* TestClock.adjust(10_000)
        yield* Fiber.join(yield* start({ seq: 4, markdown: "four" }))
        assert.lengthOf(slack.argsOf("chat.update"), 2)
        const waits = yield* start({ seq: 5, markdown: "five" })
        yield* TestClock.adjust(999)
        assert.isUndefined(waits.pollUnsafe())
        yield* TestClock.adjust(1)
        yield* Fiber.join(waits)
        assert.lengthOf(slack.argsOf("chat.update"), 3)
      }).pipe(over(slack))
    }))

  it.effect("is posted anew when it was deleted or can be edited no more; any other failure is told", () =>
    Effect.gen(function*() {
      for (const error of ["message_not_found", "cant_update_message", "edit_window_closed"]) {
        const slack = scriptedSlack({ "chat.update": [refused(error), { ok: true }] })
        yield* Effect.gen(function*() {
          const first = yield* set({ seq: 1, markdown: "one" })
          const second = yield* set({ seq: 2, markdown: "two" })
          assert.notDeepEqual(second, first, error)
          assert.deepStrictEqual(yield* set({ seq: 3, markdown: "three" }), second)
          assert.lengthOf(slack.argsOf("chat.postMessage"), 2)
        }).pipe(over(slack))
      }
      for (const [failure, code] of [[refused("is_archived"), "is_archived"], [unclear("x"), "unavailable"]] as const) {
        const slack = scriptedSlack({ "chat.update": failure })
        yield* Effect.gen(function*() {
          yield* set({ seq: 1, markdown: "one" })
          assert.strictEqual(yield* set({ seq: 2, markdown: "two" }), code)
          // It is not shown, so the next attempt sends it.
          assert.strictEqual(yield* set({ seq: 2, markdown: "two" }), code)
          assert.lengthOf(slack.argsOf("chat.update"), 2)
        }).pipe(over(slack))
      }
    }))

  it.effect("takes surplus parts away; one that is gone already is no failure, another failure is told", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* shrink(refused("message_not_found")), 1)
      assert.strictEqual(yield* shrink(unclear("x")), "unavailable")
      assert.strictEqual(yield* shrink(refused("is_archived")), "is_archived")
    }))

  it.effect("that was shown and not written down is found again by its record, and brought up to date", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      const posts = makeMemoryPostsState()
      yield* Effect.gen(function*() {
        const first = yield* set({ seq: 1, markdown: "one" })
        posts.live.clear()
        assert.deepStrictEqual(yield* set({ seq: 1, markdown: "one" }), first)
        posts.live.clear()
        assert.deepStrictEqual(yield* set({ seq: 2, markdown: "two" }), first)
        assert.lengthOf(slack.argsOf("chat.postMessage"), 1)
        assert.include(JSON.stringify(slack.argsOf("chat.update").at(-1)), "two")
        const row = yield* (yield* Posts).live(sandbox, live)
        assert.deepInclude(row, { _tag: "Some" })
        assert.strictEqual(row._tag === "Some" ? row.value.seq : -1, 2)
      }).pipe(over(slack, { posts: MemoryPosts.layerOver(posts) }))
    }))
})
