/** Repeated times, clocks and ISO 8601 in the grammar's own words, each bound from both sides. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { When, whenText } from "../../../../runtime/domain/schedule/Schedule.ts"
import {
  onceAt,
  parseClock,
  parseIso,
  parseRepeated,
  speaksOfRepeating,
  wallInstant
} from "../../../../runtime/kernel/schedules/ScheduleGrammar.ts"
import { zoneOf } from "../../../../runtime/kernel/schedules/ScheduleTimes.ts"

const now = Date.parse("2026-04-10T12:00:00Z")
const utc = Result.getOrThrow(zoneOf("UTC"))
const berlin = Result.getOrThrow(zoneOf("Europe/Berlin"))

const said = <A>(
  result: Result.Result<A, { readonly code: string; readonly reason: string }>,
  of: (value: A) => string
) => Result.match(result, { onSuccess: of, onFailure: ({ code, reason }) => `${code} ${reason}` })

const each = (cases: Readonly<Record<string, string>>, of: (text: string) => string) => {
  for (const [text, expected] of Object.entries(cases)) assert.strictEqual(of(text), expected, text)
}

const instant = (when: When): string => when._tag === "Once" ? new Date(when.at).toISOString() : when._tag

const repeated = (text: string) => said(parseRepeated(text, utc, now), whenText)
const codes = (text: string) => repeated(text).replace(/^(KM-SCH-\d+) .*$/, "$1")
const clock = (text: string) => said(parseClock(text), ({ hour, minute }) => `${hour}:${minute}`)
const iso = (text: string, zone = utc) => {
  const parsed = parseIso(text, zone, now)
  return parsed === undefined ? "none" : said(parsed, instant)
}

describe("parseRepeated", () => {
  it("reads rates up to a year of minutes", () => {
    each({
      hourly: "rate(1 hour)",
      "every minute": "rate(1 minute)",
      "every min": "rate(1 minute)",
      "every 5 mins": "rate(5 minutes)",
      "every 1 minutes": "rate(1 minute)",
      "every hour": "rate(1 hour)",
      "every day": "rate(1 day)",
      "every 2 days": "rate(2 days)",
      "every 527040 minutes": "rate(527040 minutes)",
      "rate(1 minute)": "rate(1 minute)",
      "rate( 5  minutes )": "rate(5 minutes)",
      "rate(2 hours)": "rate(2 hours)",
      "rate(3 days)": "rate(3 days)"
    }, repeated)
    each({
      "every 527041 minutes": "KM-SCH-006 \"every 527041 minutes\" is longer than a year of minutes",
      "every 0 days": "KM-SCH-006 \"every 0 days\" repeats without end at once; the least is 1 minute",
      "every minutes": "KM-SCH-001 \"every minutes\" says not how many",
      "every 1000000 minutes": "KM-SCH-001 \"every 1000000 minutes\" is no repeated time that km knows",
      "rate(1 minutes)": "KM-SCH-006 \"rate(1 minutes)\": one is minute, more or none are minutes",
      "rate(2 minute)": "KM-SCH-006 \"rate(2 minute)\": one is minute, more or none are minutes",
      "rate(0 days)": "KM-SCH-006 \"rate(0 days)\" repeats without end at once; the least is 1 minute",
      "rate(5 weeks)": "KM-SCH-006 \"rate(5 weeks)\" is not rate(N minutes), rate(N hours) or rate(N days)",
      "rate(5 minutes) x": "KM-SCH-006 \"rate(5 minutes) x\" is not rate(N minutes), rate(N hours) or rate(N days)",
      "rate(1000000 minutes)":
        "KM-SCH-006 \"rate(1000000 minutes)\" is not rate(N minutes), rate(N hours) or rate(N days)",
      "rate (5 minutes)": "KM-SCH-006 \"rate (5 minutes)\" is not whole: cron(…) or rate(…), nothing more"
    }, repeated)
  })

  it("reads days of the week, by any beginning of three letters or more", () => {
    const dow = (days: string) =>
      /cron\(0 9 \? \* (\S+) \*\)/.exec(repeated(`${days} at 9am`))?.[1] ?? repeated(`${days} at 9am`)
    each({
      "every sunday": "SUN",
      "every mon": "MON",
      "each tues": "TUE",
      "weekly on wed": "WED",
      "every week on thursdays": "THU",
      "every frida": "FRI",
      "every sat": "SAT",
      "every weekday": "MON-FRI",
      "every weekday and sat": "MON-FRI,SAT",
      "every mon, wed and fri": "MON,WED,FRI",
      "every mon,wed , and fri": "MON,WED,FRI",
      "every mon and mon": "MON"
    }, dow)
    each({
      "every mo at 9am": "KM-SCH-001 \"mo\" is no day of the week",
      "every mon, x and fri at 9am": "KM-SCH-001 \"x\" is no day of the week",
      "every mon, at 9am": "KM-SCH-001 \"\" is no day of the week",
      "fortnightly at 9am": "KM-SCH-001 \"fortnightly\" is no repetition that km knows"
    }, repeated)
  })

  it("reads days of the month", () => {
    const day = (which: string) =>
      /cron\(0 9 (.*) \*\)/.exec(repeated(`monthly on the ${which} at 9am`))?.[1] ??
        repeated(`monthly on the ${which} at 9am`)
    each({
      "1st": "1 * ?",
      "2nd": "2 * ?",
      "3rd": "3 * ?",
      "31st": "31 * ?",
      first: "1 * ?",
      fifth: "5 * ?",
      "first day": "1 * ?",
      "3rd day": "3 * ?",
      "last day": "L * ?",
      "first monday": "? * MON#1",
      "second tue": "? * TUE#2",
      "third wed": "? * WED#3",
      "fourth thu": "? * THU#4",
      "fifth fri": "? * FRI#5",
      "1st sat": "? * SAT#1",
      "5th sun": "? * SUN#5",
      "last friday": "? * FRIL"
    }, day)
    for (
      const odd of [
        "0th",
        "32nd",
        "6th monday",
        "last",
        "sixth",
        "15",
        "100th",
        "first blursday",
        "x15th",
        "15th x",
        "21st monday",
        "1stx monday"
      ]
    ) {
      assert.strictEqual(
        day(odd),
        `KM-SCH-001 ${JSON.stringify(odd)} is no day of a month (say 15th, last day, first monday)`
      )
    }
    assert.strictEqual(repeated("every month on the 15th at 9am"), "cron(0 9 15 * ? *)")
  })

  it("reads every day, and asks for a time of day where none is said", () => {
    for (const days of ["daily", "everyday", "every day", "each day"]) {
      assert.strictEqual(repeated(`${days} at 8:30pm`), "cron(30 20 * * ? *)", days)
    }
    for (
      const text of [
        "daily",
        "everyday",
        "weekly",
        "monthly",
        "every weekday",
        "every mon, tue",
        "each friday",
        "weekly on mon",
        "monthly on the 15th"
      ]
    ) {
      assert.strictEqual(repeated(text), `KM-SCH-003 ${JSON.stringify(text)} says no time of day`)
    }
    each({
      "daily at 9": "KM-SCH-003",
      "daily at 25:00": "KM-SCH-001",
      yearly: "KM-SCH-001",
      "x daily": "KM-SCH-001",
      "weekly at 9am": "KM-SCH-001"
    }, codes)
  })

  it("reads cron, in capitals and single spaces, if it will ever fire", () => {
    each({
      "cron(0 9 ? * mon-fri *)": "cron(0 9 ? * MON-FRI *)",
      "cron( 0  9 l * ? * )": "cron(0 9 L * ? *)",
      "cron(0 12 10 4 ? 2026)": "KM-SCH-002 cron(0 12 10 4 ? 2026) never fires after now",
      "cron(1 12 10 4 ? 2026)": "cron(1 12 10 4 ? 2026)",
      "cron(0 9 ? * mon *": "KM-SCH-006 \"cron(0 9 ? * mon *\" is not whole: cron(…) or rate(…), nothing more",
      "cron(0 9 ? * mon *) x": "KM-SCH-006 \"cron(0 9 ? * mon *) x\" is not whole: cron(…) or rate(…), nothing more",
      "cron()": "KM-SCH-006 cron has six fields (minute hour day-of-month month day-of-week year), not 1"
    }, repeated)
  })
})

describe("speaksOfRepeating", () => {
  it("hears what repeats, and only that", () => {
    for (
      const text of [
        ..."every day;everyday;each monday;weekly;daily at 9;monthly;yearly;annually;hourly;fortnightly;nightly".split(
          ";"
        ),
        ..."cron(x;rate (5;5 days at 9 at 3;mondays;tuesdays;wednesdays;thursdays;fridays;saturdays;sundays".split(";")
      ]
    ) assert.isTrue(speaksOfRepeating(text), text)
    for (
      const text of [
        "tomorrow at 9am",
        "in 5 days",
        "monday",
        "mayevery",
        "beach",
        "cron",
        "rate",
        "mysundays",
        "3 days from now"
      ]
    ) assert.isFalse(speaksOfRepeating(text), text)
  })
})

describe("parseClock", () => {
  it("reads twelve and twenty-four hours", () => {
    each({
      noon: "12:0",
      midnight: "0:0",
      "9am": "9:0",
      "12am": "0:0",
      "12pm": "12:0",
      "1pm": "13:0",
      "11:59pm": "23:59",
      "8:30 am": "8:30",
      "845am": "8:45",
      "1245pm": "12:45",
      "0:00": "0:0",
      "23:59": "23:59",
      "9:05": "9:5",
      "9": "KM-SCH-003 \"9\" is no clear time of day",
      "23": "KM-SCH-003 \"23\" is no clear time of day",
      "24:00": "KM-SCH-001 \"24:00\" is no time of day",
      "9:60": "KM-SCH-001 \"9:60\" is no time of day",
      "0am": "KM-SCH-001 \"0am\" is no time of day",
      "13pm": "KM-SCH-001 \"13pm\" is no time of day",
      "930": "KM-SCH-001 \"930\" is no time of day",
      "9:5am": "KM-SCH-001 \"9:5am\" is no time of day",
      "x9am": "KM-SCH-001 \"x9am\" is no time of day",
      "9am x": "KM-SCH-001 \"9am x\" is no time of day",
      "": "KM-SCH-001 \"\" is no time of day"
    }, clock)
  })
})

describe("parseIso", () => {
  it("takes an offset as it is, and the zone where there is none", () => {
    each({
      "2026-05-01T10:00Z": "2026-05-01T10:00:00.000Z",
      "2026-05-01t10:00z": "2026-05-01T10:00:00.000Z",
      "2026-05-01 10:00": "2026-05-01T10:00:00.000Z",
      "2026-05-01T10:00:30 Z": "2026-05-01T10:00:30.000Z",
      "2026-05-01T10:00:30.000000000Z": "2026-05-01T10:00:30.000Z",
      "2026-05-01T10:00+02:30": "2026-05-01T07:30:00.000Z",
      "2026-05-01T10:00-0230": "2026-05-01T12:30:00.000Z",
      "2026-05-01T10:00+14:59": "2026-04-30T19:01:00.000Z",
      "2026-05-01T23:59:59Z": "2026-05-01T23:59:59.000Z",
      "2026-04-10T12:00:01Z": "2026-04-10T12:00:01.000Z",
      "2199-12-31T23:59:59Z": "2199-12-31T23:59:59.000Z"
    }, iso)
    assert.strictEqual(iso("2026-05-01T10:00", berlin), "2026-05-01T08:00:00.000Z")
    assert.strictEqual(iso("2026-05-01T10:00Z", berlin), "2026-05-01T10:00:00.000Z")
  })

  it("says what is wrong, and leaves what is nothing of the kind", () => {
    each({
      "2026-05-01": "KM-SCH-003 \"2026-05-01\" says no time of day",
      "2026-05-01T24:00": "KM-SCH-001 \"2026-05-01T24:00\" has no such time of day",
      "2026-05-01T10:60": "KM-SCH-001 \"2026-05-01T10:60\" has no such time of day",
      "2026-05-01T10:00:60": "KM-SCH-001 \"2026-05-01T10:00:60\" has no such time of day",
      "2026-05-01T10:00+15:00": "KM-SCH-001 \"+15:00\" is no offset",
      "2026-05-01T10:00+10:60": "KM-SCH-001 \"+10:60\" is no offset",
      "2026-02-30T10:00": "KM-SCH-001 \"2026-02-30T10:00\" is no day of the calendar",
      "2026-13-01T10:00": "KM-SCH-001 \"2026-13-01T10:00\" is no day of the calendar",
      "2026-04-10T12:00:00Z": "KM-SCH-002 \"2026-04-10T12:00:00Z\" is in the past (2026-04-10T12:00:00.000Z)",
      "2200-01-01T00:00Z": "KM-SCH-002 \"2200-01-01T00:00Z\" lies after the year 2199",
      "x2026-05-01T10:00Z": "none",
      "2026-05-01T10:00Zx": "none",
      "2026-05-01T10:00:30.5Z": "none",
      "26-05-01T10:00Z": "none",
      "2026-5-1T10:00Z": "none"
    }, iso)
  })

  it("tells a gap of the clocks from a day that never was", () => {
    const gap = { year: 2026, month: 3, day: 29, hour: 2, minute: 30 }
    assert.strictEqual(
      said(wallInstant(berlin, gap, "x"), String),
      "KM-SCH-005 \"x\" does not exist in Europe/Berlin: clocks jump over it"
    )
    for (const odd of [{ month: 2, day: 31 }, { month: 4, day: 31 }, { month: 13, day: 29 }]) {
      assert.strictEqual(
        said(wallInstant(berlin, { ...gap, ...odd }, "x"), String),
        "KM-SCH-001 \"x\" is no day of the calendar"
      )
    }
  })

  it("takes an instant after now and before the calendar's end", () => {
    const last = Date.UTC(2199, 11, 31, 23, 59, 59)
    assert.strictEqual(said(onceAt(now, now, "x"), instant).slice(0, 10), "KM-SCH-002")
    assert.deepStrictEqual(Result.getOrThrow(onceAt(now + 1, now, "x")), When.cases.Once.make({ at: now + 1 }))
    assert.deepStrictEqual(Result.getOrThrow(onceAt(last, now, "x")), When.cases.Once.make({ at: last }))
    assert.strictEqual(said(onceAt(last + 1, now, "x"), instant).slice(0, 10), "KM-SCH-002")
  })
})
