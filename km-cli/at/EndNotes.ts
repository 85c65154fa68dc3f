/** Warnings that a sandbox ends before its schedule's next times, and what to do about each. */
import type { ReportedSandbox } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { Schedule } from "../../runtime/domain/schedule/Schedule.ts"
import { type EarlyEnd, earlyEnds } from "../../runtime/kernel/schedules/ScheduleEnds.ts"
import { instantText, nextInstants } from "../../runtime/kernel/schedules/ScheduleTimes.ts"
import { span } from "../Output.ts"

/** Times ahead that are looked at. */
const timesAhead = 5
const day = 86_400_000

/** One line, without the word warning. */
export const endLine = ({ before, endsAt, id, reference, why }: EarlyEnd, zone: string, now: number): string => {
  const who = reference === id ? id : `${reference} (${id})`
  const days = Math.ceil((before - now) / day) + 1
  return why === "ttl"
    ? `${who} reaches the end of its time to live in ${span(endsAt - now)}, before ${instantText(before, zone)}; ` +
      `\`km extend ${reference} --ttl ${days}d\`, or create it from a profile with lifecycle.ttl: 0`
    : `${who} ends in ${span(endsAt - now)} if it has no turn until then, before ${instantText(before, zone)}; ` +
      "create it from a profile with lifecycle.idleTimeout: 0, or use it meanwhile"
}

/** The ends before the next times of a stored schedule: none where it does not fire by itself. */
export const endsOf = (
  rows: ReadonlyArray<ReportedSandbox>,
  schedule: Schedule,
  now: number
): ReadonlyArray<EarlyEnd> => {
  const { createdAt, nextAt, state, step } = schedule
  if (state !== "active" || nextAt === undefined) return []
  const later = nextInstants(schedule, createdAt, Math.max(now, nextAt), timesAhead - 1)
  return earlyEnds(rows, step, [nextAt, ...later])
}

/** `--json` of an end. Instants are ISO 8601 in UTC. */
export const endView = ({ before, endsAt, id, reference, why }: EarlyEnd) => ({
  reference,
  id,
  why,
  endsAt: new Date(endsAt).toISOString(),
  before: new Date(before).toISOString()
})
