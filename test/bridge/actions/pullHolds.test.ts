/** `pull.hold` and `pull.release`: one sandbox at a time for a pull request, of a repository that it may write. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { BridgeAction } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { codeOf, otherSandbox, type V2Options } from "../world.ts"
import { callNow, grant, otherKey, scene } from "./githubScene.ts"

const held = { host: "github.com", repository: 3, pull: 12 }

const other = { sender: otherSandbox, key: otherKey } as const

/** The token, or the code of the refusal. */
const call = Effect.fnUntraced(function*(key: string, action: BridgeAction, options: V2Options = {}) {
  const answer = yield* callNow(key, action, options)
  return codeOf(answer) ?? (typeof answer.json["hold"] === "string" ? answer.json["hold"] : "ok")
})
const hold = (key: string, more: object = {}, options?: V2Options) =>
  call(key, { action: "pull.hold", ...held, ...more }, options)
const release = (key: string, token: string, restMillis: number, options?: V2Options) =>
  call(key, { action: "pull.release", ...held, token, restMillis }, options)

describe("pull.hold", () => {
  it.effect("is one sandbox's at a time, and the next one's when it is released", () =>
    scene(
      { github: [grant] },
      Effect.gen(function*() {
        const token = yield* hold("a")
        assert.strictEqual(yield* hold("b", {}, other), "in_progress")
        // Not even its own again: two requests of one sandbox take turns too.
        assert.strictEqual(yield* hold("c"), "in_progress")
        assert.notInclude(["in_progress", "forbidden"], yield* hold("d", { pull: 13 }))
        assert.strictEqual(yield* release("e", "not-the-token", 0, other), "ok")
        assert.strictEqual(yield* hold("f", {}, other), "in_progress")
        assert.strictEqual(yield* release("g", token, 0), "ok")
        assert.notInclude(["in_progress", "forbidden"], yield* hold("h", {}, other))
      })
    ))

  it.effect("rests as long as it is told to, and ends by itself", () =>
    scene(
      { github: [grant] },
      Effect.gen(function*() {
        yield* release("b", yield* hold("a"), 15_000)
        yield* TestClock.adjust("14 seconds")
        assert.strictEqual(yield* hold("c", {}, other), "in_progress")
        yield* TestClock.adjust("1 second")
        const second = yield* hold("d", {}, other)
        assert.notInclude(["in_progress", "forbidden"], second)
        yield* TestClock.adjust("119 seconds")
        assert.strictEqual(yield* hold("e"), "in_progress")
        yield* TestClock.adjust("1 second")
        const third = yield* hold("f")
        assert.notInclude(["in_progress", "forbidden"], third)
        // Who held it before cannot end the hold of who has it now.
        yield* release("g", second, 0, other)
        assert.strictEqual(yield* hold("h", {}, other), "in_progress")
      })
    ))

  it.effect("is for sandboxes that may write the repository", () =>
    scene(
      { github: [{ ...grant, writes: false }] },
      Effect.gen(function*() {
        assert.strictEqual(yield* hold("a"), "forbidden")
        assert.strictEqual(yield* hold("b", {}, { sender: "operator" }), "forbidden")
        for (const odd of [{ repository: 4 }, { host: "ghe.example.com" }]) {
          assert.strictEqual(yield* hold(JSON.stringify(odd), odd, other), "forbidden")
        }
        for (const odd of [{ pull: 0 }, { pull: 1.5 }, { repository: 0 }, { host: "no host" }]) {
          assert.strictEqual(yield* hold(JSON.stringify(odd), odd, other), "bad_request")
        }
        const sandboxes = yield* Sandboxes
        yield* sandboxes.update(otherSandbox, { status: "destroying" })
        assert.strictEqual(yield* hold("c", {}, other), "forbidden")
      })
    ))
})
