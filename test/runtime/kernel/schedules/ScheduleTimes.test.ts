/** Instants against an oracle that knows no calendar: it steps through every minute and asks Intl what clocks show. */
import { assert, describe, it } from "@effect/vitest"
import { Cron as EffectCron, Result } from "effect"
import { Schema } from "effect"
import { type Schedule, When } from "../../../../runtime/domain/schedule/Schedule.ts"
import { parseCron } from "../../../../runtime/kernel/schedules/ScheduleCron.ts"
import {
  dueAt,
  instantText,
  maxCounted,
  nextAfter,
  nextInstants,
  zoneOf
} from "../../../../runtime/kernel/schedules/ScheduleTimes.ts"
import { scheduleOf } from "../../ports/schedulerContract.ts"

const minute = 60_000
const cron = (fields: string) => When.cases.Cron.make({ fields })
const at = (iso: string) => Date.parse(iso)

const formatters = new Map<string, Intl.DateTimeFormat>()
const wall = (zone: string, instant: number) => {
  const formatter = formatters.get(zone) ?? new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    weekday: "short"
  })
  formatters.set(zone, formatter)
  const parts = Object.fromEntries(formatter.formatToParts(instant).map(({ type, value }) => [type, value]))
  return {
    year: Number(parts["year"]),
    month: Number(parts["month"]),
    day: Number(parts["day"]),
    hour: Number(parts["hour"]),
    minute: Number(parts["minute"]),
    weekday: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].indexOf(parts["weekday"] ?? "") + 1
  }
}
type Wall = ReturnType<typeof wall>

/** The first minute after `after` that fits and whose wall time was not shown before (clocks put back). */
const oracle = (zone: string, fits: (wall: Wall) => boolean, after: number, limit: number): number | undefined => {
  for (let t = Math.floor(after / minute) * minute + minute; t <= after + limit; t += minute) {
    const here = wall(zone, t)
    if (!fits(here)) continue
    const text = JSON.stringify(here)
    // Clocks are put back by at most 3 hours anywhere.
    let again = false
    for (let before = t - 15 * minute; before >= t - 180 * minute; before -= 15 * minute) {
      if (JSON.stringify(wall(zone, before)) === text) again = true
    }
    if (!again) return t
  }
  return undefined
}

const zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"]
/** Around changes of clocks in those zones, and an ordinary day. */
const starts = [
  "2026-03-29T00:00:00Z",
  "2026-10-24T23:30:00Z",
  "2026-03-08T05:00:00Z",
  "2026-11-01T04:30:00Z",
  "2026-04-04T13:00:00Z",
  "2026-10-03T14:00:00Z",
  "2026-12-31T22:10:00Z",
  "2028-02-28T12:00:00Z"
].map(at)

const CronCase = Schema.Struct({
  minute: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 59 })),
  step: Schema.Literals([0, 5, 15, 30]),
  hour: Schema.Literals([-1, 0, 1, 2, 3, 9, 23]),
  weekday: Schema.Literals([0, 1, 2, 7]),
  zone: Schema.Literals([0, 1, 2, 3, 4, 5]),
  start: Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7]),
  offset: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 }))
})

const iso = (instants: ReadonlyArray<number>) => instants.map((instant) => new Date(instant).toISOString())

const days = (fields: string, after: string, count: number) =>
  nextInstants({ when: cron(fields), zone: "UTC" }, 0, at(after), count)
    .map((instant) => new Date(instant).toISOString().slice(0, 10))

const active = (changes: Partial<Schedule>) => scheduleOf({ createdAt: 0, ...changes })

describe("ScheduleTimes", () => {
  it.prop("finds what stepping through every minute finds, in zones and at changes of clocks", [CronCase], ([c]) => {
    const zone = zones[c.zone] ?? "UTC"
    const after = (starts[c.start] ?? 0) + c.offset * minute
    const minutes = c.step === 0 ? [c.minute] : Array.from({ length: 60 / c.step }, (_, n) => n * c.step)
    const fields = `${c.step === 0 ? c.minute : `*/${c.step}`} ${c.hour === -1 ? "*" : c.hour} ${
      c.weekday === 0 ? "* * ?" : `? * ${c.weekday}`
    } *`
    const expected = oracle(
      zone,
      (w) =>
        minutes.includes(w.minute) && (c.hour === -1 || c.hour === w.hour) &&
        (c.weekday === 0 || c.weekday === w.weekday),
      after,
      8 * 1_440 * minute
    )
    assert.isDefined(expected)
    assert.strictEqual(
      nextAfter(cron(fields), zone, 0, after),
      expected,
      `${fields} ${zone} ${new Date(after).toISOString()}`
    )
  })

  it("agrees with effect's own cron where both say the same", () => {
    const berlin = Result.getOrThrow(zoneOf("Europe/Berlin"))
    const theirs = Result.getOrThrow(EffectCron.parse("5,35 4-6 1,15 */2 *", berlin))
    let after = at("2026-01-01T00:00:00Z")
    for (let n = 0; n < 60; n++) {
      const ours = nextAfter(cron("5,35 4-6 1,15 1/2 ? *"), "Europe/Berlin", 0, after)
      assert.strictEqual(ours, EffectCron.next(theirs, after).getTime())
      after = ours ?? Infinity
    }
  })

  it("leaves out a time that clocks jump over and fires once when they are put back", () => {
    const daily = { when: cron("30 2 * * ? *"), zone: "Europe/Berlin" }
    assert.deepStrictEqual(iso(nextInstants(daily, 0, at("2026-03-27T12:00:00Z"), 3)), [
      "2026-03-28T01:30:00.000Z",
      "2026-03-30T00:30:00.000Z",
      "2026-03-31T00:30:00.000Z"
    ])
    assert.deepStrictEqual(iso(nextInstants(daily, 0, at("2026-10-24T12:00:00Z"), 2)), [
      "2026-10-25T00:30:00.000Z",
      "2026-10-26T01:30:00.000Z"
    ])
  })

  it("knows L, W, # and years", () => {
    assert.deepStrictEqual(days("0 9 L * ? *", "2028-01-31T10:00Z", 2), ["2028-02-29", "2028-03-31"])
    assert.deepStrictEqual(days("0 9 ? * 6L *", "2026-04-01T00:00Z", 2), ["2026-04-24", "2026-05-29"])
    assert.deepStrictEqual(days("0 9 ? * MON#5 *", "2026-04-01T00:00Z", 2), ["2026-06-29", "2026-08-31"])
    // 1 August 2026 is a Saturday and 31 May 2026 a Sunday: both stay within their month.
    assert.deepStrictEqual(days("0 9 1W 8 ? *", "2026-04-01T00:00Z", 1), ["2026-08-03"])
    assert.deepStrictEqual(days("0 9 31W 5 ? *", "2026-04-01T00:00Z", 1), ["2026-05-29"])
    assert.deepStrictEqual(days("0 9 15W 8 ? *", "2026-04-01T00:00Z", 1), ["2026-08-14"])
    assert.deepStrictEqual(days("0 9 1 1 ? 2030,2032", "2026-04-01T00:00Z", 3), ["2030-01-01", "2032-01-01"])
    assert.deepStrictEqual(days("0 9 ? * L *", "2026-04-01T00:00Z", 1), ["2026-04-04"])
    assert.deepStrictEqual(days("0 10 31 2 ? *", "2026-04-01T00:00Z", 1), [])
  })

  it("refuses what EventBridge would refuse", () => {
    const wrong = [
      "0 9 * * * *",
      "0 9 ? * ? *",
      "0 9 * * ?",
      "0 9 * * ? * *",
      "60 9 * * ? *",
      "0 24 * * ? *",
      "0 9 0 * ? *",
      "0 9 32 * ? *",
      "0 9 ? * 8 *",
      "0 9 ? * 0 *",
      "0 9 ? * MON#6 *",
      "0 9 * 13 ? *",
      "0 9 * * ? 1969",
      "*/0 9 * * ? *",
      "5-1 9 * * ? *",
      "1,,2 9 * * ? *",
      "1-2-3 9 * * ? *",
      "*-5 9 * * ? *",
      "1e1 9 * * ? *",
      "0x5 9 * * ? *",
      "-5 9 * * ? *",
      "0 9 LW,3 * ? *"
    ]
    for (const fields of wrong) assert.isTrue(Result.isFailure(parseCron(fields)), fields)
  })

  it("a rate counts from its beginning and never drifts", () => {
    const rate = When.cases.Rate.make({ every: 7, unit: "minute" })
    assert.strictEqual(nextAfter(rate, "UTC", 1_000, 1_000), 421_000)
    assert.strictEqual(nextAfter(rate, "UTC", 1_000, 420_999), 421_000)
    assert.strictEqual(nextAfter(rate, "UTC", 1_000, 421_000), 841_000)
  })

  it("makes up for missed instants once, by the latest", () => {
    const schedule = active({ when: When.cases.Rate.make({ every: 1, unit: "hour" }) })
    const hour = 3_600_000
    assert.deepStrictEqual(dueAt(schedule, hour, hour), { instant: hour, missed: 0, nextAt: 2 * hour })
    assert.deepStrictEqual(dueAt(schedule, hour, 5.5 * hour), { instant: 5 * hour, missed: 4, nextAt: 6 * hour })
    const once = active({ when: When.cases.Once.make({ at: 5 }) })
    assert.deepStrictEqual(dueAt(once, 5, 9 * hour), { instant: 5, missed: 0, nextAt: undefined })
  })

  it("a downtime of years costs little and misses nothing", () => {
    const schedule = active({ when: cron("* * * * ? *"), zone: "UTC" })
    const now = at("2029-05-05T05:05:30Z")
    assert.deepStrictEqual(dueAt(schedule, 60_000, now), {
      instant: at("2029-05-05T05:05:00Z"),
      missed: maxCounted,
      nextAt: at("2029-05-05T05:06:00Z")
    })
  })

  it("says an instant with its zone and offset", () => {
    assert.strictEqual(
      instantText(at("2026-05-04T07:00:00Z"), "Europe/Berlin"),
      "Mon 2026-05-04 09:00 Europe/Berlin (+02:00)"
    )
    assert.strictEqual(instantText(at("2026-05-04T07:00:05Z"), "UTC"), "Mon 2026-05-04 07:00:05 UTC")
    assert.strictEqual(instantText(at("2026-05-04T00:00:00Z"), "UTC"), "Mon 2026-05-04 00:00 UTC")
    const week = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    for (const [n, day] of week.entries()) {
      const date = `2026-05-${String(4 + n).padStart(2, "0")}`
      assert.strictEqual(instantText(at(`${date}T12:00:00Z`), "UTC"), `${day} ${date} 12:00 UTC`)
    }
  })
})
