/** Every form of a time, every wrong reading that the reference made, and the refusals with their codes. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { machineZone, parseWhen, timingText } from "../../../km-cli/at/When.ts"
import { whenText } from "../../../runtime/domain/schedule/Schedule.ts"
import { instantText, nextInstants } from "../../../runtime/kernel/schedules/ScheduleTimes.ts"

/** Friday; the instant at which the reference's parser was measured. */
const now = Date.parse("2026-04-10T12:00:00Z")
const read = (
  text: string,
  options: { readonly zone?: string; readonly machineZone?: string; readonly now?: number } = {}
) => parseWhen(text, { machineZone: "UTC", now, ...options })

const utc = (text: string, options: Parameters<typeof read>[1] = {}): string =>
  Result.match(read(text, options), {
    onSuccess: (timing) => {
      const [first] = nextInstants(timing, options.now ?? now, options.now ?? now, 1)
      return first === undefined ? "never" : new Date(first).toISOString().replace(":00.000Z", "Z")
    },
    onFailure: ({ code }) => code
  })

const stored = (text: string, zone?: string): string =>
  Result.match(read(text, zone === undefined ? {} : { zone }), { onSuccess: timingText, onFailure: ({ code }) => code })

const each = (cases: Readonly<Record<string, string>>, of: (text: string) => string) => {
  for (const [text, expected] of Object.entries(cases)) assert.strictEqual(of(text), expected, text)
}

const pieces = [
  ..."in at on every each the next this last first weekly monthly daily hourly today tomorrow tonight noon midnight"
    .split(" "),
  ..."monday tue weekday friday day days week month 15th 31st may 3 feb 30 2026 2027 9am 9pm 12am 13pm 8:30 845am 24:00"
    .split(" "),
  ..."an 1 5 99999 minutes hours years seconds from now and , rate( cron( ) * ? L 0 9 MON#2 rate(5 minutes) 2026-05-01"
    .split(" "),
  ..."2026-05-01T10:00Z 2026-03-29T02:30 +02:00 EST UTC Europe/Berlin - 1/2 é \u{1f98a} ' \" \\ \0".split(" ")
]

describe("When", () => {
  it.prop(
    "whatever is typed: read into the future or refused with a code, and what is stored reads back",
    [
      Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: pieces.length - 1 }))).check(
        Schema.isMaxLength(7)
      )
    ],
    ([chosen]) => {
      const text = chosen.map((n) => pieces[n]).join(" ")
      const result = read(text)
      if (Result.isFailure(result)) return assert.match(result.failure.code, /^KM-SCH-00[1-6]$/)
      const { when, zone } = result.success
      const [next] = nextInstants(result.success, now, now, 1)
      assert.isTrue(next !== undefined && next > now, text)
      if (when._tag === "Once") return
      assert.deepStrictEqual(Result.getOrThrow(read(whenText(when), { zone })).when, when, text)
    }
  )

  it("spans beyond the calendar are refused", () => {
    assert.strictEqual(utc("in 99999 years"), "KM-SCH-002")
    assert.strictEqual(utc("in 99999 years 99999 years 99999 years"), "KM-SCH-002")
  })

  it("reads the reference's good cases right and refuses what it read wrongly", () => {
    each({
      "10pm tomorrow": "2026-04-11T22:00Z",
      "next tuesday at 2pm": "2026-04-14T14:00Z",
      "may 3 at 4pm": "2026-05-03T16:00Z",
      "in 2 weeks": "2026-04-24T12:00Z",
      "in an hour": "2026-04-10T13:00Z",
      "noon tomorrow": "2026-04-11T12:00Z",
      // It is noon at this very moment, so that this one is over.
      noon: "KM-SCH-002",
      midnight: "2026-04-11T00:00Z",
      "5pm": "2026-04-10T17:00Z",
      "5pm friday": "2026-04-10T17:00Z",
      // No time of day is made up.
      tonight: "KM-SCH-003",
      tomorrow: "KM-SCH-003",
      "next month": "KM-SCH-001",
      // Zones are never dropped.
      "tomorrow at 9am EST": "KM-SCH-001",
      "tomorrow at 9am +02:00": "KM-SCH-001",
      "tomorrow at 9am America/New_York": "2026-04-11T13:00Z",
      "2026-05-01 10:00": "2026-05-01T10:00Z",
      // Neither day-first nor month-first is guessed.
      "05/03/2026": "KM-SCH-003",
      "05/03/2026 at 9am": "KM-SCH-003",
      "3.5.2026 at 9am": "KM-SCH-003",
      "3 days from now": "2026-04-13T12:00Z",
      "yesterday at 5pm": "KM-SCH-001",
      "in 5 minutes blah blah": "KM-SCH-001",
      "at 25:00": "KM-SCH-001",
      "845AM": "2026-04-11T08:45Z",
      "every 0 minutes": "KM-SCH-006",
      "rate(0 minutes)": "KM-SCH-006"
    }, utc)
  })

  it("reads the whole of a text or nothing", () => {
    const rest = [
      "please",
      "x",
      "- now",
      "maybe",
      "or so",
      "; rm",
      "9",
      "utc?",
      "2099",
      "and tuesday",
      "tomorrow",
      "\u0000"
    ]
    for (
      const text of ["in 5 minutes", "tomorrow at 9am", "every monday at 9am", "rate(5 minutes)", "2026-05-01T10:00Z"]
    ) {
      for (const more of rest) {
        assert.isTrue(Result.isFailure(read(`${text} ${more}`)), `${text} ${more}`)
        assert.isTrue(Result.isFailure(read(`${more} ${text}`)) || more === "tomorrow", `${more} ${text}`)
      }
    }
    assert.isTrue(Result.isFailure(read("in 5 minutes".padEnd(500, " x"))))
    const unread = read("tomorrow at 9am blah")
    const zoned = read("tomorrow at 9am PST")
    assert.isTrue(Result.isFailure(zoned) && zoned.failure.remedy.includes("--zone"))
    assert.isTrue(Result.isFailure(unread) && unread.failure.reason.includes("\"blah\""))
  })

  it("refuses the past, and what can mean two things", () => {
    each({
      "2026-04-10T12:00:00Z": "KM-SCH-002",
      "2026-04-10T11:59Z": "KM-SCH-002",
      "3 may 2025 at 9am": "KM-SCH-002",
      "last monday at 9am": "KM-SCH-001",
      "2 hours ago": "KM-SCH-001",
      now: "KM-SCH-001",
      "in 0 minutes": "KM-SCH-002",
      "monday at 9": "KM-SCH-003",
      "every monday at 9": "KM-SCH-003",
      friday: "KM-SCH-003",
      "may 2027 at 9am": "KM-SCH-003",
      "monday may 5 2026 at 9am": "KM-SCH-003",
      "tomorrow morning at 9pm": "KM-SCH-003",
      "tomorrow morning": "KM-SCH-003",
      "1 may to 3 may": "KM-SCH-001",
      "2026-05-01": "KM-SCH-003",
      "2026-02-30T10:00Z": "KM-SCH-001",
      "2026-05-01T24:00Z": "KM-SCH-001",
      "feb 31 at 9am": "KM-SCH-001",
      "3 week 9am": "KM-SCH-001",
      "this week at 9am": "KM-SCH-001",
      "next week at 9am": "2026-04-17T09:00Z",
      "cron(0 0 1 1 ? 2020)": "KM-SCH-002",
      "": "KM-SCH-001"
    }, utc)
  })

  it("takes ISO 8601 with an offset as it is, without one in the zone", () => {
    each({
      "2026-05-01T10:00+02:00": "2026-05-01T08:00Z",
      "2026-05-01T10:00:30-0430": "2026-05-01T14:30:30.000Z",
      "2026-05-01T10:00": "2026-05-01T10:00Z"
    }, utc)
    assert.strictEqual(utc("2026-05-01T10:00", { zone: "Asia/Tokyo" }), "2026-05-01T01:00Z")
  })

  it("stores repeated times as EventBridge has them", () => {
    each({
      hourly: "rate(1 hour) UTC",
      "every minute": "rate(1 minute) UTC",
      "every 1 hours": "rate(1 hour) UTC",
      "Every 15 Minutes": "rate(15 minutes) UTC",
      "every 2 days": "rate(2 days) UTC",
      "daily at noon": "cron(0 12 * * ? *) UTC",
      "everyday at 3pm": "cron(0 15 * * ? *) UTC",
      "every day at midnight": "cron(0 0 * * ? *) UTC",
      "every Monday at 9am": "cron(0 9 ? * MON *) UTC",
      "each tues at 15:04": "cron(4 15 ? * TUE *) UTC",
      "every mon, wed and fri at 8:30 am": "cron(30 8 ? * MON,WED,FRI *) UTC",
      "every weekday at 9am Europe/Berlin": "cron(0 9 ? * MON-FRI *) Europe/Berlin",
      "weekly on sunday at 12am": "cron(0 0 ? * SUN *) UTC",
      "monthly on the 15th at 9am": "cron(0 9 15 * ? *) UTC",
      "monthly on the last day at 9am": "cron(0 9 L * ? *) UTC",
      "monthly on the first monday at 9am": "cron(0 9 ? * MON#1 *) UTC",
      "monthly on the last friday at 12pm": "cron(0 12 ? * FRIL *) UTC",
      "rate(1 hour)": "rate(1 hour) UTC",
      "rate(1 hours)": "KM-SCH-006",
      "rate(5 minute)": "KM-SCH-006",
      "rate(5 weeks)": "KM-SCH-006",
      "cron(0  9 ? * mon-fri *)": "cron(0 9 ? * MON-FRI *) UTC",
      "cron(0 9 * * * *)": "KM-SCH-006",
      "cron(0 9 ? * MON *": "KM-SCH-006",
      "every monday": "KM-SCH-003",
      daily: "KM-SCH-003",
      "every other day at 9am": "KM-SCH-001",
      "every 2 weeks": "KM-SCH-001",
      "mondays at 9am": "KM-SCH-001",
      "every monday at 9am until june": "KM-SCH-001",
      "every blursday at 9am": "KM-SCH-001",
      "every monday at 13pm": "KM-SCH-001",
      "monthly on the 32nd at 9am": "KM-SCH-001",
      "yearly at 9am": "KM-SCH-001"
    }, stored)
  })

  it("names the zone, from the text, the flag or the machine, and refuses odd ones", () => {
    assert.strictEqual(stored("every monday at 9am", "Europe/Berlin"), "cron(0 9 ? * MON *) Europe/Berlin")
    assert.strictEqual(stored("every monday at 9am Asia/Tokyo", "Europe/Berlin"), "KM-SCH-003")
    for (const zone of ["EST", "CET", "Berlin", "Europe/Atlantis", "", "+02:00"]) {
      assert.strictEqual(stored("every monday at 9am", zone), "KM-SCH-004", zone)
    }
  })

  it("shows a zone by the name that the person wrote, also where the platform knows another one", () => {
    for (
      const zone of ["Asia/Kolkata", "Asia/Calcutta", "Asia/Kathmandu", "Europe/Kyiv", "Asia/Ho_Chi_Minh", "US/Pacific"]
    ) {
      assert.strictEqual(stored("every monday at 9am", zone), `cron(0 9 ? * MON *) ${zone}`)
      assert.strictEqual(stored(`every monday at 9am ${zone}`), `cron(0 9 ? * MON *) ${zone}`)
      const gone = read("yesterday at 9am", { zone })
      assert.isTrue(Result.isFailure(gone))
    }
    assert.strictEqual(stored("every monday at 9am", "asia/kolkata"), "cron(0 9 ? * MON *) Asia/Kolkata")
    assert.strictEqual(stored("every monday at 9am", "EUROPE/BERLIN"), "cron(0 9 ? * MON *) Europe/Berlin")
    // Two names of one zone are no contradiction.
    assert.strictEqual(stored("every monday at 9am Asia/Kolkata", "Asia/Calcutta"), "cron(0 9 ? * MON *) Asia/Kolkata")
    const gap = read("2026-03-29T02:30", { zone: "Europe/Kyiv", now: Date.parse("2026-03-28T12:00:00Z") })
    const fine = read("2026-03-29T03:30", { zone: "Europe/Kyiv", now: Date.parse("2026-03-28T12:00:00Z") })
    assert.isTrue(Result.isSuccess(gap))
    assert.isTrue(Result.isFailure(fine) && fine.failure.reason.includes("Europe/Kyiv"))
  })

  it("takes the machine's zone by the name that stands there", () => {
    const here = new Intl.DateTimeFormat().resolvedOptions().timeZone
    assert.strictEqual(machineZone(undefined, undefined), here)
    assert.strictEqual(machineZone(`:${here}`, undefined), here)
    assert.strictEqual(machineZone("", `/usr/share/zoneinfo/${here}`), here)
    // What is no zone, or another one than the platform works with, is not shown.
    // (What `TZ` says is refused where it is used, unless the platform made something of it.)
    assert.strictEqual(machineZone("Nowhere/Here", undefined), here === "UTC" ? "Nowhere/Here" : here)
    assert.strictEqual(machineZone("Pacific/Kiritimati", undefined), here)
  })

  it("asks back where next may be this week or the one after, on every day for every day", () => {
    const monday = Date.parse("2026-11-30T12:00:00Z")
    const days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    const clear = days.map((_, n) =>
      days.filter((day) => utc(`next ${day} at 9am`, { now: monday + n * 86_400_000 }) !== "KM-SCH-003")
    )
    // In next week for weeks that begin on Sunday and for weeks that begin on Monday.
    assert.deepStrictEqual(clear, [
      ["monday"],
      ["monday", "tuesday"],
      ["monday", "tuesday", "wednesday"],
      ["monday", "tuesday", "wednesday", "thursday"],
      ["monday", "tuesday", "wednesday", "thursday", "friday"],
      ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
      ["sunday"]
    ])
    clear.forEach((names, n) =>
      names.forEach((day) => {
        const today = monday + n * 86_400_000
        const at = Date.parse(utc(`next ${day} at 9am`, { now: today }))
        assert.isTrue(at > today && at - today <= 7 * 86_400_000, `${n} ${day}`)
        assert.strictEqual(new Date(at).getUTCDay(), (days.indexOf(day) + 1) % 7)
      })
    )
    const asked = read("next fri at 5pm Asia/Kolkata", { now: monday })
    assert.isTrue(Result.isFailure(asked))
    assert.strictEqual(
      Result.isFailure(asked) ? asked.failure.remedy : "",
      "say \"2026-12-04 17:00 Asia/Kolkata\" or \"2026-12-11 17:00 Asia/Kolkata\""
    )
    each({
      "this friday at 9am": "2026-12-04T09:00Z",
      "friday at 9am": "2026-12-04T09:00Z",
      "friday next week at 9am": "2026-12-11T09:00Z",
      "sunday next week at 9am": "KM-SCH-003"
    }, (text) => utc(text, { now: monday }))
  })

  it("gives no hint that is not taken", () => {
    const monday = Date.parse("2026-11-30T12:00:00Z")
    const hinted = {
      "tomorrow at 9.30": ["tomorrow at 9:30"],
      "tomorrow at 9.30pm": ["tomorrow at 9:30pm"],
      "every monday at 9.30 Asia/Kolkata": ["every monday at 9:30 Asia/Kolkata"],
      "tomorrow at 9h30": ["tomorrow at 9:30"],
      "tomorrow at 9": ["tomorrow at 9am", "tomorrow at 9pm"],
      "every monday at 15": ["every monday at 15:00"],
      "tomorrow at 0": ["tomorrow at 0:00"],
      tonight: ["tonight at 9pm"],
      "friday afternoon": ["friday afternoon at 3pm"],
      monthly: ["monthly on the 1st at 9am", "monthly on the 1st at 3pm"],
      "mondays at 9am": ["every monday at 9am"],
      "2026-12-01": ["2026-12-01 at 9am", "2026-12-01 at 3pm"],
      "05/03/2027": ["2027-05-03 at 9am", "2027-03-05 at 9am"],
      "12/24/2026 at 9am": ["2026-12-24 at 9am"],
      "next friday": ["2026-12-04 09:00", "2026-12-11 09:00"],
      now: ["in 1 minute"]
    }
    for (const [text, expected] of Object.entries(hinted)) {
      const result = read(text, { now: monday })
      const remedy = Result.isFailure(result) ? result.failure.remedy : "taken"
      assert.deepStrictEqual([...remedy.matchAll(/"([^"]*)"/g)].map(([, hint = ""]) => hint), expected, text)
      for (const hint of expected) assert.isTrue(Result.isSuccess(read(hint, { now: monday })), hint)
    }
  })

  it("keeps to the zone's clocks: gaps are refused or left out, of two the first is taken", () => {
    const berlin = { zone: "Europe/Berlin", now: Date.parse("2026-03-28T12:00:00Z") }
    assert.strictEqual(utc("tomorrow at 2:30am", berlin), "KM-SCH-005")
    assert.strictEqual(utc("2026-03-29T02:30", berlin), "KM-SCH-005")
    assert.strictEqual(utc("daily at 2:30am", berlin), "2026-03-30T00:30Z")
    assert.strictEqual(utc("tomorrow at 3am", berlin), "2026-03-29T01:00Z")
    assert.strictEqual(utc("2026-10-25T02:30", berlin), "2026-10-25T00:30Z")
    assert.strictEqual(utc("2026-10-25T02:30+01:00", berlin), "2026-10-25T01:30Z")
    // A day keeps the time of day, 24 hours are 24 hours.
    assert.strictEqual(utc("in 1 day", berlin), "2026-03-29T11:00Z")
    assert.strictEqual(utc("in 24 hours", berlin), "2026-03-29T12:00Z")
  })

  it("what is said of an instant reads back as that instant", () => {
    for (let n = 0; n < 400; n++) {
      const instant = now + (n * 7_919 + 1) * 60_000
      const [, date = "", time = ""] = instantText(instant, "America/New_York").split(" ")
      const back = read(`${date} ${time} America/New_York`)
      const at = Result.isSuccess(back) && back.success.when._tag === "Once" ? back.success.when.at : 0
      // The second of two equal wall times is said with its offset, and reads back as the first.
      assert.isTrue(at === instant || at === instant - 3_600_000, `${date} ${time}`)
    }
  })
})
