/** `km` as people run it: real processes on a state directory of their own. */
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { bundled } from "./bundled.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Nothing of the shell that runs the tests but what a program needs to be found. */
const environment = (state: string): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: state,
  KM_STATE: state,
  // On a busy machine a sandbox is ready late, which is not what these tests are about.
  KM_READY_WITHIN: "5m",
  TMPDIR: process.env["TMPDIR"] ?? "/tmp"
})

export interface Finished {
  readonly exit: number | null
  readonly out: string
  readonly err: string
}

const started = (
  state: string,
  args: ReadonlyArray<string>,
  env: Record<string, string>,
  within: ReadonlyArray<string> = []
): ChildProcess => {
  const [program = process.execPath, ...words] = [...within, process.execPath, bundled("km.mjs"), ...args]
  return spawn(program, words, {
    cwd: root,
    env: { ...environment(state), ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
}

const collected = (child: ChildProcess): { readonly out: () => string; readonly err: () => string } => {
  let out = ""
  let err = ""
  child.stdout?.setEncoding("utf8").on("data", (part: string) => out += part)
  child.stderr?.setEncoding("utf8").on("data", (part: string) => err += part)
  return { out: () => out, err: () => err }
}

/** Runs one command to its end. */
export const km = (state: string, args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  Effect.callback<Finished>((resume) => {
    const child = started(state, args, env)
    const text = collected(child)
    child.once("close", (exit) => resume(Effect.succeed({ exit, out: text.out(), err: text.err() })))
    return Effect.sync(() => void child.kill("SIGTERM"))
  })

/** One command that stays; killed with the scope if the test has not ended it. */
export const kmStarted = (state: string, args: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = started(state, args, env)
      return { child, ...collected(child), ended: new Promise<number | null>((end) => child.once("close", end)) }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  )

/** A `km up` that is ready; ended with the scope if the test has not done it. `within` becomes it by `exec`. */
export const kmUp = (state: string, env: Record<string, string> = {}, within: ReadonlyArray<string> = []) =>
  Effect.acquireRelease(
    Effect.callback<
      {
        readonly child: ChildProcess
        readonly ready: Record<string, unknown>
        readonly err: () => string
        readonly ended: Promise<number | null>
      }
    >((resume) => {
      const child = started(state, ["up", "--json", "--scripted"], env, within)
      const text = collected(child)
      const ended = new Promise<number | null>((end) => child.once("close", end))
      child.stdout?.on("data", () => {
        const [line, rest] = text.out().split("\n")
        if (line !== undefined && rest !== undefined) {
          resume(Effect.succeed({ child, ready: JSON.parse(line) as Record<string, unknown>, err: text.err, ended }))
        }
      })
      void ended.then((code) => resume(Effect.die(new Error(`km up ended with ${code}: ${text.err()}`))))
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGTERM")
        return ended
      })
  )

/** The program that the tests run as `km`. */
export const kmProgram = bundled("km.mjs")
