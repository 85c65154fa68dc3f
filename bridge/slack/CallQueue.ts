/** The budget of `runtime/domain/slack/CallBudget.ts` on the clock: a call waits here until it is its turn, however long. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { CallBudget, type PlannedCall } from "../../runtime/domain/slack/CallBudget.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { BridgeSettings } from "../BridgeSettings.ts"

/** A place under Slack's limits. */
export interface Place {
  readonly call: PlannedCall
  /** Whether Slack was asked: a place that was not used is free again at once. */
  used: boolean
}

export class CallQueue extends Context.Service<CallQueue, {
  /** Waits for the call's turn, then does this with its place, once. Interrupted before, nothing is asked for any more. */
  readonly within: <A, E, R>(call: PlannedCall, use: (place: Place) => Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Slack answered 429. */
  readonly block: (call: PlannedCall, retryAfterMillis: number) => Effect.Effect<void>
}>()("km/bridge/slack/CallQueue") {
  static readonly layer = Layer.effect(
    CallQueue,
    Effect.gen(function*() {
      const { rateScale } = yield* BridgeSettings
      const budget = new CallBudget<number>(rateScale)
      const turns = new Map<number, Deferred.Deferred<void>>()
      /** Somebody asked, or a place was ended: the next time to look may be sooner. */
      const changed = Latch.makeUnsafe(false)
      let asked = 0

      const giveTurns = Effect.map(Clock.currentTimeMillis, (now) => {
        for (const id of budget.grant(now)) {
          const turn = turns.get(id)
          if (turn !== undefined) Deferred.doneUnsafe(turn, Effect.void)
        }
        return budget.next(now)
      })

      const look = Effect.gen(function*() {
        changed.closeUnsafe()
        const next = yield* giveTurns
        if (next === undefined) return yield* changed.await
        const now = yield* Clock.currentTimeMillis
        yield* Effect.timeoutOption(changed.await, Math.max(1, next - now))
      })
      yield* Effect.forkScoped(unending("giving turns to calls ended in a defect; it goes on", 1_000, look), {
        startImmediately: true
      })

      const end = (id: number, made: boolean) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          budget.finish(id, now, made)
          changed.openUnsafe()
        })

      const within = <A, E, R>(call: PlannedCall, use: (place: Place) => Effect.Effect<A, E, R>) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const id = asked++
            const turn = Deferred.makeUnsafe<void>()
            turns.set(id, turn)
            budget.ask(id, call)
            yield* giveTurns
            changed.openUnsafe()
            yield* restore(Deferred.await(turn)).pipe(
              Effect.onInterrupt(() => Effect.suspend(() => budget.withdraw(id) ? Effect.void : end(id, false))),
              Effect.ensuring(Effect.sync(() => turns.delete(id)))
            )
            const place: Place = { call, used: false }
            return yield* Effect.ensuring(restore(use(place)), Effect.suspend(() => end(id, place.used)))
          })
        )

      return CallQueue.of({
        within,
        block: (call, retryAfterMillis) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            budget.block(call, now, retryAfterMillis)
            changed.openUnsafe()
          })
      })
    })
  )
}
