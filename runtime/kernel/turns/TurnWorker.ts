/**
 * Carries one turn from where its row stands to `settled`: asks the machine, acts, tells the machine. It holds no policy
 * of its own, and may be started on any row after any crash.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { type SandboxId, SessionId } from "../../domain/sandbox/Ids.ts"
import { AgentOutcome, originKind, type ShownPart } from "../../domain/turn/Turn.ts"
import { recordOf } from "../../domain/turn/TurnRecord.ts"
import { Agent } from "../../ports/Agent.ts"
import { backoffSchedule } from "../../ports/Backoff.ts"
import { Ledger } from "../../ports/Ledger.ts"
import { Permissions } from "../../ports/Permissions.ts"
import { Redaction } from "../../ports/Redaction.ts"
import { TurnRecords } from "../../ports/TurnRecords.ts"
import { messageUuid } from "./Prompt.ts"
import { type AttemptOptions, makeAttempt, stopWatching, tellSessionLost } from "./TurnAttempt.ts"
import type { Job, TurnAbandoned } from "./TurnJob.ts"
import { Happening, replayedKey, type RunTrace, type Step, stepOf } from "./TurnMachine.ts"
import { askOr, TurnParties } from "./TurnParties.ts"

const isSessionId = Schema.is(SessionId)

/** 1 s, doubling, at most a minute apart, for ever: what must be known before anything else may be done. */
const insistently = backoffSchedule({ firstMillis: 1_000, longestMillis: 60_000 })

/** The outcome as a person may see it. Before it is written down, since rows are shown too. */
const redacted = (outcome: AgentOutcome, redact: (text: string) => string): AgentOutcome => {
  switch (outcome._tag) {
    case "Answered":
      return { ...outcome, text: redact(outcome.text) }
    case "Failed":
      return { ...outcome, reason: redact(outcome.reason), remedy: redact(outcome.remedy) }
    case "Crashed":
      return { ...outcome, detail: redact(outcome.detail) }
    default:
      return outcome
  }
}

export interface WorkerOptions extends AttemptOptions {
  readonly sandbox: SandboxId
  /** Held while the turn has, or may have, an agent: the profile's limit. Also returns when the turn is stopped. */
  readonly agentPermit: (job: Job) => Effect.Effect<void, never, Scope.Scope>
  /** Never completes once the runtime stops, so that no new agent is started and the row stays as it is. */
  readonly mayStart: (job: Job) => Effect.Effect<void>
}

/** A defect of the agent's adapter is logged and the question asked again: to go on without the answer is unsafe. */
const insist = <A>(question: Effect.Effect<A>): Effect.Effect<A> =>
  question.pipe(
    Effect.sandbox,
    Effect.tapError((cause) => Effect.logError("the agent adapter crashed and is asked again", cause)),
    Effect.retry(insistently),
    Effect.orDie
  )

/** A worker with its ports closed over. It ends when the row is settled, or fails and leaves the row open. */
export const makeWorker = Effect.fnUntraced(function*(options: WorkerOptions) {
  const agent = yield* Agent
  const parties = yield* TurnParties
  const ledger = yield* Ledger
  const { redact } = yield* Redaction
  const records = yield* TurnRecords
  const permissions = yield* Permissions
  const attempt = yield* makeAttempt(options)
  const { advance, sandbox } = options

  const trace = Effect.fnUntraced(function*(job: Job): Effect.fn.Return<RunTrace> {
    const { attempt: number, key, runDir, session } = job.row
    if (session === undefined || runDir === undefined) return { sessionOnDisk: false }
    const sessionOnDisk = yield* insist(agent.sessionExists(session))
    return agent.messageReceived === undefined ? { sessionOnDisk } : {
      sessionOnDisk,
      messageReceived: yield* insist(
        agent.messageReceived({ session, runDir, messageUuid: messageUuid(key, number) })
      )
    }
  })

  const ended = Effect.fnUntraced(function*(job: Job, outcome: AgentOutcome) {
    const again = outcome._tag === "Crashed" || outcome._tag === "SessionLost"
    if (again) yield* options.mayStart(job)
    const known = again ? yield* trace(job) : { sessionOnDisk: false }
    const at = yield* Clock.currentTimeMillis
    return yield* advance(job, Happening.Ended({ outcome: redacted(outcome, redact), trace: known, at }))
  })

  /** A replay edits the notice of the turn that was parked. */
  const tellReplay = Effect.fnUntraced(function*(job: Job) {
    const key = replayedKey(job.row.key)
    if (key === undefined) return
    const found = yield* ledger.get(key).pipe(
      Effect.catch((error) => Effect.as(Effect.logWarning(error.message), Option.none()))
    )
    if (Option.isNone(found) || found.value.result !== "parked") return
    const parked = found.value
    yield* askOr(
      parties,
      job.row,
      "replaying",
      (origin) => origin.replaying?.(parked, job.row) ?? Effect.void,
      undefined
    )
  })

  const begin = Effect.fnUntraced(function*(job: Job) {
    yield* tellReplay(job)
    const told = job.row.cancelRequestedBy !== undefined
      ? undefined
      : yield* askOr(parties, job.row, "session", (origin) => origin.session(job.row), undefined)
    const session = isSessionId(told) ? told : undefined
    const sessionOnDisk = session !== undefined && (yield* insist(agent.sessionExists(session)))
    yield* options.mayStart(job)
    job.begun = true
    return yield* advance(job, Happening.Begun({ session, sessionOnDisk, at: yield* Clock.currentTimeMillis }))
  })

  const recover = Effect.fnUntraced(function*(job: Job) {
    const { process, runDir, session } = job.row
    const found = runDir === undefined || session === undefined
      ? Option.none<AgentOutcome>()
      : yield* insist(agent.recover({ runDir, session, process: Option.fromNullishOr(process) }))
    return yield* ended(
      job,
      Option.getOrElse(found, () => AgentOutcome.cases.Crashed.make({ detail: "the runtime was started again" }))
    )
  })

  /** Until no agent of the turn runs or will run. */
  const untilAnswered = Effect.fnUntraced(function*(job: Job, first: Step) {
    for (let step = first;;) {
      switch (step) {
        case "Begin":
          step = yield* begin(job)
          break
        case "Recover":
          step = yield* recover(job)
          break
        case "Spawn":
          step = yield* ended(job, yield* attempt(job))
          break
        default:
          return step
      }
    }
  })

  const settle = Effect.fnUntraced(function*(job: Job) {
    const row = job.row
    yield* tellSessionLost(parties, job)
    if (options.consent !== undefined) yield* permissions.settled(row)
    const shown: ReadonlyArray<ShownPart> = row.attempt === 0
      ? []
      : (yield* parties.tell("exited", (observer) => observer.exited(row))).flat()
    yield* stopWatching(job)
    for (const { lines, plugin } of row.attempt === 0 ? [] : yield* parties.notices(row)) {
      yield* askOr(
        parties,
        row,
        "notice",
        (origin) => origin.notice?.(row, `told-${plugin}`, lines.join("\n")) ?? Effect.void,
        undefined
      )
    }
    const answer = yield* parties.ask(originKind(row.request.origin), "settle", (origin) => origin.settle(row, shown))
      .pipe(
        Effect.match({
          onSuccess: (parts) => Happening.Shown({ parts }),
          onFailure: (error) =>
            error._tag === "OriginBroken"
              ? Happening.Refused({ code: "KM-TRN-009", detail: error.message, parts: [] })
              : Happening.Refused({ code: error.code, detail: error.detail, parts: error.shown ?? [] })
        })
      )
    if (answer._tag === "Refused") {
      yield* Effect.logError("the outcome of a turn cannot be delivered").pipe(
        Effect.annotateLogs({ code: answer.code, why: answer.detail })
      )
    }
    return yield* advance(job, answer)
  })

  const close = Effect.fnUntraced(function*(job: Job) {
    const row = job.row
    const ran = row.attempt > 0 && row.session !== undefined
    // Also where nothing could be shown: the thread goes on with its session once Slack takes something again.
    if (ran && (yield* insist(agent.sessionExists(row.session)))) {
      yield* askOr(parties, row, "remember", (origin) => origin.remember(row), undefined)
    }
    // ⏳ must be there before it is taken away.
    yield* Effect.forEach(job.errands, Fiber.await)
    yield* askOr(parties, row, "mark", (origin) => origin.mark(row), undefined)
    if (ran && (row.result !== "undeliverable" || row.shown.length > 0)) {
      yield* parties.tell("posted", (observer) => observer.posted(row))
    }
    // Durable before the row is settled: what is neither open nor recorded, nobody has heard of.
    yield* records.put(sandbox, recordOf(row, job.costUsd, redact)).pipe(
      Effect.tapError((error) => Effect.logWarning("a turn waits for the store of records", error.message)),
      Effect.retry(insistently),
      Effect.orDie
    )
    // A delivery in between renews the receipt, and both must go, or the thread waits until the new one expires. Once
    // the row is settled no other receipt is written into it.
    for (let given: string | undefined | null = null, step: Step = "Close"; given !== job.row.receipt;) {
      given = job.row.receipt
      yield* askOr(parties, job.row, "finish", (origin) => origin.finish(job.row), undefined)
      if (step === "Close") step = yield* advance(job, Happening.Finished())
    }
    return "Done" as const
  })

  return (job: Job): Effect.Effect<void, TurnAbandoned> =>
    Effect.gen(function*() {
      const first = stepOf(job.row)
      // Errands outlive the permit: they belong to the turn, the permit to its agent.
      const turn = yield* Effect.scope
      const step = first === "Begin" || first === "Recover"
        ? yield* Effect.scoped(
          Effect.andThen(options.agentPermit(job), Scope.provide(untilAnswered(job, first), turn))
        )
        : first
      if (step === "Settle") yield* settle(job)
      if (job.row.state === "posted") yield* close(job)
    }).pipe(Effect.ensuring(stopWatching(job)), Effect.scoped)
})
