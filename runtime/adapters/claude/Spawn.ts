/** Starts a run's process, and lets its agent begin only once the jail's doors are served. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { constants } from "node:os"
import type { Readable, Writable } from "node:stream"
import type { ProcessMark } from "../../domain/turn/Turn.ts"
import { AgentNotStarted } from "../../ports/Agent.ts"
import { type Door, type HandOver, handOverFrom } from "../jail/Doors.ts"
import { agentErrors, type ErrorCode } from "./ErrorCodes.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RunFiles from "./RunFiles.ts"

export const notStarted = (error: ErrorCode, detail = ""): AgentNotStarted =>
  new AgentNotStarted({
    code: error.code,
    reason: detail === "" ? error.what : `${error.what}: ${detail}`,
    remedy: error.remedy
  })

export interface Spawned {
  readonly mark: ProcessMark
  /** How it ended, in words. */
  readonly exit: Effect.Effect<string>
  /** Its exit code; 128 and the signal's number where one ended it, as shells have it. */
  readonly exitCode: Effect.Effect<number>
  /** Standard input and output where they are pipes. */
  readonly pipes: Option.Option<{ readonly input: Writable; readonly output: Readable }>
  /** Complete once the agent itself runs: at once, or when every door has been handed over and is served. */
  readonly begun: Effect.Effect<void, AgentNotStarted, Scope.Scope>
}

/** Serves the doors before the agent may begin, so that its first call is heard. */
const through = (
  handOver: HandOver,
  doors: ReadonlyArray<Door>
): Effect.Effect<void, AgentNotStarted, Scope.Scope> =>
  Effect.gen(function*() {
    const listeners = yield* handOver.listeners
    for (const [index, listener] of listeners.entries()) yield* doors[index]?.attach(listener) ?? Effect.void
    yield* handOver.begin
  }).pipe(Effect.mapError(({ detail }) => notStarted(agentErrors.doorsNotOpened, detail)))

/** `program` runs the jail's first program where there are `doors`. */
export const spawnRun = (
  program: string,
  args: ReadonlyArray<string>,
  options: {
    readonly cwd: string
    readonly env: Readonly<Record<string, string>>
    readonly fds: RunFiles.Descriptors
    readonly doors: ReadonlyArray<Door>
  }
): Effect.Effect<Spawned, AgentNotStarted> =>
  Effect.callback((resume) => {
    const exit = Deferred.makeUnsafe<string>()
    const exitCode = Deferred.makeUnsafe<number>()
    const { doors, fds } = options
    let child: ChildProcess
    try {
      child = spawn(program, args, {
        cwd: options.cwd,
        env: options.env,
        // Its own session: a Ctrl-C in the operator's terminal is for the runtime, which drains its turns.
        detached: true,
        stdio: [
          fds.stdin,
          fds.stdout,
          fds.stderr,
          // In the order of `jailDescriptors`.
          ...(fds.jail === undefined ? [] : [fds.jail.info, fds.jail.options]),
          ...(fds.jail?.filter === undefined ? [] : [fds.jail.filter]),
          ...(doors.length === 0 ? [] : ["ipc" as const])
        ]
      })
    } catch (error) {
      return resume(Effect.fail(notStarted(agentErrors.notStarted, String(error))))
    } finally {
      RunFiles.closeDescriptors(fds)
    }
    const begun = doors.length === 0 ? Effect.void : through(handOverFrom(child, doors), doors)
    child.once("error", (error) => {
      resume(Effect.fail(
        notStarted(
          "code" in error && error.code === "ENOENT" ? agentErrors.notInstalled : agentErrors.notStarted,
          error.message
        )
      ))
    })
    child.once("exit", (code, signal) => {
      Deferred.doneUnsafe(exitCode, Effect.succeed(signal === null ? code ?? 0 : 128 + constants.signals[signal]))
      Deferred.doneUnsafe(exit, Effect.succeed(signal === null ? `exit code ${code}` : `signal ${signal}`))
    })
    if (child.pid !== undefined) {
      const { stdin, stdout } = child
      resume(Effect.succeed({
        mark: ProcessTree.markOf(child.pid),
        exit: Deferred.await(exit),
        exitCode: Deferred.await(exitCode),
        pipes: stdin === null || stdout === null ? Option.none() : Option.some({ input: stdin, output: stdout }),
        begun
      }))
    }
  })
