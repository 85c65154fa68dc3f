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
import * as Stream from "effect/Stream"
import { runIdOf, type Schedule, type ScheduleName, type ScheduleRun } from "../../domain/schedule/Schedule.ts"
import { auditedAs, kindText, retryClass, targetOf } from "../../domain/schedule/ScheduleAction.ts"
import type { TurnRecord } from "../../domain/turn/TurnRecord.ts"
import { ActionFailed, type ActionRequest, type ActionRunner, ActionRunners } from "../../ports/ActionRunner.ts"
import { Audit } from "../../ports/Audit.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { type Firing, Scheduler } from "../../ports/Scheduler.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { TurnQueue } from "../../ports/TurnQueue.ts"
import { turnName, TurnRecords } from "../../ports/TurnRecords.ts"
import { unending } from "../../ports/Unending.ts"
import { meaningOf } from "./ScheduleTargets.ts"
import { dueAt } from "./ScheduleTimes.ts"
import {
  actionable,
  endRun,
  failedEnd,
  isWaiting,
  longestWaitMillis,
  neverStarted,
  notEnded,
  type RunEnd,
  sandboxDestroyed,
  turnOf,
  type WaitingRun
} from "./WaitingRuns.ts"

/** Pauses before an idempotent action that failed in passing is tried again; after the last it has failed. */
export const retryPauses = [1_000, 5_000, 30_000, 120_000] as const

/** Between two looks for turns that will never have a record; each asks about every sandbox that a run waits for. */
const lostEveryMillis = 30_000

export class ScheduleRunner extends Context.Service<ScheduleRunner, {
  /** Takes up what an earlier process left, then runs firings as they come, until interrupted. One per install. */
  readonly run: Effect.Effect<never>
}>()("km/runtime/kernel/schedules/ScheduleRunner") {
  static readonly layer = Layer.effect(ScheduleRunner, Effect.suspend(() => make))
}

/** After trouble of our own store, or a defect. */
const lookAgain = "5 seconds"

/** Trouble of our own store passes or is mended by a person; the run waits for that. */
const patiently = <A, R>(effect: Effect.Effect<A, StoreError, R>): Effect.Effect<A, never, R> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logWarning("a scheduled run waits for the store", error.message)),
    Effect.retry(EffectSchedule.spaced(lookAgain)),
    Effect.orDie
  )

const requestOf = (run: ScheduleRun): ActionRequest => ({
  id: run.id,
  schedule: run.schedule,
  action: run.step.action,
  target: run.target,
  ...(run.after === undefined ? {} : { after: run.after })
})

const make = Effect.gen(function*() {
  const runners = yield* ActionRunners
  const audit = yield* Audit
  const sandboxes = yield* Sandboxes
  const scheduler = yield* Scheduler
  const records = yield* TurnRecords
  const queue = yield* TurnQueue
  /** Ids of the runs that this process acts on now: a start, never a wait for a turn. */
  const inHand = new Set<string>()
  let lookedForLost = -Infinity

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

  /** In the journal before it has an effect, by which schedule it is done. */
  const recorded = ({ id, schedule, step: { action }, target }: ScheduleRun) =>
    audit.record({
      actor: "control-plane",
      action: auditedAs[action._tag],
      ...(target === undefined ? {} : { subject: target }),
      rule: schedule,
      verdict: "allowed",
      detail: `run ${id}`
    }).pipe(
      Effect.catch(({ message }) =>
        // An end goes on: it also frees the disk that may be full.
        action._tag === "Destroy"
          ? Effect.logError("the audit could not be written", message)
          : Effect.fail(
            new ActionFailed({
              code: "KM-SCH-022",
              reason: `the audit cannot be written: ${message}`,
              passing: true
            })
          )
      )
    )

  /** What this room's runner says of it; a defect of the runner is the action's failure. */
  const asking = <A>(run: ScheduleRun, question: (runner: ActionRunner) => Effect.Effect<A, ActionFailed>) =>
    Effect.suspend(() => {
      const { action } = run.step
      const runner = runners.find(({ kinds }) => kinds.includes(action._tag))
      return runner === undefined
        ? Effect.fail(
          new ActionFailed({ code: "KM-SCH-020", reason: `nothing here can do ${kindText(action)}`, passing: false })
        )
        : question(runner)
    }).pipe(
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("a scheduled action crashed", defect),
          new ActionFailed({ code: "KM-SCH-022", reason: "the action crashed; the log says where", passing: false })
        )
      )
    )

  const finish = Effect.fnUntraced(function*(run: ScheduleRun, end: RunEnd) {
    const { ended, next } = endRun(run, end, yield* Clock.currentTimeMillis)
    yield* patiently(scheduler.finish(ended, next))
    yield* Effect.logInfo("a scheduled run ended").pipe(
      // Prompts and answers stay in the history, which is the operator's alone.
      Effect.annotateLogs({
        run: run.id,
        outcome: end.outcome,
        action: kindText(run.step.action),
        code: end.code ?? ""
      })
    )
  })

  /** One run from its claim to its end, or until it waits for a turn. */
  const execute = Effect.fn("ScheduleRunner.execute")(function*(found: ScheduleRun) {
    yield* Effect.annotateCurrentSpan({ "km.run": found.id })
    const repeatable = retryClass[found.step.action._tag] === "idempotent"
    // Begun by a process that is gone, and it must not begin twice.
    if (found.state === "acting" && !repeatable) {
      return yield* finish(found, {
        outcome: "unknown",
        code: "KM-SCH-023",
        detail: "km up ended in the middle of it; it may or may not have happened, and is not repeated"
      })
    }
    let run = found
    const attempt = Effect.gen(function*() {
      run = yield* begin(run)
      yield* patiently(scheduler.save(run))
      yield* recorded(run)
      return yield* asking(run, (runner) => runner.start(requestOf(run)))
    })
    for (let n = 0;; n++) {
      const result = yield* Effect.result(attempt)
      if (result._tag === "Success") {
        const started = result.success
        if (started._tag === "Waiting") {
          const waitsUntil = (yield* Clock.currentTimeMillis) + longestWaitMillis
          return yield* patiently(scheduler.save({ ...run, state: "waiting", turn: started.turn, waitsUntil }))
        }
        const { detail, turn } = started
        return yield* finish(turn === undefined ? run : { ...run, turn }, { outcome: "succeeded", detail })
      }
      const pause = retryPauses[n]
      if (!repeatable || !result.failure.passing || pause === undefined) {
        return yield* finish(run, failedEnd(result.failure))
      }
      yield* Effect.logWarning("a scheduled action is tried again", result.failure.message)
      yield* Effect.sleep(pause)
    }
  }, (effect, run) => Effect.annotateLogs(effect, { run: run.id }))

  /** Beside everything else. Not in hand any more once its row says what became of it. */
  const start = (run: ScheduleRun) =>
    Effect.suspend(() => {
      inHand.add(run.id)
      return execute(run).pipe(
        Effect.catchDefect((defect) => Effect.logError("a scheduled run crashed; it is taken up again", defect)),
        Effect.ensuring(Effect.sync(() => inHand.delete(run.id))),
        Effect.forkScoped({ startImmediately: true })
      )
    })

  /** By its turn's record; trouble that passes leaves it waiting. */
  const resume = Effect.fnUntraced(function*(run: WaitingRun, record: TurnRecord) {
    const result = yield* Effect.result(asking(run, (runner) => runner.resume(requestOf(run), record)))
    if (result._tag === "Success") return yield* finish(run, { outcome: "succeeded", detail: result.success.detail })
    if (!result.failure.passing) return yield* finish(run, failedEnd(result.failure))
    yield* Effect.logWarning("a scheduled run could not go on and is tried again", result.failure.message)
  }, (effect, run) => Effect.annotateLogs(effect, { run: run.id }))

  /** Turns that will never have a record: their sandbox is gone, or their message died in the queue. */
  const endLost = Effect.fnUntraced(function*(waiting: ReadonlyArray<WaitingRun>) {
    for (const sandbox of new Set(waiting.map(({ target }) => target))) {
      const there = Option.isSome(yield* sandboxes.get(sandbox))
      const dead = new Set(there ? (yield* queue.deadLetters(sandbox)).map(({ key }) => key) : [])
      for (const run of waiting.filter(({ target }) => target === sandbox)) {
        if (!there) yield* finish(run, failedEnd(sandboxDestroyed(run)))
        else if (dead.has(run.turn)) yield* finish(run, failedEnd(neverStarted(run)))
      }
    }
  })

  /** Those whose turn is over, or never will be, go on. One statement for all of them. */
  const endWaits = Effect.fnUntraced(function*(waiting: ReadonlyArray<WaitingRun>) {
    if (waiting.length === 0) return
    const found = yield* records.among(waiting.map(turnOf))
    const now = yield* Clock.currentTimeMillis
    const left: Array<WaitingRun> = []
    for (const run of waiting) {
      const record = found.get(turnName(turnOf(run)))
      if (record !== undefined) yield* resume(run, record)
      else if (now >= (run.waitsUntil ?? run.claimedAt + longestWaitMillis)) {
        yield* finish(run, failedEnd(notEnded(run)))
      } else left.push(run)
    }
    if (now - lookedForLost < lostEveryMillis || left.length === 0) return
    lookedForLost = now
    yield* endLost(left)
  })

  /** Goes on with every run that can: those that nobody acts on, whoever claimed them, and those whose turn is over. */
  const look = Effect.gen(function*() {
    // Before the rows are read: a run that ends meanwhile is still open in them.
    const busy = new Set(inHand)
    const open = yield* scheduler.open
    yield* endWaits(open.filter(isWaiting))
    const queued = new Set<ScheduleName>()
    for (const name of new Set(open.filter(({ state }) => state === "claimed").map(({ schedule }) => schedule))) {
      const schedule = yield* scheduler.get(name)
      if (Option.isSome(schedule) && schedule.value.overlap === "queue") queued.add(name)
    }
    for (const run of actionable(open, (name) => queued.has(name))) {
      if (!busy.has(run.id)) yield* start(run)
    }
  }).pipe(
    Effect.catch((error) => Effect.logWarning("scheduled runs wait for the store", error.message))
  )

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
    // By what is stored: an earlier run may have begun in another process.
    if (overlap === "skip" && (yield* scheduler.open).some((run) => run.schedule === name)) {
      const detail = "an earlier run was not over"
      const skipped = { state: "ended", outcome: "skipped", code: "KM-SCH-024", detail, endedAt: claimedAt } as const
      yield* scheduler.claim({ ...claimed, ...skipped }, advance)
      return
    }
    yield* scheduler.claim(claimed, advance)
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

  // A firing that could not be claimed comes again.
  const firing = unending(
    "schedules wait because of a defect",
    lookAgain,
    scheduler.firings.pipe(
      Stream.runForEach((one) => handle(one)),
      Effect.catch((error) => Effect.logWarning("schedules wait for the store", error.message)),
      Effect.andThen(Effect.sleep(lookAgain))
    )
  )
  // A claim, an end or a record is heard at once; whatever was missed, within 5 s.
  const looking = unending(
    "scheduled runs wait because of a defect",
    lookAgain,
    Effect.andThen(
      Stream.runForEach(Stream.merge(scheduler.changes, records.written), () => look),
      Effect.sleep(lookAgain)
    )
  )
  const run = Effect.scoped(Effect.raceFirst(looking, firing))

  return ScheduleRunner.of({ run })
})
