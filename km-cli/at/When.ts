/**
 * What a person types for a time, read whole or refused. Relative times are ours, repeated ones and ISO 8601 the
 * kernel's, and dates in words chrono's, whose guesses (a default hour, a date in another order) are not taken.
 */
import * as chrono from "chrono-node/en"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import process from "node:process"
import { type When, whenText } from "../../runtime/domain/schedule/Schedule.ts"
import { wallOf } from "../../runtime/kernel/schedules/ScheduleCron.ts"
import { refusal, type ScheduleRefused } from "../../runtime/kernel/schedules/ScheduleErrors.ts"
import {
  onceAt,
  parseIso,
  parseRepeated,
  refuse,
  speaksOfRepeating,
  wallInstant
} from "../../runtime/kernel/schedules/ScheduleGrammar.ts"
import { zoneOf } from "../../runtime/kernel/schedules/ScheduleTimes.ts"
import { proposalsFor } from "./WhenHint.ts"

/** A time that is understood. */
export interface Timing {
  readonly when: When
  /** IANA name. */
  readonly zone: string
  readonly said: string
}

/** The longest text that is looked at. */
const maxCharacters = 200

const units = ["second", "minute", "hour", "day", "week", "month", "year"] as const
const unitPattern = "(seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?)"
const amountPattern = "(\\d{1,5}|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve)"
const spanPattern = new RegExp(`^${amountPattern} ?${unitPattern}$`)
const words = ["", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "", "twelve"]

/** `in 2 hours and 5 minutes`, `3 days from now`: hours are elapsed time, days keep the time of day. */
const parseRelative = (
  text: string,
  zone: DateTime.TimeZone,
  now: number
): Result.Result<When, ScheduleRefused> | undefined => {
  const [, after, before] = /^(?:in (.+)|(.+) from now)$/.exec(text) ?? []
  const body = after ?? before
  if (body === undefined) return undefined
  let at = DateTime.makeZonedUnsafe(now, { timeZone: zone })
  for (const part of body.split(/ and |, | (?=\d)/)) {
    const [, amount = "", name = ""] = spanPattern.exec(part) ?? []
    const unit = units.find((one) =>
      one.startsWith(name.replace(/s$/, "")) || (name.startsWith("hr") && one === "hour")
    )
    if (name === "" || unit === undefined) return refuse("KM-SCH-001", `${JSON.stringify(part)} is no span of time`)
    const count = /^\d/.test(amount) ? Number(amount) : Math.max(1, words.indexOf(amount))
    at = DateTime.add(at, { [`${unit}s`]: count })
    // Before the next span is added: the calendar of JavaScript has an end, and throws there.
    const sum = onceAt(DateTime.toEpochMillis(at), now - 1, text)
    if (Result.isFailure(sum)) return sum
  }
  return onceAt(DateTime.toEpochMillis(at), now, text)
}

/** The only words a date may be made of; chrono knows more, and reads some of them as we would not. */
const vocabulary = new RegExp(
  "^(" + [
    "at|on|of|the|this|next|coming|today|tomorrow|tonight|noon|midnight|week|morning|afternoon|evening",
    "sun(day)?|mon(day)?|tue(s|sday)?|wed(nesday)?|thu(rs|rsday)?|fri(day)?|sat(urday)?",
    "jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?",
    "\\d{1,2}(st|nd|rd|th)?|\\d{4}|\\d{1,2}:\\d{2}(am|pm)?|\\d{1,4}(am|pm)|am|pm"
  ].join("|") + ")$"
)

/** Abbreviations of zones that people type; several mean more than one. */
const zoneAbbreviation = /^([ecmp][sd]?t|[wce]es?t|bst|[ijks]st|ae[sd]t|nz[sd]t|utc|gmt|z)$/

const partsOfDay = [["morning", 0, 11], ["afternoon", 12, 17], ["evening", 17, 23], ["tonight", 17, 23]] as const

/** Two things said that cannot both be so, of which chrono would take one. */
const contradiction = (
  text: string,
  wall: { readonly year: number; readonly month: number; readonly day: number; readonly hour: number },
  weekday: number | null
): string | undefined => {
  const date = new Date(Date.UTC(wall.year, wall.month - 1, wall.day))
  if (weekday !== null && date.getUTCDay() !== weekday) return "the date is not on that day of the week"
  const part = partsOfDay.find(([name, from, to]) => text.includes(name) && (wall.hour < from || wall.hour > to))
  return part === undefined ? undefined : `${wall.hour}:00 is not in the ${part[0]}`
}

const monthName = /\b(jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)/

const sayOneOf = (texts: ReadonlyArray<string>): string =>
  `say ${texts.map((text) => JSON.stringify(text)).join(" or ")}`

const two = (n: number): string => String(n).padStart(2, "0")

const shortDays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
const nextDay = /\bnext ([a-z]+day|sun|mon|tues?|wed|thurs?|thu|fri|sat)\b/
const dayOfNextWeek =
  /\b(sun|mon|tue|wed|thu|fri|sat)[a-z]*\b.*\bnext week\b|\bnext week\b.*\b(sun|mon|tue|wed|thu|fri|sat)/

/**
 * The days, as ISO dates, that `next friday` and `friday next week` may mean today, ascending: for some people `next` is
 * the one that comes next, for others the one in next week, and weeks begin on Sunday or on Monday. Empty for other words.
 */
export const meaningsOf = (
  text: string,
  today: { readonly year: number; readonly month: number; readonly day: number }
): ReadonlyArray<string> => {
  const inNextWeek = dayOfNextWeek.exec(text)
  const name = nextDay.exec(text)?.[1] ?? inNextWeek?.[1] ?? inNextWeek?.[2]
  const weekday = name === undefined ? -1 : shortDays.indexOf(name.slice(0, 3))
  if (weekday === -1) return []
  const start = new Date(Date.UTC(today.year, today.month - 1, today.day))
  const now = start.getUTCDay()
  /** Days from now to that day of next week, where weeks begin on `first`. */
  const nextWeek = (first: number) => 7 - (now - first + 7) % 7 + (weekday - first + 7) % 7
  const comes = inNextWeek === null ? [(weekday - now + 6) % 7 + 1] : []
  const days = new Set([...comes, nextWeek(0), nextWeek(1)])
  return [...days].toSorted((a, b) => a - b).map((n) =>
    new Date(start.getTime() + n * 86_400_000).toISOString().slice(0, 10)
  )
}

/** A date and time of day in words. */
const parseWords = (text: string, zone: DateTime.TimeZone, now: number): Result.Result<When, ScheduleRefused> => {
  if (/\d[/.]\d/.test(text)) {
    return /\bat \d{1,2}\.\d{2}\b|\d\.\d{2} ?[ap]m\b/.test(text)
      ? refuse("KM-SCH-001", `${JSON.stringify(text)}: hours and minutes are written as 15:04`)
      : refuse("KM-SCH-003", `${JSON.stringify(text)}: days and months are written in different orders`)
  }
  const odd = text.split(/[\s,]+/).find((word) => word !== "" && !vocabulary.test(word))
  if (odd !== undefined) {
    return refuse(
      "KM-SCH-001",
      `${JSON.stringify(odd)} was not understood in ${JSON.stringify(text)}`,
      zoneAbbreviation.test(odd)
        ? "name a zone as --zone Europe/Berlin; see `km at --help` for the forms of a time"
        : undefined
    )
  }
  // Chrono would read "3 week" and "the week" as spans from now.
  if (/\bweek\b/.test(text) && !/\bnext week\b/.test(text)) {
    return refuse("KM-SCH-001", `"week" was not understood in ${JSON.stringify(text)}`)
  }
  // 845am is read as 8:45am; a bare hour would be read as one of two.
  const clear = text.replaceAll(/\b(\d{1,2})(\d{2})(?= ?(?:am|pm)\b)/g, "$1:$2")
  const bare = /\bat (\d{1,2})(?![\d:]| ?[ap]m)/.exec(clear)
  if (bare !== null) {
    return Number(bare[1]) > 23
      ? refuse("KM-SCH-001", `${JSON.stringify(bare[1])} is no time of day`)
      : refuse("KM-SCH-003", `${JSON.stringify(bare[1])} is no clear time of day`)
  }
  const wallNow = wallOf(zone, now)
  // Chrono works on the wall time of now; where its result lies is decided in the zone.
  const reference = Date.UTC(wallNow.year, wallNow.month - 1, wallNow.day, wallNow.hour, wallNow.minute, wallNow.second)
  const found = chrono.casual.parse(clear, { instant: new Date(reference), timezone: 0 }, { forwardDate: true })
  const [first] = found
  if (first === undefined) return refuse("KM-SCH-001", `${JSON.stringify(text)} is no time that km knows`)
  const unread = `${clear.slice(0, first.index)} ${clear.slice(first.index + first.text.length)}`
    .replace(/^(at|on) /, "").trim()
  if (unread !== "" || found.length > 1) {
    return refuse("KM-SCH-001", `${JSON.stringify(unread)} was not understood in ${JSON.stringify(text)}`)
  }
  if (first.end !== undefined && first.end !== null) {
    return refuse("KM-SCH-003", `${JSON.stringify(text)} is a span of time, not one`)
  }
  const { start } = first
  // A zone comes as an IANA name; chrono's abbreviations are fixed offsets all the year.
  if (start.isCertain("timezoneOffset")) return refuse("KM-SCH-004", `${JSON.stringify(text)} names its zone unclearly`)
  if (!start.isCertain("hour")) {
    return refuse("KM-SCH-003", `${JSON.stringify(text)} says no time of day`)
  }
  if (start.isCertain("month") && !start.isCertain("day") && !start.isCertain("weekday")) {
    return refuse("KM-SCH-003", `${JSON.stringify(text)} says no day of the month`)
  }
  const read = {
    year: start.get("year") ?? wallNow.year,
    month: start.get("month") ?? wallNow.month,
    day: start.get("day") ?? wallNow.day,
    hour: start.get("hour") ?? 0,
    minute: start.get("minute") ?? 0,
    second: 0
  }
  // A date that is written out says what "next" means.
  const meant = start.isCertain("month") && monthName.test(text) ? [] : meaningsOf(text, wallNow)
  if (meant.length > 1) {
    const at = `${two(read.hour)}:${two(read.minute)}`
    return refuse(
      "KM-SCH-003",
      `${JSON.stringify(text)} may mean ${meant.join(" or ")}`,
      sayOneOf(meant.map((date) => `${date} ${at}`))
    )
  }
  const [date] = meant
  const [year = read.year, month = read.month, day = read.day] = date?.split("-").map(Number) ?? []
  const wall = { ...read, year, month, day }
  const contrary = contradiction(text, wall, start.isCertain("weekday") ? start.get("weekday") : null)
  if (contrary !== undefined) return refuse("KM-SCH-003", `${JSON.stringify(text)}: ${contrary}`)
  return Result.flatMap(wallInstant(zone, wall, text), (at) => onceAt(at, now, text))
}

/** A trailing IANA name, or UTC, is the zone; named twice it must be the same. */
const splitZone = (text: string): readonly [text: string, zone: string | undefined] => {
  const [, rest, zone] = /^(.*\S)\s+(?:in\s+)?([A-Za-z_]+\/[A-Za-z_/+0-9-]+|UTC|GMT)$/.exec(text) ?? []
  return rest === undefined ? [text, undefined] : [rest, zone]
}

const parse = (
  body: string,
  text: string,
  zone: DateTime.TimeZone,
  now: number
): Result.Result<When, ScheduleRefused> =>
  speaksOfRepeating(text)
    ? parseRepeated(text, zone, now)
    : parseIso(body, zone, now) ?? parseRelative(text, zone, now) ?? parseWords(text, zone, now)

/** `zone` is `--zone` if given; `machineZone` what else a wall time is in. Times are Unix milliseconds. */
export const parseWhen = (
  typed: string,
  options: { readonly zone?: string | undefined; readonly machineZone: string; readonly now: number }
): Result.Result<Timing, ScheduleRefused> => {
  const said = typed.trim().replaceAll(/\s+/g, " ")
  if (said === "") return refuse("KM-SCH-001", "no time was given")
  if (said.length > maxCharacters) return refuse("KM-SCH-001", `a time has at most ${maxCharacters} characters`)
  const [body, named] = splitZone(said)
  if (named !== undefined && options.zone !== undefined && !sameZone(named, options.zone)) {
    return refuse("KM-SCH-003", `the zone is ${named} in the time and ${options.zone} beside it`)
  }
  const told = named ?? options.zone
  const name = spelled(told ?? options.machineZone)
  const text = body.toLowerCase()
  const known = told === undefined
    ? Result.mapError(
      zoneOf(name),
      () => refusal("KM-SCH-004", `TZ=${JSON.stringify(name)}, this machine's zone, is not a zone's IANA name`)
    )
    : zoneOf(name)
  return Result.flatMap(known, (zone) => {
    const id = DateTime.zoneToString(zone)
    const suffix = named === undefined ? "" : ` ${named}`
    return Result.mapBoth(parse(body, text, zone, options.now), {
      onSuccess: (parsed) => ({ when: parsed, zone: name, said }),
      onFailure: ({ code, reason, remedy }) => {
        const better = proposalsFor(text).filter((other) => Result.isSuccess(parse(other, other, zone, options.now)))
        // A day that can be two, and no time of day: both at once.
        const timed = Result.getFailure(parse(`${body} at 9am`, `${text} at 9am`, zone, options.now))
        const say = better.length > 0
          ? sayOneOf(better.slice(0, 2))
          : Option.getOrElse(
            Option.map(Option.filter(timed, (other) => other.remedy.startsWith("say ")), (other) => other.remedy),
            () => remedy
          )
        return refusal(
          code,
          reason.replaceAll(id, name),
          suffix === "" ? say : say.replaceAll(/"(?= or |$)/g, `${suffix}"`)
        )
      }
    })
  })
}

const canonical = (name: string): string | undefined =>
  Option.getOrUndefined(Option.map(Result.getSuccess(zoneOf(name)), DateTime.zoneToString))

const sameZone = (one: string, other: string): boolean =>
  one === other || (canonical(one) ?? one) === (canonical(other) ?? other)

/**
 * The zone as the person wrote it. The tables of the platform know many zones by a former name (Asia/Calcutta,
 * Europe/Kiev), which says the same and reads as another place; only the case of the letters is set right.
 */
const spelled = (name: string): string => {
  const known = canonical(name)
  if (known?.toLowerCase() === name.toLowerCase()) return known
  return known === undefined || name !== name.toLowerCase()
    ? name
    : name.replaceAll(/(^|[/_-])[a-z]/g, (begin) => begin.toUpperCase())
}

/** Where a zone's file is, below it named as the zone is. */
const zoneFiles = /(?:^|\/)zoneinfo\/(?:posix\/|right\/)?(.+)$/

/**
 * The zone of this machine, as Node has it from `TZ` or `/etc/localtime`, by the name that stands there. Where Node does
 * not know what `TZ` says, that text, which `parseWhen` refuses: ICU has no zone at all for `UTC0`, and takes UTC for
 * rules such as `CET-1CEST`.
 */
export const machineZone = (
  tz: string | undefined = process.env["TZ"],
  localtime: string | undefined = linkOf("/etc/localtime")
): string => {
  // POSIX: empty is UTC; a leading colon is the implementation's, which is a name.
  if (tz === "") return "UTC"
  const said = tz?.replace(/^:/, "").replace(zoneFiles, "$1")
  // Undefined in truth, whatever its type says.
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone as string | undefined
  if (said !== undefined && canonical(said) === undefined && (zone === undefined || zone === "UTC")) return said
  const name = said ?? localtime?.replace(zoneFiles, "$1") ?? zone ?? "UTC"
  return zone === undefined || sameZone(name, zone) && canonical(name) !== undefined ? name : zone
}

function linkOf(file: string): string | undefined {
  try {
    return fs.readlinkSync(file)
  } catch {
    return undefined
  }
}

/** The stored form with its zone: `cron(0 9 ? * MON *) Europe/Berlin`. */
export const timingText = ({ when, zone }: Timing): string => `${whenText(when)} ${zone}`
