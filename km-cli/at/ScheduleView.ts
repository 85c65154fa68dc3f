/** Schedules and runs as `km at` shows them: lines for people, and the documented shapes under `--json`. */
import { type Schedule, type ScheduleRun, whenText } from "../../runtime/domain/schedule/Schedule.ts"
import { actionText, type ScheduleStep } from "../../runtime/domain/schedule/ScheduleAction.ts"
import { foreignLine } from "../../runtime/domain/text/ForeignText.ts"
import { instantText } from "../../runtime/kernel/schedules/ScheduleTimes.ts"
import { columns } from "../Output.ts"

const iso = (instant: number): string => new Date(instant).toISOString()

/** Characters of a prompt or of what a run said. */
const longest = 4_000

const plain = (text: string): string => foreignLine(text, longest)

/** The step and what follows it, indented; one line each. */
export const stepLines = (step: ScheduleStep, before = ""): ReadonlyArray<string> => {
  const indent = " ".repeat(before.length === 0 ? 0 : before.length - before.trimStart().length + 2)
  return [
    `${before}${plain(actionText(step.action))}`,
    ...(step.onSuccess === undefined ? [] : stepLines(step.onSuccess, `${indent}on success: `)),
    ...(step.onFailure === undefined ? [] : stepLines(step.onFailure, `${indent}on failure: `))
  ]
}

/** `--json` of one schedule. Instants are ISO 8601 in UTC. */
export const scheduleView = (schedule: Schedule) => ({
  name: schedule.name,
  state: schedule.state,
  when: whenText(schedule.when),
  zone: schedule.zone,
  said: schedule.said,
  overlap: schedule.overlap,
  step: schedule.step,
  ...(schedule.nextAt === undefined ? {} : { nextAt: iso(schedule.nextAt) }),
  ...(schedule.note === undefined ? {} : { note: schedule.note }),
  createdAt: iso(schedule.createdAt)
})

/** `--json` of one run. */
export const runView = (run: ScheduleRun) => ({
  id: run.id,
  instant: iso(run.instant),
  manual: run.manual,
  missed: run.missed,
  state: run.state,
  ...(run.outcome === undefined ? {} : { outcome: run.outcome }),
  ...(run.code === undefined ? {} : { code: run.code }),
  ...(run.detail === undefined ? {} : { detail: run.detail }),
  ...(run.target === undefined ? {} : { target: run.target }),
  ...(run.turn === undefined ? {} : { turn: run.turn }),
  ...(run.waitsUntil === undefined ? {} : { waitsUntil: iso(run.waitsUntil) }),
  ...(run.after === undefined ? {} : { after: run.after.id }),
  action: run.step.action,
  attempts: run.attempts,
  claimedAt: iso(run.claimedAt),
  ...(run.endedAt === undefined ? {} : { endedAt: iso(run.endedAt) })
})

/** A table of schedules, each with the run of its last firing that says how that went. */
export const scheduleTable = (
  rows: ReadonlyArray<{ readonly schedule: Schedule; readonly last: ScheduleRun | undefined }>
): ReadonlyArray<string> =>
  columns([
    ["NAME", "STATE", "NEXT", "WHEN", "LAST", "ACTION"],
    ...rows.map(({ last, schedule }) => [
      schedule.name,
      schedule.state,
      schedule.nextAt === undefined ? "-" : instantText(schedule.nextAt, schedule.zone),
      whenText(schedule.when),
      last === undefined ? "-" : last.outcome ?? last.state,
      plain(actionText(schedule.step.action))
    ])
  ])

/** A table of runs, newest first, each with the sentence on its end. */
export const runTable = (runs: ReadonlyArray<ScheduleRun>, zone: string): ReadonlyArray<string> =>
  columns([
    ["INSTANT", "OUTCOME", "STEP", "TRIES", "DETAIL"],
    ...runs.map((run) => {
      const made = run.missed === 0 ? "" : `makes up for ${run.missed} more; `
      const detail = plain(`${made}${run.code === undefined ? "" : `${run.code} `}${run.detail ?? ""}`).trim()
      return [
        `${instantText(run.instant, zone)}${run.manual ? " (asked for)" : ""}`,
        run.outcome ?? run.state,
        run.id.includes("+") ? run.id.slice(run.id.indexOf("+")) : "-",
        String(run.attempts),
        detail.length <= 120 ? detail : `${detail.slice(0, 119)}…`
      ]
    })
  ])
