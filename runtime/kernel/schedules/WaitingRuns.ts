/** Scheduled runs that wait for a turn, as data: what the turn's record means for the run, and what ends a wait without one. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import type { ScheduleRun } from "../../domain/schedule/Schedule.ts"
import { actionText, type ScheduledAction } from "../../domain/schedule/ScheduleAction.ts"
import type { TurnRecord } from "../../domain/turn/TurnRecord.ts"
import { type ActionDone, ActionFailed } from "../../ports/ActionRunner.ts"
import type { Scheduler } from "../../ports/Scheduler.ts"
import { turnName, type TurnOf, type TurnRecords } from "../../ports/TurnRecords.ts"
import type { ScheduleErrorCode } from "./ScheduleErrors.ts"

/** A run waits for its turn at most this long: a queue may be long, a turn takes 11 h at most. */
export const longestWaitMillis = 24 * 3_600_000

/** Characters of an answer in the history and for the step that follows: of a longer one the end, where results stand. */
const answerCharacters = 8_000

/** A run in state `waiting`, with what it waits for. */
export type WaitingRun = ScheduleRun & { readonly target: SandboxId; readonly turn: TurnKey }

export const isWaiting = (run: ScheduleRun): run is WaitingRun =>
  run.state === "waiting" && run.target !== undefined && run.turn !== undefined

export const turnOf = ({ target, turn }: WaitingRun): TurnOf => ({ sandbox: target, key: turn })

const no = (reason: string, code: ScheduleErrorCode = "KM-SCH-025") =>
  new ActionFailed({ code, reason, passing: false })

export const neverStarted = ({ turn }: WaitingRun): ActionFailed => no(`turn ${turn} never started`)
export const notEnded = ({ turn }: WaitingRun): ActionFailed => no(`turn ${turn} has not ended after 24 hours`)
export const sandboxDestroyed = ({ target, turn }: WaitingRun): ActionFailed =>
  no(`sandbox destroyed: ${target} was destroyed before turn ${turn} ended`, "KM-SCH-028")

const tail = (text: string): string =>
  text.length <= answerCharacters ? text : `…${text.slice(1 - answerCharacters).toWellFormed()}`

/** Whether the last line is the expected text, but for the marks by which agents stress a word. */
export const endsWith = (answer: string, expect: string): boolean =>
  (answer.trimEnd().split(/\r?\n/).at(-1) ?? "").trim().replaceAll(/^[*_`]+|[*_`]+$/g, "") === expect

/** What the turn came to for the action that asked for it. */
export const turnEnd = (action: ScheduledAction, record: TurnRecord): Effect.Effect<ActionDone, ActionFailed> => {
  const whole = record.text.trim()
  const text = tail(whole)
  if (record.result === "answered" || record.answered) {
    const expect = action._tag === "AgentRun" ? action.expect : undefined
    if (expect !== undefined && !endsWith(whole, expect)) {
      return Effect.fail(no(`the answer does not end in ${JSON.stringify(expect)}: ${text}`, "KM-SCH-026"))
    }
    // The work is done; that Slack would not take the answer is the thread's trouble, not the pipeline's.
    return Effect.succeed({ detail: record.result === "answered" ? text : `(not delivered) ${text}`, turn: record.key })
  }
  return Effect.fail(
    record.endedWithSandbox
      ? no(`sandbox destroyed before turn ${record.key} ended: ${text}`, "KM-SCH-028")
      : no(`turn ${record.key} ended ${record.result}: ${text}`)
  )
}

export type RunEnd = Pick<ScheduleRun, "detail"> & {
  readonly outcome: "succeeded" | "failed" | "unknown"
  readonly code?: string
}

export const failedEnd = (error: ActionFailed): RunEnd => ({
  outcome: "failed",
  code: error.code,
  detail: error.reason
})

/** The end of a run, and the claim of the step that follows such an end. */
export const endRun = (
  run: ScheduleRun,
  end: RunEnd,
  now: number
): { readonly ended: ScheduleRun; readonly next: ScheduleRun | undefined } => {
  const ended: ScheduleRun = { ...run, ...end, state: "ended", endedAt: now }
  const good = end.outcome === "succeeded"
  const step = good ? run.step.onSuccess : run.step.onFailure
  if (step === undefined) return { ended, next: undefined }
  const { instant, manual, schedule } = run
  const { code, detail, outcome } = end
  const after = {
    id: run.id,
    action: actionText(run.step.action),
    outcome,
    ...(code === undefined ? {} : { code }),
    ...(detail === undefined ? {} : { detail })
  }
  const id = `${run.id}+${good ? "s" : "f"}`
  const next = {
    id,
    schedule,
    instant,
    manual,
    missed: 0,
    step,
    after,
    state: "claimed",
    attempts: 0,
    claimedAt: now
  } as const
  return { ended, next }
}

/** The firing that a run belongs to: the part of its id before the steps. */
const firingOf = ({ id }: ScheduleRun): string => id.replace(/\+.*$/, "")

/**
 * Which of the runs that have not ended, in order of their claims, may be acted on now. Where firings are `queued`, one
 * goes on to the end of its last step before the next begins, whatever restarts lie between.
 */
export const actionable = (
  open: ReadonlyArray<ScheduleRun>,
  queued: (schedule: ScheduleRun["schedule"]) => boolean
): ReadonlyArray<ScheduleRun> => {
  const lane = new Map<ScheduleRun["schedule"], string>()
  // A firing that has begun goes before those that wait, though its later steps were claimed after them.
  for (const run of open) {
    if (run.state !== "claimed" || run.after !== undefined) {
      lane.set(run.schedule, lane.get(run.schedule) ?? firingOf(run))
    }
  }
  for (const run of open) lane.set(run.schedule, lane.get(run.schedule) ?? firingOf(run))
  return open.filter((run) =>
    run.state !== "ended" && run.state !== "waiting" &&
    (run.state === "acting" || run.after !== undefined || !queued(run.schedule) ||
      lane.get(run.schedule) === firingOf(run))
  )
}

/**
 * Resumes every run that waits for a turn of a sandbox that is being destroyed: by the turn's record where there is one,
 * else as `sandbox destroyed`. To be called while the records are there and after the runtime is gone. Idempotent.
 */
export const endWaitingRunsOf = Effect.fn("WaitingRuns.endWaitingRunsOf")(function*(
  scheduler: Scheduler["Service"],
  records: TurnRecords["Service"],
  id: SandboxId
) {
  const waiting = (yield* scheduler.open).filter(isWaiting).filter(({ target }) => target === id)
  if (waiting.length === 0) return
  const found = yield* records.among(waiting.map(turnOf))
  for (const run of waiting) {
    const record = found.get(turnName(turnOf(run)))
    const end = yield* (record === undefined
      ? Effect.fail(sandboxDestroyed(run))
      : turnEnd(run.step.action, record)).pipe(
        Effect.match({
          onFailure: failedEnd,
          onSuccess: ({ detail }): RunEnd => ({ outcome: "succeeded", detail })
        })
      )
    const { ended, next } = endRun(run, end, yield* Clock.currentTimeMillis)
    yield* scheduler.finish(ended, next)
  }
})
