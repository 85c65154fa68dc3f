/** Scheduler in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Schedule, ScheduleName, ScheduleRun } from "../../domain/schedule/Schedule.ts"
import { type Bell, makeBell, ringsOf } from "../Bell.ts"
import {
  advancedSchedule,
  changedSchedule,
  type Firing,
  firingsBy,
  keptRuns,
  mayFire,
  Scheduler,
  ScheduleTaken
} from "../Scheduler.ts"

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

export const layerOver = (tables: MemorySchedulerState): Layer.Layer<Scheduler> =>
  Layer.sync(Scheduler, () => memoryScheduler(tables))

export const layer: Layer.Layer<Scheduler> = Layer.suspend(() => layerOver(makeMemorySchedulerState()))
