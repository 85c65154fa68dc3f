/**
 * The `Agent` port for the Claude Code CLI: one process per run, in the jail where there is one, its output in a file,
 * its end decided from the `result` lines once every process of the run is gone.
 */
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AgentOutcome } from "../../domain/turn/Turn.ts"
import { Agent, type AgentEvent, type AgentProcess, type AgentRun, type Consent } from "../../ports/Agent.ts"
import type { Jail } from "../jail/Bubblewrap.ts"
import type { ModelDoor } from "../model/ModelDoor.ts"
import type { ClaudeAgentOptions } from "./AgentOptions.ts"
import { consentLines } from "./ConsentLines.ts"
import { conversations, endsWithMention } from "./Conversations.ts"
import { endedBy, type Ending } from "./Ending.ts"
import { agentErrors } from "./ErrorCodes.ts"
import { argumentsOf, environmentOf } from "./Launch.ts"
import { readLines, tail } from "./LineTail.ts"
import { noFacts, outcomeOf, outcomeOfResult, step } from "./Outcome.ts"
import { makePreparation } from "./Preparation.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RunFiles from "./RunFiles.ts"
import * as SessionLock from "./SessionLock.ts"
import { notStarted, spawnRun } from "./Spawn.ts"
import { decodeLine, encodeUserMessage } from "./StreamJson.ts"
import { makeTerminalSessions } from "./TerminalSession.ts"

export type { AgentNetwork, ClaudeAgentOptions } from "./AgentOptions.ts"

/** A run that writes more than this is ended: 1 GiB, thousands of times a long turn. */
const maxOutputBytes = 1024 * 1024 * 1024

/** Between the polite request and the end of the jail (docs/architecture.md). */
const politeMillis = 3_000

/** Asked for consent without anybody to give it. */
const nobodyToAsk: Consent = { _tag: "Denied", reason: "Nobody can be asked here, so nothing is allowed." }

const make = Effect.fn("ClaudeAgent.make")(function*(options: ClaudeAgentOptions) {
  const preparation = yield* makePreparation(options)
  const { budget, confinement, endAll, invocation, isRoot, prepare, programMark, temporary } = preparation

  const startIn = Effect.fnUntraced(function*(run: AgentRun) {
    yield* Effect.annotateCurrentSpan({ "km.turn": run.turn, "km.session": run.session, "km.attempt": run.attempt })
    const { added, cli, doors, files, lock, marker, pinned, settings } = yield* prepare(run)
    const { args, env, jail, program } = yield* invocation({
      cli,
      command: (shown) => [cli, ...argumentsOf(run, options.policy, shown)],
      runDir: run.runDir,
      files,
      added,
      doors,
      env: environmentOf({
        run,
        pinned,
        home: options.home,
        path: added.path,
        marker,
        extra: added.env,
        temporary,
        isRoot
      }),
      marker
    })
    const message = encodeUserMessage(run.messageUuid, run.prompt)
    const fds = yield* RunFiles.prepare(files, {
      prompt: message,
      settings,
      marker,
      jail
    }).pipe(Effect.mapError(({ detail }) => notStarted(agentErrors.runDirectory, detail)))

    /** No process of the run is left: there is nothing more to look for. */
    let allGone = false
    // From the spawn on the scope owns the processes, whatever interrupts us.
    const spawned = yield* Effect.acquireRelease(
      spawnRun(program, args, {
        cwd: options.workspace,
        env,
        fds,
        doors,
        begins: options.policy.permissions === "ask" ? message : undefined
      }),
      ({ mark }) => Effect.suspend(() => allGone ? Effect.void : Effect.asVoid(endAll(marker, Option.some(mark))))
    )
    yield* spawned.begun

    const events = yield* Queue.make<AgentEvent, Cause.Done>()
    const outcome = yield* Deferred.make<AgentOutcome>()
    let facts = noFacts
    let ending: Option.Option<Ending> = Option.none()
    const scope = yield* Effect.scope

    /** Asks the CLI to stop, and ends everything if it has not within three seconds. Only the first reason counts. */
    const end = (reason: Ending): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (Option.isSome(ending) || Deferred.isDoneUnsafe(outcome)) return Effect.void
        ending = Option.some(reason)
        return Effect.gen(function*() {
          const inner = programMark(files, spawned.mark, marker)
          if (Option.isSome(inner) && reason.kind !== "too-large") {
            yield* ProcessTree.signal(inner.value, "SIGINT")
            yield* Deferred.await(outcome).pipe(Effect.timeoutOption(politeMillis))
          }
          yield* ProcessTree.signal(spawned.mark, "SIGKILL")
        }).pipe(Effect.forkIn(scope), Effect.asVoid)
      })

    const runFork = Effect.runForkWith(yield* Effect.context())
    const questions = spawned.input === undefined ? undefined : consentLines({
      consent: run.consent ?? (() => Effect.succeed(nobodyToAsk)),
      input: spawned.input,
      fork: runFork
    })
    yield* Effect.addFinalizer(() => questions?.stop ?? Effect.void)
    const onLine = (line: string): void => {
      questions?.onLine(line)
      const decoded = decodeLine(line)
      if (Option.isNone(decoded)) return
      const [next, said] = step(facts, decoded.value)
      facts = next
      Queue.offerAllUnsafe(events, said)
      if (Option.isSome(facts.hopeless)) runFork(end({ kind: "hopeless" }))
    }
    const output = yield* tail(files.stdout, maxOutputBytes, onLine)
    yield* output.done.pipe(
      Effect.flatMap((how) => how === "too-large" ? end({ kind: "too-large" }) : Effect.void),
      Effect.forkScoped
    )

    let costUsd: number | undefined
    yield* Effect.gen(function*() {
      const exit = yield* spawned.exit
      allGone = yield* endAll(marker, Option.none())
      yield* output.finish
      yield* Queue.end(events)
      yield* lock.release
      const cost = Option.flatMap(facts.lastResult, (result) => Option.fromNullishOr(result.total_cost_usd))
      if (Option.isSome(cost)) costUsd = yield* budget.report(run.session, cost.value)
      const how = { exit, stderr: RunFiles.readStderr(files) }
      const result = Option.match(ending, {
        onNone: () => outcomeOf(facts, how),
        onSome: (reason) => endedBy(reason, facts, how)
      })
      yield* Effect.annotateCurrentSpan({ "km.outcome": result._tag })
      yield* Deferred.succeed(outcome, result)
    }).pipe(
      // Whoever waits must not wait for ever because of a mistake of ours.
      Effect.catchDefect((defect) =>
        Effect.logError("reading a run failed", defect).pipe(
          Effect.andThen(Queue.end(events)),
          Effect.andThen(
            Deferred.succeed(
              outcome,
              AgentOutcome.cases.Crashed.make({ detail: `the run could not be read: ${String(defect)}` })
            )
          )
        )
      ),
      Effect.withSpan("Agent.run"),
      Effect.forkScoped
    )

    const process: AgentProcess = {
      mark: spawned.mark,
      events: Stream.fromQueue(events),
      outcome: Deferred.await(outcome),
      costUsd: Effect.sync(() => costUsd),
      interrupt: (by) => end({ kind: "cancelled", by }),
      timeOut: (afterMillis) => end({ kind: "timed-out", afterMillis })
    }
    return process
  })

  /** A run that cannot start leaves nothing behind, however long the caller's scope lives. */
  const start = Effect.fn("Agent.start")(function*(run: AgentRun) {
    const scope = yield* Scope.fork(yield* Effect.scope)
    return yield* startIn(run).pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })

  const recover: Agent["Service"]["recover"] = Effect.fn("Agent.recover")(function*(run) {
    const files = RunFiles.runFiles(run.runDir)
    const record = RunFiles.readRecord(files)
    if (Option.isNone(record)) {
      if (Option.isSome(run.process)) yield* ProcessTree.awaitGone(run.process.value, true)
      return Option.none()
    }
    yield* endAll(record.value.marker, run.process)
    yield* SessionLock.releaseStale(options.locks, run.session, record.value.marker)
    let facts = noFacts
    yield* readLines(files.stdout, maxOutputBytes, (line) => {
      const decoded = decodeLine(line)
      if (Option.isSome(decoded)) facts = step(facts, decoded.value)[0]
    })
    return outcomeOfResult(facts)
  })

  return Agent.of({
    start,
    interact: makeTerminalSessions(options, preparation),
    recover,
    sessionExists: (session) => Effect.sync(() => conversations(options.home, session).length > 0),
    // Without an answer of the model no tool has run. The conversation is looked at too, because the CLI may have
    // written the message there before it asked: a resume would then find it, and must not get it twice.
    messageReceived: ({ messageUuid, runDir, session }) =>
      Effect.sync(() =>
        RunFiles.wasAnswered(RunFiles.runFiles(runDir)) ||
        conversations(options.home, session).some((file) => endsWithMention(file, messageUuid))
      ),
    spentUsd: budget.spentUsd,
    confinement: Effect.succeed({ confined: confinement.confined, detail: confinement.detail })
  })
})

/** The `Agent` of one sandbox. Build one layer per sandbox; `Jail` and `ModelDoor` are shared by all of them. */
export const layer = (options: ClaudeAgentOptions): Layer.Layer<Agent, never, Jail | ModelDoor> =>
  Layer.effect(Agent, make(options))
