/** What the catch-up reads of Slack, from where on, and when it reads again; in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { CatchUp } from "../../../bridge/events/CatchUp.ts"
import { Progress } from "../../../bridge/events/Progress.ts"
import { MessageTs } from "../../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { profileWith, slackProfile } from "../../support/profiles.ts"
import {
  ada,
  botUser,
  bridgeOverScript,
  channel,
  refused,
  type ScriptedSlack,
  scriptedSlack,
  unclear
} from "../scripted.ts"
import { rowOf, sandbox, waiting } from "../world.ts"

/** Seconds; the sandbox was made then. */
const made = 1_700_000_000
const at = (seconds: number, micros = 0) =>
  `${String(made + seconds).padStart(10, "0")}.${String(micros).padStart(6, "0")}`
const said = (seconds: number, changes: object = {}) => ({
  type: "message",
  user: ada,
  team: "T0TEAM0001",
  text: `at ${seconds}`,
  ts: at(seconds),
  ...changes
})
const page = (messages: ReadonlyArray<object>, cursor?: string) => ({
  ok: true,
  messages,
  ...(cursor === undefined ? {} : { response_metadata: { next_cursor: cursor } })
})

/** One sandbox, made ten days before now, over this Slack. */
const world = <A, E, R>(
  slack: ScriptedSlack,
  test: Effect.Effect<A, E, R>,
  changes: Parameters<typeof rowOf>[2] = {}
) =>
  Effect.gen(function*() {
    yield* TestClock.setTime((made + 864_000) * 1_000)
    return yield* Effect.gen(function*() {
      yield* (yield* Sandboxes).insert(rowOf(sandbox, channel, { createdAt: made * 1_000 + 999, ...changes }))
      yield* (yield* TurnQueue).create(sandbox)
      return yield* test
    }).pipe(Effect.provide(bridgeOverScript(slack)))
  })
const once = Effect.flatMap(CatchUp, (catchUp) => catchUp.once)
const taken = Effect.map(waiting, (entries) => entries.map(({ key }) => key.split(":")[2]))

describe("the catch-up", () => {
  it.effect("reads from ten minutes before the newest accepted message, threads of a week before", () =>
    Effect.gen(function*() {
      const newest = 700_000
      const root = (seconds: number, latest: number | undefined, changes: object = {}) =>
        said(seconds, {
          text: `root ${seconds}`,
          reply_count: 1,
          ...(latest === undefined ? {} : { latest_reply: at(latest) }),
          ...changes
        })
      const slack = scriptedSlack({
        "conversations.history": page([
          said(newest + 1),
          said(newest - 599),
          said(newest - 600),
          root(100_000, newest - 500),
          root(100_001, newest - 600),
          root(100_002, undefined),
          root(100_003, newest, { reply_count: 0 }),
          root(100_004, newest, { thread_ts: at(100_000) }),
          root(100_005, newest, { thread_ts: at(100_005), reply_count: 2 }),
          root(100_006, newest, { reply_count: null }),
          { ts: 5 }
        ]),
        "conversations.replies": (args) =>
          page([
            said(newest - 499, {
              ts: at(newest - 499, Number(String(args["ts"]).slice(-8, -7))),
              thread_ts: args["ts"]
            })
          ])
      })
      assert.isTrue(yield* world(slack, once, { lastAcceptedTs: MessageTs.make(at(newest)) }))
      assert.deepStrictEqual(slack.calls.filter(({ method }) => method.startsWith("conversations")), [
        {
          method: "conversations.history",
          args: { channel, oldest: at(newest - 600 - 7 * 86_400), limit: 200 }
        },
        ...[100_000, 100_002, 100_005].map((ts) => ({
          method: "conversations.replies",
          args: { channel, ts: at(ts), oldest: at(newest - 600), limit: 200 }
        }))
      ])
    }))

  it.effect("takes what it finds oldest first, each once, and nothing from before the sandbox", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({
        "conversations.history": page([
          said(30),
          said(20),
          said(20),
          said(40, { reply_count: 1, latest_reply: at(50) }),
          said(-4),
          said(-5),
          said(25, { user: botUser }),
          said(26, { text: "!stop" })
        ]),
        "conversations.replies": page([said(40), said(45, { thread_ts: at(40) })])
      })
      yield* world(
        slack,
        Effect.gen(function*() {
          assert.isTrue(yield* once)
          assert.deepStrictEqual(yield* taken, [at(-4), at(20), at(30), at(40), at(45)])
          assert.isTrue(yield* once)
          assert.lengthOf(yield* taken, 5)
        })
      )
      // A new sandbox's channel is read from its beginning, less what clocks may differ by.
      assert.strictEqual(slack.argsOf("conversations.history")[0]?.["oldest"], at(-5))
    }))

  it.effect("reads on while there are pages, twenty of them", () =>
    Effect.gen(function*() {
      const pages = scriptedSlack({
        "conversations.history": [page([said(1)], "a"), page([said(2)], "b"), page([said(3)])]
      })
      assert.deepStrictEqual(yield* world(pages, Effect.andThen(once, taken)), [at(1), at(2), at(3)])
      assert.deepStrictEqual(pages.argsOf("conversations.history").map(({ cursor }) => cursor), [undefined, "a", "b"])
      for (
        const [answer, reads] of [[page([], "on"), 20], [page([], ""), 1], [{
          ok: true,
          messages: null,
          response_metadata: null
        }, 1], [{ ok: true, response_metadata: { next_cursor: null } }, 1]] as const
      ) {
        const slack = scriptedSlack({ "conversations.history": answer })
        assert.isTrue(yield* world(slack, once))
        assert.lengthOf(slack.argsOf("conversations.history"), reads)
      }
    }))

  it.effect("reads the channels that are chats, and no others", () =>
    Effect.gen(function*() {
      const quiet = profileWith({ notifySlackEnabled: true, notifySlackPerSandbox: true })
      for (
        const [changes, reads] of [
          [{}, 1],
          [{ channelMode: "shared" }, 0],
          [{ desired: "destroyed" }, 0],
          [{ status: "destroying" }, 0],
          [{ profile: quiet }, 0]
        ] as const
      ) {
        const slack = scriptedSlack({ "conversations.history": page([]) })
        assert.isTrue(yield* world(slack, once, { profile: slackProfile, ...changes }))
        assert.lengthOf(slack.argsOf("conversations.history"), reads, JSON.stringify(changes))
      }
    }))

  it.effect("says whether it must be done again: what Slack will never show is no reason", () =>
    Effect.gen(function*() {
      for (
        const [answers, whole] of [
          [{ "conversations.history": refused("channel_not_found") }, true],
          [{ "conversations.history": unclear("x") }, false],
          [{ "conversations.history": { ok: true, messages: 5 } }, false],
          [{ "conversations.history": Effect.die(new Error("a defect")) }, false],
          [{ "auth.test": unclear("x") }, false],
          [{ "auth.test": { ok: true, user_id: botUser, team_id: "no team" } }, false]
        ] as const
      ) assert.strictEqual(yield* world(scriptedSlack(answers), once), whole, JSON.stringify(answers))
    }))

  it.effect("is done again every half minute while it is not whole, then only for what was missed or slept through", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "conversations.history": [unclear("x"), unclear("x"), page([])] })
      const reads = () => slack.argsOf("conversations.history").length
      yield* world(
        slack,
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild((yield* CatchUp).forever)
          yield* TestClock.adjust(29_999)
          assert.strictEqual(reads(), 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(reads(), 2)
          yield* TestClock.adjust(30_000)
          assert.strictEqual(reads(), 3)
          yield* TestClock.adjust(90_000)
          assert.strictEqual(reads(), 3)
          const progress = yield* Progress
          progress.missed()
          yield* TestClock.adjust(30_000)
          assert.strictEqual(reads(), 4)
          yield* TestClock.adjust(60_000)
          assert.strictEqual(reads(), 4)
          yield* Fiber.interrupt(fiber)
        })
      )
    }))
})
