/** Whoever reads what `km` prints may go: what was begun is completed, and what would print for ever ends. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { km as runKm, kmProgram, kmUp } from "../support/KmProcess.ts"
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

/** The shell's own way to lose a reader: `head` takes some lines and goes. The exit code. */
const underBash = (state: string, args: ReadonlyArray<string>, redirects: string) =>
  Effect.callback<number | null>((resume) => {
    const child = spawn("bash", ["-c", `"$0" "$@" ${redirects}`, process.execPath, kmProgram, ...args], {
      cwd: path.dirname(path.dirname(kmProgram)),
      env: { PATH: process.env["PATH"] ?? "", HOME: state, KM_STATE: state, KM_READY_WITHIN: "5m" },
      stdio: "ignore"
    })
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

  it.live("of a running install: sandboxes are created and destroyed, and km up goes on without its readers", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporaryDirectory, "state")
      const { child, ended } = yield* kmUp(state)
      // Nobody reads its log or what it prints from here on.
      child.stdout?.destroy()
      child.stderr?.destroy()
      const demo = path.join("profiles", "demo.yaml")
      const gone = [["one", "2> >(head -n 1)", 0], ["two", "> >(head -n 0)", 141], [
        "all",
        "> >(:) 2> >(:)",
        141
      ]] as const
      for (const [alias, redirects, exit] of gone) {
        assert.strictEqual(yield* underBash(state, ["create", demo, "--alias", alias], redirects), exit, redirects)
      }
      const aliases = Effect.map(
        runKm(state, ["list", "--json"]),
        ({ out }) =>
          (JSON.parse(out) as { sandboxes: ReadonlyArray<{ alias: string; status: string }> }).sandboxes
            .map((row) => `${row.alias} ${row.status}`)
      )
      assert.deepStrictEqual(yield* aliases, ["one running", "two running", "all running"])
      assert.strictEqual(yield* underBash(state, ["chat", "one", "script:text hello"], "2> >(head -n 1)"), 0)
      assert.strictEqual(yield* underBash(state, ["destroy", "two", "--yes"], "> >(:) 2> >(:)"), 141)
      assert.deepStrictEqual(yield* aliases, ["one running", "all running"])
      assert.strictEqual(yield* underBash(state, ["down"], "2> >(:)"), 0)
      yield* Effect.promise(() => ended)
    }).pipe(Effect.scoped))

  it.live("of a demo: it observes every stage and leaves nothing", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const told = path.join(state, "told")
      assert.strictEqual(
        yield* underBash(state, ["demo", "--once", "--json"], `> ${told} 2> >(head -n 1 >/dev/null)`),
        0
      )
      assert.deepInclude(JSON.parse(fs.readFileSync(told, "utf8")), { ok: true })
      assert.strictEqual(yield* underBash(state, ["demo", "--once"], "> >(:) 2> >(:)"), 141)
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
