/** `km at`: plans an action for later, and shows, runs, pauses, resumes and cancels what is planned. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { type Schedule, ScheduleName, type ScheduleState, whenText } from "../../runtime/domain/schedule/Schedule.ts"
import {
  kindText,
  maxSteps,
  referencesOf,
  type ScheduleStep,
  stepsOf
} from "../../runtime/domain/schedule/ScheduleAction.ts"
import { operatorOwner } from "../../runtime/kernel/mail/OperatorMail.ts"
import { refusal, ScheduleRefused } from "../../runtime/kernel/schedules/ScheduleErrors.ts"
import { meaningOf, wholeNames } from "../../runtime/kernel/schedules/ScheduleTargets.ts"
import { instantText, nextAfter, nextInstants } from "../../runtime/kernel/schedules/ScheduleTimes.ts"
import { reported } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Scheduler } from "../../runtime/ports/Scheduler.ts"
import { parseStep } from "../at/ActionLine.ts"
import { confirmed } from "../at/Confirm.ts"
import { endLine, endsOf, endView } from "../at/EndNotes.ts"
import { schedulableKinds } from "../at/Schedulable.ts"
import { runTable, runView, scheduleTable, scheduleView, stepLines } from "../at/ScheduleView.ts"
import { machineZone, parseWhen } from "../at/When.ts"
import type { Backend } from "../Backend.ts"
import { type ExitCode, KmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { refusalNotes } from "../OperatorDesk.ts"
import { data, talk } from "../Output.ts"
import { recorded } from "../Recorded.ts"
import * as UpFile from "../up/UpFile.ts"

/** 2 for what was typed wrongly, 3 for what is not there, 5 for a state that does not allow it, 6 for what is not done. */
const exits: Readonly<Partial<Record<ScheduleRefused["code"], ExitCode>>> = {
  "KM-SCH-011": 5,
  "KM-SCH-012": 3,
  "KM-SCH-013": 5,
  "KM-SCH-020": 6,
  "KM-SCH-027": 6
}

/** A refusal as every command tells its failures. */
const telling = <A, E, R>(effect: Effect.Effect<A, E | ScheduleRefused, R>): Effect.Effect<A, E | KmError, R> =>
  Effect.mapError(effect, (error): E | KmError =>
    error instanceof ScheduleRefused
      ? new KmError({ code: error.code, exit: exits[error.code] ?? 2, what: error.reason, why: "", next: error.remedy })
      : error)

/** Fire times that are shown before a schedule is committed. */
const shownTimes = 5

const decodeName = Schema.decodeUnknownOption(ScheduleName)

export interface AtInput {
  readonly when: string
  readonly words: ReadonlyArray<string>
  readonly zone: Option.Option<string>
  readonly name: Option.Option<string>
  readonly overlap: Schedule["overlap"]
  /** Flags of the action, by name; those without a value hold booleans. */
  readonly action: Readonly<Record<string, Option.Option<string> | ReadonlyArray<string> | boolean>>
  readonly yes: boolean
  readonly dryRun: boolean
}

const isOption = (value: unknown): value is Option.Option<string> => Option.isOption(value)

/** What is planned may be refused by its receiver; said now, not on Monday at 9. */
const mailNotes = Effect.fnUntraced(function*(backend: Backend, install: Install, step: ScheduleStep) {
  const names = stepsOf(step).flatMap(({ action }) => action._tag === "EmailSend" ? referencesOf(action) : [])
  if (names.length === 0) return []
  const desk = yield* backend.mail(install, operatorOwner)
  return refusalNotes(yield* desk.refusing(names))
})

/** The action's flags back as words, so that a line of `--on-success` is read by the same grammar. */
const tokensOf = ({ action, words }: AtInput): ReadonlyArray<string> => [
  ...words,
  ...Object.entries(action).flatMap(([name, value]) => {
    if (typeof value === "boolean") return value ? [`--${name}`] : []
    const values = isOption(value) ? Option.toArray(value) : value
    return values.flatMap((text) => [`--${name}`, text])
  })
]

const nameFor = Effect.fnUntraced(function*(input: AtInput, step: ScheduleStep, taken: ReadonlyArray<Schedule>) {
  if (Option.isSome(input.name)) {
    const name = decodeName(input.name.value)
    if (Option.isSome(name)) return name.value
    return yield* refusal("KM-SCH-010", `${JSON.stringify(input.name.value)} is no name: a-z, 0-9 and -, at most 40`)
  }
  const kind = kindText(step.action).replace(" ", "-")
  for (;;) {
    const name = ScheduleName.make(`${kind}-${randomBytes(2).toString("hex")}`)
    if (!taken.some((other) => other.name === name)) return name
  }
})

/** What the references mean today; aliases are looked up again when the time comes. */
const targetNotes = Effect.fnUntraced(function*(step: ScheduleStep) {
  const rows = yield* (yield* Sandboxes).list
  const references = new Set(stepsOf(step).flatMap(({ action }) => referencesOf(action)))
  // Addresses, and the operator, are the mail's own to find.
  return [...references].filter((name) => name !== "operator" && !name.includes("@")).flatMap((reference) => {
    const meaning = meaningOf(rows, reference)
    if (meaning._tag === "One" && meaning.row.id === reference) return []
    if (meaning._tag === "One" && meaning.row.alias !== reference) return `${reference} is ${meaning.row.id}`
    if (meaning._tag === "One") return `${reference} is ${meaning.row.id} today; it is looked up when the time comes`
    return meaning._tag === "None"
      ? `warning: no sandbox is called ${reference} today; it is looked up when the time comes`
      : `warning: ${reference} fits ${meaning.ids.length} sandboxes today; the run fails if it still does then`
  })
})

export const at = Effect.fn("km.at")(function*(input: AtInput) {
  const { backend, config } = yield* opened
  const now = yield* Clock.currentTimeMillis
  const timing = yield* Effect.fromResult(
    parseWhen(input.when, { zone: Option.getOrUndefined(input.zone), machineZone: machineZone(), now })
  )
  const said = yield* parseStep(tokensOf(input), schedulableKinds)
  if (!config.unattendedCertifier && stepsOf(said).some(({ action }) => action._tag === "Create")) {
    return yield* refusal("KM-SCH-027", "a schedule may not create sandboxes: km up does not read the certifier's key")
  }
  const instants = nextInstants(timing, now, now, shownTimes)
  const [nextAt] = instants
  if (nextAt === undefined) return yield* refusal("KM-SCH-002", `${JSON.stringify(input.when)} never fires`)
  const install = yield* backend.install
  return yield* Effect.gen(function*() {
    const scheduler = yield* Scheduler
    const step = wholeNames(yield* (yield* Sandboxes).list, said)
    const name = yield* nameFor(input, step, yield* scheduler.list)
    const schedule: Schedule = {
      name,
      ...timing,
      step,
      overlap: input.overlap,
      state: "active",
      createdAt: now,
      nextAt
    }
    const lines = [
      `${name}: ${whenText(timing.when)} in ${timing.zone}`,
      ...stepLines(step).map((line) => `  ${line}`),
      timing.when._tag === "Once" ? "fires once:" : `next ${instants.length === 1 ? "time" : "times"}:`,
      ...instants.map((instant) => `  ${instantText(instant, timing.zone)}`)
    ]
    for (const note of yield* targetNotes(said)) yield* talk(note)
    for (const note of yield* mailNotes(backend, install, step)) yield* talk(note)
    const ends = endsOf(yield* reported(yield* (yield* Sandboxes).list), schedule, now)
    for (const end of ends) yield* talk(`warning: ${endLine(end, timing.zone, now)}`)
    const next = instants.map((instant) => new Date(instant).toISOString())
    const view = { schedule: scheduleView(schedule), next, ends: ends.map(endView) }
    if (input.dryRun) {
      return yield* data([...lines, "nothing was stored"], { ok: true, dryRun: true, ...view })
    }
    if (!input.yes) { for (const line of lines) yield* talk(line) }
    if (!(yield* confirmed("Commit?", input.yes))) {
      return yield* data(["nothing was stored"], { ok: true, stored: false, ...view })
    }
    yield* recorded("schedule.add", name, stepsOf(step).map(({ action }) => kindText(action)).join(", "))
    yield* Effect.catchTag(
      scheduler.add(schedule),
      "ScheduleTaken",
      (error) => Effect.fail(refusal("KM-SCH-011", error.message))
    )
    yield* noteIfDown(backend.paths.run)
    yield* data(input.yes ? lines : [`${name} is scheduled`], { ok: true, stored: true, ...view })
  }).pipe(Effect.provide(backend.ports("short")))
}, telling)

/** Schedules fire in `km up`. */
const noteIfDown = Effect.fnUntraced(function*(run: string) {
  const up = yield* UpFile.running(run)
  if (Option.isNone(up)) {
    yield* talk("note: km up is not running; what it misses it makes up for once, when it runs again")
  }
})

/** The schedule that a name or its beginning means. */
const found = Effect.fnUntraced(function*(reference: string) {
  const all = yield* (yield* Scheduler).list
  const whole = all.find(({ name }) => name === reference)
  if (whole !== undefined) return whole
  const begun = reference === "" ? [] : all.filter(({ name }) => name.startsWith(reference))
  const [first] = begun
  if (first === undefined) return yield* refusal("KM-SCH-012", `no schedule is called ${JSON.stringify(reference)}`)
  if (begun.length > 1) {
    return yield* refusal("KM-SCH-012", `${reference} fits several: ${begun.map(({ name }) => name).join(", ")}`)
  }
  yield* talk(`${reference} is ${first.name}`)
  return first
})

const onInstall = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { backend } = yield* opened
    yield* backend.install
    return yield* Effect.provide(effect, backend.ports("short"))
  })

/** What the end of a sandbox leaves on a schedule that names it (`ScheduleTargets.ts`). */
const destroyedNote = /\bwas destroyed\b/

const lastingStates: ReadonlyArray<ScheduleState> = ["active", "paused"]

export const list = Effect.fn("km.at.list")(function*({ all }: { readonly all: boolean }) {
  return yield* onInstall(Effect.gen(function*() {
    const scheduler = yield* Scheduler
    const everyone = yield* scheduler.list
    const schedules = everyone.filter(({ state }) => all || lastingStates.includes(state))
    const now = yield* Clock.currentTimeMillis
    const sandboxes = yield* reported(yield* (yield* Sandboxes).list)
    const rows = yield* Effect.forEach(
      schedules,
      (schedule) =>
        Effect.map(scheduler.history(schedule.name, maxSteps), (runs) => {
          const [last] = runs
          // What followed a failure may have succeeded; the firing did not.
          const steps = runs.filter(({ instant, manual }) => instant === last?.instant && manual === last.manual)
          const worst = steps.find(({ outcome }) => outcome !== "succeeded") ?? last
          return { schedule, last, worst, ends: endsOf(sandboxes, schedule, now) }
        })
    )
    yield* data(
      rows.length === 0 ? [] : scheduleTable(rows.map(({ schedule, worst }) => ({ schedule, last: worst }))),
      {
        ok: true,
        schedules: rows.map(({ ends, last, schedule }) => ({
          ...scheduleView(schedule),
          ends: ends.map(endView),
          ...(last === undefined ? {} : { last: runView(last) })
        }))
      }
    )
    for (const { ends, schedule: { name, note, state, zone } } of rows) {
      for (const end of ends) yield* talk(`warning: ${name}: ${endLine(end, zone, now)}`)
      if (state === "active" && note !== undefined && destroyedNote.test(note)) yield* talk(`note: ${name}: ${note}`)
    }
    const orphans = all ? 0 : everyone.filter(({ state }) => state === "orphaned").length
    if (orphans > 0) {
      yield* talk(`note: ${orphans} ended with ${orphans === 1 ? "its sandbox" : "their sandboxes"}; km at list --all`)
    }
    if (rows.length === 0) yield* talk("nothing is scheduled; see km at --help")
  }))
}, telling)

export const show = Effect.fn("km.at.show")(function*({ reference }: { readonly reference: string }) {
  return yield* onInstall(Effect.gen(function*() {
    const scheduler = yield* Scheduler
    const schedule = yield* found(reference)
    const now = yield* Clock.currentTimeMillis
    const next = schedule.nextAt === undefined
      ? []
      : [schedule.nextAt, ...nextInstants(schedule, schedule.createdAt, Math.max(now, schedule.nextAt), shownTimes - 1)]
    const runs = yield* scheduler.history(schedule.name, 5)
    const ends = endsOf(yield* reported(yield* (yield* Sandboxes).list), schedule, now)
    for (const end of ends) yield* talk(`warning: ${endLine(end, schedule.zone, now)}`)
    yield* data([
      `${schedule.name} is ${schedule.state}${schedule.note === undefined ? "" : `: ${schedule.note}`}`,
      `  when     ${whenText(schedule.when)} in ${schedule.zone} (said: ${schedule.said})`,
      `  overlap  ${schedule.overlap}`,
      ...stepLines(schedule.step).map((line, n) => `  ${n === 0 ? "action " : "       "}  ${line}`),
      ...next.map((instant, n) => `  ${n === 0 ? "next   " : "       "}  ${instantText(instant, schedule.zone)}`),
      ...(runs.length === 0 ? [] : ["", ...runTable(runs, schedule.zone)])
    ], {
      ok: true,
      schedule: scheduleView(schedule),
      next: next.map((instant) => new Date(instant).toISOString()),
      ends: ends.map(endView),
      runs: runs.map(runView)
    })
  }))
}, telling)

export const history = Effect.fn("km.at.history")(
  function*({ lines, reference }: { readonly reference: string; readonly lines: number }) {
    return yield* onInstall(Effect.gen(function*() {
      const schedule = yield* found(reference)
      const runs = yield* (yield* Scheduler).history(schedule.name, lines)
      yield* data(runs.length === 0 ? [] : runTable(runs, schedule.zone), {
        ok: true,
        name: schedule.name,
        runs: runs.map(runView)
      })
      if (runs.length === 0 && lines > 0) yield* talk(`${schedule.name} has not run yet`)
    }))
  },
  telling
)

export interface ChangeInput {
  readonly reference: string
  readonly dryRun: boolean
}

/** As the journal has them. */
const changeActions = { paused: "schedule.pause", cancelled: "schedule.cancel", resumed: "schedule.resume" } as const

/** Moves a schedule from some states to another; `decide` says what it then fires, or refuses. */
const change = Effect.fnUntraced(function*(
  { dryRun, reference }: ChangeInput,
  verb: keyof typeof changeActions,
  from: ReadonlyArray<ScheduleState>,
  state: ScheduleState,
  decide: (schedule: Schedule, now: number) => Result.Result<number | undefined, ScheduleRefused>
) {
  const { backend } = yield* opened
  yield* backend.install
  return yield* Effect.gen(function*() {
    const schedule = yield* found(reference)
    const wrong = refusal("KM-SCH-013", `${schedule.name} is ${schedule.state}, so it cannot be ${verb}`)
    if (!from.includes(schedule.state)) return yield* wrong
    const now = yield* Clock.currentTimeMillis
    const nextAt = yield* Effect.fromResult(decide(schedule, now))
    const changes = { state, nextAt, note: `${verb} by the operator at ${new Date(now).toISOString()}` }
    if (!dryRun) {
      yield* recorded(changeActions[verb], schedule.name)
      if (!(yield* (yield* Scheduler).change(schedule.name, from, changes))) return yield* wrong
    }
    yield* data(
      [
        `${schedule.name} ${dryRun ? "would be" : "is"} ${verb}${
          nextAt === undefined ? "" : `; next ${instantText(nextAt, schedule.zone)}`
        }`
      ],
      {
        ok: true,
        dryRun,
        name: schedule.name,
        state,
        ...(nextAt === undefined ? {} : { nextAt: new Date(nextAt).toISOString() })
      }
    )
  }).pipe(Effect.provide(backend.ports("short")))
}, telling)

const nothingNext = () => Result.succeed(undefined)

/** A run in hand goes on; instants that pass while it is paused are not made up for. */
export const pause = (input: ChangeInput) => change(input, "paused", ["active"], "paused", nothingNext)

export const cancel = (input: ChangeInput) => change(input, "cancelled", ["active", "paused"], "cancelled", nothingNext)

export const resume = (input: ChangeInput) =>
  change(input, "resumed", ["paused"], "active", (schedule, now) => {
    const next = nextAfter(schedule.when, schedule.zone, schedule.createdAt, now)
    return next === undefined
      ? Result.fail(refusal("KM-SCH-013", `${schedule.name} has no time left: ${whenText(schedule.when)} is over`))
      : Result.succeed(next)
  })

export const runNow = Effect.fn("km.at.run-now")(function*(input: ChangeInput & { readonly yes: boolean }) {
  const { backend } = yield* opened
  yield* backend.install
  return yield* Effect.gen(function*() {
    const schedule = yield* found(input.reference)
    if (schedule.state === "cancelled" || schedule.state === "orphaned") {
      return yield* refusal("KM-SCH-013", `${schedule.name} is ${schedule.state}, so it does not run any more`)
    }
    const lines = stepLines(schedule.step)
    const instant = yield* Clock.currentTimeMillis
    const id = `${schedule.name}:${instant}`
    if (input.dryRun) {
      return yield* data([`${schedule.name} would run now:`, ...lines.map((line) => `  ${line}`)], {
        ok: true,
        dryRun: true,
        name: schedule.name
      })
    }
    if (stepsOf(schedule.step).some(({ action }) => action._tag === "Destroy")) {
      for (const line of lines) yield* talk(line)
      const sure = yield* confirmed("Run it now?", input.yes)
      if (!sure) return yield* data(["nothing was done"], { ok: true, requested: false, name: schedule.name })
    }
    yield* recorded("schedule.run", schedule.name, id)
    yield* (yield* Scheduler).request(schedule.name, instant)
    yield* noteIfDown(backend.paths.run)
    yield* data([`${schedule.name} runs now; km at history ${schedule.name} shows how it ends`], {
      ok: true,
      requested: true,
      name: schedule.name,
      run: id
    })
  }).pipe(Effect.provide(backend.ports("short")))
}, telling)
