/**
 * Schedules, their firings and the record of every run. Firings come at least once per instant; the claim of a run by
 * `{schedule}:{instant}` makes them one. Embedded: tables and a doorbell; AWS: EventBridge Scheduler, a queue, a table.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Schedule, ScheduleName, ScheduleRun } from "../domain/schedule/Schedule.ts"
import { type Bell, whenRung } from "./Bell.ts"
import type { StoreError } from "./StoreError.ts"

/** Another schedule has the name and may still fire. */
export class ScheduleTaken extends Schema.TaggedError<ScheduleTaken>()("ScheduleTaken", { name: Schema.String }) {
  override get message(): string {
    return `a schedule called ${this.name} exists; choose another name or cancel that one`
  }
}

export interface Firing {
  readonly schedule: ScheduleName
  /** Unix milliseconds of the instant it stands for. */
  readonly instant: number
  /** Asked for by a person, out of turn: the schedule's own instants go on as they were. */
  readonly manual: boolean
}

/** True for a schedule that fires, or would if it were resumed. The others are kept for their history. */
export const mayFire = ({ state }: Schedule): boolean => state === "active" || state === "paused"

/** Ended schedules and their runs are forgotten this long after their last run, or after they were made. */
export const endedScheduleMillis = 30 * 24 * 3_600_000

/** What a person or the kernel may change; `nextAt: undefined` leaves nothing to fire. */
export type ScheduleChange = Pick<Schedule, "state"> & { readonly nextAt: number | undefined; readonly note: string }

/** Ended runs that are kept for each schedule; older ones are forgotten. */
export const keptRuns = 200

/** A waiting reader looks anyway after this long (docs/architecture.md). */
export const lookAgainMillis = 5_000

/** `changes` as the schedule then is. The rule of every engine. */
export const changedSchedule = (schedule: Schedule, { nextAt, note, state }: ScheduleChange): Schedule => {
  const { nextAt: _, ...rest } = schedule
  return { ...rest, state, note, ...(nextAt === undefined ? {} : { nextAt }) }
}

/** After a claim: what it fires next, or that it is finished. The rule of every engine. */
export const advancedSchedule = (schedule: Schedule, nextAt: number | undefined): Schedule => {
  const { nextAt: _, ...rest } = schedule
  return nextAt === undefined ? { ...rest, state: "finished" } : { ...rest, nextAt }
}

export class Scheduler extends Context.Service<Scheduler, {
  /** A new schedule, in the place of one that ended under its name; durable once the effect succeeds. */
  readonly add: (schedule: Schedule) => Effect.Effect<void, StoreError | ScheduleTaken>
  readonly get: (name: ScheduleName) => Effect.Effect<Option.Option<Schedule>, StoreError>
  /** By name. */
  readonly list: Effect.Effect<ReadonlyArray<Schedule>, StoreError>
  /** False, and nothing changed, when its state is none of `from`. */
  readonly change: (
    name: ScheduleName,
    from: ReadonlyArray<Schedule["state"]>,
    change: ScheduleChange
  ) => Effect.Effect<boolean, StoreError>
  /** Fires a schedule out of turn, in whatever process hears it; the same instant twice is one. */
  readonly request: (name: ScheduleName, instant: number) => Effect.Effect<void, StoreError>
  /** Those due and not claimed yet, then each as its time comes; one that is not claimed comes again. */
  readonly firings: Stream.Stream<Firing, StoreError>
  /**
   * Records the run and, in the same step, what its schedule fires next (`advance`, absent for a manual run); without
   * `nextAt` it is finished then. True for the first claim of `run.id` only. A claim of an instant that the schedule
   * does not wait for any more changes nothing about the schedule.
   */
  readonly claim: (
    run: ScheduleRun,
    advance?: { readonly from: number; readonly nextAt: number | undefined }
  ) => Effect.Effect<boolean, StoreError>
  /** Takes a firing back that leads to no run: its schedule is gone or does not fire any more. */
  readonly drop: (firing: Firing) => Effect.Effect<void, StoreError>
  /** Writes a run's progress; no effect on one that has ended. */
  readonly save: (run: ScheduleRun) => Effect.Effect<void, StoreError>
  /** Writes a run's end together with the claim of the step that follows it, if any. False when it had ended. */
  readonly finish: (run: ScheduleRun, next: ScheduleRun | undefined) => Effect.Effect<boolean, StoreError>
  /** An element at once, then whenever a schedule or run may have changed, in any process, and every 5 s. */
  readonly changes: Stream.Stream<void>
  /** Runs that have not ended, in order of their claims. */
  readonly open: Effect.Effect<ReadonlyArray<ScheduleRun>, StoreError>
  /** Newest first. */
  readonly history: (name: ScheduleName, limit: number) => Effect.Effect<ReadonlyArray<ScheduleRun>, StoreError>
}>()("km/runtime/ports/Scheduler") {
  /** The whole contract in memory, on Effect's clock. */
}

/** What is due now, and how long until something else may be. The wait of every engine that looks by itself. */
export const firingsBy = <E>(
  bell: Bell,
  due: (
    now: number
  ) => Effect.Effect<{ readonly firings: ReadonlyArray<Firing>; readonly nextAt: number | undefined }, E>
): Stream.Stream<Firing, E> => {
  const next = whenRung(bell, Infinity, (now) =>
    Effect.map(due(now), ({ firings, nextAt }) => ({
      found: firings,
      enough: firings.length > 0,
      // Never longer: a clock that is set forward, or a machine that slept, is noticed.
      nextAt: Math.min(now + lookAgainMillis, Math.max(now + 1, nextAt ?? Infinity))
    })))
  return Stream.fromIterableEffectRepeat(next)
}
