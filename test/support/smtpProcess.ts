/** `km-smtp` as a process of its own, on a state directory whose `install.json` names what it is to do. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { bundled } from "./bundled.ts"

const program = bundled("km-smtp.mjs")

/** `km-smtp password` with this on standard input; its exit code. */
export const givePassword = (state: string, input: string): number | null =>
  spawnSync(process.execPath, [program, "password", "--state", state], { input, stdio: ["pipe", "ignore", "ignore"] })
    .status

export interface SmtpProcess {
  /** Where it listens; 0 for one that does not. */
  readonly port: number
  readonly pid: number
  /** What it logged so far. */
  readonly log: () => string
  /** SIGKILL, if it still runs. */
  readonly kill: Effect.Effect<void>
  /** SIGTERM, and waits for its end. */
  readonly end: Effect.Effect<void>
}

/** Ready; killed with the scope. */
export const smtpProcess = (
  state: string,
  mode: "listen" | "relay",
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<SmtpProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<SmtpProcess>((resume) => {
      const child = spawn(process.execPath, [program, mode, "--state", state], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { PATH: process.env["PATH"] ?? "", HOME: state, ...env }
      })
      let log = ""
      child.stderr.setEncoding("utf8").on("data", (text: string) => log += text)
      const ended = new Promise<void>((end) => child.once("close", () => end()))
      child.stdout.setEncoding("utf8").once("data", (line: string) => {
        const { port = 0 } = JSON.parse(line) as { readonly port?: number }
        const pid = child.pid ?? 0
        const kill = Effect.promise(() => {
          child.kill("SIGKILL")
          return ended
        })
        const end = Effect.promise(() => {
          child.kill("SIGTERM")
          return ended
        })
        resume(Effect.succeed({ port, pid, kill, end, log: () => log }))
      })
      void ended.then(() => resume(Effect.die(new Error(`km-smtp ended before it was ready: ${log}`))))
    }),
    ({ kill }) => kill
  )
