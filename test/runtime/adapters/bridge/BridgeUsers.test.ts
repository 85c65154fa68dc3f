import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as BridgeUsers from "../../../../runtime/adapters/bridge/BridgeUsers.ts"
import { UserId } from "../../../../runtime/domain/Ids.ts"
import { SandboxInfo } from "../../../../runtime/ports/SandboxInfo.ts"
import { Users } from "../../../../runtime/ports/Users.ts"
import { recordingBridge } from "../../../support/RecordingBridge.ts"
import { sandboxInfo } from "../../../support/turnRows.ts"

const anna = UserId.make("U0ANNA")

describe("BridgeUsers", () => {
  it.effect("asks once an hour, and gives the id while the name cannot be had", () => {
    let down = true
    const bridge = recordingBridge({
      refuse: () => down ? "unavailable" : undefined,
      answer: () => ({ user: { id: anna, name: "Anna", external: false } })
    })
    return Effect.gen(function*() {
      const users = yield* Users
      assert.strictEqual(yield* users.name(anna), anna)
      down = false
      assert.strictEqual(yield* users.name(anna), "Anna")
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* users.name(anna), "Anna")
      assert.strictEqual(bridge.calls.length, 2)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* users.name(anna), "Anna")
      assert.strictEqual(bridge.calls.length, 3)
    }).pipe(Effect.provide(
      BridgeUsers.layer.pipe(Layer.provide([bridge.layer, Layer.succeed(SandboxInfo)(SandboxInfo.of(sandboxInfo))]))
    ))
  })
})
