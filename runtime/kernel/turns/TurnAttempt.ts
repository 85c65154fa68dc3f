/** One attempt of a turn: prepares its directory and its watchers, starts the agent, and sees it to its end. */
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { TurnKey } from "../../domain/sandbox/Ids.ts"
import { AgentOutcome, type TurnRow } from "../../domain/turn/Turn.ts"
import { personFrame } from "../../domain/turn/TurnFrame.ts"
import { Agent, type AgentEvent, type AgentProcess, type Consent, type ToolCall } from "../../ports/Agent.ts"
import { rowOfAlso } from "./JoinedTurns.ts"
import { continuePrompt, messagePrompt, messageUuid, sessionLostNotice } from "./Prompt.ts"
import { runOut } from "./TurnClock.ts"
import { failure } from "./TurnErrors.ts"
import type { Advance, Job, TurnAbandoned } from "./TurnJob.ts"
import { Happening } from "./TurnMachine.ts"
import { askOr, TurnParties } from "./TurnParties.ts"

/** An agent that was told to end and has not is given up this much later; closing its scope kills it. */
const endGrace = "30 seconds"

/** How long events may still come, and be read by observers, once the process is gone: what is left in the pipe. */
const eventsGrace = "5 seconds"

/** Events an observer may be behind; the oldest go first. Reconciliation makes good what is lost. */
const eventsBehind = 4_096

export interface AttemptOptions {
  /** Messages that have joined a turn, oldest first. */
  readonly joined: (leader: TurnKey) => ReadonlyArray<TurnRow>
  /** Wall clock of one attempt, milliseconds. */
  readonly turnTimeoutMillis: number
  readonly advance: Advance
  /** Whether the agent may make a tool call; absent where it may make any. */
  readonly consent?: (job: Job, call: ToolCall) => Effect.Effect<Consent>
  /** Counts running agents, for status. */
  readonly agentRunning: (delta: 1 | -1) => void
}

/** Lets the observers of the last attempt go. */
export const stopWatching = (job: Job): Effect.Effect<void> =>
  Effect.suspend(() => {
    const scope = job.watching
    job.watching = undefined
    if (scope === undefined) return Effect.void
    return Effect.exit(Scope.close(scope, Exit.void)).pipe(
      Effect.flatMap((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.logWarning("an observer failed to let go", exit.cause)
      )
    )
  })

/** Says in the thread that a fresh session was begun; once in this process, the same for the thread however often. */
export const tellSessionLost = (parties: TurnParties["Service"], job: Job): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (job.row.sessionLost !== true || job.toldSessionLost) return Effect.void
    job.toldSessionLost = true
    const row = job.row
    return askOr(
      parties,
      row,
      "notice",
      (origin) => origin.notice?.(row, "session-lost", sessionLostNotice) ?? Effect.void,
      undefined
    )
  })

/** An attempt with its ports closed over: the outcome of the agent, once every process of it is gone. */
export const makeAttempt = Effect.fnUntraced(function*(options: AttemptOptions) {
  const agent = yield* Agent
  const parties = yield* TurnParties
  const files = yield* FileSystem.FileSystem
  const { advance } = options

  /** A stop, or the end of the attempt's time: what the turn then comes to. */
  const ending = (job: Job): Effect.Effect<AgentOutcome> =>
    Deferred.await(job.stop).pipe(
      Effect.map((by): AgentOutcome => AgentOutcome.cases.Cancelled.make({ by })),
      Effect.raceFirst(Effect.map(
        runOut(job.clock, options.turnTimeoutMillis),
        (afterMillis) => AgentOutcome.cases.TimedOut.make({ afterMillis })
      ))
    )

  /** Gives each observer its own copy of the agent's events; the agent has one consumer, us. */
  const share = Effect.fnUntraced(function*(job: Job, process: AgentProcess) {
    const queues: Array<Queue.Queue<AgentEvent, Cause.Done>> = []
    /** One for each copy that somebody reads; completed when it is read to its end. */
    const read: Array<Deferred.Deferred<void>> = []
    const scope = job.watching
    if (scope !== undefined) {
      yield* parties.tell("started", (observer) =>
        Effect.gen(function*() {
          const queue = yield* Queue.sliding<AgentEvent, Cause.Done>(eventsBehind)
          queues.push(queue)
          const events = Stream.unwrap(Effect.sync(() => {
            const end = Deferred.makeUnsafe<void>()
            read.push(end)
            return Stream.ensuring(Stream.fromQueue(queue), Deferred.succeed(end, undefined))
          }))
          yield* Scope.provide(observer.started(job.row, { ...process, events }), scope)
        }))
    }
    return yield* process.events.pipe(
      Stream.runForEach((event) => Effect.sync(() => queues.forEach((queue) => Queue.offerUnsafe(queue, event)))),
      Effect.catchDefect((defect) => Effect.logWarning("the agent's events ended early", defect)),
      Effect.ensuring(Effect.sync(() => queues.forEach((queue) => Queue.endUnsafe(queue)))),
      Effect.andThen(Effect.suspend(() => Effect.forEach(read, Deferred.await, { discard: true }))),
      Effect.forkScoped
    )
  })

  /** From the prepared row to the end of the agent. Closing the scope ends whatever of it still runs. */
  const runAgent = Effect.fnUntraced(function*(job: Job): Effect.fn.Return<AgentOutcome, TurnAbandoned, Scope.Scope> {
    const row = job.row
    const { runDir, session } = row
    if (runDir === undefined || session === undefined) return AgentOutcome.cases.Failed.make(failure("KM-TRN-001"))
    const { acceptedAt, also = [], files: attached } = row.request
    const end = yield* Effect.forkScoped(ending(job), { startImmediately: true })
    // Files may take minutes; a stop or the deadline ends the wait.
    const fetched = row.says === "continue"
      ? { lines: [], also: [] }
      : yield* Effect.raceFirst(
        Effect.gen(function*() {
          const lines = yield* parties.gathered(row)
          const more = yield* Effect.forEach(
            also,
            (said) =>
              Effect.map(parties.gathered(rowOfAlso(row, said)), (gathered) => ({
                acceptedAt: said.acceptedAt,
                text: said.text,
                lines: gathered
              }))
          )
          return { lines, also: more }
        }),
        Effect.map(Fiber.join(end), (outcome) => ({ outcome }))
      )
    if ("outcome" in fetched) return fetched.outcome
    const contributions = yield* parties.contributions
    const added = row.says === "continue" ? [] : [...yield* parties.promptLines(row), ...fetched.lines]
    const env = yield* askOr(
      parties,
      row,
      "environment",
      (origin) => Effect.sync(() => origin.environment(row)),
      {}
    )
    const frame = yield* askOr(
      parties,
      row,
      "frame",
      (origin) => origin.frame(row),
      personFrame({ sender: "", place: "", acceptedAt, files: attached })
    )
    const ask = options.consent
    const begun = yield* agent.start({
      turn: row.key,
      attempt: row.attempt,
      session,
      mode: row.resumed ? "resume" : "fresh",
      runDir,
      prompt: row.says === "continue"
        ? continuePrompt(frame, acceptedAt)
        : messagePrompt(frame, added, row.request.text, fetched.also),
      messageUuid: messageUuid(row.key, row.attempt),
      env,
      contributions,
      ...(ask === undefined ? {} : { consent: (call) => ask(job, call) })
    }).pipe(
      Effect.map((process) => ({ process, outcome: undefined })),
      Effect.catchTag(
        "AgentNotStarted",
        ({ code, reason, remedy }) =>
          Effect.succeed({ process: undefined, outcome: AgentOutcome.cases.Failed.make({ code, reason, remedy }) })
      ),
      // A start may wait for the session's lock; a stop or the deadline ends the wait.
      Effect.raceFirst(Effect.map(Fiber.join(end), (outcome) => ({ process: undefined, outcome })))
    )
    if (begun.process === undefined) return begun.outcome
    const process = begun.process
    const gaveUp = yield* Effect.forkScoped(Effect.gen(function*() {
      const outcome = yield* Fiber.join(end)
      // Told in a fiber of its own: an adapter that never returns from it is given up all the same.
      yield* Effect.forkScoped(
        outcome._tag === "Cancelled"
          ? process.interrupt(outcome.by)
          : process.timeOut(outcome._tag === "TimedOut" ? outcome.afterMillis : options.turnTimeoutMillis)
      )
      yield* Effect.sleep(endGrace)
      return outcome
    }))
    yield* advance(job, Happening.Spawned({ mark: process.mark }))
    const events = yield* share(job, process)
    const outcome = yield* Effect.raceFirst(process.outcome, Fiber.join(gaveUp))
    const cost = yield* process.costUsd ?? Effect.undefined
    if (cost !== undefined) job.costUsd = (job.costUsd ?? 0) + cost
    yield* Effect.timeoutOption(Fiber.await(events), eventsGrace)
    return outcome
  })

  const prepared = (runDir: string) =>
    Effect.exit(files.makeDirectory(runDir, { recursive: true, mode: 0o700 })).pipe(
      Effect.tap((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.logError("a run directory could not be made", exit.cause)
      ),
      Effect.map(Exit.isSuccess)
    )

  return Effect.fnUntraced(function*(job: Job): Effect.fn.Return<AgentOutcome, TurnAbandoned, Scope.Scope> {
    yield* stopWatching(job)
    const row = job.row
    if (row.cancelRequestedBy !== undefined) return AgentOutcome.cases.Cancelled.make({ by: row.cancelRequestedBy })
    if (row.runDir === undefined || !(yield* prepared(row.runDir))) {
      return AgentOutcome.cases.Failed.make(failure("KM-TRN-001"))
    }
    // ⏳ and the notice do not hold the agent up; the marks that must follow them wait for them.
    job.errands.push(
      yield* Effect.forkScoped(Effect.andThen(
        Effect.forEach(
          [row, ...options.joined(row.key)],
          (one) => askOr(parties, one, "starting", (origin) => origin.starting(one), undefined),
          { discard: true }
        ),
        tellSessionLost(parties, job)
      ))
    )
    const watching = yield* Scope.make()
    job.watching = watching
    yield* parties.tell("starting", (observer) => Scope.provide(observer.starting(row), watching))
    options.agentRunning(1)
    const exit = yield* Effect.exit(Effect.scoped(runAgent(job))).pipe(
      Effect.ensuring(Effect.sync(() => options.agentRunning(-1)))
    )
    if (Exit.isSuccess(exit)) return exit.value
    const abandoned = Exit.findErrorOption(exit)
    if (abandoned._tag === "Some") return yield* abandoned.value
    yield* Effect.logError("the driver of the agent crashed", exit.cause)
    return AgentOutcome.cases.Crashed.make({ detail: "the driver of the agent crashed" })
  })
})
