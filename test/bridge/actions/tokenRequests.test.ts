/** `repository.refresh`: a sandbox's wish for fresh tokens, written into its own row and no other. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { codeOf, otherSandbox, sandbox, type V2Options } from "../world.ts"
import { callNow, grant, scene } from "./githubScene.ts"

const refresh = Effect.fnUntraced(function*(key: string, options: V2Options = {}) {
  const answer = yield* callNow(key, { action: "repository.refresh" }, options)
  return codeOf(answer) ?? answer.status
})

const wanted = Effect.fnUntraced(function*(id: typeof sandbox) {
  return Option.getOrUndefined(yield* (yield* Sandboxes).get(id))?.tokensWantedAt
})

describe("repository.refresh", () => {
  it.effect("is written down once a minute, for the sender alone", () =>
    scene(
      { github: [grant] },
      Effect.gen(function*() {
        const first = yield* Clock.currentTimeMillis
        assert.strictEqual(yield* refresh("a"), 200)
        assert.strictEqual(yield* wanted(sandbox), first)
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(yield* refresh("b"), "rate_limited")
        assert.strictEqual(yield* wanted(sandbox), first)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* refresh("c"), 200)
        assert.strictEqual(yield* wanted(sandbox), first + 60_000)
        assert.isUndefined(yield* wanted(otherSandbox))
      })
    ))

  it.effect("is no operator's, and nothing to a sandbox without repositories or one that ends", () =>
    scene(
      {},
      Effect.gen(function*() {
        const operator = { sender: "operator" } as const
        assert.strictEqual(yield* refresh("a", operator), "forbidden")
        assert.strictEqual(yield* refresh("b"), "forbidden")
        const sandboxes = yield* Sandboxes
        yield* sandboxes.update(sandbox, { github: [grant], status: "destroying" })
        assert.strictEqual(yield* refresh("c"), "forbidden")
        assert.isUndefined(yield* wanted(sandbox))
      })
    ))
})
