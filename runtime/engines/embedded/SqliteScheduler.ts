/** Schedules, firings and runs as tables: a claim and what it moves are one transaction, so a crash leaves both or none. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { integer, reader } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { Schedule, ScheduleName, ScheduleRun } from "../../domain/schedule/Schedule.ts"
import { ringsOf } from "../../ports/Bell.ts"
import {
  advancedSchedule,
  changedSchedule,
  type Firing,
  firingsBy,
  keptRuns,
  mayFire,
  Scheduler,
  ScheduleTaken
} from "../../ports/Scheduler.ts"

const topic = "schedules"
/** Firings that one look may bring. */
const atOnce = 64

const ScheduleJson = Schema.fromJsonString(Schedule)
const RunJson = Schema.fromJsonString(ScheduleRun)
const readSchedule = reader("schedule", ScheduleJson)
const readRun = reader("run of a schedule", RunJson)
const readName = reader("schedule's name", ScheduleName)
const encodeSchedule = Schema.encodeSync(ScheduleJson)
const encodeRun = Schema.encodeSync(RunJson)

const scheduleOf = (tables: Statements, name: ScheduleName): Schedule | undefined => {
  const row = tables.get("SELECT row FROM schedules WHERE name = ?", name)
  return row === undefined ? undefined : readSchedule(row["row"])
}

const write = (tables: Statements, schedule: Schedule): void =>
  void tables.run(
    "UPDATE schedules SET next_at = ?, row = ? WHERE name = ?",
    schedule.nextAt ?? null,
    encodeSchedule(schedule),
    schedule.name
  )

/** True when the run was not there yet. */
const take = (tables: Statements, run: ScheduleRun): boolean =>
  tables.run(
    "INSERT OR IGNORE INTO schedule_runs (id, schedule, open, row) VALUES (?, ?, ?, ?)",
    run.id,
    run.schedule,
    run.state === "ended" ? 0 : 1,
    encodeRun(run)
  ) > 0

/** True when it had not ended. */
const save = (tables: Statements, run: ScheduleRun): boolean =>
  tables.run(
    "UPDATE schedule_runs SET open = ?, row = ? WHERE id = ? AND open = 1",
    run.state === "ended" ? 0 : 1,
    encodeRun(run),
    run.id
  ) > 0

const forget = (tables: Statements, name: ScheduleName): void =>
  void tables.run(
    `DELETE FROM schedule_runs WHERE schedule = ? AND open = 0 AND seq <= (
       SELECT seq FROM schedule_runs WHERE schedule = ? AND open = 0 ORDER BY seq DESC LIMIT 1 OFFSET ?)`,
    name,
    name,
    keptRuns
  )

const dropRequest = (tables: Statements, schedule: ScheduleName, instant: number): void =>
  void tables.run("DELETE FROM schedule_requests WHERE schedule = ? AND instant = ?", schedule, instant)

const due = (tables: Statements, now: number) => {
  const requested = tables.all("SELECT schedule, instant FROM schedule_requests ORDER BY instant LIMIT ?", atOnce)
  const waiting = tables.all(
    "SELECT name AS schedule, next_at AS instant FROM schedules WHERE next_at <= ? ORDER BY next_at LIMIT ?",
    now,
    atOnce
  )
  const firings = [
    ...requested.map((row): Firing => ({
      schedule: readName(row["schedule"]),
      instant: integer(row, "instant"),
      manual: true
    })),
    ...waiting.map((row): Firing => ({
      schedule: readName(row["schedule"]),
      instant: integer(row, "instant"),
      manual: false
    }))
  ]
  if (firings.length > 0) return { firings, nextAt: undefined }
  const next = tables.get("SELECT next_at FROM schedules WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1")
  return { firings, nextAt: next === undefined ? undefined : integer(next, "next_at") }
}

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const read = <A>(operation: string, look: (tables: Statements) => A) => sqlite.read("Scheduler", operation, look)
  const change = <A>(operation: string, act: (tables: Statements) => A) =>
    Effect.tap(
      sqlite.write("Scheduler", operation, act),
      () => Effect.sync(() => doorbell.topic(topic).ring())
    )

  return Scheduler.of({
    add: Effect.fn("Scheduler.add")(function*(schedule) {
      const added = yield* change("add", (tables) => {
        const other = scheduleOf(tables, schedule.name)
        if (other !== undefined && mayFire(other)) return false
        tables.run(
          "INSERT OR REPLACE INTO schedules (name, next_at, row) VALUES (?, ?, ?)",
          schedule.name,
          schedule.nextAt ?? null,
          encodeSchedule(schedule)
        )
        return true
      })
      if (!added) return yield* new ScheduleTaken({ name: schedule.name })
    }),
    get: (name) => read("get", (tables) => Option.fromNullishOr(scheduleOf(tables, name))),
    list: read(
      "list",
      (tables) => tables.all("SELECT row FROM schedules ORDER BY name").map((row) => readSchedule(row["row"]))
    ),
    change: (name, from, to) =>
      change("change", (tables) => {
        const schedule = scheduleOf(tables, name)
        if (schedule === undefined || !from.includes(schedule.state)) return false
        write(tables, changedSchedule(schedule, to))
        return true
      }),
    request: (schedule, instant) =>
      Effect.asVoid(change("request", (tables) =>
        tables.run(
          `INSERT OR IGNORE INTO schedule_requests (schedule, instant)
           SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM schedule_runs WHERE id = ?)`,
          schedule,
          instant,
          `${schedule}:${instant}`
        ))),
    firings: Stream.suspend(() =>
      firingsBy(doorbell.topic(topic), (now) => read("firings", (tables) => due(tables, now)))
    ),
    claim: (run, advance) =>
      change("claim", (tables) => {
        dropRequest(tables, run.schedule, run.instant)
        const schedule = advance === undefined ? undefined : scheduleOf(tables, run.schedule)
        if (schedule !== undefined && schedule.nextAt === advance?.from) {
          write(tables, advancedSchedule(schedule, advance?.nextAt))
        }
        const first = take(tables, run)
        forget(tables, run.schedule)
        return first
      }),
    drop: (firing) =>
      Effect.asVoid(change("drop", (tables) => {
        dropRequest(tables, firing.schedule, firing.instant)
        const schedule = scheduleOf(tables, firing.schedule)
        if (schedule === undefined || schedule.nextAt !== firing.instant || schedule.state === "active") return
        const { nextAt: _, ...rest } = schedule
        write(tables, rest)
      })),
    save: (run) => Effect.asVoid(change("save", (tables) => save(tables, run))),
    finish: (run, next) =>
      change("finish", (tables) => {
        if (!save(tables, run)) return false
        if (next !== undefined) take(tables, next)
        forget(tables, run.schedule)
        return true
      }),
    changes: ringsOf(doorbell.topic(topic)),
    open: read(
      "open",
      (tables) =>
        tables.all("SELECT row FROM schedule_runs WHERE open = 1 ORDER BY seq").map((row) => readRun(row["row"]))
    ),
    history: (name, limit) =>
      read(
        "history",
        (tables) =>
          tables.all("SELECT row FROM schedule_runs WHERE schedule = ? ORDER BY seq DESC LIMIT ?", name, limit)
            .map((row) => readRun(row["row"]))
      )
  })
})

export const layer: Layer.Layer<Scheduler, never, Sqlite | Doorbell> = Layer.effect(Scheduler, make)
