/**
 * How far each channel has been read: a message that is queued brings its `ts` along, the newest of those that are only
 * served (stops) is written down every 2 s (an older value only makes the catch-up read more). And whether something was
 * missed that the catch-up must fetch.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import { isLater, type MessageTs, type SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { unending } from "../../runtime/ports/Unending.ts"

export class Progress extends Context.Service<Progress, {
  /** Served without having been queued. */
  readonly accepted: (sandbox: SandboxId, ts: MessageTs) => void
  /** A message could not be stored: Slack's repetitions may run out before it can. */
  readonly missed: () => void
  /** Nothing could arrive for a while, and now it can: not to be left until the catch-up's next look. */
  readonly missedNow: () => void
  /** Completes at the next `missedNow`, or at once after one that nobody has waited for. */
  readonly hurry: Effect.Effect<void>
  /** True once after `missed`. */
  readonly takeMissed: () => boolean
  /** Writes what is not written yet. */
  readonly flush: Effect.Effect<void>
}>()("km/bridge/events/Progress") {
  static readonly layer = Layer.effect(
    Progress,
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      const newest = new Map<SandboxId, MessageTs>()
      const written = new Map<SandboxId, MessageTs>()
      let lost = false
      const hurries = yield* Queue.sliding<void>(1)
      const errands = yield* Errands
      // In this process the catch-up's own loop looks for what is lost; where errands go to another, that one fetches it.
      yield* errands.handle("CatchUp", { run: () => Effect.void, dropped: () => undefined })
      /** Never back behind what was queued meanwhile. */
      const moveTo = Effect.fnUntraced(function*(sandbox: SandboxId, ts: MessageTs) {
        const row = yield* sandboxes.get(sandbox)
        if (Option.isNone(row) || !isLater(ts, row.value.lastAcceptedTs ?? "")) return
        yield* sandboxes.update(sandbox, { lastAcceptedTs: ts }, { generation: row.value.generation })
      })
      const flush = Effect.suspend(() =>
        Effect.forEach(
          [...newest].filter(([sandbox, ts]) => written.get(sandbox) !== ts),
          ([sandbox, ts]) =>
            Effect.matchEffect(moveTo(sandbox, ts), {
              onSuccess: () => Effect.sync(() => void written.set(sandbox, ts)),
              onFailure: (error) =>
                Effect.logWarning("progress could not be written").pipe(
                  Effect.annotateLogs({ sandbox, error: error.message })
                )
            }),
          { discard: true }
        )
      )
      yield* Effect.forkScoped(
        unending("progress was not written because of a defect", 0, Effect.delay(flush, "2 seconds"))
      )
      yield* Effect.addFinalizer(() => flush)
      return Progress.of({
        accepted: (sandbox, ts) => {
          const known = newest.get(sandbox)
          if (known === undefined || isLater(ts, known)) newest.set(sandbox, ts)
        },
        missed: () => {
          lost = true
          errands.give({ _tag: "CatchUp" })
        },
        missedNow: () => {
          lost = true
          errands.give({ _tag: "CatchUp" })
          Queue.offerUnsafe(hurries, undefined)
        },
        hurry: Queue.take(hurries),
        takeMissed: () => {
          const was = lost
          lost = false
          return was
        },
        flush
      })
    })
  )
}
