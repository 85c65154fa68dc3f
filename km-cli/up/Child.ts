/** One part of the stack as a process of its own: its log in a file, its first line of output, and its orderly end. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ChildCommand } from "../Backend.ts"
import { type KmError, kmError } from "../KmError.ts"
import { nameOf, type ProcessName } from "./UpFile.ts"

export interface ChildOptions {
  readonly name: string
  readonly command: ChildCommand
  readonly env: Readonly<Record<string, string>>
  /** Directory of the logs; `{name}.log` is appended to, the one before it kept as `{name}.log.1`. */
  readonly logs: string
  /** Written to standard input, which then stays open: a child that ends with it cannot outlive us. */
  readonly input: string
  /** Milliseconds from SIGTERM to SIGKILL. */
  readonly graceMillis: number
}

export interface Child {
  readonly name: string
  readonly process: ProcessName
  /** The first line on standard output; fails when the child ends before it. */
  readonly firstLine: Effect.Effect<string, KmError>
  /** Completes when the process has ended, with a sentence on how. */
  readonly ended: Effect.Effect<string>
}

/** Bytes after which a log is put aside. */
const maxLogBytes = 20 * 1024 * 1024
/** Characters of the first line. */
const maxLine = 64 * 1024

/** Where a part's log is, for messages. */
export const logFile = (logs: string, name: string): string => path.join(logs, `${name}.log`)

const openLog = (logs: string, name: string): number => {
  fs.mkdirSync(logs, { recursive: true, mode: 0o700 })
  const file = logFile(logs, name)
  const size = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size > maxLogBytes) fs.renameSync(file, `${file}.1`)
  return fs.openSync(file, "a", 0o600)
}

const exited = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

const end = (child: ChildProcess, ended: Deferred.Deferred<string>, graceMillis: number) =>
  Effect.suspend(() => {
    if (exited(child) || child.pid === undefined) return Effect.void
    child.kill("SIGTERM")
    return Deferred.await(ended).pipe(
      Effect.timeoutOrElse({
        duration: graceMillis,
        orElse: () => {
          child.kill("SIGKILL")
          return Deferred.await(ended)
        }
      }),
      Effect.asVoid
    )
  })

/**
 * Starts the process in a group of its own, so that Ctrl-C in the terminal reaches the supervisor alone, which then ends
 * the parts in their order. Ended with the scope.
 */
export const start = Effect.fn("Child.start")(function*(
  options: ChildOptions
): Effect.fn.Return<Child, KmError, Scope.Scope> {
  const { command, env, graceMillis, input, logs, name } = options
  const ended = Deferred.makeUnsafe<string>()
  const line = Deferred.makeUnsafe<string, KmError>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const log = openLog(logs, name)
      const spawned = spawn(command.command, command.args, {
        detached: true,
        env: { ...env },
        stdio: ["pipe", "pipe", log]
      })
      fs.closeSync(log)
      return spawned
    }),
    (spawned) => end(spawned, ended, graceMillis)
  )
  const over = (how: string) => {
    Deferred.doneUnsafe(ended, Effect.succeed(how))
    Deferred.doneUnsafe(
      line,
      Effect.fail(kmError("KM-CLI-009", `${name} did not start`, how, `see ${logFile(logs, name)}`))
    )
  }
  child.once("error", (error) => over(`it could not be started: ${error.message}`))
  child.once(
    "exit",
    (code, signal) => over(signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`)
  )
  let text = ""
  child.stdout?.setEncoding("utf8").on("data", (part: string) => {
    if (text.length > maxLine) return
    text += part
    const at = text.indexOf("\n")
    if (at >= 0) Deferred.doneUnsafe(line, Effect.succeed(text.slice(0, at)))
  })
  // A child that ends while we write to it is told by its exit.
  child.stdin?.on("error", () => undefined)
  if (input !== "") child.stdin?.write(input)
  const pid = child.pid ?? 0
  return {
    name,
    process: nameOf(pid),
    firstLine: Deferred.await(line),
    ended: Deferred.await(ended)
  }
})
