#!/usr/bin/env node
/** `km`: the composition root that gives the commands their engine, host and bridge, and ends with their exit code. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Console from "effect/Console"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import process from "node:process"
import { agentKinds } from "../runtime/adapters/agents.ts"
import type { EngineRefused } from "../runtime/adapters/disk/EngineErrors.ts"
import type { MailTrouble } from "../runtime/ports/MailDesk.ts"
import type { StoreError } from "../runtime/ports/StoreError.ts"
import { type Backend, Backends } from "./Backend.ts"
import { ExitCode, exitOf, KmError, kmError } from "./KmError.ts"
import { errorLines, ReaderGone, Serving } from "./Output.ts"
import { runKm } from "./RunKm.ts"
import { troubleOf } from "./trouble.ts"

const engineTrouble = (error: EngineRefused | StoreError): KmError =>
  error._tag === "StoreError"
    ? troubleOf(error)
    : new KmError({
      code: error.code,
      exit: exitOf(error.code),
      what: "the state directory was refused",
      why: error.detail,
      next: error.remedy
    })

/** A layer whose failure is told as ours. */
const telling = <A, E, R, E2>(layer: Layer.Layer<A, E, R>, tell: (error: E) => E2) =>
  Layer.effectContext(
    Effect.mapError(Layer.build(layer), tell) as Effect.Effect<Context.Context<A>, E2, R | Scope.Scope>
  )

/** As `km-send` and `km-recv` tell it. */
const told = <A, R>(effect: Effect.Effect<A, MailTrouble, R>) =>
  Effect.mapError(
    effect,
    ({ code, exit, next, what, why }) =>
      new KmError({ code, exit: Schema.is(ExitCode)(exit) ? exit : 1, what, why, next })
  )

/** The codec is read when a command writes or reads mail. */
const mail: Backend["mail"] = Effect.fnUntraced(function*(install, who) {
  const [{ mailDesks }, { deskOptions }] = yield* Effect.promise(() =>
    Promise.all([import("../plugins/index.ts"), import("../runtime/kernel/mail/OperatorMail.ts")])
  )
  const [load] = mailDesks
  if (load === undefined) return yield* kmError("KM-CLI-035", "mail cannot be used", "no plugin of this build has it")
  const make = yield* Effect.promise(load)
  const options = yield* Effect.mapError(deskOptions(install, who), troubleOf)
  const desk = yield* told(make(options))
  return {
    send: (letter, how) => told(desk.send(letter, how)),
    refusing: (names) => told(desk.refusing(names)),
    judgeAll: told(desk.judgeAll),
    list: (folder, page) => told(desk.list(folder, page)),
    replies: (messageId) => told(desk.replies(messageId)),
    get: (delivery) => told(desk.get(delivery)),
    release: (delivery) => told(desk.release(delivery)),
    raw: (delivery) => told(desk.raw(delivery)),
    saveAttachments: (...args) => told(desk.saveAttachments(...args))
  }
})

/** The engine and all that comes with it are read when a command opens an install, never for `km --help`. */
const open = async (root: string): Promise<Backend> => {
  const [
    FetchHttpClient,
    BridgeClient,
    EmbeddedEngine,
    FileAudit,
    FileInstallStore,
    FileSecrets,
    ProcessLock,
    State,
    Host,
    OctokitApps,
    MemoryOutbox
  ] = await Promise.all([
    import("effect/http/FetchHttpClient"),
    import("../runtime/adapters/bridge/BridgeClient.ts"),
    import("../runtime/engines/embedded/EmbeddedEngine.ts"),
    import("../runtime/engines/embedded/FileAudit.ts"),
    import("../runtime/engines/embedded/FileInstallStore.ts"),
    import("../runtime/engines/embedded/FileSecrets.ts"),
    import("../runtime/adapters/disk/ProcessLock.ts"),
    import("../runtime/adapters/disk/StateDirectory.ts"),
    import("../runtime/substrates/process/EmbeddedHost.ts"),
    import("../runtime/adapters/github/OctokitApps.ts"),
    import("../runtime/ports/memory/MemoryOutbox.ts")
  ])
  const { besideClaude, children, profiles } = await import("./Programs.ts")
  const { versionOf } = await import("./Machine.ts")
  const { findClaude } = await import("../runtime/adapters/claude/findClaude.ts")
  const { agentErrors } = await import("../runtime/adapters/claude/ErrorCodes.ts")
  const paths = State.statePaths(root)
  const { run, sandboxes, secrets } = paths
  return {
    paths: { root, run, sandboxes, secrets, profiles: profiles() },
    agents: agentKinds,
    install: Effect.mapError(State.readInstall(root), engineTrouble),
    writeInstall: (install) => Effect.mapError(State.writeInstall(root, install), engineTrouble),
    ports: (life) =>
      telling(
        Host.layer(root).pipe(
          Layer.provideMerge(EmbeddedEngine.layer(root, { check: life !== "short" })),
          Layer.merge(
            Layer.provideMerge(
              FileAudit.layer(root, "operator"),
              FileInstallStore.layer(root)
            )
          ),
          Layer.merge(Layer.provideMerge(
            OctokitApps.layer,
            life === "unattended" ? FileSecrets.layerUnattended(secrets) : FileSecrets.layer(secrets)
          ))
        ),
        engineTrouble
      ),
    bridge: (install) =>
      telling(
        BridgeClient.layer({
          url: install.bridgeUrl,
          host: install.bridgeHost,
          install: install.install,
          sender: "operator",
          epoch: Effect.succeed(0)
          // An operator's request that is given up is asked again by the next command; nothing of it stays on disk.
        }).pipe(Layer.provide(Layer.merge(MemoryOutbox.layer, FetchHttpClient.layer))),
        (error) =>
          error._tag === "SigningKeyMissing"
            ? kmError("KM-CLI-025", "the operator has no key", error.message)
            : troubleOf(error)
      ),
    mail,
    lock: Effect.mapError(
      ProcessLock.holdLock(`${run}/up.lock`, "runs this install"),
      (error) =>
        error.code === "KM-ENG-008"
          ? kmError("KM-CLI-008", "km up is running already", error.detail)
          : engineTrouble(error)
    ),
    controlPlane: Effect.sync(() => ProcessLock.lockHolder(`${run}/control.lock`)),
    makingKeys: ProcessLock.holdLock(`${run}/keys.lock`, "makes keys").pipe(
      Effect.retry({
        schedule: Schedule.spaced("100 millis"),
        times: 300,
        while: (error) => error.code === "KM-ENG-008"
      }),
      Effect.mapError(engineTrouble)
    ),
    claude: Effect.gen(function*() {
      const command = findClaude({
        given: process.env["KM_CLAUDE"] ?? "",
        searched: process.env["PATH"] ?? "",
        beside: besideClaude
      })
      const version = yield* versionOf(command, ["--version"])
      if (version !== undefined) return { command, version }
      const { code, remedy, what } = agentErrors.notInstalled
      return yield* new KmError({ code, exit: exitOf(code), what, why: `${command} does not run`, next: remedy })
    }),
    jail: Effect.promise(() => import("../runtime/adapters/jail/Bubblewrap.ts")).pipe(
      Effect.flatMap(({ Jail }) => Effect.provide(Jail, Jail.layer)),
      Effect.map(({ detail, networkStays, program, remedy }) => ({
        jails: Option.isSome(program),
        networkStays: Option.isSome(program) ? Option.getOrElse(networkStays, () => "") : "",
        detail: detail.replace(/^unconfined: /, ""),
        remedy
      }))
    ),
    children
  }
}

/** Commands start processes through `km-cli/up`, which needs their pids and groups; the command tree itself starts none. */
const NoSpawner = Layer.succeed(
  ChildProcessSpawner.ChildProcessSpawner,
  ChildProcessSpawner.make(() => Effect.die("km starts processes through km-cli/up"))
)

/** Notes of what commands do are talk; standard output is data. */
const StderrLogger = Layer.merge(
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]),
  Layer.succeed(References.MinimumLogLevel, "Warn")
)

/** Nothing that is lost on the way to a person ends what a command does: a create without a reader is a create. */
process.stderr.on("error", () => undefined)

/** What became of standard output: its reader went, as in `km list | head -1`, or it could not be written. */
const output: { lost?: string } = {}
const outputLost = new Promise<void>((resolve) => {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    output.lost ??= error.code ?? error.message
    resolve()
  })
})

/** What was printed has been taken, or has failed, once an empty write has; that is told a turn later. */
const lostByNow = Effect.callback<string | undefined>((resume) => {
  process.stdout.write("", () => void setImmediate(() => resume(Effect.succeed(output.lost))))
})

/** Whether the command runs until somebody ends it, and whether that was asked for by SIGTERM. */
const ended = { serving: false, asked: false }
process.once("SIGTERM", () => void (ended.asked = true))

/** As shells have it: 130 is ended by Ctrl-C, 143 by SIGTERM; a command that runs until then has done what it should. */
const exitOnSignal = (): number => ended.asked ? (ended.serving ? 0 : 143) : 130

const main = Effect.gen(function*() {
  const code = yield* runKm(process.argv.slice(2))
  const why = code === 0 ? yield* lostByNow : undefined
  if (why !== undefined && why !== "EPIPE") {
    const error = kmError("KM-CLI-024", "the output was lost", why)
    for (const line of errorLines(error)) yield* Console.error(line)
    process.exitCode = error.exit
    return
  }
  // 141: without a word, as shells have it for a program whose reader went.
  process.exitCode = why === undefined ? code : 141
}).pipe(
  Effect.provideService(ReaderGone, Effect.promise(() => outputLost)),
  Effect.provideService(Serving, ended),
  Effect.provide(Layer.mergeAll(
    Layer.succeed(Backends, Backends.of({ open: (root) => Effect.promise(() => open(root)) })),
    NodeFileSystem.layer,
    NodePath.layer,
    NodeStdio.layer,
    NodeTerminal.layer,
    NoSpawner,
    StderrLogger
  ))
)

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(exit._tag === "Success" ? Number(process.exitCode ?? 0) : exitOnSignal())
})
