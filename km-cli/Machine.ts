/** What this machine has: programs that run and what they say of themselves. It starts nothing that lasts. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"

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

/** Where the runtime looks for bubblewrap; never on a PATH that somebody else may have set. */
const bubblewraps = ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"]

/** Whether agents can be jailed here; `detail` is bubblewrap's version, or why not. */
export interface JailHere {
  readonly jails: boolean
  readonly detail: string
  /** Empty where there is nothing to do. */
  readonly remedy: string
}

/** Asks bubblewrap itself, by making the namespaces that a run needs. */
export const jailHere: Effect.Effect<JailHere> = Effect.gen(function*() {
  const program = bubblewraps.find((file) => existsSync(file))
  const version = program === undefined ? undefined : yield* versionOf(program, ["--version"])
  if (program === undefined || version === undefined) {
    return { jails: false, detail: "bubblewrap is missing", remedy: "install bubblewrap" }
  }
  const works = yield* versionOf(program, ["--ro-bind", "/", "/", "--unshare-all", "/bin/echo", "ok"])
  return works === undefined
    ? {
      jails: false,
      detail: `${version} is there but may not make namespaces`,
      remedy: "allow unprivileged user namespaces"
    }
    : { jails: true, detail: version, remedy: "" }
})
