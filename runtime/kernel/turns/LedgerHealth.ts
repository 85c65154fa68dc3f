/**
 * Whether the ledger can be written, as one state that receivers, readiness and status ask: a full disk stops new work
 * once and for all of them, and ends by itself.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { Ledger } from "../../ports/Ledger.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { TurnsHealth } from "../../ports/Turns.ts"
import { unending } from "../../ports/Unending.ts"
import { failure } from "./TurnErrors.ts"

type State = TurnsHealth["state"]

/** How often a ledger that refused a write is tried again while nothing else writes to it. */
const probeEvery = "5 seconds"

const sentences: Readonly<Record<State, string>> = {
  ok: "",
  full: "KM-TRN-007",
  unavailable: "KM-TRN-010",
  corrupt: "KM-TRN-008",
  stopping: "KM-TRN-010"
}

export class LedgerHealth extends Context.Service<LedgerHealth, {
  readonly current: Effect.Effect<Pick<TurnsHealth, "state" | "since" | "detail">>
  /** Waits while nothing new may be taken; for ever once the runtime stops or the ledger is corrupt. */
  readonly untilOk: Effect.Effect<void>
  /** A ledger operation failed so. */
  readonly failed: (error: StoreError) => Effect.Effect<void>
  /** A write succeeded. */
  readonly worked: Effect.Effect<void>
  /** No new work from now on. */
  readonly stop: Effect.Effect<void>
}>()("km/runtime/kernel/turns/LedgerHealth") {
  static readonly layer = Layer.effect(
    LedgerHealth,
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const open = Latch.makeUnsafe(true)
      const bad = Latch.makeUnsafe(false)
      let state: State = "ok"
      let since = yield* Clock.currentTimeMillis
      let detail = ""

      const become = Effect.fnUntraced(function*(next: State, why: string) {
        // A corrupt ledger stays so until a person has looked and started the runtime again.
        if (state === next || state === "corrupt" || (state === "stopping" && next !== "corrupt")) return
        state = next
        since = yield* Clock.currentTimeMillis
        detail = why
        if (next === "ok") {
          bad.closeUnsafe()
          open.openUnsafe()
          yield* Effect.logInfo("the ledger can be written again")
        } else {
          open.closeUnsafe()
          if (next === "full" || next === "unavailable") bad.openUnsafe()
          else bad.closeUnsafe()
          if (next !== "stopping") {
            yield* Effect.logError("no new messages are taken").pipe(Effect.annotateLogs({ state: next, why }))
          }
        }
      })

      const failed = (error: StoreError): Effect.Effect<void> => {
        // The row's own fault, not the ledger's.
        if (error.reason === "TooLarge") return Effect.void
        const next = error.reason === "Full" ? "full" : error.reason === "Unavailable" ? "unavailable" : "corrupt"
        const { code, reason, remedy } = failure(sentences[next])
        return become(next, `${reason} ${remedy} (${code}; ${error.detail})`)
      }
      const worked = Effect.suspend(() => state === "full" || state === "unavailable" ? become("ok", "") : Effect.void)

      const probe = Effect.sleep(probeEvery).pipe(
        Effect.andThen(Clock.currentTimeMillis),
        Effect.flatMap((now) => ledger.remember("km/health", String(now))),
        Effect.matchEffect({ onFailure: failed, onSuccess: () => worked })
      )
      yield* Effect.forkScoped(
        unending("probing the ledger ended in a defect; it goes on", 0, Effect.andThen(bad.await, probe))
      )

      return LedgerHealth.of({
        current: Effect.sync(() => ({ state, since, detail })),
        untilOk: open.await,
        failed,
        worked,
        stop: Effect.suspend(() => become("stopping", "The runtime stops; messages wait in the queue."))
      })
    })
  )
}
