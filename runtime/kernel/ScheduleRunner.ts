/**
 * From firing to outcome. Each firing is claimed before anything is done for it, what it means is written down before
 * the action may begin, and its end together with the claim of what follows: a crash at any point leaves a row that says
 * what may have happened, and the next start goes on from there.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as EffectSchedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { runIdOf, type Schedule, type ScheduleName, type ScheduleRun } from "../domain/Schedule.ts"
import { actionText, kindText, retryClass, targetOf } from "../domain/ScheduleAction.ts"
import { type ActionDone, ActionFailed, ActionRunners } from "../ports/ActionRunner.ts"
import { Sandboxes } from "../ports/Sandboxes.ts"
import { type Firing, Scheduler } from "../ports/Scheduler.ts"
import type { StoreError } from "../ports/StoreError.ts"
import { meaningOf } from "./ScheduleTargets.ts"
import { dueAt } from "./ScheduleTimes.ts"

/** Pauses before an idempotent action that failed in passing is tried again; after the last it has failed. */
export const retryPauses = [1_000, 5_000, 30_000, 120_000] as const

export class ScheduleRunner extends Context.Service<ScheduleRunner, {
  /** Takes up what an earlier process left, then runs firings as they come, until interrupted. One per install. */
  readonly run: Effect.Effect<never>
}>()("km/runtime/kernel/ScheduleRunner") {
  static readonly layer = Layer.effect(ScheduleRunner, Effect.suspend(() => make))
}

type Ended = Pick<ScheduleRun, "detail"> & {
  readonly outcome: "succeeded" | "failed" | "unknown"
  readonly code?: string
}

/** The end of a run, and the claim of the step that follows such an end. */
export const endRun = (
  run: ScheduleRun,
  end: Ended,
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

const failed = (error: ActionFailed): Ended => ({ outcome: "failed", code: error.code, detail: error.reason })

/** Trouble of our own store passes or is mended by a person; the run waits for that. */
const patiently = <A, R>(effect: Effect.Effect<A, StoreError, R>): Effect.Effect<A, never, R> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logWarning("a scheduled run waits for the store", error.message)),
    Effect.retry(EffectSchedule.spaced("5 seconds")),
    Effect.orDie
  )

const make = Effect.gen(function*() {
  const runners = yield* ActionRunners
  const sandboxes = yield* Sandboxes
  const scheduler = yield* Scheduler
  /** Runs, or pipelines of them, that are not over, by schedule. */
  const busy = new Map<ScheduleName, number>()
  /** One at a time for each schedule whose policy is to wait. */
  const lanes = new Map<ScheduleName, Semaphore.Semaphore>()
  const laneOf = (name: ScheduleName) => {
    const lane = lanes.get(name) ?? Semaphore.makeUnsafe(1)
    lanes.set(name, lane)
    return lane
  }

  /** What the reference means now, written down before anything is done about it. */
  const begin = Effect.fnUntraced(function*(run: ScheduleRun) {
    const reference = targetOf(run.step.action)
    const acting = { ...run, state: "acting" as const, attempts: run.attempts + 1 }
    // Named by an earlier attempt; or nothing is named at all.
    if (reference === undefined || run.target !== undefined) return acting
    const meaning = meaningOf(yield* patiently(sandboxes.list), reference)
    if (meaning._tag === "One") return { ...acting, target: meaning.row.id }
    // The end of a sandbox leaves its sentence on the schedules that name it.
    const { note = "" } = Option.getOrElse(yield* patiently(scheduler.get(run.schedule)), (): { note?: string } => ({}))
    const reason = meaning._tag === "None"
      ? `no sandbox is called ${reference}${note.includes("was destroyed") ? `: ${note}` : ""}`
      : `${reference} fits ${meaning.ids.length} sandboxes: ${meaning.ids.join(", ")}`
    return yield* new ActionFailed({ code: "KM-SCH-021", reason, passing: false })
  })

  const act = (run: ScheduleRun): Effect.Effect<ActionDone, ActionFailed> =>
    Effect.suspend(() => {
      const { action } = run.step
      const runner = runners.find(({ kinds }) => kinds.includes(action._tag))
      return runner === undefined
        ? Effect.fail(
          new ActionFailed({ code: "KM-SCH-020", reason: `nothing here can do ${kindText(action)}`, passing: false })
        )
        : runner.run({
          id: run.id,
          schedule: run.schedule,
          action,
          target: run.target,
          ...(run.after === undefined ? {} : { after: run.after })
        })
    }).pipe(
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("a scheduled action crashed", defect),
          new ActionFailed({ code: "KM-SCH-022", reason: "the action crashed; the log says where", passing: false })
        )
      )
    )

  /** One run to its end; the next run of the pipeline, if one follows. */
  const execute = Effect.fn("ScheduleRunner.execute")(function*(found: ScheduleRun) {
    yield* Effect.annotateCurrentSpan({ "km.run": found.id })
    const repeatable = retryClass[found.step.action._tag] === "idempotent"
    let run = found
    const attempt = Effect.gen(function*() {
      run = yield* begin(run)
      yield* patiently(scheduler.save(run))
      return yield* act(run)
    })
    const tried = Effect.gen(function*() {
      // Begun by a process that is gone, and it must not begin twice.
      if (found.state === "acting" && !repeatable) {
        return {
          outcome: "unknown",
          code: "KM-SCH-023",
          detail: "km up ended in the middle of it; it may or may not have happened, and is not repeated"
        } satisfies Ended
      }
      for (let n = 0;; n++) {
        const result = yield* Effect.result(attempt)
        if (result._tag === "Success") {
          const { detail, turn } = result.success
          run = turn === undefined ? run : { ...run, turn }
          return { outcome: "succeeded", detail } satisfies Ended
        }
        const pause = retryPauses[n]
        if (!repeatable || !result.failure.passing || pause === undefined) return failed(result.failure)
        yield* Effect.logWarning("a scheduled action is tried again", result.failure.message)
        yield* Effect.sleep(pause)
      }
    })
    const end = yield* tried
    const { ended, next } = endRun(run, end, yield* Clock.currentTimeMillis)
    yield* patiently(scheduler.finish(ended, next))
    yield* Effect.logInfo("a scheduled run ended").pipe(
      // Prompts and answers stay in the history, which is the operator's alone.
      Effect.annotateLogs({ outcome: end.outcome, action: kindText(run.step.action), code: ended.code ?? "" })
    )
    return next
  }, (effect, run) => Effect.annotateLogs(effect, { run: run.id }))

  const pipeline = Effect.fnUntraced(function*(first: ScheduleRun) {
    let run: ScheduleRun | undefined = first
    while (run !== undefined) run = yield* execute(run)
  })

  /** Beside everything else, or after earlier runs of the schedule where its policy is to wait. */
  const start = Effect.fnUntraced(function*(run: ScheduleRun, overlap: Schedule["overlap"]) {
    const name = run.schedule
    busy.set(name, (busy.get(name) ?? 0) + 1)
    const whole = overlap === "queue" ? laneOf(name).withPermits(1)(pipeline(run)) : pipeline(run)
    yield* whole.pipe(
      Effect.ensuring(Effect.sync(() => {
        const left = (busy.get(name) ?? 1) - 1
        if (left > 0) return busy.set(name, left)
        lanes.delete(name)
        return busy.delete(name)
      })),
      Effect.forkScoped({ startImmediately: true })
    )
  })

  const claim = Effect.fnUntraced(function*(
    schedule: Schedule,
    instant: number,
    options: { readonly manual: boolean; readonly missed: number },
    advance?: { readonly from: number; readonly nextAt: number | undefined }
  ) {
    const claimedAt = yield* Clock.currentTimeMillis
    const { name, overlap, step } = schedule
    const claimed: ScheduleRun = {
      id: runIdOf(name, instant),
      schedule: name,
      instant,
      ...options,
      step,
      state: "claimed",
      attempts: 0,
      claimedAt
    }
    if (overlap === "skip" && busy.has(name)) {
      const detail = "an earlier run was not over"
      const skipped = { state: "ended", outcome: "skipped", code: "KM-SCH-024", detail, endedAt: claimedAt } as const
      yield* scheduler.claim({ ...claimed, ...skipped }, advance)
      return
    }
    if (yield* scheduler.claim(claimed, advance)) yield* start(claimed, overlap)
  })

  const handle = Effect.fn("ScheduleRunner.handle")(function*(firing: Firing) {
    const { instant, manual } = firing
    const found = yield* scheduler.get(firing.schedule)
    if (Option.isNone(found)) return yield* scheduler.drop(firing)
    const schedule = found.value
    if (manual) return yield* claim(schedule, instant, { manual, missed: 0 })
    if (schedule.state !== "active" || schedule.nextAt !== instant) return yield* scheduler.drop(firing)
    const due = dueAt(schedule, instant, yield* Clock.currentTimeMillis)
    yield* claim(schedule, due.instant, { manual, missed: due.missed }, { from: instant, nextAt: due.nextAt })
  }, (effect, { instant, schedule }) => Effect.annotateLogs(effect, { schedule, instant }))

  const run = Effect.scoped(Effect.gen(function*() {
    const schedules = new Map((yield* patiently(scheduler.list)).map((schedule) => [schedule.name, schedule]))
    for (const left of yield* patiently(scheduler.open)) {
      yield* start(left, schedules.get(left.schedule)?.overlap ?? "skip")
    }
    return yield* scheduler.firings.pipe(
      // A firing that could not be claimed comes again.
      Stream.runForEach((firing) => handle(firing)),
      Effect.tapError((error) => Effect.logWarning("schedules wait for the store", error.message)),
      Effect.retry(EffectSchedule.spaced("5 seconds")),
      Effect.orDie,
      Effect.andThen(Effect.never)
    )
  }))

  return ScheduleRunner.of({ run })
})
