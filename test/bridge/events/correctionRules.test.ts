/** What becomes of an edit, a deletion and 🛑. Signed events, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../../runtime/ports/Seen.ts"
import { ada, botUser, channel, refused, scriptedSlack } from "../scripted.ts"
import { sandbox, waiting } from "../world.ts"
import { envelope, event, keyOf, post, receive, requests, stops, told, ts, world } from "./scene.ts"

const inner = { user: ada, ts, text: "new" }
const edited = (changes: object = {}) =>
  event({
    subtype: "message_changed",
    ts: "1700000009.000001",
    message: { ...inner, ...changes },
    previous_message: { ...inner, text: "hello" }
  }, { event_id: "EvEdit" })
const deleted = (changes: object = {}) =>
  event({
    subtype: "message_deleted",
    ts: "1700000009.000001",
    deleted_ts: ts,
    previous_message: { ...inner, ...changes }
  })

const mark = (changes: object = {}) =>
  post(envelope({
    type: "reaction_added",
    user: ada,
    reaction: "stop_sign",
    item_user: ada,
    item: { type: "message", channel, ts },
    ...changes
  }, { event_id: "EvMark" }))

describe("a correction", () => {
  it.effect("of a message that waits replaces its words and nothing else; blank or `!stop` withdraws it", () =>
    Effect.gen(function*() {
      for (const [text, left] of [["a &lt; b <@U0GRACE001>", ["a < b @ada"]], [" ", []], ["!stop", []]] as const) {
        const slack = scriptedSlack()
        yield* Effect.gen(function*() {
          yield* event({ files: [{ id: "F1" }] })
          const before = yield* requests
          yield* edited({ text })
          const after = yield* requests
          assert.deepStrictEqual(after, left.flatMap((words) => before.map((request) => ({ ...request, text: words }))))
          const notes = yield* told(slack)
          assert.deepStrictEqual(notes.map(([thread]) => thread), left.length === 0 ? [ts] : [])
          if (left.length === 0) assert.include(notes[0]?.[1], "Its author withdrew")
        }).pipe(world(slack))
      }
    }))

  it.effect("that no turn can hold is told, and the message stays", () =>
    Effect.gen(function*() {
      for (const [text, code] of [["a\u0007b", "KM-SLK-006"], ["x".repeat(256 * 1024), "KM-SLK-012"]] as const) {
        const slack = scriptedSlack()
        yield* Effect.gen(function*() {
          yield* event({ thread_ts: "1700000000.000001" })
          yield* edited({ text, thread_ts: "1700000000.000001" })
          const [note, ...others] = yield* told(slack)
          assert.strictEqual(note?.[0], "1700000000.000001")
          assert.include(note?.[1], code)
          assert.lengthOf(others, 0)
          assert.deepStrictEqual((yield* requests).map((request) => request.text), ["hello"])
        }).pipe(world(slack))
      }
    }))

  it.effect("of what is no turn, or in no sandbox's channel, changes nothing", () =>
    Effect.gen(function*() {
      for (const row of [{}, "none"] as const) {
        const slack = scriptedSlack()
        yield* Effect.gen(function*() {
          assert.strictEqual((yield* edited()).status, 200)
          if (row === "none") assert.strictEqual((yield* deleted()).status, 200)
          assert.deepStrictEqual(yield* told(slack), [])
          const seen = yield* (yield* Seen).find([`turn:${keyOf()}`])
          assert.strictEqual(seen._tag, "None")
        }).pipe(world(slack, { row }))
      }
    }))

  it.effect("of a message that the agent has is told in its thread, once for each text", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        yield* event({ thread_ts: "1700000000.000001" })
        yield* receive
        for (let time = 0; time < 2; time++) yield* edited({ thread_ts: "1700000000.000001" })
        yield* edited({ thread_ts: "1700000000.000001", text: "newer" })
        yield* deleted({ thread_ts: "1700000000.000001" })
        const notes = yield* told(slack)
        assert.deepStrictEqual(notes.map(([thread]) => thread), Array(3).fill("1700000000.000001"))
        assert.deepStrictEqual(
          notes.map(([, text]) => /edit does not reach|deleting it does not stop/.exec(text)?.[0]),
          ["edit does not reach", "edit does not reach", "deleting it does not stop"]
        )
      }).pipe(world(slack))
      const root = scriptedSlack()
      yield* Effect.gen(function*() {
        yield* event()
        yield* receive
        yield* edited()
        yield* deleted()
        assert.deepStrictEqual((yield* told(root)).map(([thread]) => thread), [ts, ts])
      }).pipe(world(root))
    }))

  it.effect("that takes a waiting message back names its author where it can be seen, and is known for good", () =>
    Effect.gen(function*() {
      for (const [thread, place] of [["1700000000.000001", "1700000000.000001"], [null, undefined]] as const) {
        const slack = scriptedSlack()
        yield* Effect.gen(function*() {
          yield* event({ thread_ts: thread })
          yield* deleted({ thread_ts: thread })
          const [note] = yield* told(slack)
          assert.strictEqual(note?.[0], place)
          assert.include(note?.[1], "ada withdrew a message")
          assert.lengthOf(yield* waiting, 0)
          yield* event({ thread_ts: thread }, { event_id: "EvLate" })
          assert.lengthOf(yield* waiting, 0)
        }).pipe(world(slack))
      }
      const unknown = scriptedSlack({ "users.info": refused("user_not_found") })
      yield* Effect.gen(function*() {
        yield* event()
        yield* deleted()
        assert.include((yield* told(unknown))[0]?.[1], "Its author withdrew")
      }).pipe(world(unknown))
      const early = scriptedSlack()
      yield* Effect.gen(function*() {
        yield* deleted()
        yield* event()
        assert.lengthOf(yield* waiting, 0)
        assert.deepStrictEqual(yield* told(early), [])
      }).pipe(world(early))
    }))

  it.effect("by 🛑 counts from the author and from operators, on what is a turn", () =>
    Effect.gen(function*() {
      const asked = Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(stops(1))
        yield* TestClock.adjust(1)
        return fiber.pollUnsafe() !== undefined
      })
      yield* Effect.gen(function*() {
        yield* mark()
        yield* event()
        yield* mark({ item_user: "U0GRACE001" })
        yield* mark({ item: { type: "message", channel: "C0ELSE0001", ts } })
        assert.isFalse(yield* asked)
        yield* mark()
        assert.deepStrictEqual(yield* stops(1), [{
          kind: "stop",
          id: `mark-${keyOf()}-${ada}`,
          turn: keyOf(),
          by: "ada"
        }])
      }).pipe(world(scriptedSlack()))
      yield* Effect.gen(function*() {
        yield* event()
        yield* mark({ item_user: "U0GRACE001" })
        assert.lengthOf(yield* stops(1), 1)
      }).pipe(world(scriptedSlack(), { operators: [ada] }))
    }))

  it.effect("waits a quarter of a second for a name, and does without", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "users.info": Effect.never })
      yield* Effect.gen(function*() {
        const asked = yield* Effect.forkChild(event())
        yield* TestClock.adjust(500)
        assert.isDefined(asked.pollUnsafe())
        for (const correct of [() => edited({ text: "<@U0GRACE001>" }), () => deleted(), () => mark()]) {
          const fiber = yield* Effect.forkChild(correct())
          yield* TestClock.adjust(249)
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust(1)
          assert.isDefined(fiber.pollUnsafe())
        }
      }).pipe(world(slack))
    }))

  it.effect("leaves our own mention out, as the message did", () =>
    Effect.gen(function*() {
      yield* event()
      yield* edited({ text: `<@${botUser}> once more` })
      assert.deepStrictEqual((yield* requests).map((request) => request.text), ["once more"])
    }).pipe(world(scriptedSlack())))

  it.effect("of a turn whose sandbox is gone is taken and changes nothing", () =>
    Effect.gen(function*() {
      yield* event()
      yield* (yield* Sandboxes).remove(sandbox)
      const item = { type: "message", channel, ts }
      const reaction = { type: "reaction_added", user: ada, reaction: "stop", item_user: ada, item }
      assert.strictEqual((yield* post(envelope(reaction, { event_id: "EvMark" }))).status, 200)
    }).pipe(world(scriptedSlack())))
})
