/** When a schedule fires: the next instants, and which one stands for those that nobody was there to run. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { RateUnit, Schedule, When } from "../../domain/schedule/Schedule.ts"
import { nextOfCron, parseCron } from "./ScheduleCron.ts"
import { refusal, type ScheduleRefused } from "./ScheduleErrors.ts"

const unitMillis: Readonly<Record<RateUnit, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }

/** A zone by its IANA name; abbreviations such as EST mean several things and are refused. */
export const zoneOf = (name: string): Result.Result<DateTime.TimeZone, ScheduleRefused> => {
  // Areas have a slash; only UTC and GMT are as clear without one.
  const clear = /^(UTC|GMT)$/.test(name) || name.includes("/")
  const zone = clear ? DateTime.zoneMakeNamed(name) : Option.none()
  return Option.isSome(zone)
    ? Result.succeed(zone.value)
    : Result.fail(refusal("KM-SCH-004", `${JSON.stringify(name)} is not a zone's IANA name`))
}

/** The zone of a stored schedule: one that this machine has lost is UTC, which its expression was not checked against. */
const storedZone = (name: string): DateTime.TimeZone =>
  Result.getOrElse(zoneOf(name), () => DateTime.zoneMakeNamedUnsafe("UTC"))

/** How a timing advances: `undefined` after its last instant. All Unix milliseconds. */
export const nextAfter = (when: When, zone: string, anchor: number, after: number): number | undefined => {
  switch (when._tag) {
    case "Once":
      return when.at > after ? when.at : undefined
    case "Rate": {
      const period = when.every * unitMillis[when.unit]
      return after < anchor ? anchor + period : anchor + (Math.floor((after - anchor) / period) + 1) * period
    }
    case "Cron": {
      const cron = parseCron(when.fields)
      return Result.isSuccess(cron) ? nextOfCron(cron.success, storedZone(zone), after) : undefined
    }
  }
}

/** The next instants after `after`, at most `count`. */
export const nextInstants = (
  timing: { readonly when: When; readonly zone: string },
  anchor: number,
  after: number,
  count: number
): ReadonlyArray<number> => {
  const instants: Array<number> = []
  let last = after
  while (instants.length < count) {
    const next = nextAfter(timing.when, timing.zone, anchor, last)
    if (next === undefined) break
    instants.push(next)
    last = next
  }
  return instants
}

/** How many missed instants are counted one by one; more are said as this many. */
export const maxCounted = 1_000

/** A firing that is due: which instant it stands for, how many it makes up for, and what comes after it. */
export interface Due {
  /** The latest that is due. */
  readonly instant: number
  /** Earlier ones that nobody ran, at most `maxCounted`. */
  readonly missed: number
  readonly nextAt: number | undefined
}

/** Missed instants are made up for once, by the latest of them; `nextAt` is what the schedule waited for. */
export const dueAt = (schedule: Schedule, nextAt: number, now: number): Due => {
  let instant = nextAt
  let missed = 0
  for (;;) {
    const next = nextAfter(schedule.when, schedule.zone, schedule.createdAt, instant)
    if (next === undefined || next > now) return { instant, missed, nextAt: next }
    if (missed === maxCounted) return latest(schedule, now, instant)
    instant = next
    missed += 1
  }
}

/** Windows before now, in which the latest due instant is looked for after a downtime that is not counted any more. */
const windows = [unitMillis.hour, unitMillis.day, 32 * unitMillis.day, 400 * unitMillis.day]

/** The same after a downtime so long that instants are not counted any more. */
const latest = (schedule: Schedule, now: number, counted: number): Due => {
  const next = (after: number) => nextAfter(schedule.when, schedule.zone, schedule.createdAt, after)
  const first = windows.map((window) => next(now - window)).find((instant) => instant !== undefined && instant <= now)
  let instant = first ?? counted
  for (;;) {
    const following = next(instant)
    if (following === undefined || following > now) return { instant, missed: maxCounted, nextAt: following }
    instant = following
  }
}

/** `Mon 2026-05-04 09:00 Europe/Berlin (+02:00)`; seconds only where they are not 0. */
export const instantText = (instant: number, zone: string): string => {
  const zoned = DateTime.makeZonedUnsafe(instant, { timeZone: storedZone(zone) })
  const iso = DateTime.formatIsoZoned(zoned)
  const [, date = "", time = "", seconds = "", offset = ""] =
    /^(\S+)T(\d\d:\d\d)(:\d\d)\.\d+(Z|[+-]\d\d:\d\d)/.exec(iso) ?? []
  const day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][DateTime.toParts(zoned).weekDay] ?? ""
  return `${day} ${date} ${time}${seconds === ":00" ? "" : seconds} ${zone}${
    offset === "Z" || zone === "UTC" ? "" : ` (${offset})`
  }`
}
