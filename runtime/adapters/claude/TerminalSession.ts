/**
 * A session that a person works in. The terminal is made inside the jail, by util-linux's `script`: what the agent holds is
 * of the jail's own, and nothing typed into it by a program reaches a terminal of the machine. The runtime has the two
 * pipes of `script`, and passes on what goes through them.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import type { TerminalSize } from "../../domain/sandbox/TerminalProtocol.ts"
import type { TerminalProcess, TerminalRun } from "../../ports/Agent.ts"
import type { ClaudeAgentOptions } from "./AgentOptions.ts"
import { conversations } from "./Conversations.ts"
import { agentErrors } from "./ErrorCodes.ts"
import { answeredSettings, answerFirstRun } from "./FirstRun.ts"
import { environmentOf, terminalArguments } from "./Launch.ts"
import type { Preparation } from "./Preparation.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RunFiles from "./RunFiles.ts"
import { notStarted, spawnRun } from "./Spawn.ts"

/** Between the hang-up and the end of everything (docs/architecture.md). */
const politeMillis = 3_000

/** One word for a POSIX shell. */
const shellWord = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

const isThere = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** In the system's own directories, which the jail shows. */
const findScript = (): string | undefined => ["/usr/bin/script", "/bin/script"].find(isThere)

/** `script` on a terminal of the given size around a command; it ends with the command's exit code. */
export const onTerminal = (
  script: string,
  size: TerminalSize,
  command: ReadonlyArray<string>
): ReadonlyArray<string> => [
  script,
  "--quiet",
  "--flush",
  "--return",
  // Its own input is a pipe, and it would take that for a terminal that echoes already.
  "--echo",
  "always",
  "--command",
  `stty rows ${size.rows} cols ${size.columns}; exec ${command.map(shellWord).join(" ")}`,
  "/dev/null"
]

/**
 * The terminal's own device: the first of those that the jail has, for which no program inside can put anything else; without
 * a jail the one that the program has.
 */
const deviceOf = (jail: Option.Option<number>, program: Option.Option<number>): string | undefined => {
  if (Option.isSome(jail)) return `/proc/${jail.value}/root/dev/pts/0`
  try {
    return Option.isSome(program) ? Fs.readlinkSync(`/proc/${program.value}/fd/0`) : undefined
  } catch {
    // It has ended.
    return undefined
  }
}

/** Tells the kernel how large the terminal is, which tells the programs on it. Node has no call for it. */
const setSize = (device: string, size: TerminalSize): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let fd: number
    try {
      const { O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = Fs.constants
      fd = Fs.openSync(device, O_RDWR | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK)
    } catch {
      // The session is over; a terminal that is gone has no size.
      return resume(Effect.void)
    }
    const child = spawn("stty", ["rows", String(size.rows), "cols", String(size.columns)], {
      stdio: [fd, "ignore", "ignore"],
      env: { PATH: "/usr/bin:/bin" },
      timeout: 5_000
    })
    Fs.closeSync(fd)
    child.once("error", () => resume(Effect.void))
    child.once("close", () => resume(Effect.void))
  })

export const makeTerminalSessions = (options: ClaudeAgentOptions, preparation: Preparation) => {
  const { endAll, invocation, isJailed, isRoot, prepare, programMark, temporary } = preparation

  const begin = Effect.fnUntraced(function*(run: TerminalRun) {
    const script = findScript()
    if (script === undefined) return yield* notStarted(agentErrors.noTerminal)
    if (run.mode === "resume" && conversations(options.home, run.session).length === 0) {
      return yield* notStarted(agentErrors.noConversation, run.session)
    }
    const prepared = yield* prepare({ ...run, turn: undefined })
    const { added, cli, doors, files, key, marker, pinned, settings } = prepared
    if (run.command.length === 0) {
      yield* Effect.try({
        try: () => answerFirstRun(options.home, { key, workspace: options.workspace }),
        catch: (error) => notStarted(agentErrors.homeNotWritable, error instanceof Error ? error.message : "")
      })
    }
    const { args, env, jail, program } = yield* invocation({
      cli,
      command: (shown) =>
        onTerminal(
          script,
          run.size,
          run.command.length === 0 ? [cli, ...terminalArguments(run, options.policy, shown)] : run.command
        ),
      runDir: run.runDir,
      files,
      added,
      doors,
      env: environmentOf({
        run: { env: {} },
        pinned,
        home: options.home,
        path: added.path,
        marker,
        extra: added.env,
        temporary,
        isRoot,
        terminal: run.terminal
      }),
      marker
    })
    const fds = yield* RunFiles.prepare(files, {
      prompt: undefined,
      settings: { ...settings, ...answeredSettings(options.policy) },
      marker,
      jail
    }).pipe(
      Effect.mapError(({ detail }) => notStarted(agentErrors.runDirectory, detail))
    )
    const spawned = yield* Effect.acquireRelease(
      spawnRun(program, args, { cwd: options.workspace, env, fds, doors }),
      ({ mark }) => endAll(marker, Option.some(mark))
    )
    yield* spawned.begun
    const pipes = Option.getOrUndefined(spawned.pipes)
    if (pipes === undefined) return yield* notStarted(agentErrors.notStarted, "it has no pipes")
    // Whoever writes to a program that has ended is told by its end.
    pipes.input.on("error", () => undefined)

    const ended = yield* Deferred.make<number>()
    yield* spawned.exitCode.pipe(
      Effect.tap(() => endAll(marker, Option.none())),
      Effect.flatMap((code) => Deferred.succeed(ended, code)),
      Effect.forkScoped
    )

    /** What runs on the terminal, and the jail's first process. */
    const inside = () => {
      const helper = programMark(files, spawned.mark, marker)
      const found = Option.flatMap(helper, ({ pid }) => Option.fromNullishOr(ProcessTree.childrenOf(pid)[0]))
      return Option.filter(found, (pid) => ProcessTree.hasMarker(pid, marker))
    }
    const session: TerminalProcess = {
      ...pipes,
      ended: Deferred.await(ended),
      resize: (size) =>
        Effect.suspend(() => {
          const device = deviceOf(isJailed ? RunFiles.jailPid(files) : Option.none(), inside())
          return device === undefined ? Effect.void : setSize(device, size)
        }),
      hangUp: Effect.gen(function*() {
        const found = Option.flatMap(inside(), ProcessTree.findMark)
        if (Option.isSome(found)) {
          yield* ProcessTree.signal(found.value, "SIGHUP")
          yield* Effect.timeoutOption(Deferred.await(ended), politeMillis)
        }
        yield* ProcessTree.signal(spawned.mark, "SIGKILL")
        yield* Deferred.await(ended)
      })
    }
    return session
  })

  /** One that cannot begin leaves nothing behind, however long the caller's scope lives. */
  return Effect.fn("Agent.interact")(function*(run: TerminalRun) {
    const scope = yield* Scope.fork(yield* Effect.scope)
    return yield* begin(run).pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })
}
