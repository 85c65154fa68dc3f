/** Starts `engineProgram.ts` as a process of its own and hears what it says. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface EngineProcess {
  readonly child: ChildProcess
  /** Whole lines so far. */
  readonly lines: () => ReadonlyArray<string>
  /** Completes with the first line that begins with `start`; dies when the process ends without it. */
  readonly line: (start: string) => Effect.Effect<string>
  /** Completes with the exit code, or `null` after a signal, once everything it said was read. */
  readonly exit: Effect.Effect<number | null>
  /** SIGKILL: it gets no chance to put anything in order. */
  readonly kill: Effect.Effect<void>
}

const program = fileURLToPath(new URL("engineProgram.ts", import.meta.url))

/** Killed with the scope if it still runs. */
export const engineProcess = (...args: ReadonlyArray<string>): Effect.Effect<EngineProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): EngineProcess => {
      const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] })
      let output = ""
      let code: number | null | undefined
      const listeners = new Set<() => void>()
      const changed = () => {
        for (const listener of listeners) listener()
      }
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk
        changed()
      })
      child.on("close", (exit) => {
        code = exit
        changed()
      })
      const lines = () => output.split("\n").slice(0, -1)
      const when = <A>(look: () => Effect.Effect<A> | undefined) =>
        Effect.callback<A>((resume) => {
          const check = () => {
            const found = look()
            if (found === undefined) return
            listeners.delete(check)
            resume(found)
          }
          listeners.add(check)
          check()
          return Effect.sync(() => void listeners.delete(check))
        })
      const exit = when(() => code === undefined ? undefined : Effect.succeed(code))
      return {
        child,
        lines,
        line: (start) =>
          when(() => {
            const found = lines().find((line) => line.startsWith(start))
            if (found !== undefined) return Effect.succeed(found)
            return code === undefined ? undefined : Effect.die(new Error(`it ended (${code}) without saying ${start}`))
          }),
        exit,
        kill: Effect.suspend(() => {
          child.kill("SIGKILL")
          return Effect.asVoid(exit)
        })
      }
    }),
    ({ kill }) => kill
  )
