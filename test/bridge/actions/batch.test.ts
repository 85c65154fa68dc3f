/** Actions that come together: judged one by one, each under its own id, in their order. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { requestIdOf, SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { maxBatchActions } from "../../../runtime/domain/slack/BridgeBatch.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import {
  bridgeOverScript,
  channel,
  limited,
  refused,
  scriptedSlack,
  secretsStored,
  threadTs,
  unclear
} from "../scripted.ts"
import { type Answer, callV2, certified, codeOf, rowOf, sandbox, sandboxKey } from "../world.ts"

const session = SessionId.make("3f0c1f1e-0000-4000-8000-000000000001")
const put = { action: "thread.put", channel, threadTs, session }
const done = { action: "react", channel, ts: threadTs, emoji: "white_check_mark" }
const unwait = { action: "unreact", channel, ts: threadTs, emoji: "hourglass_flowing_sand" }

const furnished = Effect.gen(function*() {
  yield* secretsStored
  const identities = yield* Identities
  yield* identities.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
  yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
})
const bridge =
  (slack = scriptedSlack()) => <A, E>(test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof bridgeOverScript>>>) =>
    TestClock.setTime(Date.now()).pipe(
      Effect.andThen(Effect.provide(Effect.andThen(furnished, test), bridgeOverScript(slack)))
    )

/** Each action under the name it is given. */
const batch = (actions: Readonly<Record<string, unknown>>) => ({
  action: "batch",
  actions: Object.entries(actions).map(([key, action]) => ({ id: requestIdOf(key), action }))
})
/** The code of each answer, or what it said beside `ok`. */
const each = (answer: Answer): ReadonlyArray<unknown> => {
  const answers = answer.json["answers"]
  assert.isArray(answers)
  return (answers as ReadonlyArray<Record<string, unknown>>).map(({ ok, ...rest }) =>
    ok === true ? rest : codeOf({ ...answer, json: rest })
  )
}

describe("a batch", () => {
  it.effect("does what it asks for, in its order, and a repetition finds each result under its own id", () => {
    const slack = scriptedSlack()
    return Effect.gen(function*() {
      assert.deepStrictEqual(each(yield* callV2("b", batch({ put, done, unwait }))), [{}, {}, {}])
      assert.deepStrictEqual(slack.methods().filter((method) => method.startsWith("reactions")), [
        "reactions.add",
        "reactions.remove"
      ])
      assert.deepInclude(Option.getOrUndefined(yield* (yield* Threads).get(channel, threadTs)), { session })
      const replayed = { replayed: true }
      // ⏳ is only set to a value, like a thread's row.
      assert.deepStrictEqual(each(yield* callV2("b", batch({ put, done, unwait }))), [{}, replayed, {}])
      // Also in other company, and alone: what counts is the id and the action.
      assert.deepStrictEqual(each(yield* callV2("c", batch({ done }))), [replayed])
      assert.deepInclude((yield* callV2("done", done)).json, replayed)
      assert.strictEqual(codeOf(yield* callV2("done", { ...done, emoji: "x" })), "already_done")
      assert.lengthOf(slack.argsOf("reactions.add"), 1)
    }).pipe(bridge(slack))
  })

  it.effect("is judged one by one: what is wrong with one is no matter of the others", () => {
    const slack = scriptedSlack({ "reactions.remove": refused("invalid_name") })
    return Effect.gen(function*() {
      const answer = yield* callV2(
        "b",
        batch({
          a: { ...done, channel: "C0OTHER0001" },
          b: { action: "react", channel },
          c: { action: "dance" },
          d: { action: "state" },
          e: batch({ put }),
          f: { ...unwait, emoji: "eyes" },
          g: done
        })
      )
      assert.strictEqual(answer.status, 200)
      assert.deepStrictEqual(each(answer), [
        "forbidden",
        "bad_request",
        "unknown_action",
        "forbidden",
        "unknown_action",
        "slack_refused",
        {}
      ])
      assert.lengthOf(slack.argsOf("reactions.add"), 1)
    }).pipe(bridge(slack))
  })

  for (const failure of [limited("ratelimited"), unclear("no answer")]) {
    it.effect(`does nothing behind what is to be asked for again (${failure.kind}), or it would be overtaken`, () => {
      const slack = scriptedSlack({ "reactions.add": [failure, failure, { ok: true }] })
      return Effect.gen(function*() {
        const first = each(yield* callV2("b", batch({ put, done, unwait })))
        assert.deepStrictEqual([first[0], first[2]], [{}, "in_progress"])
        assert.include(["rate_limited", "unavailable"], first[1])
        assert.isEmpty(slack.argsOf("reactions.remove"))
        let again = first
        for (let n = 0; n < 5 && again.includes("in_progress"); n++) {
          yield* TestClock.adjust("30 seconds")
          again = each(yield* callV2("b", batch({ done, unwait }), { timestamp: Math.floor(Date.now() / 1000) + n }))
        }
        assert.deepStrictEqual(again, [{}, {}])
        assert.lengthOf(slack.argsOf("reactions.remove"), 1)
      }).pipe(bridge(slack))
    })
  }

  it.effect("has sixteen actions at most, and one at least, each with an id", () =>
    Effect.gen(function*() {
      const many = Object.fromEntries(Array.from({ length: maxBatchActions + 1 }, (_, n) => [`n${n}`, put]))
      for (
        const body of [batch(many), batch({}), { action: "batch" }, { action: "batch", actions: [{ action: put }] }]
      ) {
        assert.strictEqual(codeOf(yield* callV2("b", body)), "bad_request")
      }
      assert.isTrue(Option.isNone(yield* (yield* Threads).get(channel, threadTs)))
    }).pipe(bridge()))
})
