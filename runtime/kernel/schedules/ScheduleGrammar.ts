/**
 * The grammar of repeated times and of ISO 8601, read whole or refused with the part that was not understood. Dates in
 * a person's own words are read elsewhere, into the same result.
 */
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import { type RateUnit, When } from "../../domain/schedule/Schedule.ts"
import { instantOf, nextOfCron, parseCron, weekdayNames } from "./ScheduleCron.ts"
import { refusal, type ScheduleRefused } from "./ScheduleErrors.ts"

type Parsed = Result.Result<When, ScheduleRefused>
type Refused = Result.Result<never, ScheduleRefused>

export const refuse = (...args: Parameters<typeof refusal>): Refused => Result.fail(refusal(...args))

const quoted = (text: string): string => JSON.stringify(text)

/** Bounds of one instant: EventBridge knows years to 2199. */
const lastInstant = Date.UTC(2199, 11, 31, 23, 59, 59)

/** A single instant that is still to come. */
export const onceAt = (at: number, now: number, said: string): Parsed => {
  if (at <= now) return refuse("KM-SCH-002", `${quoted(said)} is in the past (${new Date(at).toISOString()})`)
  if (at > lastInstant) return refuse("KM-SCH-002", `${quoted(said)} lies after the year 2199`)
  return Result.succeed(When.cases.Once.make({ at }))
}

/** The instant of a wall time, or why there is none. Where clocks are put back, the first of the two. */
export const wallInstant = (
  zone: DateTime.TimeZone,
  wall: Parameters<typeof instantOf>[1],
  said: string
): Result.Result<number, ScheduleRefused> => {
  const at = instantOf(zone, wall)
  if (at !== undefined) return Result.succeed(at)
  const real = new Date(Date.UTC(wall.year, wall.month - 1, wall.day))
  return real.getUTCDate() === wall.day && real.getUTCMonth() + 1 === wall.month
    ? refuse("KM-SCH-005", `${quoted(said)} does not exist in ${DateTime.zoneToString(zone)}: clocks jump over it`)
    : refuse("KM-SCH-001", `${quoted(said)} is no day of the calendar`)
}

const two = (n: number): string => String(n).padStart(2, "0")

const isoPattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.0{1,9})?)?\s?(Z|[+-]\d{2}:?\d{2})?)?$/i

/** ISO 8601, with an offset or in the zone, or its date with a time of day as people write it (`at 9am`); `undefined` when the text is nothing of the kind. */
export const parseIso = (text: string, zone: DateTime.TimeZone, now: number): Parsed | undefined => {
  const match = isoPattern.exec(text)
  if (match === null) {
    const [, date = "", clock] = /^(\d{4}-\d{2}-\d{2}) (?:at )?(\S.*)$/i.exec(text) ?? []
    if (clock === undefined) return undefined
    return Result.flatMap(
      parseClock(clock.toLowerCase()),
      ({ hour, minute }) => parseIso(`${date} ${two(hour)}:${two(minute)}`, zone, now) ?? refuse("KM-SCH-001", "")
    )
  }
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map((part) =>
    Number(part ?? 0)
  )
  if (match[4] === undefined) return refuse("KM-SCH-003", `${quoted(text)} says no time of day`)
  if (hour > 23 || minute > 59 || second > 59) return refuse("KM-SCH-001", `${quoted(text)} has no such time of day`)
  const wall = { year, month, day, hour, minute, second }
  const offset = match[7]
  if (offset === undefined) {
    return Result.flatMap(wallInstant(zone, wall, text), (at) => onceAt(at, now, text))
  }
  const [, sign = "+", hours = "0", minutes = "0"] = /^([+-])(\d{2}):?(\d{2})$/.exec(offset) ?? []
  if (Number(hours) > 14 || Number(minutes) > 59) return refuse("KM-SCH-001", `${quoted(offset)} is no offset`)
  const millis = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === "-" ? -1 : 1)
  return Result.flatMap(
    wallInstant(DateTime.zoneMakeNamedUnsafe("UTC"), wall, text),
    (at) => onceAt(at - millis, now, text)
  )
}

const clockTime = "noon|midnight|\\d{1,2}(?::?\\d{2})?\\s?(?:am|pm)|\\d{1,2}:\\d{2}"
const clockPattern = new RegExp(`^(?:${clockTime})$`)

/** `9am`, `8:30 am`, `845am`, `15:04`, `noon`, `midnight`; a bare number says neither morning nor evening. */
export const parseClock = (
  text: string
): Result.Result<{ readonly hour: number; readonly minute: number }, ScheduleRefused> => {
  if (text === "noon") return Result.succeed({ hour: 12, minute: 0 })
  if (text === "midnight") return Result.succeed({ hour: 0, minute: 0 })
  if (/^\d{1,2}$/.test(text)) {
    return Number(text) > 23
      ? refuse("KM-SCH-001", `${quoted(text)} is no time of day`)
      : refuse("KM-SCH-003", `${quoted(text)} is no clear time of day`)
  }
  const [, hours = "", minutes = "0", half] = /^(\d{1,2}?):?(\d{2})?\s?(am|pm)?$/.exec(text) ?? []
  const hour = Number(hours)
  const minute = Number(minutes)
  const fits = clockPattern.test(text) && minute <= 59 && (half === undefined ? hour <= 23 : hour >= 1 && hour <= 12)
  if (!fits) return refuse("KM-SCH-001", `${quoted(text)} is no time of day`)
  return Result.succeed({ hour: half === undefined ? hour : hour % 12 + (half === "pm" ? 12 : 0), minute })
}

const longNames = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]

/** `monday`, `mon`, `tues`: a name of at least three letters that begins the long one. */
const weekdayOf = (text: string): string | undefined => {
  const at = text.length < 3 ? -1 : longNames.findIndex((name) => name.startsWith(text) || `${name}s` === text)
  return at === -1 ? undefined : weekdayNames[at]
}

/** `mon, wed and fri` as cron's `MON,WED,FRI`. */
const weekdaysOf = (text: string): Result.Result<string, ScheduleRefused> => {
  const words = text.split(/\s*,\s*(?:and\s+)?|\s+and\s+/)
  const days = words.map((word) => word === "weekday" ? "MON-FRI" : weekdayOf(word))
  const odd = words[days.indexOf(undefined)]
  return odd === undefined
    ? Result.succeed([...new Set(days)].join(","))
    : refuse("KM-SCH-001", `${quoted(odd)} is no day of the week`)
}

const ordinals: Readonly<Record<string, number>> = { first: 1, second: 2, third: 3, fourth: 4, fifth: 5 }

/** The day fields (day of month, day of week) of `15th`, `last day`, `first monday`, `last friday`. */
const monthDayOf = (text: string): Result.Result<readonly [dom: string, dow: string], ScheduleRefused> => {
  if (text === "last day") return Result.succeed(["L", "?"])
  const [, which = "", name = ""] = /^(\S+)\s+(\S+)$/.exec(text) ?? []
  const weekday = weekdayOf(name)
  const nth = ordinals[which] ?? (/^[1-5](st|nd|rd|th)$/.test(which) ? Number(which[0]) : undefined)
  if (weekday !== undefined && which === "last") return Result.succeed(["?", `${weekday}L`])
  if (weekday !== undefined && nth !== undefined) return Result.succeed(["?", `${weekday}#${nth}`])
  const date = /^(\d{1,2})(?:st|nd|rd|th)$/.exec(text)
  const day = name === "day" && nth !== undefined ? nth : Number(date?.[1] ?? ordinals[text] ?? 0)
  return day >= 1 && day <= 31
    ? Result.succeed([String(day), "?"])
    : refuse("KM-SCH-001", `${quoted(text)} is no day of a month (say 15th, last day, first monday)`)
}

const rate = (every: number, unit: string, said: string): Parsed => {
  const one: RateUnit = unit.startsWith("min") ? "minute" : unit.startsWith("h") ? "hour" : "day"
  if (every < 1) return refuse("KM-SCH-006", `${quoted(said)} repeats without end at once; the least is 1 minute`)
  return every > 527_040
    ? refuse("KM-SCH-006", `${quoted(said)} is longer than a year of minutes`)
    : Result.succeed(When.cases.Rate.make({ every, unit: one }))
}

const parseRate = (text: string): Parsed => {
  const [, number = "", unit = "", plural = ""] = /^rate\(\s*(\d{1,6})\s+(minute|hour|day)(s?)\s*\)$/.exec(text) ?? []
  if (unit === "") return refuse("KM-SCH-006", `${quoted(text)} is not rate(N minutes), rate(N hours) or rate(N days)`)
  return (Number(number) === 1) === (plural === "")
    ? rate(Number(number), unit, text)
    : refuse("KM-SCH-006", `${quoted(text)}: one is ${unit}, more or none are ${unit}s`)
}

/** A cron that is well-formed and fires at least once after now. */
const cron = (fields: string, zone: DateTime.TimeZone, now: number): Parsed =>
  Result.flatMap(parseCron(fields), (parsed) =>
    nextOfCron(parsed, zone, now) === undefined
      ? refuse("KM-SCH-002", `cron(${fields}) never fires after now`)
      : Result.succeed(When.cases.Cron.make({ fields: fields.trim().split(/\s+/).join(" ").toUpperCase() })))

const atClock = (clock: string, days: Result.Result<readonly [string, string], ScheduleRefused>) =>
  Result.flatMap(
    days,
    ([dom, dow]) => Result.map(parseClock(clock), ({ hour, minute }) => `${minute} ${hour} ${dom} * ${dow} *`)
  )

const everyDay = Result.succeed(["*", "?"] as const)
const needsTime = /^(daily|every ?day|weekly|monthly|every weekday|(every|each) [a-z, ]+|weekly on .*|monthly on .*)$/

/** Whether the text speaks of something that repeats; nothing else is then tried. */
export const speaksOfRepeating = (text: string): boolean =>
  /\b(every|everyday|each|weekly|daily|monthly|yearly|annually|hourly|fortnightly|nightly)\b|\b(cron|rate)\s*\(|days\b.* at |\b(mon|tues|wednes|thurs|fri|satur|sun)days\b/
    .test(text)

/** Reads a repeated time. `text` is lower-case with single spaces. */
export const parseRepeated = (text: string, zone: DateTime.TimeZone, now: number): Parsed => {
  if (text.startsWith("rate(")) return parseRate(text)
  const wrapped = /^cron\(([^()]*)\)$/.exec(text)
  if (wrapped !== null) return cron(wrapped[1] ?? "", zone, now)
  if (/^(cron|rate)/.test(text)) {
    return refuse("KM-SCH-006", `${quoted(text)} is not whole: cron(…) or rate(…), nothing more`)
  }
  if (text === "hourly") return rate(1, "hour", text)
  const plain = /^every (?:(\d{1,6}) )?(minutes?|mins?|hours?|days?)$/.exec(text)
  if (plain !== null) {
    const [, number, unit = ""] = plain
    if (number === undefined && unit.endsWith("s")) return refuse("KM-SCH-001", `${quoted(text)} says not how many`)
    return rate(Number(number ?? 1), unit, text)
  }
  const timed = /^(.*?) at (.+)$/.exec(text)
  if (timed === null) {
    return needsTime.test(text)
      ? refuse("KM-SCH-003", `${quoted(text)} says no time of day`)
      : refuse("KM-SCH-001", `${quoted(text)} is no repeated time that km knows`)
  }
  const [, days = "", clock = ""] = timed
  const fields = daysAndClock(days, clock)
  return fields === undefined
    ? refuse("KM-SCH-001", `${quoted(days)} is no repetition that km knows`)
    : Result.flatMap(fields, (found) => cron(found, zone, now))
}

const daysAndClock = (days: string, clock: string): Result.Result<string, ScheduleRefused> | undefined => {
  if (/^(daily|every ?day|each day)$/.test(days)) return atClock(clock, everyDay)
  const monthly = /^(?:monthly on|every month on) the (.+)$/.exec(days)
  if (monthly !== null) return atClock(clock, monthDayOf(monthly[1] ?? ""))
  const weekly = /^(?:every week on|weekly on|every|each) (.+)$/.exec(days)
  if (weekly === null) return undefined
  return atClock(clock, Result.map(weekdaysOf(weekly[1] ?? ""), (dow) => ["?", dow] as const))
}
