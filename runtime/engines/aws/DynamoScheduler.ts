/**
 * Schedules and runs as items. Of all schedules, in the partition `schedules`: `schedule#{name}`, `due#{time}#…` what is to
 * fire, `open#{arrival}#{run}` what has not ended. Of one, in `schedule#{name}`: `id#{run}` claims a run for ever,
 * `run#{arrival}#{run}` is its record. What fires next is computed by us, in every engine alike.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Schedule, ScheduleName, ScheduleRun } from "../../domain/schedule/Schedule.ts"
import { ringsOf } from "../../ports/Bell.ts"
import {
  advancedSchedule,
  changedSchedule,
  endedScheduleMillis,
  type Firing,
  firingsBy,
  keptRuns,
  mayFire,
  Scheduler,
  ScheduleTaken
} from "../../ports/Scheduler.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells } from "./Bells.ts"
import { absent, is, startsWith } from "./conditions.ts"
import { Dynamo, type Write } from "./Dynamo.ts"
import { makeArrivals, reader, ttlOf } from "./rows.ts"
import { stateTable } from "./tables.ts"

/** Firings that one look may bring. */
const atOnce = 64
/** Runs beyond those that are kept are removed once in so many ends; until then readers leave them out. */
const forgetEvery = 16
/** Runs of schedules that are forgotten end with this; a schedule that fires once a year has its last one still. */
const runMillis = 400 * 24 * 3_600_000

const ScheduleJson = Schema.fromJsonString(Schedule)
const RunJson = Schema.fromJsonString(ScheduleRun)
const encodeSchedule = Schema.encodeSync(ScheduleJson)
const encodeRun = Schema.encodeSync(RunJson)
const readSchedule = reader("schedule", Schema.Struct({ row: ScheduleJson, version: Schema.Finite }))
const readRun = reader("run of a schedule", Schema.Struct({ item: Schema.String, row: RunJson, open: Schema.Boolean }))
const readOpen = reader("open run", Schema.Struct({ schedule: ScheduleName, run_item: Schema.String }))
const readFiring = reader(
  "firing",
  Schema.Struct({ item: Schema.String, schedule: ScheduleName, instant: Schema.Finite, manual: Schema.Boolean })
)

const of = (operation: string): Purpose => ({ port: "Scheduler", operation })

const all = "schedules"
const scheduleKey = (name: ScheduleName): Attributes => ({ sandbox_id: all, item: `schedule#${name}` })
const timeText = (millis: number): string => String(millis).padStart(15, "0")
/** A request of a person is due at once, before everything else. */
const dueKey = ({ instant, manual, schedule }: Firing): Attributes => ({
  sandbox_id: all,
  item: `due#${timeText(manual ? 0 : instant)}#${schedule}${manual ? `#${instant}` : ""}`
})
const dueAt = ({ instant, manual }: Firing): number => manual ? 0 : instant
const partitionOf = (name: ScheduleName): string => `schedule#${name}`
const idKey = (name: ScheduleName, run: string): Attributes => ({ sandbox_id: partitionOf(name), item: `id#${run}` })
const openKey = (runItem: string): Attributes => ({ sandbox_id: all, item: `open#${runItem.slice("run#".length)}` })

const dueWrite = (firing: Firing): Write => ({
  _tag: "Put",
  table: stateTable,
  item: { ...dueKey(firing), schedule: firing.schedule, instant: firing.instant, manual: firing.manual }
})
const remove = (key: Attributes): Write => ({ _tag: "Delete", table: stateTable, key })

const ownFiring = ({ name, nextAt }: Schedule): Firing | undefined =>
  nextAt === undefined ? undefined : { schedule: name, instant: nextAt, manual: false }

interface Stored {
  readonly row: Schedule
  readonly version: number
}

/** The schedule in the place of what was there, and what it fires in the place of what that fired. */
const scheduleWrites = (before: Stored | undefined, schedule: Schedule, now: number): ReadonlyArray<Write> => {
  const was = before === undefined ? undefined : ownFiring(before.row)
  const next = ownFiring(schedule)
  return [
    {
      _tag: "Put",
      table: stateTable,
      item: {
        ...scheduleKey(schedule.name),
        row: encodeSchedule(schedule),
        version: (before?.version ?? 0) + 1,
        ...(mayFire(schedule) ? {} : { ended_at: now, ttl_expiry: ttlOf(now + endedScheduleMillis) })
      },
      when: before === undefined ? absent("item") : is("version", before.version)
    },
    ...(was === undefined || was.instant === next?.instant ? [] : [remove(dueKey(was))]),
    ...(next === undefined ? [] : [dueWrite(next)])
  ]
}

/** A run that is claimed for the first time. */
const runWrites = (run: ScheduleRun, number: string): ReadonlyArray<Write> => {
  const item = `run#${number}#${run.id}`
  const open = run.state !== "ended"
  return [
    {
      _tag: "Put",
      table: stateTable,
      item: { ...idKey(run.schedule, run.id), run_item: item },
      when: absent("item")
    },
    { _tag: "Put", table: stateTable, item: { ...recordOf(run.schedule, item), ...stateOf(run) } },
    ...(open
      ? [{
        _tag: "Put" as const,
        table: stateTable,
        item: { ...openKey(item), schedule: run.schedule, run_item: item }
      }]
      : [])
  ]
}
const recordOf = (name: ScheduleName, item: string): Attributes => ({ sandbox_id: partitionOf(name), item })
const stateOf = (run: ScheduleRun): Attributes => ({
  row: encodeRun(run),
  open: run.state !== "ended",
  ...(run.endedAt === undefined ? {} : { ttl_expiry: ttlOf(run.endedAt + runMillis) })
})
/** A run's progress or end, while it has not ended. */
const progressWrites = (run: ScheduleRun, item: string): ReadonlyArray<Write> => [
  {
    _tag: "Update",
    table: stateTable,
    key: recordOf(run.schedule, item),
    changes: { set: stateOf(run) },
    when: is("open", true)
  },
  ...(run.state === "ended" ? [remove(openKey(item))] : [])
]

/** Of the newest first: the ended ones that are too many. */
const tooMany = (runs: ReadonlyArray<{ readonly open: boolean; readonly item: string }>) =>
  new Set(runs.filter(({ open }) => !open).slice(keptRuns).map(({ item }) => item))

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const arrivals = makeArrivals()
  const bell = (yield* Bells).of("schedules")
  const ring = Effect.sync(bell.ring)
  /** Ends that this process wrote, by schedule. */
  const ends = new Map<ScheduleName, number>()

  const scheduleOf = Effect.fnUntraced(function*(purpose: Purpose, name: ScheduleName) {
    const item = yield* dynamo.get(purpose, stateTable, scheduleKey(name))
    const now = yield* Clock.currentTimeMillis
    const stored = item === undefined ? undefined : yield* readSchedule(purpose, item)
    const gone = item !== undefined && Number(item["ended_at"] ?? Infinity) + endedScheduleMillis <= now
    return { stored, shown: gone ? undefined : stored?.row }
  })
  const runItemOf = Effect.fnUntraced(function*(purpose: Purpose, { id, schedule }: ScheduleRun) {
    const item = yield* dynamo.get(purpose, stateTable, idKey(schedule, id))
    return item === undefined ? undefined : String(item["run_item"])
  })
  const runsOf = Effect.fnUntraced(function*(purpose: Purpose, name: ScheduleName, limit?: number) {
    const items = yield* dynamo.query(purpose, {
      table: stateTable,
      key: [is("sandbox_id", partitionOf(name)), startsWith("item", "run#")],
      consistent: true,
      newestFirst: true,
      ...(limit === undefined ? {} : { limit })
    })
    return yield* Effect.forEach(items, (item) => readRun(purpose, item))
  })
  const forget = Effect.fnUntraced(function*(purpose: Purpose, name: ScheduleName) {
    const count = ends.get(name) ?? 0
    ends.set(name, count + 1)
    if (count % forgetEvery !== 0) return
    const runs = yield* runsOf(purpose, name)
    const old = tooMany(runs)
    yield* dynamo.deleteAll(
      purpose,
      stateTable,
      runs.filter(({ item }) => old.has(item)).flatMap(({ item, row }) => [recordOf(name, item), idKey(name, row.id)])
    )
  })

  const due = Effect.fnUntraced(function*(now: number) {
    const purpose = of("firings")
    const items = yield* dynamo.query(purpose, {
      table: stateTable,
      key: [is("sandbox_id", all), startsWith("item", "due#")],
      consistent: true,
      limit: atOnce
    })
    const found = yield* Effect.forEach(items, (item) => readFiring(purpose, item))
    const firings = found.filter((firing) => dueAt(firing) <= now).slice(0, atOnce).map(
      ({ instant, manual, schedule }): Firing => ({ schedule, instant, manual })
    )
    const next = found.find((firing) => dueAt(firing) > now)
    return { firings, nextAt: firings.length > 0 ? undefined : next?.instant }
  })

  /** Applies a change to a schedule as it is now, until nobody came between. */
  const changing = Effect.fnUntraced(function*(
    purpose: Purpose,
    name: ScheduleName,
    change: (schedule: Schedule | undefined) => Schedule | undefined,
    more: ReadonlyArray<Write> = []
  ) {
    for (;;) {
      const { shown, stored } = yield* scheduleOf(purpose, name)
      const now = yield* Clock.currentTimeMillis
      const next = change(shown)
      const writes = [...(next === undefined ? [] : scheduleWrites(stored, next, now)), ...more]
      if (writes.length === 0 || (yield* dynamo.transact(purpose, writes)).done) return next !== undefined
    }
  })

  const claim = Effect.fnUntraced(function*(
    run: ScheduleRun,
    advance: { readonly from: number; readonly nextAt: number | undefined } | undefined
  ) {
    const purpose = of("claim")
    const number = arrivals(yield* Clock.currentTimeMillis)
    for (;;) {
      const { shown, stored } = advance === undefined
        ? { shown: undefined, stored: undefined }
        : yield* scheduleOf(purpose, run.schedule)
      const known = yield* runItemOf(purpose, run)
      const now = yield* Clock.currentTimeMillis
      const moved = shown !== undefined && advance !== undefined && shown.nextAt === advance.from
        ? scheduleWrites(stored, advancedSchedule(shown, advance.nextAt), now)
        : []
      const { done } = yield* dynamo.transact(purpose, [
        remove(dueKey({ schedule: run.schedule, instant: run.instant, manual: true })),
        ...moved,
        ...(known === undefined ? runWrites(run, number) : [])
      ])
      if (!done) continue
      if (known === undefined && run.state === "ended") yield* forget(purpose, run.schedule)
      return known === undefined
    }
  })

  /** True when it had not ended. */
  const progress = Effect.fnUntraced(function*(purpose: Purpose, run: ScheduleRun, next: ScheduleRun | undefined) {
    const item = yield* runItemOf(purpose, run)
    if (item === undefined) return false
    const number = arrivals(yield* Clock.currentTimeMillis)
    for (;;) {
      const follows = next === undefined || (yield* runItemOf(purpose, next)) !== undefined
        ? []
        : runWrites(next, number)
      const answer = yield* dynamo.transact(purpose, [...progressWrites(run, item), ...follows])
      if (answer.done) return true
      if (answer.writes[0]?.failed === true) return false
    }
  })

  return Scheduler.of({
    add: Effect.fn("Scheduler.add")(function*(schedule) {
      const added = yield* changing(
        of("add"),
        schedule.name,
        (other) => other !== undefined && mayFire(other) ? undefined : schedule
      )
      if (!added) return yield* new ScheduleTaken({ name: schedule.name })
      yield* ring
    }),
    get: (name) => Effect.map(scheduleOf(of("get"), name), ({ shown }) => Option.fromNullishOr(shown)),
    list: Effect.gen(function*() {
      const purpose = of("list")
      const items = yield* dynamo.query(purpose, {
        table: stateTable,
        key: [is("sandbox_id", all), startsWith("item", "schedule#")],
        consistent: true
      })
      const now = yield* Clock.currentTimeMillis
      const shown = items.filter(({ ended_at }) => Number(ended_at ?? Infinity) + endedScheduleMillis > now)
      return yield* Effect.forEach(shown, (item) => Effect.map(readSchedule(purpose, item), ({ row }) => row))
    }),
    change: (name, from, to) =>
      Effect.tap(
        changing(of("change"), name, (schedule) =>
          schedule === undefined || !from.includes(schedule.state) ? undefined : changedSchedule(schedule, to)),
        ring
      ),
    request: Effect.fnUntraced(function*(schedule, instant) {
      yield* dynamo.transact(of("request"), [
        dueWrite({ schedule, instant, manual: true }),
        { _tag: "Check", table: stateTable, key: idKey(schedule, `${schedule}:${instant}`), when: absent("item") }
      ])
      yield* ring
    }),
    firings: Stream.suspend(() => firingsBy(bell, due)),
    claim: (run, advance) => Effect.tap(claim(run, advance), ring),
    drop: Effect.fnUntraced(function*(firing) {
      const manual = remove(dueKey({ ...firing, manual: true }))
      yield* changing(of("drop"), firing.schedule, (schedule) => {
        if (schedule === undefined || schedule.nextAt !== firing.instant || schedule.state === "active") {
          return undefined
        }
        const { nextAt: _, ...rest } = schedule
        return rest
      }, [manual])
      const { shown } = yield* scheduleOf(of("drop"), firing.schedule)
      // Nobody's any more: its schedule is gone, or waits for another instant.
      if (shown?.nextAt !== firing.instant) {
        yield* dynamo.change(of("drop"), remove(dueKey({ ...firing, manual: false })))
      }
      yield* ring
    }),
    save: (run) => Effect.andThen(progress(of("save"), run, undefined), ring),
    finish: Effect.fnUntraced(function*(run, next) {
      const finished = yield* progress(of("finish"), run, next)
      if (finished) yield* forget(of("finish"), run.schedule)
      yield* ring
      return finished
    }),
    changes: ringsOf(bell),
    open: Effect.gen(function*() {
      const purpose = of("open")
      const items = yield* dynamo.query(purpose, {
        table: stateTable,
        key: [is("sandbox_id", all), startsWith("item", "open#")],
        consistent: true
      })
      const open = yield* Effect.forEach(items, (item) => readOpen(purpose, item))
      const records = yield* dynamo.getAll(
        purpose,
        stateTable,
        open.map(({ run_item, schedule }) => recordOf(schedule, run_item))
      )
      const runs = yield* Effect.forEach(records, (item) => readRun(purpose, item))
      return runs.filter((run) => run.open).toSorted((a, b) => a.item < b.item ? -1 : 1).map(({ row }) => row)
    }),
    history: Effect.fnUntraced(function*(name, limit) {
      const runs = yield* runsOf(of("history"), name, limit <= keptRuns ? limit : undefined)
      const old = tooMany(runs)
      return runs.filter(({ item }) => !old.has(item)).slice(0, limit).map(({ row }) => row)
    })
  })
})

export const layer: Layer.Layer<Scheduler, never, Bells | Dynamo> = Layer.effect(Scheduler, make)
