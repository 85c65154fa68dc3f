/** What a schedule's reference to a sandbox means now, and what the end of a sandbox means for schedules. */
import * as Effect from "effect/Effect"
import type { Alias, SandboxId } from "../../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { type Schedule, whenText } from "../../domain/schedule/Schedule.ts"
import {
  referencesOf,
  renamed,
  type ScheduledAction,
  type ScheduleStep,
  stepsOf,
  targetOf
} from "../../domain/schedule/ScheduleAction.ts"
import { asciiLowerCase } from "../../domain/text/Ascii.ts"
import type { Scheduler } from "../../ports/Scheduler.ts"

export type Meaning<Row extends SandboxRow = SandboxRow> =
  | { readonly _tag: "One"; readonly row: Row }
  | { readonly _tag: "None" }
  | { readonly _tag: "Several"; readonly ids: ReadonlyArray<SandboxId> }

/** The id or alias as a whole, else the only living sandbox whose id or alias begins so. */
export const meaningOf = <Row extends SandboxRow>(rows: ReadonlyArray<Row>, reference: string): Meaning<Row> => {
  const living = rows.filter(({ status }) => status !== "destroying")
  const whole = living.find(({ id }) => id === reference) ?? living.find(({ alias }) => alias === reference)
  if (whole !== undefined) return { _tag: "One", row: whole }
  const begun = living.filter(({ alias, id }) => id.startsWith(reference) || alias?.startsWith(reference) === true)
  const [first] = begun
  if (first === undefined) return { _tag: "None" }
  return begun.length === 1 ? { _tag: "One", row: first } : { _tag: "Several", ids: begun.map(({ id }) => id) }
}

/**
 * What becomes of a schedule when a sandbox ends. An id never comes back, so a schedule of it has nothing left to act
 * on; an alias may be another sandbox's tomorrow, so that schedule goes on and says what happened.
 */
export const afterEndOf = (
  schedule: Schedule,
  id: SandboxId,
  alias: Alias | undefined
): "end" | "alias" | "step" | "keep" => {
  if (schedule.state !== "active" && schedule.state !== "paused") return "keep"
  const names = namesOf(schedule.step.action)
  if (names.includes(id)) return "end"
  if (alias !== undefined && names.includes(alias)) return "alias"
  const later = stepsOf(schedule.step).flatMap(({ action }) => namesOf(action))
  return later.includes(id) || (alias !== undefined && later.includes(alias)) ? "step" : "keep"
}

/** Ids and aliases; an address of the install begins with one. */
const namesOf = (action: ScheduledAction): ReadonlyArray<string> =>
  referencesOf(action).map((reference) => asciiLowerCase(reference.replace(/@.*$/, "")))

/** The step as it is stored: a beginning that fits one sandbox becomes its id, so that its end is noticed. */
export const wholeNames = (rows: ReadonlyArray<SandboxRow>, step: ScheduleStep): ScheduleStep => {
  const whole = (reference: string): string => {
    const meaning = meaningOf(rows, reference)
    if (reference === "operator" || meaning._tag !== "One") return reference
    return reference === meaning.row.alias ? reference : meaning.row.id
  }
  return {
    action: renamed(step.action, whole),
    ...(step.onSuccess === undefined ? {} : { onSuccess: wholeNames(rows, step.onSuccess) }),
    ...(step.onFailure === undefined ? {} : { onFailure: wholeNames(rows, step.onFailure) })
  }
}

/** Ends or marks the schedules of a sandbox that is destroyed. Idempotent. Returns how many were ended. */
export const endSchedulesOf = Effect.fn("ScheduleTargets.endSchedulesOf")(function*(
  scheduler: Scheduler["Service"],
  id: SandboxId,
  alias: Alias | undefined,
  why: SandboxRow["endReason"] = "destroyed"
) {
  const gone = { ttl: "reached the end of its time to live and ", idle: "was idle for too long and " }
  const how = why === "ttl" || why === "idle" ? `${gone[why]}was destroyed` : "was destroyed"
  let ended = 0
  for (const schedule of yield* scheduler.list) {
    const fate = afterEndOf(schedule, id, alias)
    if (fate === "keep") continue
    const note = {
      end: `${id} ${how}`,
      alias: `${alias ?? id} (${id}) ${how}; it fails until another sandbox has the alias`,
      step: `${id} ${how}; the step that names it${alias === undefined ? "" : " or its alias"} fails`
    }[fate]
    const changed = yield* scheduler.change(schedule.name, [schedule.state], {
      state: fate === "end" ? "orphaned" : schedule.state,
      nextAt: fate === "end" ? undefined : schedule.nextAt,
      note
    })
    if (!changed || fate !== "end") continue
    ended += 1
    yield* Effect.logInfo("a schedule ended with its sandbox").pipe(
      Effect.annotateLogs({ schedule: schedule.name, sandbox: id, when: whenText(schedule.when) })
    )
  }
  return ended
})

/** For messages: what the action names. */
export const referenceOf = (action: ScheduledAction): string => targetOf(action) ?? "nothing"
