/** Who takes part in turns, while plugins come and go. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { TurnParties } from "../../../../runtime/kernel/turns/TurnParties.ts"
import { type OriginHandler, PluginId, type TurnObserver } from "../../../../runtime/ports/Plugin.ts"
import { origin } from "../simulation/SimulatedSlack.ts"
import { type Incarnation, makeWorld } from "../simulation/World.ts"

const id = PluginId.make("inbound")

const incarnation: Incarnation = { number: 1, dead: false, crashed: Deferred.makeUnsafe() }
const handler = (): OriginHandler => origin(makeWorld([]), incarnation, 1)
const observer = (): TurnObserver => ({
  starting: () => Effect.void,
  started: () => Effect.void,
  exited: () => Effect.succeed([]),
  posted: () => Effect.void
})

describe("TurnParties, while plugins come and go", () => {
  it.effect("the end of an old life does not take the new one's origin away", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const [old, young] = [yield* Scope.make(), yield* Scope.make()]
      const [first, second] = [handler(), handler()]
      yield* parties.addOrigin(id, first).pipe(Scope.provide(old))
      yield* parties.addOrigin(id, second).pipe(Scope.provide(young))
      // A life that does not let go in time is left behind, and ends when its successor runs already.
      yield* Scope.close(old, Exit.void)
      const asked = yield* Effect.forkChild(parties.ask(second.kind, "place", Effect.succeed), {
        startImmediately: true
      })
      yield* Effect.yieldNow
      assert.strictEqual(asked.pollUnsafe()?._tag, "Success", "there is an origin to ask")
      assert.strictEqual(yield* Fiber.join(asked), second)
      yield* Scope.close(young, Exit.void)
    }).pipe(Effect.provide(TurnParties.layer)))

  it.effect("whoever asks when the last origin has gone waits for the next", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const [old, young] = [yield* Scope.make(), yield* Scope.make()]
      const [first, second] = [handler(), handler()]
      yield* parties.addOrigin(id, first).pipe(Scope.provide(old))
      yield* Scope.close(old, Exit.void)
      const asked = yield* Effect.forkChild(parties.ask(second.kind, "place", Effect.succeed), {
        startImmediately: true
      })
      yield* Effect.yieldNow
      assert.isUndefined(asked.pollUnsafe())
      yield* parties.addOrigin(id, second).pipe(Scope.provide(young))
      assert.strictEqual(yield* Fiber.join(asked), second)
    }).pipe(Effect.provide(TurnParties.layer)))

  it.effect("the end of an old life does not take the new one's observer away", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const [old, young] = [yield* Scope.make(), yield* Scope.make()]
      const [first, second] = [observer(), observer()]
      yield* parties.addObserver(id, first).pipe(Scope.provide(old))
      yield* parties.addObserver(id, second).pipe(Scope.provide(young))
      yield* Scope.close(old, Exit.void)
      const seen = yield* parties.tell("started", (one) => Effect.succeed(one))
      assert.lengthOf(seen, 1)
      assert.strictEqual(seen[0], second)
    }).pipe(Effect.provide(TurnParties.layer)))
})
