/** A schedule and its runs as stored: when, what, how runs may overlap, and how each firing ended. */
import * as Schema from "effect/Schema"
import { SandboxId, TurnKey } from "../sandbox/Ids.ts"
import { ScheduleStep } from "./ScheduleAction.ts"

/** A short name of its own, typed by people: `nightly`, `destroy-3fa2`. */
export const ScheduleName = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/, { message: "a-z, 0-9 and -, beginning with a letter, at most 40" })
).pipe(Schema.brand("km/ScheduleName"))
export type ScheduleName = typeof ScheduleName.Type

/** Unix milliseconds within the years that a schedule can name (1970–2199, as EventBridge Scheduler has them). */
const Instant = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7_258_118_400_000 }))

export const RateUnit = Schema.Literals(["minute", "hour", "day"])
export type RateUnit = typeof RateUnit.Type

/** The forms of EventBridge Scheduler, so that any engine can keep them. */
export const When = Schema.TaggedUnion({
  Once: { at: Instant },
  /** Every so much elapsed time, counted from `Schedule.createdAt`; a day is 24 hours, whatever clocks do. */
  Rate: { every: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 527_040 })), unit: RateUnit },
  /** Minute, hour, day of month, month, day of week, year; wall time in the schedule's zone. */
  Cron: { fields: Schema.NonEmptyString }
})
export type When = typeof When.Type

/** `once 2026-05-01T08:00:00.000Z`, `rate(5 minutes)`, `cron(0 9 ? * MON *)`. */
export const whenText = (when: When): string => {
  switch (when._tag) {
    case "Once":
      return `at(${new Date(when.at).toISOString().replace(/\.\d+Z$/, "Z")})`
    case "Rate":
      return `rate(${when.every} ${when.unit}${when.every === 1 ? "" : "s"})`
    case "Cron":
      return `cron(${when.fields})`
  }
}

/** What a firing does while an earlier run of the same schedule is not over: leave it out, wait, or run beside it. */
export const OverlapPolicy = Schema.Literals(["skip", "queue", "allow"])
export type OverlapPolicy = typeof OverlapPolicy.Type

/** `finished`: nothing is left to fire. `orphaned`: its sandbox was destroyed. Neither fires again. */
export const ScheduleState = Schema.Literals(["active", "paused", "finished", "cancelled", "orphaned"])
export type ScheduleState = typeof ScheduleState.Type

export const Schedule = Schema.Struct({
  name: ScheduleName,
  when: When,
  /** IANA name. For `Once` and `Rate` only how instants are shown. */
  zone: Schema.NonEmptyString,
  /** As a person typed it. */
  said: Schema.String,
  step: ScheduleStep,
  overlap: OverlapPolicy,
  state: ScheduleState,
  /** Why it is in that state, when somebody or something changed it; a sentence. */
  note: Schema.optionalKey(Schema.String),
  createdAt: Instant,
  /** When it fires next; absent unless `active`. */
  nextAt: Schema.optionalKey(Instant)
})
export type Schedule = typeof Schedule.Type

/**
 * `claimed`: nothing was done yet. `acting`: the action may have begun. `waiting`: it goes on when the record of `turn` in
 * `target` is there.
 */
export const RunState = Schema.Literals(["claimed", "acting", "waiting", "ended"])

/**
 * `skipped`: an earlier run was not over. `unknown`: a crash in the middle of an action that is not repeated.
 */
export const RunOutcome = Schema.Literals(["succeeded", "failed", "skipped", "unknown"])
export type RunOutcome = typeof RunOutcome.Type

/** What a step that follows another knows of it. */
export const RunBefore = Schema.Struct({
  id: Schema.NonEmptyString,
  /** One line: `agent run sb-a "run the smoke tests"`. */
  action: Schema.String,
  outcome: RunOutcome,
  code: Schema.optionalKey(Schema.String),
  /** The sentence on its end; of an agent run, the answer. Not the operator's words. */
  detail: Schema.optionalKey(Schema.String)
})
export type RunBefore = typeof RunBefore.Type

/** One firing, or a step that follows it. */
export const ScheduleRun = Schema.Struct({
  /** `{schedule}:{instant}` for a firing; `+s` or `+f` is appended for each step that follows a success or failure. */
  id: Schema.NonEmptyString,
  schedule: ScheduleName,
  /** The instant it stands for, not when it began. */
  instant: Instant,
  /** Asked for by a person, out of turn. */
  manual: Schema.Boolean,
  /** Earlier instants that nobody was there to run; they are made up for by this run alone. */
  missed: Schema.Int,
  /** A copy: a run is not changed by what happens to its schedule. */
  step: ScheduleStep,
  /** Absent for a firing itself. */
  after: Schema.optionalKey(RunBefore),
  state: RunState,
  outcome: Schema.optionalKey(RunOutcome),
  /** A sentence on how it ended. */
  detail: Schema.optionalKey(Schema.String),
  /** Of `docs/errors.md`, when it did not succeed. */
  code: Schema.optionalKey(Schema.String),
  /** What the action's reference meant when it began; kept, so that a crash cannot make it mean something else. */
  target: Schema.optionalKey(SandboxId),
  /** The turn of an agent run. */
  turn: Schema.optionalKey(TurnKey),
  /** When a run that still waits for its turn has failed. */
  waitsUntil: Schema.optionalKey(Instant),
  /** Times the action was begun. */
  attempts: Schema.Int,
  claimedAt: Instant,
  endedAt: Schema.optionalKey(Instant)
})
export type ScheduleRun = typeof ScheduleRun.Type

/** The claim of a firing. */
export const runIdOf = (schedule: ScheduleName, instant: number): string => `${schedule}:${instant}`
