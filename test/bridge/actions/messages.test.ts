/** What posting, editing, marking and the small look-ups ask of Slack, and what they make of its answers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Lookups } from "../../../bridge/actions/Lookups.ts"
import { Messages } from "../../../bridge/actions/Messages.ts"
import { CallQueue } from "../../../bridge/slack/CallQueue.ts"
import { MessageTs, SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { workingEmoji } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { ada, bridgeOverScript, channel, refused, requestId, scriptedSlack, threadTs, unclear } from "../scripted.ts"
import { otherSandbox, rowOf, sandbox } from "../world.ts"

const caller = { sender: sandbox, id: requestId }
const operator = { sender: "operator" as const, id: requestId }
const broken = new StoreError({
  port: "Posts",
  operation: "record",
  reason: "Unavailable",
  detail: "",
  cause: undefined
})

const answered = (word: string) =>
  Effect.flatMap(Messages, (messages) =>
    messages.post(
      caller,
      { action: "post", channel, threadTs, markdown: `${word} of some length. `.repeat(1_000) },
      undefined
    ))

const marked = (action: "react" | "unreact", answer: object) => {
  const slack = scriptedSlack({ "reactions.add": answer, "reactions.remove": answer })
  return Effect.flatMap(
    Messages,
    (messages) => Effect.result(messages.mark({ action, channel, ts: threadTs, emoji: "eyes" }))
  ).pipe(
    Effect.map((result) => [
      result._tag === "Failure" ? result.failure.code : result.success,
      slack.calls.map(({ args, method }) => [method, args])
    ]),
    Effect.provide(bridgeOverScript(slack))
  )
}

describe("messages", () => {
  it.effect("leave ⏳ out where the turn ends before its call, and set 👀 and the final mark before any", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const messages = yield* Messages
        const queue = yield* CallQueue
        const mark = (action: "react" | "unreact", emoji: string, ts = threadTs) =>
          messages.mark({ action, channel, ts, emoji })
        // The minute is full but for what marks that matter keep free.
        yield* Effect.forEach(
          Array.from({ length: 45 }),
          () =>
            queue.within(
              { method: "reactions.add", channel, purpose: "mark" },
              (place) => Effect.sync(() => void (place.used = true))
            )
        )
        yield* mark("react", workingEmoji)
        const other = MessageTs.make("1700000000.000200")
        yield* mark("react", workingEmoji, other)
        assert.deepStrictEqual(slack.calls, [])
        yield* mark("react", "white_check_mark")
        yield* mark("unreact", workingEmoji)
        assert.deepStrictEqual(slack.calls.map(({ args, method }) => [method, args["name"]]), [
          ["reactions.add", "white_check_mark"]
        ])
        yield* TestClock.adjust("2 minutes")
        assert.deepStrictEqual(slack.argsOf("reactions.add").slice(1), [
          { channel, timestamp: other, name: workingEmoji }
        ])
        yield* mark("unreact", workingEmoji, other)
        assert.deepStrictEqual(slack.argsOf("reactions.remove"), [{ channel, timestamp: other, name: workingEmoji }])
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("show only their first part in the channel too, each under a key of its own", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const messages = yield* Messages
        const post = (markdown: string, place: object = { threadTs, broadcast: true }, id = requestId) =>
          messages.post({ ...caller, id }, { action: "post", channel, markdown, ...place }, undefined)
        const long = yield* post("A sentence of some length. ".repeat(1_000))
        assert.isAtLeast(long.parts?.length ?? 0, 3)
        const sent = slack.argsOf("chat.postMessage")
        assert.deepStrictEqual(sent.map((args) => args["reply_broadcast"]), [
          true,
          ...sent.slice(1).map(() => undefined)
        ])
        assert.isTrue(sent.every((args) => args["thread_ts"] === threadTs))
        const keys = new Set(sent.map((args) => JSON.stringify(args["metadata"])))
        assert.strictEqual(keys.size, sent.length)
        for (const { ts } of long.parts ?? []) {
          assert.deepInclude(yield* (yield* Posts).owner(channel, ts), { _tag: "Some", value: sandbox })
        }
        yield* post("x", {}, requestId)
        const [note] = slack.argsOf("chat.postMessage").slice(-1)
        assert.notProperty(note, "thread_ts")
        assert.notProperty(note, "reply_broadcast")
        yield* post("y", { threadTs, broadcast: false })
        assert.notProperty(slack.argsOf("chat.postMessage").at(-1), "reply_broadcast")
        const blank = yield* Effect.flip(post(" \n "))
        assert.deepInclude(blank, { code: "bad_request" })
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("that are in Slack and not in our books are in doubt", () =>
    Effect.gen(function*() {
      const posts = Layer.mock(Posts, { record: () => Effect.fail(broken) })
      const failure = yield* Effect.gen(function*() {
        return yield* Effect.flip(
          (yield* Messages).post(caller, { action: "post", channel, markdown: "x" }, undefined)
        )
      }).pipe(Effect.provide(bridgeOverScript(scriptedSlack(), { posts })))
      assert.deepInclude(failure, { code: "unavailable", uncertain: true })
    }))

  it.effect("of several parts are finished from another body under the same id without doubling a part", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const first = yield* answered("One word")
        const second = yield* answered("Two word")
        assert.deepStrictEqual(second.parts, first.parts)
        assert.lengthOf(slack.argsOf("chat.postMessage"), first.parts?.length ?? 0)
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("are edited whole in one message, or not at all", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const messages = yield* Messages
        const update = (markdown: string) => messages.update({ action: "update", channel, ts: threadTs, markdown })
        assert.deepStrictEqual(yield* update("all <!here>"), { ok: true, parts: [{ ts: threadTs }] })
        const [sent] = slack.argsOf("chat.update")
        assert.deepInclude(sent, { channel, ts: threadTs })
        assert.notInclude(JSON.stringify(sent), "<!here>")
        const long = yield* Effect.flip(update("A sentence of some length. ".repeat(1_000)))
        assert.deepInclude(long, { code: "bad_request" })
        assert.include(long.detail, "fit")
        assert.include((yield* Effect.flip(update("\n"))).detail, "blank")
        assert.lengthOf(slack.argsOf("chat.update"), 1)
      }).pipe(Effect.provide(bridgeOverScript(slack)))
      const no = yield* Effect.flip(Effect.flatMap(Messages, (messages) =>
        messages.update({ action: "update", channel, ts: threadTs, markdown: "x" }))).pipe(
          Effect.provide(bridgeOverScript(scriptedSlack({ "chat.update": refused("cant_update_message") })))
        )
      assert.strictEqual(no.code, "slack_refused")
    }))

  it.effect("are marked and unmarked; a mark that is pointless is no failure, one that failed is", () =>
    Effect.gen(function*() {
      const args = { channel, timestamp: threadTs, name: "eyes" }
      assert.deepStrictEqual(yield* marked("react", { ok: true }), [{ ok: true }, [["reactions.add", args]]])
      assert.deepStrictEqual(yield* marked("unreact", { ok: true }), [{ ok: true }, [["reactions.remove", args]]])
      assert.deepStrictEqual((yield* marked("react", refused("already_reacted")))[0], { ok: true })
      assert.strictEqual((yield* marked("react", refused("not_in_channel")))[0], "not_in_channel")
      assert.strictEqual((yield* marked("react", unclear("already_reacted")))[0], "unavailable")
    }))
})

describe("what is remembered of messages", () => {
  it.effect("is whose each is, and in which thread it stands", () =>
    Effect.gen(function*() {
      const kept: Array<object> = []
      const posts = Layer.mock(Posts, { record: (post) => Effect.sync(() => void kept.push(post)) })
      yield* Effect.gen(function*() {
        const messages = yield* Messages
        yield* messages.post(caller, { action: "post", channel, markdown: "x" }, undefined)
        yield* messages.post(operator, { action: "post", channel, threadTs, markdown: "x" }, undefined)
      }).pipe(Effect.provide(bridgeOverScript(scriptedSlack(), { posts })))
      assert.deepStrictEqual(kept, [
        { sender: sandbox, channel, ts: "1700000001.000001" },
        { sender: "operator", channel, ts: "1700000001.000002", threadTs }
      ])
    }))
})

describe("look-ups", () => {
  const session = SessionId.make("3f0c1f1e-0000-4000-8000-000000000001")
  const other = MessageTs.make("1700000000.000999")
  const row = (owner: typeof sandbox) => ({
    channel,
    threadTs,
    sandbox: owner,
    session,
    createdAt: 0,
    lastTurnAt: 0
  })

  it.effect("give a message's address", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "chat.getPermalink": { ok: true, permalink: "https://a.test/p1" } })
      const answer = yield* Effect.flatMap(
        Lookups,
        (lookups) => lookups.permalink({ action: "permalink", channel, ts: threadTs })
      ).pipe(Effect.provide(bridgeOverScript(slack)))
      assert.deepStrictEqual(answer, { ok: true, permalink: "https://a.test/p1" })
      assert.deepStrictEqual(slack.argsOf("chat.getPermalink"), [{ channel, message_ts: threadTs }])
      for (
        const [failure, code] of [[refused("message_not_found"), "slack_refused"], [
          unclear("x"),
          "unavailable"
        ]] as const
      ) {
        const no = yield* Effect.flip(Effect.flatMap(
          Lookups,
          (lookups) => lookups.permalink({ action: "permalink", channel, ts: threadTs })
        )).pipe(Effect.provide(bridgeOverScript(scriptedSlack({ "chat.getPermalink": failure }))))
        assert.strictEqual(no.code, code)
      }
    }))

  it.effect("of threads are refused for now while their store is away", () =>
    Effect.gen(function*() {
      const away = Effect.fail(broken)
      const threads = Layer.mock(Threads, { get: () => away, put: () => away, bySession: () => away })
      yield* Effect.gen(function*() {
        const lookups = yield* Lookups
        yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
        for (
          const asked of [
            lookups.threadLookup(caller, { action: "thread.lookup", threadTs }),
            lookups.threadLookup(caller, { action: "thread.lookup", session }),
            lookups.threadPut(caller, { action: "thread.put", channel, threadTs, session })
          ]
        ) assert.strictEqual((yield* Effect.flip(asked)).code, "unavailable")
      }).pipe(Effect.provide(bridgeOverScript(scriptedSlack(), { threads })))
    }))

  it.effect("find a sandbox's own threads, by exactly one of two names, and nobody else's", () =>
    Effect.gen(function*() {
      const lookups = yield* Lookups
      const threads = yield* Threads
      yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
      yield* (yield* Sandboxes).insert(rowOf(otherSandbox, undefined))
      const find = (by: object, from: typeof caller = caller) =>
        lookups.threadLookup(from, { action: "thread.lookup", ...by })
      assert.deepStrictEqual(yield* find({ threadTs }), { ok: true })
      yield* threads.put(row(sandbox))
      const found = { ok: true as const, thread: { channel, threadTs, session } }
      assert.deepStrictEqual(yield* find({ threadTs }), found)
      assert.deepStrictEqual(yield* find({ session }), found)
      for (const by of [{}, { threadTs, session }]) {
        assert.strictEqual((yield* Effect.flip(find(by))).code, "bad_request")
      }
      const stranger = { ...caller, sender: otherSandbox }
      assert.deepStrictEqual(yield* find({ session }, stranger), { ok: true })
      // It has no channel, and so no thread in one.
      assert.deepStrictEqual(yield* find({ threadTs }, stranger), { ok: true })
      const { session: _, ...early } = row(sandbox)
      yield* threads.put({ ...early, threadTs: other })
      assert.deepStrictEqual(yield* find({ threadTs: other }), { ok: true, thread: { channel, threadTs: other } })
    }).pipe(Effect.provide(bridgeOverScript(scriptedSlack()))))

  it.effect("remember the thread's session from now on, but not over another sandbox's", () =>
    Effect.gen(function*() {
      const lookups = yield* Lookups
      const threads = yield* Threads
      yield* TestClock.adjust(7_000)
      const put = { action: "thread.put" as const, channel, threadTs, session }
      assert.deepStrictEqual(yield* lookups.threadPut(caller, put), { ok: true })
      assert.deepInclude(yield* threads.get(channel, threadTs), {
        value: { ...row(sandbox), createdAt: 7_000, lastTurnAt: 7_000 }
      })
      assert.deepStrictEqual(yield* lookups.threadPut(caller, put), { ok: true })
      const stranger = { ...caller, sender: otherSandbox }
      assert.strictEqual((yield* Effect.flip(lookups.threadPut(stranger, put))).code, "forbidden")
      for (
        const refusal of [
          lookups.threadPut(operator, put),
          lookups.threadLookup(operator, { action: "thread.lookup", threadTs }),
          lookups.activity(operator, { action: "activity", lastActiveAt: 0, ready: true, confined: true, plugins: [] })
        ]
      ) assert.strictEqual((yield* Effect.flip(refusal)).code, "forbidden")
    }).pipe(Effect.provide(bridgeOverScript(scriptedSlack()))))

  it.effect("say who is from outside: whom Slack places in another workspace", () =>
    Effect.gen(function*() {
      for (
        const [user, external] of [
          [{ name: "ada", team_id: "T0TEAM0001" }, false],
          [{ name: "ada", team_id: "T0OTHER001" }, true],
          [{ name: "ada" }, false]
        ] as const
      ) {
        const answer = yield* Effect.flatMap(
          Lookups,
          (lookups) => lookups.user({ action: "user.lookup", user: ada })
        ).pipe(Effect.provide(bridgeOverScript(scriptedSlack({ "users.info": { ok: true, user } }))))
        assert.deepStrictEqual(answer, { ok: true, user: { id: ada, name: "ada", external } })
      }
      const no = yield* Effect.flip(Effect.flatMap(
        Lookups,
        (lookups) => lookups.user({ action: "user.lookup", user: ada })
      )).pipe(Effect.provide(bridgeOverScript(scriptedSlack({ "users.info": refused("user_not_found") }))))
      assert.strictEqual(no.code, "slack_refused")
    }))

  it.effect("keep a sign of life of what lives, cut to what a line of km status holds", () =>
    Effect.gen(function*() {
      const lookups = yield* Lookups
      const sandboxes = yield* Sandboxes
      yield* TestClock.adjust(9_000)
      const plugin = { id: "i".repeat(100), state: "s".repeat(100), detail: "d".repeat(400) }
      const alive = (lastActiveAt: number, plugins = [plugin]) =>
        lookups.activity(caller, { action: "activity", lastActiveAt, ready: true, confined: false, plugins })
      const report = Effect.flatMap(Reports, (reports) => reports.get(sandbox))
      yield* alive(1)
      assert.isUndefined((yield* report).lastSeenAt)
      yield* sandboxes.insert(rowOf(sandbox, channel))
      yield* alive(0, Array.from({ length: 25 }, () => plugin))
      const first = yield* report
      assert.deepInclude(first, { lastSeenAt: 9_000, ready: true, confined: false })
      assert.notProperty(first, "lastActiveAt")
      assert.lengthOf(first.plugins ?? [], 20)
      const [shown] = first.plugins ?? []
      assert.deepStrictEqual([shown?.id.length, shown?.state.length, shown?.detail.length], [60, 40, 300])
      yield* alive(1)
      assert.strictEqual((yield* report).lastActiveAt, 1)
      yield* alive(10_000)
      assert.strictEqual((yield* report).lastActiveAt, 9_000)
      yield* (yield* Reports).remove(sandbox)
      yield* sandboxes.update(sandbox, { desired: "destroyed" })
      yield* alive(1)
      assert.isUndefined((yield* report).lastSeenAt)
    }).pipe(Effect.provide(bridgeOverScript(scriptedSlack()))))
})
