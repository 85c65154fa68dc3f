/** A program on a terminal, as a person has it: util-linux's `script` makes one, and the test types and reads. */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"

export interface OnTerminal {
  /** What is typed; `\r` is the return key. */
  readonly type: (text: string) => Effect.Effect<void>
  /** Everything shown so far, without what moves the cursor or colours it. */
  readonly shown: () => string
  /** Waits until this has been shown behind the place, and says where it ends; the test's own time ends the wait. */
  readonly until: (pattern: RegExp, after?: number) => Effect.Effect<number>
  readonly exit: Effect.Effect<number | null>
  readonly pid: number
  /** As a window that is closed: the program's terminal is gone. */
  readonly close: Effect.Effect<void>
}

/** Sequences that move, colour or name; in words of their own, since they are what no text has. */
const escape = String.fromCharCode(27)
const bell = String.fromCharCode(7)
const forward = new RegExp(`${escape}\\[\\d*C`, "g")
const named = new RegExp(`${escape}\\][^${bell}${escape}]*(${bell}|${escape}\\\\)`, "g")
const others = new RegExp(`${escape}([[(][0-?]*[ -/]*[@-~]|[=>78cM])`, "g")

/** What a person reads: a cursor that is moved forward leaves blanks. */
export const readable = (bytes: string): string =>
  bytes.replaceAll(forward, " ").replaceAll(named, "").replaceAll(others, "")

export const onTerminal = (
  command: ReadonlyArray<string>,
  options: { readonly env: Readonly<Record<string, string>>; readonly rows?: number; readonly columns?: number }
) =>
  Effect.acquireRelease(
    Effect.sync((): OnTerminal => {
      const words = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ")
      const child = spawn("/usr/bin/script", [
        "--quiet",
        "--flush",
        "--return",
        "--command",
        `stty rows ${options.rows ?? 40} cols ${options.columns ?? 120}; exec ${words}`,
        "/dev/null"
      ], { env: { SHELL: "/bin/bash", TERM: "xterm-256color", ...options.env }, stdio: ["pipe", "pipe", "inherit"] })
      let raw = ""
      const waiting = new Set<() => void>()
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        raw += part
        for (const look of waiting) look()
      })
      const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
      child.stdin.on("error", () => undefined)
      return {
        pid: child.pid ?? -1,
        type: (text) => Effect.sync(() => void child.stdin.write(text)),
        shown: () => readable(raw),
        until: (pattern, after = 0) =>
          Effect.callback((resume) => {
            const leave = () => {
              waiting.delete(look)
              child.off("close", lost)
            }
            const look = () => {
              const found = new RegExp(pattern, "g")
              found.lastIndex = after
              if (found.exec(readable(raw)) === null) return
              leave()
              resume(Effect.succeed(found.lastIndex))
            }
            const lost = (code: number | null) => {
              leave()
              resume(Effect.die(new Error(`it ended (${code}) before it showed ${pattern}:\n${readable(raw)}`)))
            }
            waiting.add(look)
            child.once("close", lost)
            look()
            return Effect.sync(leave)
          }),
        exit: Effect.promise(() => ended),
        close: Effect.andThen(Effect.sync(() => void child.kill("SIGKILL")), Effect.promise(() => ended))
      }
    }),
    ({ close }) => close
  )
