/** Whether the sandboxes that a schedule needs will still be there when its times come. Pure. */
import { durationMillis } from "../../domain/profile/Profile.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import type { ReportedSandbox } from "../../domain/sandbox/Sandbox.ts"
import { referencesOf, type ScheduleStep, stepsOf } from "../../domain/schedule/ScheduleAction.ts"
import { meaningOf } from "./ScheduleTargets.ts"

/** A sandbox that is gone before a time of its schedule, unless somebody extends or uses it until then. */
export interface EarlyEnd {
  /** As the schedule names it. */
  readonly reference: string
  readonly id: SandboxId
  readonly why: "ttl" | "idle"
  /** Unix milliseconds. */
  readonly endsAt: number
  /** The first time that finds it gone. Unix milliseconds. */
  readonly before: number
}

/** When idleness ends it if nobody uses it but the schedule, whose runs at `uses` are turns of it. */
const idleEnd = (row: ReportedSandbox, instants: ReadonlyArray<number>, uses: boolean): number => {
  const idle = durationMillis(row.profile.spec.lifecycle.idleTimeout)
  // Nobody ends a sandbox as idle whose runtime never reported.
  if (idle === 0 || row.desired !== "running" || row.lastSeenAt === undefined) return Infinity
  let active = Math.max(row.createdAt, row.resumedAt ?? 0, row.lastActiveAt ?? 0)
  for (const instant of instants) {
    if (instant - active >= idle) break
    if (uses) active = Math.max(active, instant)
  }
  return active + idle
}

/** What `step` names, each once. Aliases that the pipeline itself gives out are not there yet, and need not be. */
const needed = (step: ScheduleStep): ReadonlyArray<string> => {
  const made = stepsOf(step).flatMap(({ action }) => action._tag === "Create" ? [String(action.alias)] : [])
  const names = stepsOf(step).flatMap(({ action }) => referencesOf(action).map((name) => name.replace(/@.*$/, "")))
  return [...new Set(names)].filter((name) => name !== "operator" && !made.includes(name))
}

/**
 * The ends that come before one of `instants`, ascending: at the time to live, or for want of a turn. A schedule that
 * extends its sandbox is judged by its next time alone.
 */
export const earlyEnds = (
  rows: ReadonlyArray<ReportedSandbox>,
  step: ScheduleStep,
  instants: ReadonlyArray<number>
): ReadonlyArray<EarlyEnd> =>
  needed(step).flatMap((reference): ReadonlyArray<EarlyEnd> => {
    const meaning = meaningOf(rows, reference)
    if (meaning._tag !== "One") return []
    const { row } = meaning
    const about = stepsOf(step).map(({ action }) => action).filter((action) =>
      referencesOf(action).some((name) => name.replace(/@.*$/, "") === reference)
    )
    const extended = about.some(({ _tag }) => _tag === "Extend" || _tag === "Destroy")
    const times = extended ? instants.slice(0, 1) : instants
    const uses = about.some(({ _tag }) => _tag === "AgentRun" || _tag === "EmailSend")
    const ends = { ttl: row.expiresAt ?? Infinity, idle: idleEnd(row, times, uses) }
    const why = ends.ttl <= ends.idle ? "ttl" : "idle"
    const before = times.find((instant) => instant >= ends[why])
    return before === undefined ? [] : [{ reference, id: row.id, why, endsAt: ends[why], before }]
  })
