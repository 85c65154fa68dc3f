/** Firings of schedules, shaped for `km at` and for time-to-live: at least one per instant, each claimed once. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { StoreError } from "./StoreError.ts"

export interface Firing {
  readonly schedule: string
  /** Unix milliseconds of the instant it stands for. */
  readonly instant: number
}

export class Scheduler extends Context.Service<Scheduler, {
  readonly put: (schedule: string, definition: string, nextAt: number) => Effect.Effect<void, StoreError>
  readonly remove: (schedule: string) => Effect.Effect<void, StoreError>
  readonly firings: Stream.Stream<Firing, StoreError>
  /** True for the first caller per `{schedule}:{instant}` only. */
  readonly claim: (firing: Firing) => Effect.Effect<boolean, StoreError>
}>()("km/runtime/ports/Scheduler") {}
