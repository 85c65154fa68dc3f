/** Carries out what schedules ask for. Rooms that can do an action bring a runner for it; the control plane picks. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SandboxId, TurnKey } from "../domain/sandbox/Ids.ts"
import type { RunBefore, ScheduleName } from "../domain/schedule/Schedule.ts"
import type { ActionKind, ScheduledAction } from "../domain/schedule/ScheduleAction.ts"
import type { TurnRecord } from "../domain/turn/TurnRecord.ts"

/** The action did not happen, or not as asked. */
export class ActionFailed extends Schema.TaggedError<ActionFailed>()("ActionFailed", {
  /** Of `docs/errors.md`. */
  code: Schema.String,
  /** A sentence for a person. */
  reason: Schema.String,
  /** Worth another try in a while; honoured for idempotent actions only. */
  passing: Schema.Boolean
}) {
  override get message(): string {
    return `${this.code}: ${this.reason}`
  }
}

export interface ActionRequest<Action extends ScheduledAction = ScheduledAction> {
  /**
   * The run's id, at most 120 characters: the root of every idempotency key. An idempotent action that is asked for
   * again under the same id, after a crash at any point, must change nothing more and report how it ended.
   */
  readonly id: string
  readonly schedule: ScheduleName
  readonly action: Action
  /** What `targetOf(action)` meant when the run began; absent for actions without a target. */
  readonly target: SandboxId | undefined
  /** The run that this one follows, if it follows one. */
  readonly after?: RunBefore
}

export interface ActionDone {
  /** A sentence for the history. */
  readonly detail: string
  /** The turn that it was, if it was one. */
  readonly turn?: TurnKey
}

/** Over already, or waiting for the end of a turn of the request's target. */
export type ActionStarted =
  | ({ readonly _tag: "Done" } & ActionDone)
  | { readonly _tag: "Waiting"; readonly turn: TurnKey }

/** One room's runner; a plain value, because several are in use at once. */
export interface ActionRunner {
  readonly kinds: ReadonlyArray<ActionKind>
  /**
   * Begins the action; what takes longer than minutes is a turn of the request's target, and is waited for as data.
   * Interrupted only when the process ends.
   */
  readonly start: (request: ActionRequest) => Effect.Effect<ActionStarted, ActionFailed>
  /** Goes on by the record of the turn that `start` named, perhaps in another process; quick, and asked again after a crash. */
  readonly resume: (request: ActionRequest, record: TurnRecord) => Effect.Effect<ActionDone, ActionFailed>
}

/** Every runner of this process. A kind that none of them has fails as `KM-SCH-020`. */
export class ActionRunners extends Context.Service<ActionRunners, ReadonlyArray<ActionRunner>>()(
  "km/runtime/ports/ActionRunner"
) {}
