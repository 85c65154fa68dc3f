/** What every process of a sandbox's agent begins with, be it a turn or a person's session: checks, lock, key and doors. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { SessionId } from "../../domain/sandbox/Ids.ts"
import type { ProcessMark } from "../../domain/turn/Turn.ts"
import type { AgentContribution, DoorRun } from "../../ports/Agent.ts"
import { type Door, doorOrigin, doorPorts } from "../jail/Doors.ts"
import * as Budget from "../model/Budget.ts"
import { ModelDoor } from "../model/ModelDoor.ts"
import type { ClaudeAgentOptions } from "./AgentOptions.ts"
import { contributed } from "./Contributions.ts"
import { agentErrors } from "./ErrorCodes.ts"
import { makeInvocations } from "./Invocation.ts"
import { defaultLimits, pinnedEnvironment, sealSettings } from "./Launch.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RunFiles from "./RunFiles.ts"
import * as SessionLock from "./SessionLock.ts"
import { notStarted } from "./Spawn.ts"

export const makePreparation = Effect.fnUntraced(function*(options: ClaudeAgentOptions) {
  const { confinement, hasDoors, invocation, isJailed } = yield* makeInvocations(options)
  const door = yield* ModelDoor
  const budget = yield* Budget.file(options.spendFile, options.budgetUsd)
  const limits = options.limits ?? defaultLimits
  /** The jail has an empty /tmp of its own. */
  const temporary = isJailed ? Option.none() : Option.some(Path.join(options.home, ".tmp"))
  /** Sessions that a person works in now; completed when they are over. */
  const attended = new Map<SessionId, Deferred.Deferred<void>>()

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
        isJailed ? agentErrors.networkStays : agentErrors.unconfinedRefused,
        confinement.detail
      ))
      : Effect.void
  )

  const refuseSpent = Effect.gen(function*() {
    if (!(yield* budget.exhausted)) return
    const spent = yield* budget.spentUsd
    return yield* notStarted(agentErrors.budget, `$${spent.toFixed(2)} of $${budget.limitUsd.toFixed(2)}`)
  })

  /** A turn waits until nobody works in its session; whoever asks for it may give up. */
  const unattended = (session: SessionId): Effect.Effect<void> =>
    Effect.suspend(() => {
      const over = attended.get(session)
      return over === undefined ? Effect.void : Effect.andThen(
        Effect.andThen(
          Effect.logInfo("a turn waits for the person who works in its session"),
          Deferred.await(over)
        ),
        unattended(session)
      )
    })

  /** From now on turns of the session wait, until what is acquired after this is released. */
  const attend = (session: SessionId) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        if (attended.has(session)) return Effect.fail(notStarted(agentErrors.sessionBusy))
        const over = Deferred.makeUnsafe<void>()
        attended.set(session, over)
        return Effect.succeed(over)
      }),
      (over) => Effect.andThen(Effect.sync(() => attended.delete(session)), Deferred.succeed(over, undefined))
    )

  const prepare = Effect.fnUntraced(function*(
    run: DoorRun & {
      readonly runDir: string
      readonly contributions: ReadonlyArray<AgentContribution>
    }
  ) {
    yield* refuseUnconfined
    yield* refuseSpent
    const cli = yield* locateCli
    yield* checkDirectories
    const marker = randomBytes(16).toString("hex")
    const files = RunFiles.runFiles(run.runDir)
    yield* run.turn === undefined ? Effect.asVoid(attend(run.session)) : unattended(run.session)
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
    const of: DoorRun = { session: run.session, turn: run.turn }
    const settings = sealSettings(yield* options.settings(of), pinned, options.policy.permissions)
    const added = yield* contributed(run.contributions, of, hasDoors)
    const doors: ReadonlyArray<Door> = hasDoors
      ? [{ name: "model", port: doorPorts.model, attach }, ...options.network.doors(of), ...added.doors]
      : []
    return { cli, marker, files, lock, key, pinned, settings, added, doors }
  })

  /**
   * Ends every process of a run. The jail's processes end with bubblewrap; the look for the marker waits until the
   * kernel has done so, and finds the tools of a run that had no jail. False where some do not go away.
   */
  const endAll = Effect.fnUntraced(function*(marker: string, mark: Option.Option<ProcessMark>) {
    if (Option.isSome(mark)) yield* ProcessTree.awaitGone(mark.value, true)
    const gone = yield* ProcessTree.endMarked(marker)
    if (!gone) yield* Effect.logError("processes of an ended run do not go away").pipe(Effect.annotateLogs({ marker }))
    return gone
  })

  /**
   * The program itself: in the jail the signal would end bubblewrap, which passes nothing on. The agent can write the file
   * with the pid through its own descriptors, so only a process of this run is taken.
   */
  const programMark = (files: RunFiles.RunFiles, outer: ProcessMark, marker: string): Option.Option<ProcessMark> =>
    !isJailed
      ? Option.some(outer)
      : RunFiles.jailPid(files).pipe(
        Option.flatMap((pid) => Option.fromNullishOr(ProcessTree.childrenOf(pid)[0])),
        Option.filter((pid) => ProcessTree.hasMarker(pid, marker)),
        Option.flatMap(ProcessTree.findMark)
      )

  return {
    confinement,
    budget,
    temporary,
    isJailed,
    isRoot: process.getuid?.() === 0,
    invocation,
    prepare,
    endAll,
    programMark
  }
})
export type Preparation = Effect.Success<ReturnType<typeof makePreparation>>
