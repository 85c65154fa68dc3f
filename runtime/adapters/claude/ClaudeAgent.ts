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
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { NetworkMode } from "../../domain/profile/Profile.ts"
import { AgentOutcome, type ProcessMark } from "../../domain/turn/Turn.ts"
import { Agent, type AgentEvent, type AgentProcess, type AgentRun, type Consent } from "../../ports/Agent.ts"
import { confinementOf, exposes, Jail, jailArguments, jailFilter } from "../jail/Bubblewrap.ts"
import { type Door, doorOrigin, doorPorts, type Entrypoint, withDoors } from "../jail/Doors.ts"
import { withThreeDescriptors } from "../jail/probeScript.ts"
import * as Budget from "../model/Budget.ts"
import { ModelDoor } from "../model/ModelDoor.ts"
import { consentLines } from "./ConsentLines.ts"
import { type Contributed, contributed } from "./Contributions.ts"
import { conversations, endsWithMention } from "./Conversations.ts"
import { endedBy, type Ending } from "./Ending.ts"
import { agentErrors } from "./ErrorCodes.ts"
import {
  argumentsOf,
  defaultLimits,
  environmentOf,
  type LaunchLimits,
  type LaunchPolicy,
  pinnedEnvironment,
  sealSettings
} from "./Launch.ts"
import { readLines, tail } from "./LineTail.ts"
import { noFacts, outcomeOf, outcomeOfResult, step } from "./Outcome.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RunFiles from "./RunFiles.ts"
import * as SessionLock from "./SessionLock.ts"
import { notStarted, spawnRun } from "./Spawn.ts"
import { decodeLine, encodeUserMessage } from "./StreamJson.ts"

export interface ClaudeAgentOptions {
  /** Absolute path of the CLI; links are followed, and its directory is mounted read-only in the jail. */
  readonly command: string
  /** The agent's home: absolute, exists, 0700. Its `.claude` holds the conversations. */
  readonly home: string
  /** The agent's working directory: absolute, exists. One per sandbox, always the same. */
  readonly workspace: string
  /** Where session locks are kept; made when missing. Never inside `home` or `workspace`. */
  readonly locks: string
  /** Where it is kept what the sandbox has spent. Never inside `home` or `workspace`. */
  readonly spendFile: string
  readonly policy: LaunchPolicy
  /** US dollars in the sandbox's life; 0 means no limit. */
  readonly budgetUsd: number
  /** `--unconfined` was given: a real model may run without a jail. */
  readonly unconfinedAccepted: boolean
  /** Further files and directories that the agent may read, such as Node and `km-hook`. */
  readonly readOnly: ReadonlyArray<string>
  /** The settings of one run (hooks and their token), made before its doors; released when the run's scope closes. */
  readonly settings: (run: AgentRun) => Effect.Effect<Readonly<Record<string, unknown>>, never, Scope.Scope>
  readonly network: AgentNetwork
  readonly limits?: LaunchLimits
}

/** What the agent's jail is connected to. Without a jail the machine's network is all there is. */
export interface AgentNetwork {
  readonly mode: NetworkMode
  /** Opens the doors of a jail without a network; its files are shown in the jail. */
  readonly entrypoint: Entrypoint
  /** Of each run, beside the model's. Used only where the jail has no network. */
  readonly doors: (run: AgentRun) => ReadonlyArray<Door>
}

/** A run that writes more than this is ended: 1 GiB, thousands of times a long turn. */
const maxOutputBytes = 1024 * 1024 * 1024

/** Between the polite request and the end of the jail (docs/architecture.md). */
const politeMillis = 3_000

/** Asked for consent without anybody to give it. */
const nobodyToAsk: Consent = { _tag: "Denied", reason: "Nobody can be asked here, so nothing is allowed." }

/** Where the jail shows the settings. */
const settingsInJail = "/run/km/settings.json"

const make = Effect.fn("ClaudeAgent.make")(function*(options: ClaudeAgentOptions) {
  const jail = yield* Jail
  const door = yield* ModelDoor
  const budget = yield* Budget.file(options.spendFile, options.budgetUsd)
  const limits = options.limits ?? defaultLimits
  const confinement = confinementOf(jail, options.network.mode)
  const hasDoors = confinement.network === "none"
  const filter = Option.isSome(jail.program) ? jailFilter() : undefined
  const isRoot = process.getuid?.() === 0
  /** The jail has an empty /tmp of its own. */
  const temporary = Option.isSome(jail.program) ? Option.none() : Option.some(Path.join(options.home, ".tmp"))

  const locateCli = Effect.try({
    try: () => {
      const real = Fs.realpathSync(options.command)
      Fs.accessSync(real, Fs.constants.X_OK)
      return real
    },
    catch: () => notStarted(agentErrors.notInstalled, options.command)
  })

  /** In a home that cannot be written the CLI runs, saves nothing and says nothing: the next resume would fail. */
  const checkDirectories = Effect.try({
    try: () => {
      for (const path of [options.home, options.workspace]) Fs.accessSync(path, Fs.constants.W_OK | Fs.constants.X_OK)
      if (Option.isSome(temporary)) Fs.mkdirSync(temporary.value, { recursive: true, mode: 0o700 })
    },
    catch: (error) => notStarted(agentErrors.homeNotWritable, error instanceof Error ? error.message : "")
  })

  const refuseUnconfined = Effect.suspend(() =>
    !confinement.confined && options.policy.permissions === "bypass" && !door.scripted && !options.unconfinedAccepted
      ? Effect.fail(notStarted(
        Option.isNone(jail.program) ? agentErrors.unconfinedRefused : agentErrors.networkStays,
        confinement.detail
      ))
      : Effect.void
  )

  const refuseSpent = Effect.gen(function*() {
    if (!(yield* budget.exhausted)) return
    const spent = yield* budget.spentUsd
    return yield* notStarted(agentErrors.budget, `$${spent.toFixed(2)} of $${budget.limitUsd.toFixed(2)}`)
  })

  /** The program and its arguments, in the jail where there is one. */
  const commandLine = (
    run: AgentRun,
    cli: string,
    files: RunFiles.RunFiles,
    added: Contributed,
    doors: ReadonlyArray<Door>
  ) =>
    Effect.gen(function*() {
      const inside = argumentsOf(run, options.policy, Option.isSome(jail.program) ? settingsInJail : files.settings)
      if (Option.isNone(jail.program)) return { program: cli, args: inside }
      const view = {
        writable: [options.home, options.workspace],
        readOnly: [
          Path.dirname(cli),
          ...options.readOnly,
          ...added.path,
          ...added.readOnly,
          ...(hasDoors ? [options.network.entrypoint.engine, options.network.entrypoint.program] : [])
        ],
        files: [...added.files, [files.settings, settingsInJail] as const],
        cwd: options.workspace,
        hostname: "sandbox",
        network: confinement.network
      }
      const exposed = exposes(
        [...view.writable, ...view.readOnly, ...added.files.map(([from]) => from)],
        [run.runDir, options.locks, options.spendFile]
      )
      if (Option.isSome(exposed)) {
        return yield* notStarted(
          agentErrors.notStarted,
          `the jail would show the agent our own files in ${exposed.value}`
        )
      }
      const agent = withThreeDescriptors([cli, ...inside])
      return {
        program: jail.program.value,
        args: [
          ...jailArguments(view, filter === undefined ? { info: 3 } : { info: 3, seccomp: 4 }, jail.ground),
          ...(hasDoors ? withDoors(options.network.entrypoint, doors, agent) : agent)
        ]
      }
    })

  /**
   * Ends every process of a run. The jail's processes end with bubblewrap; the look for the marker waits until the
   * kernel has done so, and finds the tools of a run that had no jail.
   */
  const endAll = Effect.fnUntraced(function*(marker: string, mark: Option.Option<ProcessMark>) {
    if (Option.isSome(mark)) yield* ProcessTree.awaitGone(mark.value, true)
    const gone = yield* ProcessTree.endMarked(marker)
    if (!gone) yield* Effect.logError("processes of an ended run do not go away").pipe(Effect.annotateLogs({ marker }))
  })

  /**
   * The CLI itself: in the jail the signal would end bubblewrap, which passes nothing on. The agent can write the file
   * with the pid through its own descriptors, so only a process of this run is taken.
   */
  const cliMark = (files: RunFiles.RunFiles, outer: ProcessMark, marker: string): Option.Option<ProcessMark> =>
    Option.isNone(jail.program)
      ? Option.some(outer)
      : RunFiles.jailPid(files).pipe(
        Option.flatMap((pid) => Option.fromNullishOr(ProcessTree.childrenOf(pid)[0])),
        Option.filter((pid) => ProcessTree.hasMarker(pid, marker)),
        Option.flatMap(ProcessTree.findMark)
      )

  const startIn = Effect.fnUntraced(function*(run: AgentRun) {
    yield* Effect.annotateCurrentSpan({ "km.turn": run.turn, "km.session": run.session, "km.attempt": run.attempt })
    yield* refuseUnconfined
    yield* refuseSpent
    const cli = yield* locateCli
    yield* checkDirectories
    const marker = randomBytes(16).toString("hex")
    const files = RunFiles.runFiles(run.runDir)

    const lock = yield* SessionLock.acquire(options.locks, run.session, marker).pipe(
      Effect.mapError((error) =>
        notStarted(error.reason === "busy" ? agentErrors.sessionBusy : agentErrors.runDirectory, error.message)
      )
    )
    yield* Effect.addFinalizer(() => lock.release)

    const { attach, key } = yield* door.admit({
      session: run.session,
      budget,
      note: RunFiles.noteAnswered(files),
      byDoor: hasDoors
    })
    const pinned = pinnedEnvironment({ url: hasDoors ? doorOrigin("model") : door.url, key }, limits)
    const settings = sealSettings(yield* options.settings(run), pinned, options.policy.permissions)
    const added = contributed(run.contributions, run, hasDoors)
    const doors: ReadonlyArray<Door> = hasDoors
      ? [{ name: "model", port: doorPorts.model, attach }, ...options.network.doors(run), ...added.doors]
      : []
    const { args, program } = yield* commandLine(run, cli, files, added, doors)
    const message = encodeUserMessage(run.messageUuid, run.prompt)
    const fds = yield* RunFiles.prepare(files, {
      stdin: message,
      settings,
      marker,
      confined: Option.isSome(jail.program),
      filter
    }).pipe(Effect.mapError(({ detail }) => notStarted(agentErrors.runDirectory, detail)))

    // From the spawn on the scope owns the processes, whatever interrupts us.
    const spawned = yield* Effect.acquireRelease(
      spawnRun(program, args, {
        cwd: options.workspace,
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
        fds,
        doors,
        begins: options.policy.permissions === "ask" ? message : undefined
      }),
      ({ mark }) => endAll(marker, Option.some(mark))
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
          const inner = cliMark(files, spawned.mark, marker)
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
      yield* endAll(marker, Option.none())
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
