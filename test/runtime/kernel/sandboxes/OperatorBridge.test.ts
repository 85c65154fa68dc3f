/** What the control plane makes of the bridge's answers: done, never, or not now. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { ChannelId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { undeliverableBridgeCodes } from "../../../../runtime/domain/slack/BridgeProtocol.ts"
import { ask } from "../../../../runtime/kernel/sandboxes/OperatorBridge.ts"
import { Bridge, BridgeRefused } from "../../../../runtime/ports/Bridge.ts"

const action = { action: "archive", channel: ChannelId.make("C0001") } as const
const refusing = (code: string) =>
  Bridge.of({
    call: () => Effect.fail(new BridgeRefused({ action: "archive", code: code as BridgeRefused["code"], detail: "so" }))
  })

describe("OperatorBridge", () => {
  it.effect("passes the key and the action on, and the result back", () =>
    Effect.gen(function*() {
      let asked: unknown
      const bridge = Bridge.of({ call: (call) => Effect.sync(() => (asked = call, { ok: true as const })) })
      assert.deepEqual(yield* ask(bridge, "k/1", action), { _tag: "Done", result: { ok: true } })
      assert.deepStrictEqual(asked, { key: "k/1", action })
    }))

  it.effect("tells Slack's final word from a passing fault", () =>
    Effect.gen(function*() {
      assert.isAbove(undeliverableBridgeCodes.size, 0)
      for (const code of undeliverableBridgeCodes) {
        assert.deepEqual(yield* ask(refusing(code), "k", action), {
          _tag: "Undeliverable",
          reason: `the bridge refused archive: so (${code})`
        })
      }
      assert.deepEqual(yield* ask(refusing("unavailable"), "k", action), {
        _tag: "NotNow",
        reason: "the bridge refused archive: so (unavailable)"
      })
    }))

  it.effect("waits 45 s for a bridge that does not answer", () =>
    Effect.gen(function*() {
      const asking = yield* Effect.forkChild(ask(Bridge.of({ call: () => Effect.never }), "k", action), {
        startImmediately: true
      })
      yield* TestClock.adjust("44999 millis")
      assert.isUndefined(asking.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepEqual(yield* Fiber.join(asking), {
        _tag: "NotNow",
        reason: "the bridge did not answer archive within 45 s; is `km up` running?"
      })
    }))
})
