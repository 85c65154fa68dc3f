/**
 * Cron by EventBridge's rules: six fields, exactly one `?`. `effect/Cron` has no years, no `L`, `W` and `#`, and moves a
 * time that clocks jump over instead of leaving it out as EventBridge does; so fields are matched by day here, and only
 * the way from wall time to instant is `effect/DateTime`'s.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { refusal, type ScheduleRefused } from "./ScheduleErrors.ts"

/** Days of a month, or of a week, that fit. Days of the week are 1 (Sunday) to 7. */
type DayRule =
  | { readonly _tag: "Any" }
  | { readonly _tag: "MonthDays"; readonly days: ReadonlySet<number> }
  | { readonly _tag: "LastDay" }
  | { readonly _tag: "NearestWeekday"; readonly day: number }
  | { readonly _tag: "WeekDays"; readonly days: ReadonlySet<number> }
  | { readonly _tag: "NthWeekDay"; readonly day: number; readonly nth: number }
  | { readonly _tag: "LastWeekDay"; readonly day: number }

export interface Cron {
  /** Ascending. */
  readonly minutes: ReadonlyArray<number>
  /** Ascending. */
  readonly hours: ReadonlyArray<number>
  readonly months: ReadonlySet<number>
  readonly years: ReadonlySet<number>
  readonly day: DayRule
}

interface Field {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly names: ReadonlyArray<string>
}

const monthNames = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
/** In the order of cron's numbers: Sunday is 1. */
export const weekdayNames = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]

const minuteField: Field = { name: "minute", min: 0, max: 59, names: [] }
const hourField: Field = { name: "hour", min: 0, max: 23, names: [] }
const monthDayField: Field = { name: "day of month", min: 1, max: 31, names: [] }
const monthField: Field = { name: "month", min: 1, max: 12, names: monthNames }
const weekDayField: Field = { name: "day of week", min: 1, max: 7, names: weekdayNames }
const yearField: Field = { name: "year", min: 1970, max: 2199, names: [] }

class BadField extends Error {}

const bad = (field: Field, text: string, why: string): BadField =>
  new BadField(`the ${field.name} ${JSON.stringify(text)} ${why}`)

const numberOf = (field: Field, text: string): number => {
  const named = field.names.indexOf(text.toUpperCase())
  if (named >= 0) return named + field.min
  const value = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= field.min && value <= field.max)) {
    const more = field.names.length === 0 ? "" : ` or ${field.names[0]}–${field.names.at(-1)}`
    throw bad(field, text, `is not ${field.min}–${field.max}${more}`)
  }
  return value
}

/** `*`, `a`, `a-b`, `*` `/n`, `a/n`, `a-b/n`, and lists of them. */
const valuesOf = (field: Field, text: string): ReadonlySet<number> => {
  const values = new Set<number>()
  for (const part of text.split(",")) {
    const [range = "", stepText, ...more] = part.split("/")
    if (range === "" || more.length > 0) throw bad(field, text, "is not a list of values, ranges and steps")
    if (stepText !== undefined && !/^[1-9]\d{0,3}$/.test(stepText)) {
      throw bad(field, part, "has a step that is not 1 or more")
    }
    const step = Number(stepText ?? 1)
    const [from = "", to, ...rest] = range.split("-")
    if (rest.length > 0) throw bad(field, part, "is not a range")
    const first = from === "*" && to === undefined ? field.min : numberOf(field, from)
    const open = from === "*" || stepText !== undefined
    const last = to !== undefined ? numberOf(field, to) : open ? field.max : first
    if (last < first) throw bad(field, part, "is a range that ends before it begins")
    for (let value = first; value <= last; value += step) values.add(value)
  }
  return values
}

const dayRule = (dom: string, dow: string): DayRule => {
  if ((dom === "?") === (dow === "?")) {
    throw new BadField("exactly one of day of month and day of week is ?, the other says which days")
  }
  if (dow === "?") {
    if (dom === "*") return { _tag: "Any" }
    if (/^L$/i.test(dom)) return { _tag: "LastDay" }
    const near = /^(\d{1,2})W$/i.exec(dom)
    if (near !== null) return { _tag: "NearestWeekday", day: numberOf(monthDayField, near[1] ?? "") }
    return { _tag: "MonthDays", days: valuesOf(monthDayField, dom) }
  }
  if (dow === "*") return { _tag: "Any" }
  if (/^L$/i.test(dow)) return { _tag: "WeekDays", days: new Set([7]) }
  const last = /^(\w+)L$/i.exec(dow)
  if (last !== null) return { _tag: "LastWeekDay", day: numberOf(weekDayField, last[1] ?? "") }
  const nth = /^(\w+)#([1-5])$/.exec(dow)
  if (nth !== null) return { _tag: "NthWeekDay", day: numberOf(weekDayField, nth[1] ?? ""), nth: Number(nth[2]) }
  return { _tag: "WeekDays", days: valuesOf(weekDayField, dow) }
}

const sorted = (values: ReadonlySet<number>): ReadonlyArray<number> => [...values].toSorted((a, b) => a - b)

/** Reads the six fields between the parentheses of `cron(…)`. */
export const parseCron = (fields: string): Result.Result<Cron, ScheduleRefused> => {
  const parts = fields.trim().split(/\s+/)
  const [m = "", h = "", dom = "", mon = "", dow = "", y = ""] = parts
  if (parts.length !== 6) {
    return Result.fail(
      refusal(
        "KM-SCH-006",
        `cron has six fields (minute hour day-of-month month day-of-week year), not ${parts.length}`
      )
    )
  }
  try {
    return Result.succeed({
      minutes: sorted(valuesOf(minuteField, m)),
      hours: sorted(valuesOf(hourField, h)),
      day: dayRule(dom, dow),
      months: valuesOf(monthField, mon),
      years: valuesOf(yearField, y)
    })
  } catch (error) {
    if (error instanceof BadField) return Result.fail(refusal("KM-SCH-006", error.message))
    throw error
  }
}

/** A day of the calendar, without zone. */
interface Day {
  readonly year: number
  readonly month: number
  readonly day: number
}

const daysIn = ({ month, year }: Day): number => new Date(Date.UTC(year, month, 0)).getUTCDate()
/** 1 is Sunday, as in cron. */
const weekDayOf = ({ day, month, year }: Day): number => new Date(Date.UTC(year, month - 1, day)).getUTCDay() + 1
const dayAfter = ({ day, month, year }: Day): Day => {
  const next = new Date(Date.UTC(year, month - 1, day + 1))
  return { year: next.getUTCFullYear(), month: next.getUTCMonth() + 1, day: next.getUTCDate() }
}

/** The weekday (Monday to Friday) of the same month that is closest to a day of it. */
const nearestWeekday = (date: Day, wanted: number): number => {
  const length = daysIn(date)
  const at = Math.min(wanted, length)
  const week = weekDayOf({ ...date, day: at })
  if (week === 7) return at === 1 ? 3 : at - 1
  if (week === 1) return at === length ? at - 2 : at + 1
  return at
}

const dayFits = (rule: DayRule, date: Day): boolean => {
  switch (rule._tag) {
    case "Any":
      return true
    case "MonthDays":
      return rule.days.has(date.day)
    case "LastDay":
      return date.day === daysIn(date)
    case "NearestWeekday":
      return rule.day <= daysIn(date) && date.day === nearestWeekday(date, rule.day)
    case "WeekDays":
      return rule.days.has(weekDayOf(date))
    case "NthWeekDay":
      return weekDayOf(date) === rule.day && Math.ceil(date.day / 7) === rule.nth
    case "LastWeekDay":
      return weekDayOf(date) === rule.day && date.day + 7 > daysIn(date)
  }
}

/**
 * The instant of a wall time: the first of two where clocks are put back, none where they are put forward over it.
 * Unix milliseconds.
 */
export const instantOf = (
  zone: DateTime.TimeZone,
  wall: Day & { readonly hour: number; readonly minute: number; readonly second?: number }
): number | undefined => {
  const { second = 0 } = wall
  const parts = { year: wall.year, month: wall.month, day: wall.day, hour: wall.hour, minute: wall.minute, second }
  const found = DateTime.makeZoned(parts, { timeZone: zone, adjustForTimeZone: true, disambiguation: "earlier" })
  if (Option.isNone(found)) return undefined
  const back = DateTime.toParts(found.value)
  const same = back.day === wall.day && back.hour === wall.hour && back.minute === wall.minute && back.second === second
  return same && back.month === wall.month && back.year === wall.year ? DateTime.toEpochMillis(found.value) : undefined
}

/** What clocks in the zone show at an instant. */
export const wallOf = (zone: DateTime.TimeZone, instant: number) => {
  const { day, hour, minute, month, second, year } = DateTime.toParts(
    DateTime.makeZonedUnsafe(instant, { timeZone: zone })
  )
  return { year, month, day, hour, minute, second }
}

/** The first instant after `after` (Unix milliseconds) that fits; none when the years are over. */
export const nextOfCron = (cron: Cron, zone: DateTime.TimeZone, after: number): number | undefined => {
  const start = wallOf(zone, after)
  const lastYear = Math.max(...cron.years)
  let date: Day = start
  while (date.year <= lastYear) {
    if (!cron.years.has(date.year)) date = { year: date.year + 1, month: 1, day: 1 }
    else if (!cron.months.has(date.month)) {
      date = date.month === 12
        ? { year: date.year + 1, month: 1, day: 1 }
        : { year: date.year, month: date.month + 1, day: 1 }
    } else {
      const today = date.year === start.year && date.month === start.month && date.day === start.day
      const found = dayFits(cron.day, date) ? firstOn(cron, zone, date, after, today ? start.hour : 0) : undefined
      if (found !== undefined) return found
      date = dayAfter(date)
    }
  }
  return undefined
}

const firstOn = (
  cron: Cron,
  zone: DateTime.TimeZone,
  { day, month, year }: Day,
  after: number,
  fromHour: number
): number | undefined => {
  for (const hour of cron.hours) {
    if (hour < fromHour) continue
    for (const minute of cron.minutes) {
      const instant = instantOf(zone, { year, month, day, hour, minute })
      if (instant !== undefined && instant > after) return instant
    }
  }
  return undefined
}
