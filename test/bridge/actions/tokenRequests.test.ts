/** `repository.refresh`: a sandbox's wish for fresh tokens, written into its own row and no other. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import type { BridgeApp } from "../../../bridge/BridgeApp.ts"
import type { RepositoryGrant } from "../../../runtime/domain/github/Grant.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { bridgeOverScript, channel, scriptedSlack, secretsStored } from "../scripted.ts"
import {
  callV2,
  certified,
  codeOf,
  operatorKey,
  otherSandbox,
  rowOf,
  sandbox,
  sandboxKey,
  type V2Options
} from "../world.ts"

const grant: RepositoryGrant = {
  host: "github.com",
  app: 1,
  installation: 2,
  account: "org",
  all: false,
  repositories: [{ id: 3, name: "api" }],
  writes: false
}

const refresh = Effect.fnUntraced(function*(key: string, options: V2Options = {}) {
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const answer = yield* callV2(key, { action: "repository.refresh" }, { timestamp: now, ...options })
  return codeOf(answer) ?? answer.status
})

const wanted = Effect.fnUntraced(function*(id: typeof sandbox) {
  return Option.getOrUndefined(yield* (yield* Sandboxes).get(id))?.tokensWantedAt
})

const scene = <A, E>(row: object, play: Effect.Effect<A, E, BridgeApp | Sandboxes | Identities>) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(Date.now())
    yield* Effect.gen(function*() {
      yield* secretsStored
      const identities = yield* Identities
      yield* identities.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
      yield* identities.put("operator", "operator", operatorKey.keyId, certified("operator", operatorKey))
      const sandboxes = yield* Sandboxes
      yield* sandboxes.insert({ ...rowOf(sandbox, channel), ...row })
      yield* sandboxes.insert({ ...rowOf(otherSandbox, undefined), github: [grant] })
      yield* play
    }).pipe(Effect.provide(bridgeOverScript(scriptedSlack())))
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
