/** Starts `proxyProcess.ts`, and programs as its agent's. */
import { Effect, type Scope } from "effect"
import { type ChildProcess, fork, spawn } from "node:child_process"
import * as path from "node:path"
import type { ProxyProcess } from "./proxyProcess.ts"

export interface RunningProxy {
  /** What its agent is given. */
  readonly env: Readonly<Record<string, string>>
  /** `kill -9`; completes when it is gone. */
  readonly kill: Effect.Effect<void>
}

const gone = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

export const startProxy = (options: ProxyProcess): Effect.Effect<RunningProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(path.join(import.meta.dirname, "proxyProcess.ts"), [JSON.stringify(options)], {
        stdio: ["ignore", "ignore", "inherit", "ipc"]
      })
    ),
    (child) => {
      child.kill("SIGKILL")
      return gone(child)
    }
  ).pipe(Effect.flatMap((child) =>
    Effect.callback<RunningProxy>((resume) => {
      const kill = Effect.suspend(() => {
        child.kill("SIGKILL")
        return gone(child)
      })
      child.once("message", (said: { readonly env: RunningProxy["env"] }) =>
        resume(Effect.succeed({ env: said.env, kill })))
      child.once("exit", (code) =>
        resume(Effect.die(new Error(`the proxy ended (${code})`))))
    })
  ))

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** In an environment of nothing but the agent's. */
export const runAs = (
  env: RunningProxy["env"],
  command: ReadonlyArray<string>,
  cwd: string
): Effect.Effect<Ran> =>
  Effect.callback((resume) => {
    const [program = "", ...args] = command
    const child = spawn(program, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: "/usr/bin:/bin",
        HOME: cwd,
        LC_ALL: "C",
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: "a",
        GIT_AUTHOR_EMAIL: "a@a",
        GIT_COMMITTER_NAME: "a",
        GIT_COMMITTER_EMAIL: "a@a",
        ...env
      }
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => stdout += chunk.toString("utf8"))
    child.stderr.on("data", (chunk: Buffer) => stderr += chunk.toString("utf8"))
    child.once("error", (error) => resume(Effect.die(error)))
    child.once("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
