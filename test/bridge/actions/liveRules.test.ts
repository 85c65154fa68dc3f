/** When live messages are sent, edited, posted anew and taken away, call by call, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
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
  readonly draft?: boolean
}
const start = ({ draft, markdown, sender = sandbox, seq, ...changes }: Set) => {
  const { threadTs: thread, ...place } = { threadTs, live, channel, ...changes }
  return Effect.flatMap(LiveMessages, (lives) =>
    Effect.forkChild(Effect.result(lives.set({ sender, id: requestId }, {
      action: "live.set",
      ...place,
      ...(thread === undefined ? {} : { threadTs: thread }),
      seq,
      markdown,
      ...(draft === undefined ? {} : { draft })
    }))))
}
/** Sets it and waits as long as it takes; the messages' ts, or the refusal's code. */
const set = Effect.fnUntraced(function*(given: Set) {
  const fiber = yield* start(given)
  for (let second = 0; second < 60 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
  const answer = yield* Fiber.join(fiber)
  return answer._tag === "Success" ? (answer.success.parts ?? []).map(({ ts }) => ts) : answer.failure.code
})
const draft = (seq: number) => set({ seq, markdown: `text ${seq}`, draft: true })
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

  it.effect("is answered at once while it is a draft, and shows the newest when its turn comes", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      const texts = () => slack.argsOf("chat.update").map((args) => String(args["text"]))
      yield* Effect.gen(function*() {
        const first = yield* Fiber.join(yield* start({ seq: 1, markdown: "one", draft: true }))
        assert.lengthOf(slack.argsOf("chat.postMessage"), 1)
        for (let seq = 2; seq < 30; seq++) {
          assert.deepStrictEqual(yield* Fiber.join(yield* start({ seq, markdown: `text ${seq}`, draft: true })), first)
        }
        // The workspace's pace: one edit each 60/45 s, whatever is asked for.
        yield* TestClock.adjust(1_300)
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(texts().at(-1), "text 29")
        assert.isAtMost(texts().length, 2)
        const edits = texts().length
        yield* TestClock.adjust(60_000)
        assert.lengthOf(texts(), edits)
        // What is no draft waits for no pace, and an older draft never comes after it.
        yield* Fiber.join(yield* start({ seq: 31, markdown: "draft", draft: true }))
        yield* Fiber.join(yield* start({ seq: 32, markdown: "later draft", draft: true }))
        yield* Fiber.join(yield* start({ seq: 33, markdown: "the end" }))
        assert.deepStrictEqual(texts().at(-1), "the end")
        yield* TestClock.adjust(60_000)
        assert.deepStrictEqual(texts().at(-1), "the end")
      }).pipe(over(slack))
    }))

  it.effect("whose draft cannot be shown says so to the next one, and is shown once it can be", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "chat.update": [refused("is_archived"), { ok: true }] })
      yield* Effect.gen(function*() {
        yield* draft(1)
        yield* draft(2)
        yield* TestClock.adjust(5_000)
        assert.strictEqual(yield* draft(3), "is_archived")
        yield* draft(4)
        yield* TestClock.adjust(5_000)
        assert.include(JSON.stringify(slack.argsOf("chat.update").at(-1)), "text 4")
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

  it.effect("shows an outcome before whatever is no outcome: each call says what it is for", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      const purposes = () =>
        slack.calls.filter(({ method }) => method.startsWith("chat."))
          .map(({ method, options }) => [method.slice("chat.".length), options?.purpose])
      yield* Effect.gen(function*() {
        yield* set({ seq: 1, markdown: long("One") })
        const parts = purposes().length
        assert.isAtLeast(parts, 2)
        assert.deepStrictEqual(purposes(), Array.from({ length: parts }, () => ["postMessage", "outcome"]))
        yield* set({ seq: 2, markdown: "short" })
        assert.deepStrictEqual(purposes().slice(parts), [
          ["update", "outcome"],
          ...Array.from({ length: parts - 1 }, () => ["delete", "outcome"])
        ])
      }).pipe(over(slack))
      slack.calls.length = 0
      yield* Effect.gen(function*() {
        yield* set({ seq: 1, markdown: long("One"), draft: true })
        const opened = purposes().length
        assert.deepStrictEqual(purposes(), Array.from({ length: opened }, () => ["postMessage", "first"]))
        yield* set({ seq: 2, markdown: `Two ${long("Two")}`, draft: true })
        yield* TestClock.adjust("1 minute")
        const [first, ...others] = purposes().slice(opened)
        assert.deepStrictEqual(first, ["update", "live"])
        assert.isAtLeast(others.length, 1)
        assert.isTrue(others.every(([, purpose]) => purpose === "first"))
      }).pipe(over(slack))
    }))

  it.effect("is not taken back to an older outcome, or to a draft as old, while a newer one is on its way or has failed", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const failing = Effect.flatMap(Deferred.await(gate), () => Effect.fail(refused("is_archived")))
      const slack = scriptedSlack({ "chat.update": [failing, { ok: true }] })
      yield* Effect.gen(function*() {
        yield* set({ seq: 1, markdown: "one" })
        const newer = yield* start({ seq: 5, markdown: "five" })
        yield* TestClock.adjust(1)
        // A draft that is answered meanwhile does not make the newer one forgotten.
        yield* Fiber.join(yield* start({ seq: 4, markdown: "four", draft: true }))
        const older = yield* start({ seq: 3, markdown: "three" })
        yield* TestClock.adjust(1)
        assert.lengthOf(slack.argsOf("chat.update"), 1)
        yield* Deferred.succeed(gate, undefined)
        assert.deepInclude(yield* Fiber.join(newer), { _tag: "Failure" })
        assert.deepInclude(yield* Fiber.join(older), { _tag: "Success" })
        yield* TestClock.adjust("1 minute")
        assert.lengthOf(slack.argsOf("chat.update"), 1)
      }).pipe(over(slack))
      const opening = yield* Deferred.make<void>()
      const unposted = Effect.flatMap(Deferred.await(opening), () => Effect.fail(refused("is_archived")))
      const closed = scriptedSlack({ "chat.postMessage": [unposted, { ok: true, ts: "1700000009.000001" }] })
      yield* Effect.gen(function*() {
        const newer = yield* start({ seq: 2, markdown: "two" })
        yield* TestClock.adjust(1)
        const same = yield* start({ seq: 2, markdown: "the same number", draft: true })
        yield* TestClock.adjust(1)
        yield* Deferred.succeed(opening, undefined)
        yield* Fiber.join(newer)
        yield* Fiber.join(same)
        assert.lengthOf(closed.argsOf("chat.postMessage"), 1)
      }).pipe(over(closed))
    }))

  it.effect("is forgotten once nobody asks for it: what its sandbox says later counts from its row alone", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      const posts = makeMemoryPostsState()
      yield* Effect.gen(function*() {
        yield* set({ seq: 5, markdown: "five" })
        yield* draft(6)
        yield* TestClock.adjust("1 minute")
        posts.live.clear()
        yield* set({ seq: 3, markdown: "three" })
        assert.include(JSON.stringify(slack.argsOf("chat.update").at(-1)), "three")
      }).pipe(over(slack, { posts: MemoryPosts.layerOver(posts) }))
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
