/** A question whose runtime never takes it back: the bridge does, whichever process of it comes to its end. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { makeMemoryFactsState } from "../../../runtime/ports/memory/MemoryFacts.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { bridgeOverScript, channel, scriptedSlack, secretsStored } from "../scripted.ts"
import { callV2, certified, rowOf, sandbox, sandboxKey } from "../world.ts"
import { askAction, question } from "./scene.ts"

const root = "1700000000.000100"
const asked = Effect.gen(function*() {
  yield* secretsStored
  yield* (yield* Identities).put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
  yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
  const now = yield* Clock.currentTimeMillis
  const action = askAction({ channel }, root, 1, { deadline: now + 60_000 })
  const answer = yield* callV2("ask", action, { timestamp: Math.floor(now / 1_000) })
  assert.strictEqual(answer.status, 200)
})
const stateOf = Effect.map(question(1), ({ state }) => state)

describe("a question that nobody takes back", () => {
  it.effect("keeps its buttons until half a minute after its deadline", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* TestClock.setTime(Date.now())
      yield* Effect.gen(function*() {
        yield* asked
        yield* TestClock.adjust("89 seconds")
        assert.strictEqual(yield* stateOf, "open")
        assert.lengthOf(slack.argsOf("chat.update"), 0)
        yield* TestClock.adjust("7 seconds")
        assert.strictEqual(yield* stateOf, "withdrawn")
        assert.lengthOf(slack.argsOf("chat.update"), 1)
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("is found by the next process of the bridge", () =>
    Effect.gen(function*() {
      const facts = makeMemoryFactsState()
      yield* TestClock.setTime(Date.now())
      yield* Effect.provide(asked, bridgeOverScript(scriptedSlack(), { facts }))
      yield* Effect.gen(function*() {
        yield* TestClock.adjust("96 seconds")
        assert.strictEqual(yield* stateOf, "withdrawn")
      }).pipe(Effect.provide(bridgeOverScript(scriptedSlack(), { facts })))
    }))
})
