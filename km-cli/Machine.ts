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

/** Whether agents can be jailed here; `detail` is bubblewrap's version, or why not. */
export const jailHere = Effect.gen(function*() {
  const version = yield* versionOf("bwrap", ["--version"])
  if (version === undefined) {
    return { jails: false, detail: "bubblewrap is missing", remedy: "install bubblewrap" }
  }
  const works = yield* versionOf("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "/bin/echo", "ok"])
  return works === undefined
    ? {
      jails: false,
      detail: `${version} is there but may not make namespaces`,
      remedy: "allow unprivileged user namespaces"
    }
    : { jails: true, detail: version, remedy: "" }
})
