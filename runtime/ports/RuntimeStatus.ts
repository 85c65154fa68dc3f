/** What this sandbox's runtime says of itself: plugins add to it, `lifecycle` reports it, the root writes it down. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

export interface RuntimeReport {
  /** The lease is held, every essential plugin runs, and a queue poll has succeeded where there is a queue. */
  readonly ready: boolean
  /** Unix milliseconds of the last turn or interactive prompt; 0 when there was none. */
  readonly lastActiveAt: number
  readonly plugins: ReadonlyArray<{ readonly id: string; readonly state: string; readonly detail: string }>
  readonly confined: boolean
  /** How the agent is confined, or why it is not. */
  readonly confinement: string
}

export class RuntimeStatus extends Context.Service<RuntimeStatus, {
  /** A queue poll has come back, with a message or without. */
  readonly polled: Effect.Effect<void>
  /** A queue poll has failed, or whoever polls has just started: not ready until the next one succeeds. */
  readonly pollFailed: Effect.Effect<void>
  /** A person is at work: an interactive prompt, a turn. Unix milliseconds. */
  readonly active: (at: number) => Effect.Effect<void>
  readonly report: Effect.Effect<RuntimeReport>
  /** The report now, then after every change. */
  readonly changes: Stream.Stream<RuntimeReport>
}>()("km/runtime/ports/RuntimeStatus") {
  /** Ready as soon as a poll has succeeded; `initial` says the rest. */
  static readonly memory = (initial: RuntimeReport): Layer.Layer<RuntimeStatus> =>
    Layer.effect(
      RuntimeStatus,
      Effect.gen(function*() {
        const ref = yield* SubscriptionRef.make(initial)
        return RuntimeStatus.of({
          polled: SubscriptionRef.update(ref, (report) => ({ ...report, ready: true })),
          pollFailed: SubscriptionRef.update(ref, (report) => ({ ...report, ready: false })),
          active: (lastActiveAt) => SubscriptionRef.update(ref, (report) => ({ ...report, lastActiveAt })),
          report: SubscriptionRef.get(ref),
          changes: SubscriptionRef.changes(ref)
        })
      })
    )
}
