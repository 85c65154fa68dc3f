/** What this machine has: programs that run and what they say of themselves. It starts nothing that lasts. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"

/** The first line that a program says, or undefined when it cannot be run within 10 s. */
export const versionOf = (command: string, args: ReadonlyArray<string>): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    execFile(
      command,
      [...args],
      { timeout: 10_000 },
      (error, stdout) => resume(Effect.succeed(error === null ? stdout.trim().split("\n")[0] ?? "" : undefined))
    )
  })

/** The agent's CLI as it is found here. */
export interface ClaudeHere {
  readonly command: string
  /** What it says of itself. */
  readonly version: string
}

/** Whether agents can be jailed here; as the runtime itself finds out. `detail` says how, or why not. */
export interface JailHere {
  readonly jails: boolean
  /** Why a jail without a network cannot be made; empty where it can, and where there is no jail at all. */
  readonly networkStays: string
  readonly detail: string
  /** Empty where there is nothing to do. */
  readonly remedy: string
}
