/** Runs the pinned CLI directly, without the adapter: the suite in `test/claude` re-checks what the adapter relies on. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { claudeCommand, temporaryDirectory } from "./ScriptedModel.ts"

/** One line of stdout, as parsed. */
export type OutputLine = Readonly<Record<string, unknown>>

export interface CliResult {
  readonly code: number | null
  readonly signal: string | null
  readonly lines: ReadonlyArray<OutputLine>
  readonly stderr: string
  readonly results: ReadonlyArray<OutputLine>
}

export interface CliOptions {
  readonly args?: ReadonlyArray<string>
  /** Framed as the runtime does unless `raw`. */
  readonly prompt: string
  readonly raw?: boolean
  readonly uuid?: string
  readonly settings?: unknown
  readonly sources?: string | undefined
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Called with each line while the CLI runs. */
  readonly onLine?: (line: OutputLine, kill: (signal: NodeJS.Signals) => void) => void
}

/** A home and a working directory for some runs of the CLI against one model. */
export const claudeHome = Effect.fnUntraced(function*(modelUrl: string): Effect.fn.Return<
  {
    readonly home: string
    readonly workspace: string
    readonly run: (options: CliOptions) => Effect.Effect<CliResult>
  },
  never,
  Scope.Scope
> {
  const root = yield* temporaryDirectory
  const home = Path.join(root, "home")
  const workspace = Path.join(root, "work.space")
  for (const path of [home, workspace]) Fs.mkdirSync(path)
  const run = (options: CliOptions) =>
    Effect.callback<CliResult>((resume) => {
      const settings = Path.join(root, `${randomUUID()}.json`)
      Fs.writeFileSync(settings, JSON.stringify(options.settings ?? {}))
      const sources = "sources" in options ? options.sources : ""
      const child = spawn(claudeCommand, [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--dangerously-skip-permissions",
        "--settings",
        settings,
        ...(sources === undefined ? [] : ["--setting-sources", sources]),
        ...(options.args ?? [])
      ], {
        cwd: options.cwd ?? workspace,
        stdio: ["pipe", "pipe", "pipe"],
        env: {
          PATH: "/usr/local/bin:/usr/bin:/bin",
          HOME: home,
          IS_SANDBOX: "1",
          ANTHROPIC_API_KEY: "sk-ant-dummy",
          ANTHROPIC_BASE_URL: modelUrl,
          DISABLE_TELEMETRY: "1",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
          DISABLE_AUTOUPDATER: "1",
          CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
          CLAUDE_CODE_MAX_RETRIES: "1",
          ...options.env
        }
      })
      const lines: Array<OutputLine> = []
      let stderr = ""
      let rest = ""
      child.stdout.on("data", (chunk: Buffer) => {
        const parts = (rest + chunk.toString("utf8")).split("\n")
        rest = parts.pop() ?? ""
        for (const part of parts) {
          const line: OutputLine = JSON.parse(part)
          lines.push(line)
          options.onLine?.(line, (signal) => void child.kill(signal))
        }
      })
      child.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString("utf8")
      })
      // A CLI that has ended already does not read its input.
      child.stdin.on("error", () => {})
      child.stdin.end(`${
        JSON.stringify({
          type: "user",
          uuid: options.uuid ?? randomUUID(),
          message: {
            role: "user",
            content: options.raw === true ? options.prompt : `[km] Message.\n\n${options.prompt}`
          }
        })
      }\n`)
      child.on("close", (code, signal) =>
        resume(Effect.succeed({
          code,
          signal,
          lines,
          stderr,
          results: lines.filter((line) => line["type"] === "result")
        })))
      return Effect.sync(() => void child.kill("SIGKILL"))
    })
  return { home, workspace, run }
})
