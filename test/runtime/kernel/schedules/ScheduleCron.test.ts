/** The fields of a cron expression: every form, every bound, and what is said of one that is wrong. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import {
  type Cron,
  instantOf,
  nextOfCron,
  parseCron,
  wallOf,
  weekdayNames
} from "../../../../runtime/kernel/schedules/ScheduleCron.ts"
import { zoneOf } from "../../../../runtime/kernel/schedules/ScheduleTimes.ts"

const read = (fields: string): Cron => Result.getOrThrow(parseCron(fields))
const dayRule = (fields: string): Cron["day"] => read(`0 0 ${fields}`).day
const refused = (fields: string): string =>
  Result.match(parseCron(fields), { onSuccess: () => "accepted", onFailure: ({ code, reason }) => `${code} ${reason}` })

const zone = (name: string) => Result.getOrThrow(zoneOf(name))
const utc = zone("UTC")
const days = (fields: string, after: string, count: number): ReadonlyArray<string> => {
  const cron = read(fields)
  const found: Array<string> = []
  for (let at: number | undefined = Date.parse(after); found.length < count;) {
    at = nextOfCron(cron, utc, at)
    if (at === undefined) break
    found.push(new Date(at).toISOString().replace(/:00\.000Z$/, ""))
  }
  return found
}

const range = (from: number, to: number, step = 1): ReadonlyArray<number> =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, n) => from + n * step)

describe("parseCron", () => {
  it("knows each month and each day of the week by name, in any case", () => {
    const months = ["Jan", "feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    months.forEach((name, index) => assert.deepStrictEqual([...read(`0 0 1 ${name} ? *`).months], [index + 1], name))
    assert.deepStrictEqual(weekdayNames, ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])
    weekdayNames.forEach((name, index) =>
      assert.deepStrictEqual(read(`0 0 ? * ${name.toLowerCase()} *`).day, {
        _tag: "WeekDays",
        days: new Set([index + 1])
      })
    )
    assert.deepStrictEqual([...read("0 0 1 JAN-MAR,nov ? *").months], [1, 2, 3, 11])
  })

  it("reads values, ranges, steps and lists, sorted and once each", () => {
    const minutes = (field: string) => read(`${field} 0 * * ? *`).minutes
    assert.deepStrictEqual(minutes("*"), range(0, 59))
    assert.deepStrictEqual(minutes("*/15"), [0, 15, 30, 45])
    assert.deepStrictEqual(minutes("50/5"), [50, 55])
    assert.deepStrictEqual(minutes("10-20/5"), [10, 15, 20])
    assert.deepStrictEqual(minutes("10-19/5"), [10, 15])
    assert.deepStrictEqual(minutes("7"), [7])
    assert.deepStrictEqual(minutes("7-7"), [7])
    assert.deepStrictEqual(minutes("59,0,7-9,8"), [0, 7, 8, 9, 59])
    assert.deepStrictEqual(minutes("0/9999"), [0])
    assert.deepStrictEqual(read("0 9,0 * * ? *").hours, [0, 9])
    assert.deepStrictEqual(read("0 * * * ? *").hours, range(0, 23))
    assert.deepStrictEqual([...read("0 0 * * ? *").months], range(1, 12))
    assert.deepStrictEqual([...read("0 0 * * ? *").years], range(1970, 2199))
    assert.deepStrictEqual(read("0 0 1,31 * ? *").day, { _tag: "MonthDays", days: new Set([1, 31]) })
    assert.deepStrictEqual(read("0 0 ? * 1-7/3 *").day, { _tag: "WeekDays", days: new Set([1, 4, 7]) })
    assert.deepStrictEqual(read("  0 0\t*  * ? 2026 ").years, new Set([2026]))
  })

  it("reads every form of a day", () => {
    assert.deepStrictEqual(dayRule("* * ? *"), { _tag: "Any" })
    assert.deepStrictEqual(dayRule("? * * *"), { _tag: "Any" })
    assert.deepStrictEqual(dayRule("l * ? *"), { _tag: "LastDay" })
    assert.deepStrictEqual(dayRule("15w * ? *"), { _tag: "NearestWeekday", day: 15 })
    assert.deepStrictEqual(dayRule("? * l *"), { _tag: "WeekDays", days: new Set([7]) })
    assert.deepStrictEqual(dayRule("? * friL *"), { _tag: "LastWeekDay", day: 6 })
    assert.deepStrictEqual(dayRule("? * 6l *"), { _tag: "LastWeekDay", day: 6 })
    assert.deepStrictEqual(dayRule("? * MON#5 *"), { _tag: "NthWeekDay", day: 2, nth: 5 })
    assert.deepStrictEqual(dayRule("? * 2#1 *"), { _tag: "NthWeekDay", day: 2, nth: 1 })
  })

  it("says which field is wrong, and why", () => {
    const cases: Readonly<Record<string, string>> = {
      "60 0 * * ? *": "the minute \"60\" is not 0–59",
      "0 24 * * ? *": "the hour \"24\" is not 0–23",
      "0 0 0 * ? *": "the day of month \"0\" is not 1–31",
      "0 0 32 * ? *": "the day of month \"32\" is not 1–31",
      "0 0 32W * ? *": "the day of month \"32\" is not 1–31",
      "0 0 1 0 ? *": "the month \"0\" is not 1–12 or JAN–DEC",
      "0 0 1 13 ? *": "the month \"13\" is not 1–12 or JAN–DEC",
      "0 0 ? * 0 *": "the day of week \"0\" is not 1–7 or SUN–SAT",
      "0 0 ? * 8#1 *": "the day of week \"8\" is not 1–7 or SUN–SAT",
      "0 0 ? * 8L *": "the day of week \"8\" is not 1–7 or SUN–SAT",
      "0 0 ? * MON#6 *": "the day of week \"MON#6\" is not 1–7 or SUN–SAT",
      "0 0 ? * MON#0 *": "the day of week \"MON#0\" is not 1–7 or SUN–SAT",
      "0 0 * * ? 1969": "the year \"1969\" is not 1970–2199",
      "0 0 * * ? 2200": "the year \"2200\" is not 1970–2199",
      "00001 0 * * ? *": "the minute \"00001\" is not 0–59",
      "x 0 * * ? *": "the minute \"x\" is not 0–59",
      "1e1 0 * * ? *": "the minute \"1e1\" is not 0–59",
      "JAN 0 * * ? *": "the minute \"JAN\" is not 0–59",
      "1x 0 * * ? *": "the minute \"1x\" is not 0–59",
      "0 0 100W * ? *": "the day of month \"100W\" is not 1–31",
      ", 0 * * ? *": "the minute \",\" is not a list of values, ranges and steps",
      "1,,2 0 * * ? *": "the minute \"1,,2\" is not a list of values, ranges and steps",
      "/5 0 * * ? *": "the minute \"/5\" is not a list of values, ranges and steps",
      "1/2/3 0 * * ? *": "the minute \"1/2/3\" is not a list of values, ranges and steps",
      "*/0 0 * * ? *": "the minute \"*/0\" has a step that is not 1 or more",
      "*/x 0 * * ? *": "the minute \"*/x\" has a step that is not 1 or more",
      "*/10000 0 * * ? *": "the minute \"*/10000\" has a step that is not 1 or more",
      "*/x5 0 * * ? *": "the minute \"*/x5\" has a step that is not 1 or more",
      "*/5x 0 * * ? *": "the minute \"*/5x\" has a step that is not 1 or more",
      "1-2-3 0 * * ? *": "the minute \"1-2-3\" is not a range",
      "*-5 0 * * ? *": "the minute \"*\" is not 0–59",
      "9-5 0 * * ? *": "the minute \"9-5\" is a range that ends before it begins",
      "0 0 * * * *": "exactly one of day of month and day of week is ?, the other says which days",
      "0 0 ? * ? *": "exactly one of day of month and day of week is ?, the other says which days",
      "0 0 * * ?": "cron has six fields (minute hour day-of-month month day-of-week year), not 5",
      "0 0 * * ? * *": "cron has six fields (minute hour day-of-month month day-of-week year), not 7"
    }
    for (const [fields, reason] of Object.entries(cases)) {
      assert.strictEqual(refused(fields), `KM-SCH-006 ${reason}`, fields)
    }
  })
})

describe("nextOfCron", () => {
  it("goes from minute to minute, over the ends of hours, days, months and years", () => {
    assert.deepStrictEqual(days("0,30 0,23 * * ? *", "2026-12-31T23:00:00Z", 4), [
      "2026-12-31T23:30",
      "2027-01-01T00:00",
      "2027-01-01T00:30",
      "2027-01-01T23:00"
    ])
    assert.deepStrictEqual(days("0 0 1 1,12 ? *", "2026-12-01T00:00:00Z", 2), ["2027-01-01T00:00", "2027-12-01T00:00"])
    assert.deepStrictEqual(days("0 0 29 2 ? *", "2026-01-01T00:00:00Z", 2), ["2028-02-29T00:00", "2032-02-29T00:00"])
    // The very instant is not after itself.
    assert.deepStrictEqual(days("0 12 * * ? *", "2026-04-10T12:00:00Z", 1), ["2026-04-11T12:00"])
    assert.deepStrictEqual(days("0 12 * * ? *", "2026-04-10T11:59:59.999Z", 1), ["2026-04-10T12:00"])
    // An hour before the present one on the same day of another month is not over.
    assert.deepStrictEqual(days("0 3 10 * ? *", "2026-04-10T12:00:00Z", 2), ["2026-05-10T03:00", "2026-06-10T03:00"])
    assert.deepStrictEqual(days("0 3 10 4 ? *", "2026-04-10T12:00:00Z", 1), ["2027-04-10T03:00"])
  })

  it("ends with the last year", () => {
    assert.deepStrictEqual(days("0 0 31 12 ? 2026", "2026-01-01T00:00:00Z", 2), ["2026-12-31T00:00"])
    assert.deepStrictEqual(days("0 0 1 1 ? 2026-2028/2", "2026-01-01T00:00:00Z", 5), ["2028-01-01T00:00"])
    assert.deepStrictEqual(days("0 0 31 2 ? 2027", "2026-01-01T00:00:00Z", 1), [])
  })

  it("moves to the nearest weekday within the month, and leaves out months without the day", () => {
    // 2026: 1 February is a Sunday, 28 February a Saturday, 1 August a Saturday, 31 May a Sunday.
    assert.deepStrictEqual(days("0 0 1W 2 ? 2026", "2026-01-01T00:00:00Z", 1), ["2026-02-02T00:00"])
    assert.deepStrictEqual(days("0 0 28W 2 ? 2026", "2026-01-01T00:00:00Z", 1), ["2026-02-27T00:00"])
    assert.deepStrictEqual(days("0 0 1W 8 ? 2026", "2026-01-01T00:00:00Z", 1), ["2026-08-03T00:00"])
    assert.deepStrictEqual(days("0 0 31W 5 ? 2026", "2026-01-01T00:00:00Z", 1), ["2026-05-29T00:00"])
    assert.deepStrictEqual(days("0 0 7W 6 ? 2026", "2026-01-01T00:00:00Z", 1), ["2026-06-08T00:00"])
    assert.deepStrictEqual(days("0 0 10W 4 ? 2026", "2026-01-01T00:00:00Z", 1), ["2026-04-10T00:00"])
    assert.deepStrictEqual(days("0 0 31W * ? 2026", "2026-02-01T00:00:00Z", 2), [
      "2026-03-31T00:00",
      "2026-05-29T00:00"
    ])
    assert.deepStrictEqual(days("0 0 30W 2 ? 2026", "2026-01-01T00:00:00Z", 1), [])
  })

  it("counts days of the week from the month's beginning and end", () => {
    assert.deepStrictEqual(days("0 0 ? * WED#1 2026", "2026-04-01T00:00:00Z", 2), [
      "2026-05-06T00:00",
      "2026-06-03T00:00"
    ])
    assert.deepStrictEqual(days("0 0 ? * TUE#1 2026", "2026-04-01T00:00:00Z", 1), ["2026-04-07T00:00"])
    assert.deepStrictEqual(days("0 0 ? * TUE#2 2026", "2026-04-01T00:00:00Z", 1), ["2026-04-14T00:00"])
    assert.deepStrictEqual(days("0 0 ? 4 5L 2026", "2026-04-01T00:00:00Z", 2), ["2026-04-30T00:00"])
    assert.deepStrictEqual(days("0 0 ? 4 6L 2026", "2026-04-01T00:00:00Z", 2), ["2026-04-24T00:00"])
    assert.deepStrictEqual(days("0 0 L 2,4 ? 2026-2028", "2026-03-01T00:00:00Z", 3), [
      "2026-04-30T00:00",
      "2027-02-28T00:00",
      "2027-04-30T00:00"
    ])
  })
})

describe("wall times", () => {
  const berlin = zone("Europe/Berlin")
  const day = { year: 2026, month: 3, day: 29 }

  it("are instants, none in a gap, the first of two", () => {
    assert.strictEqual(
      instantOf(berlin, { ...day, hour: 1, minute: 59, second: 59 }),
      Date.parse("2026-03-29T00:59:59Z")
    )
    assert.isUndefined(instantOf(berlin, { ...day, hour: 2, minute: 0 }))
    assert.isUndefined(instantOf(berlin, { ...day, hour: 2, minute: 59, second: 59 }))
    assert.strictEqual(instantOf(berlin, { ...day, hour: 3, minute: 0 }), Date.parse("2026-03-29T01:00:00Z"))
    assert.strictEqual(
      instantOf(berlin, { year: 2026, month: 10, day: 25, hour: 2, minute: 30 }),
      Date.parse("2026-10-25T00:30:00Z")
    )
  })

  it("are none where the calendar has no such day or hour", () => {
    for (const odd of [{ month: 2, day: 30 }, { month: 13, day: 1 }, { month: 0, day: 1 }, { month: 4, day: 31 }]) {
      assert.isUndefined(instantOf(utc, { year: 2026, ...odd, hour: 0, minute: 0 }), JSON.stringify(odd))
    }
    for (const odd of [{ hour: 24, minute: 0 }, { hour: 0, minute: 60 }, { hour: 0, minute: 0, second: 60 }]) {
      assert.isUndefined(instantOf(utc, { ...day, ...odd }), JSON.stringify(odd))
    }
  })

  it("are what clocks show", () => {
    assert.deepStrictEqual(wallOf(berlin, Date.parse("2026-03-29T01:02:03Z")), {
      ...day,
      hour: 3,
      minute: 2,
      second: 3
    })
  })
})
