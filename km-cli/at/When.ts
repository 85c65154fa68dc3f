/**
 * What a person types for a time, read whole or refused. Relative times are ours, repeated ones and ISO 8601 the
 * kernel's, and dates in words chrono's, whose guesses (a default hour, a date in another order) are not taken.
 */
import * as chrono from "chrono-node/en"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import { type When, whenText } from "../../runtime/domain/Schedule.ts"
import { wallOf } from "../../runtime/kernel/ScheduleCron.ts"
import type { ScheduleRefused } from "../../runtime/kernel/ScheduleErrors.ts"
import {
  onceAt,
  parseIso,
  parseRepeated,
  refuse,
  speaksOfRepeating,
  wallInstant
} from "../../runtime/kernel/ScheduleGrammar.ts"
import { zoneOf } from "../../runtime/kernel/ScheduleTimes.ts"

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

/** A date and time of day in words. */
const parseWords = (text: string, zone: DateTime.TimeZone, now: number): Result.Result<When, ScheduleRefused> => {
  if (/\d[/.]\d/.test(text)) {
    return refuse("KM-SCH-003", `${JSON.stringify(text)}: days and months are written in different orders`)
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
    return refuse("KM-SCH-003", `${JSON.stringify(bare[1])} may be morning or evening: say am, pm or 15:00`)
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
    return refuse("KM-SCH-003", `${JSON.stringify(text)} says no time of day: add "at 9am"`)
  }
  if (start.isCertain("month") && !start.isCertain("day") && !start.isCertain("weekday")) {
    return refuse("KM-SCH-003", `${JSON.stringify(text)} says no day of the month`)
  }
  const wall = {
    year: start.get("year") ?? wallNow.year,
    month: start.get("month") ?? wallNow.month,
    day: start.get("day") ?? wallNow.day,
    hour: start.get("hour") ?? 0,
    minute: start.get("minute") ?? 0,
    second: 0
  }
  const contrary = contradiction(text, wall, start.isCertain("weekday") ? start.get("weekday") : null)
  if (contrary !== undefined) return refuse("KM-SCH-003", `${JSON.stringify(text)}: ${contrary}`)
  return Result.flatMap(wallInstant(zone, wall, text), (at) => onceAt(at, now, text))
}

/** A trailing IANA name, or UTC, is the zone; named twice it must be the same. */
const splitZone = (text: string): readonly [text: string, zone: string | undefined] => {
  const [, rest, zone] = /^(.*\S)\s+(?:in\s+)?([A-Za-z_]+\/[A-Za-z_/+0-9-]+|UTC|GMT)$/.exec(text) ?? []
  return rest === undefined ? [text, undefined] : [rest, zone]
}

/** `zone` is `--zone` if given; `machineZone` what else a wall time is in. Times are Unix milliseconds. */
export const parseWhen = (
  typed: string,
  options: { readonly zone?: string | undefined; readonly machineZone: string; readonly now: number }
): Result.Result<Timing, ScheduleRefused> => {
  const said = typed.trim().replaceAll(/\s+/g, " ")
  if (said === "") return refuse("KM-SCH-001", "no time was given")
  if (said.length > maxCharacters) return refuse("KM-SCH-001", `a time has at most ${maxCharacters} characters`)
  const [body, named] = splitZone(said)
  if (named !== undefined && options.zone !== undefined && named !== options.zone) {
    return refuse("KM-SCH-003", `the zone is ${named} in the time and ${options.zone} beside it`)
  }
  const name = named ?? options.zone ?? options.machineZone
  const text = body.toLowerCase()
  return Result.flatMap(zoneOf(name), (zone) => {
    const id = DateTime.zoneToString(zone)
    const when = speaksOfRepeating(text)
      ? parseRepeated(text, zone, options.now)
      : parseIso(body, zone, options.now) ?? parseRelative(text, zone, options.now) ??
        parseWords(text, zone, options.now)
    return Result.map(when, (parsed) => ({ when: parsed, zone: id, said }))
  })
}

/** The zone of this machine, as Node has it from `TZ` or `/etc/localtime`. */
export const machineZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone

/** The stored form with its zone: `cron(0 9 ? * MON *) Europe/Berlin`. */
export const timingText = ({ when, zone }: Timing): string => `${whenText(when)} ${zone}`
