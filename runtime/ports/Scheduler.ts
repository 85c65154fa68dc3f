/**
 * Schedules, their firings and the record of every run. Firings come at least once per instant; the claim of a run by
 * `{schedule}:{instant}` makes them one. Embedded: tables and a doorbell; AWS: EventBridge Scheduler, a queue, a table.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Schedule, ScheduleName, ScheduleRun } from "../domain/schedule/Schedule.ts"
import { type Bell, makeBell, ringsOf } from "./Bell.ts"
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

export interface MemorySchedulerState {
  readonly schedules: Map<ScheduleName, Schedule>
  /** Asked for out of turn and not claimed yet. */
  readonly requests: Map<string, Firing>
  /** In order of their claims. */
  readonly runs: Map<string, ScheduleRun>
  readonly bell: Bell
}
export const makeMemorySchedulerState = (): MemorySchedulerState => ({
  schedules: new Map(),
  requests: new Map(),
  runs: new Map(),
  bell: makeBell()
})

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
  static readonly memory = (tables: MemorySchedulerState): Layer.Layer<Scheduler> =>
    Layer.sync(Scheduler, () => memoryScheduler(tables))

  static readonly layerMemory: Layer.Layer<Scheduler> = Layer.suspend(() =>
    Scheduler.memory(makeMemorySchedulerState())
  )
}

/** What is due now, and how long until something else may be. The wait of every engine that looks by itself. */
export const firingsBy = <E>(
  bell: Bell,
  due: (
    now: number
  ) => Effect.Effect<{ readonly firings: ReadonlyArray<Firing>; readonly nextAt: number | undefined }, E>
): Stream.Stream<Firing, E> => {
  const next: Effect.Effect<ReadonlyArray<Firing>, E> = Effect.gen(function*() {
    for (;;) {
      const rung = bell.count()
      const now = yield* Clock.currentTimeMillis
      const { firings, nextAt } = yield* due(now)
      if (firings.length > 0) return firings
      // Never longer: a clock that is set forward, or a machine that slept, is noticed.
      yield* bell.wait(rung, Duration.millis(Math.min(lookAgainMillis, Math.max(1, (nextAt ?? Infinity) - now))))
    }
  })
  return Stream.fromIterableEffectRepeat(next)
}

const requestKey = ({ instant, schedule }: Firing): string => `${schedule}:${instant}`

const memoryScheduler = (tables: MemorySchedulerState): Scheduler["Service"] => {
  const { bell, requests, runs, schedules } = tables
  const sync = <A>(act: () => A) =>
    Effect.sync(() => {
      const result = act()
      bell.ring()
      return result
    })
  const forget = (name: ScheduleName) => {
    const ended = [...runs.values()].filter((run) => run.schedule === name && run.state === "ended")
    for (const { id } of ended.slice(0, Math.max(0, ended.length - keptRuns))) runs.delete(id)
  }
  const take = (run: ScheduleRun): boolean => {
    if (runs.has(run.id)) return false
    runs.set(run.id, run)
    return true
  }

  return Scheduler.of({
    add: (schedule) =>
      Effect.suspend(() => {
        const other = schedules.get(schedule.name)
        if (other !== undefined && mayFire(other)) return Effect.fail(new ScheduleTaken({ name: schedule.name }))
        return sync(() => void schedules.set(schedule.name, schedule))
      }),
    get: (name) => Effect.sync(() => Option.fromNullishOr(schedules.get(name))),
    list: Effect.sync(() => [...schedules.values()].toSorted((a, b) => a.name < b.name ? -1 : 1)),
    change: (name, from, change) =>
      sync(() => {
        const schedule = schedules.get(name)
        if (schedule === undefined || !from.includes(schedule.state)) return false
        schedules.set(name, changedSchedule(schedule, change))
        return true
      }),
    request: (schedule, instant) =>
      sync(() => {
        const firing = { schedule, instant, manual: true }
        if (!runs.has(requestKey(firing))) requests.set(requestKey(firing), firing)
      }),
    firings: Stream.suspend(() =>
      firingsBy(bell, (now) =>
        Effect.sync(() => {
          const waiting = [...schedules.values()].flatMap(({ name, nextAt }) =>
            nextAt === undefined ? [] : [{ schedule: name, instant: nextAt, manual: false }]
          )
          return {
            firings: [...requests.values(), ...waiting.filter(({ instant }) => instant <= now)],
            nextAt: waiting.reduce<number | undefined>(
              (least, { instant }) => least === undefined || instant < least ? instant : least,
              undefined
            )
          }
        }))
    ),
    claim: (run, advance) =>
      sync(() => {
        requests.delete(`${run.schedule}:${run.instant}`)
        const schedule = schedules.get(run.schedule)
        if (advance !== undefined && schedule !== undefined && schedule.nextAt === advance.from) {
          schedules.set(run.schedule, advancedSchedule(schedule, advance.nextAt))
        }
        const first = take(run)
        forget(run.schedule)
        return first
      }),
    drop: (firing) =>
      sync(() => {
        requests.delete(requestKey(firing))
        const schedule = schedules.get(firing.schedule)
        if (schedule === undefined || schedule.nextAt !== firing.instant || schedule.state === "active") return
        const { nextAt: _, ...rest } = schedule
        schedules.set(firing.schedule, rest)
      }),
    save: (run) => sync(() => runs.get(run.id)?.state === "ended" ? undefined : void runs.set(run.id, run)),
    finish: (run, next) =>
      sync(() => {
        if (runs.get(run.id)?.state === "ended") return false
        runs.set(run.id, run)
        if (next !== undefined) take(next)
        forget(run.schedule)
        return true
      }),
    changes: ringsOf(bell),
    open: Effect.sync(() => [...runs.values()].filter(({ state }) => state !== "ended")),
    history: (name, limit) =>
      Effect.sync(() => [...runs.values()].filter(({ schedule }) => schedule === name).toReversed().slice(0, limit))
  })
}
