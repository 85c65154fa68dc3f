/** The bridge before two sandboxes with repositories of GitHub's, for the actions that are about those. */
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { BridgeApp } from "../../../bridge/BridgeApp.ts"
import type { RepositoryGrant } from "../../../runtime/domain/github/Grant.ts"
import { signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import type { BridgeAction } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { bridgeOverScript, channel, scriptedSlack, secretsStored } from "../scripted.ts"
import { callV2, certified, operatorKey, otherSandbox, rowOf, sandbox, sandboxKey, type V2Options } from "../world.ts"

/** Of `org/api`, which is repository 3. */
export const grant: RepositoryGrant = {
  host: "github.com",
  app: 1,
  installation: 2,
  account: "org",
  all: false,
  repositories: [{ id: 3, name: "api" }],
  writes: true
}

export const otherKey = signingKeyFromSeed(new Uint8Array(32).fill(9))

/** `row` is what is particular about the first sandbox's; the other one has the grant. All are certified. */
export const scene = <A, E>(row: object, play: Effect.Effect<A, E, BridgeApp | Sandboxes | Identities>) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(Date.now())
    yield* Effect.gen(function*() {
      yield* secretsStored
      const identities = yield* Identities
      yield* identities.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
      yield* identities.put(otherSandbox, "bridge", otherKey.keyId, certified(otherSandbox, otherKey))
      yield* identities.put("operator", "operator", operatorKey.keyId, certified("operator", operatorKey))
      const sandboxes = yield* Sandboxes
      yield* sandboxes.insert({ ...rowOf(sandbox, channel), ...row })
      yield* sandboxes.insert({ ...rowOf(otherSandbox, undefined), github: [grant] })
      yield* play
    }).pipe(Effect.provide(bridgeOverScript(scriptedSlack())))
  })

/** Calls at the test's own time. */
export const callNow = Effect.fnUntraced(function*(key: string, action: BridgeAction, options: V2Options = {}) {
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  return yield* callV2(key, action, { timestamp: now, ...options })
})
