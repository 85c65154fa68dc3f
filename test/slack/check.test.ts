/** `make slack-check` itself: without tokens it was not run and fails; against the local workspace it passes and keeps no secret. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "../support/ScriptedModel.ts"
import { testWorkspace } from "../support/Workspace.ts"

const program = fileURLToPath(new URL("check.ts", import.meta.url))

const run = (directory: string, env: Record<string, string>) =>
  Effect.callback<{ readonly exit: number | null; readonly out: string; readonly err: string }>((resume) => {
    const child = spawn(process.execPath, [program, directory], { env: { PATH: process.env["PATH"] ?? "", ...env } })
    let out = ""
    let err = ""
    child.stdout.setEncoding("utf8").on("data", (part: string) => out += part)
    child.stderr.setEncoding("utf8").on("data", (part: string) => err += part)
    child.once("close", (exit) => resume(Effect.succeed({ exit, out, err })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

describe("the check against a real workspace", () => {
  it.live("was not run without tokens, and fails", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const { err, exit } = yield* run(path.join(directory, "vectors"), {})
      assert.strictEqual(exit, 1)
      assert.match(err, /^not run: /)
      assert.isFalse(fs.existsSync(path.join(directory, "vectors")))
    }).pipe(Effect.scoped))

  it.live("passes against the local workspace, and what it writes holds no secret and no id", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const workspace = yield* testWorkspace({ sockets: { enabled: true } })
      const { err, exit, out } = yield* run(directory, {
        KM_SLACK_API_URL: workspace.apiUrl,
        KM_SLACK_BOT_TOKEN: workspace.botToken,
        KM_SLACK_APP_TOKEN: workspace.appToken
      })
      assert.strictEqual(exit, 0, out + err)
      assert.match(out, /11 of 11/)
      const files = fs.readdirSync(directory).filter((name) => name.endsWith(".json"))
      assert.strictEqual(files.length, 11)
      const all = files.map((name) => fs.readFileSync(path.join(directory, name), "utf8")).join("\n")
      const secrets = [workspace.botToken, workspace.appToken, workspace.teamId, workspace.botUserId, workspace.appId]
      for (const secret of secrets) assert.notInclude(all, secret)
      assert.include(all, "\"name_taken\"")
    }).pipe(Effect.scoped))
})
