/** Whoever reads what `km` prints may go: what was begun is completed, and what would print for ever ends. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { km as runKm } from "../support/KmProcess.ts"
import { mailState } from "../support/MailState.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const program = fileURLToPath(new URL("../../km-cli/main.ts", import.meta.url))

/** Runs a command some of whose streams have no reader from the start; the exit code. */
const unread = (
  state: string,
  streams: ReadonlyArray<"stdout" | "stderr">,
  args: ReadonlyArray<string>,
  more: { readonly node?: ReadonlyArray<string> } = {}
) =>
  Effect.callback<number | null>((resume) => {
    const child = spawn(process.execPath, [...more.node ?? [], program, ...args], {
      env: { PATH: process.env["PATH"] ?? "", HOME: state, KM_STATE: state },
      stdio: ["ignore", "pipe", "pipe"]
    })
    for (const name of ["stdout", "stderr"] as const) {
      if (streams.includes(name)) child[name].destroy()
      else child[name].resume()
    }
    child.once("close", (exit) => resume(Effect.succeed(exit)))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const quiet = "apiVersion: klankermaker.ai/v1\nkind: SandboxProfile\nmetadata: { name: quiet, prefix: sb }\n"

describe("a reader that goes", () => {
  it.live("of the progress: create makes its sandbox, cancel ends its schedule, and a letter is sent", () =>
    Effect.gen(function*() {
      const { state } = yield* mailState({ "sb-1a2b3c4d": "demo" })
      const profile = path.join(yield* temporaryDirectory, "quiet.yaml")
      fs.writeFileSync(profile, quiet)
      const idsOf = Effect.map(
        runKm(state, ["list", "--json"]),
        ({ out }) => (JSON.parse(out) as { sandboxes: ReadonlyArray<{ id: string }> }).sandboxes.map(({ id }) => id)
      )
      // Nothing serves it, so it is not ready in time: what was made is undone, and the exit says so.
      const env = ["create", profile, "--id", "sb-99999999"]
      const seen = yield* runKm(state, env, { KM_READY_WITHIN: "1s" })
      assert.isFalse((yield* idsOf).includes("sb-99999999"), seen.err)
      assert.strictEqual(seen.exit, yield* unread(state, ["stdout", "stderr"], env))
      assert.isFalse((yield* idsOf).includes("sb-99999999"))

      const letter = ["email", "send", "--to", "demo", "--subject", "x", "--body-text", "x"]
      assert.strictEqual(yield* unread(state, ["stderr"], letter), 0)
      const at = ["at", "in 2 hours", "stop", "demo", "--name", "once", "--yes"]
      assert.strictEqual(yield* unread(state, ["stderr"], at), 0)
      assert.strictEqual(yield* unread(state, ["stdout", "stderr"], ["at", "cancel", "once"]), 141)
      const { out } = yield* runKm(state, ["at", "list", "--all", "--json"])
      assert.strictEqual(
        (JSON.parse(out) as { schedules: ReadonlyArray<{ state: string }> }).schedules[0]?.state,
        "cancelled"
      )
    }).pipe(Effect.scoped))

  it.live("of the output: 141 and not a word", () =>
    Effect.gen(function*() {
      const { state } = yield* mailState({ "sb-1a2b3c4d": "demo" })
      for (const args of [["list"], ["status"], ["completions", "bash"], ["--help"], ["config", "explain", "--json"]]) {
        assert.strictEqual(yield* unread(state, ["stdout"], args), 141, args.join(" "))
      }
    }).pipe(Effect.scoped))

  it.live("of logs that are followed: they end", () =>
    Effect.gen(function*() {
      const { state } = yield* mailState({ "sb-1a2b3c4d": "demo" })
      const logs = path.join(state, "run", "logs")
      fs.mkdirSync(logs, { recursive: true, mode: 0o700 })
      fs.writeFileSync(path.join(logs, "bridge.log"), "a line\n", { mode: 0o600 })
      assert.strictEqual(yield* unread(state, ["stdout"], ["logs", "--follow"]), 141)
    }).pipe(Effect.scoped))
})
