/** What a schedule's reference to a sandbox means now, and what the end of a sandbox means for schedules. */
import * as Effect from "effect/Effect"
import type { Alias, SandboxId } from "../domain/Ids.ts"
import type { SandboxRow } from "../domain/Sandbox.ts"
import { type Schedule, whenText } from "../domain/Schedule.ts"
import { type ScheduledAction, targetOf } from "../domain/ScheduleAction.ts"
import type { Scheduler } from "../ports/Scheduler.ts"

export type Meaning =
  | { readonly _tag: "One"; readonly row: SandboxRow }
  | { readonly _tag: "None" }
  | { readonly _tag: "Several"; readonly ids: ReadonlyArray<SandboxId> }

/** The id or alias as a whole, else the only living sandbox whose id or alias begins so. */
export const meaningOf = (rows: ReadonlyArray<SandboxRow>, reference: string): Meaning => {
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
export const afterEndOf = (schedule: Schedule, id: SandboxId, alias: Alias | undefined): "end" | "note" | "keep" => {
  if (schedule.state !== "active" && schedule.state !== "paused") return "keep"
  const target = targetOf(schedule.step.action)
  if (target === id) return "end"
  return target !== undefined && target === alias ? "note" : "keep"
}

/** Ends or marks the schedules of a sandbox that is destroyed. Idempotent. Returns how many were ended. */
export const endSchedulesOf = Effect.fn("ScheduleTargets.endSchedulesOf")(function*(
  scheduler: Scheduler["Service"],
  id: SandboxId,
  alias: Alias | undefined
) {
  let ended = 0
  for (const schedule of yield* scheduler.list) {
    const fate = afterEndOf(schedule, id, alias)
    if (fate === "keep") continue
    const note = fate === "end"
      ? `${id} was destroyed`
      : `${alias ?? id} (${id}) was destroyed; it fails until another sandbox has the alias`
    const changed = yield* scheduler.change(schedule.name, [schedule.state], {
      state: fate === "end" ? "orphaned" : schedule.state,
      nextAt: fate === "end" ? undefined : schedule.nextAt,
      note
    })
    if (!changed || fate === "note") continue
    ended += 1
    yield* Effect.logInfo("a schedule ended with its sandbox").pipe(
      Effect.annotateLogs({ schedule: schedule.name, sandbox: id, when: whenText(schedule.when) })
    )
  }
  return ended
})

/** For messages: what the action names. */
export const referenceOf = (action: ScheduledAction): string => targetOf(action) ?? "nothing"
