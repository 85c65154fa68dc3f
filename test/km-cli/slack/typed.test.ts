/** A real workspace set up by the commands as they are typed, against the local workspace in Slack's place. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { km, kmStarted } from "../../support/KmProcess.ts"
import { temporaryDirectory } from "../../support/ScriptedModel.ts"
import { untilReal } from "../../support/untilReal.ts"
import { testWorkspace } from "../../support/Workspace.ts"

describe("a real workspace, as typed", () => {
  it.live("init --sidecars, init, slack init, slack test, slack status; then down", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const workspace = yield* testWorkspace()
      const env = { KM_SLACK_API_URL: workspace.apiUrl }
      const typed = (...args: ReadonlyArray<string>) => km(state, args, env)

      const sidecars = yield* typed("init", "--sidecars")
      assert.strictEqual(sidecars.exit, 0, sidecars.err)
      assert.match(sidecars.out, /km-runtime +\S+ .*km-runtime\.mjs +[0-9a-f]{64}/)
      const made = yield* typed("init")
      assert.strictEqual(made.exit, 0, made.err)
      const keys = () =>
        readdirSync(path.join(state, "secrets", "bridge", "link-key")).map((version) =>
          readFileSync(path.join(state, "secrets", "bridge", "link-key", version), "utf8")
        )
      const [linkKey = "", ...others] = keys()
      assert.match(linkKey, /^[A-Za-z0-9+/]{43}=/)
      assert.lengthOf(others, 0)
      assert.strictEqual((yield* typed("init")).exit, 0)
      assert.deepStrictEqual(keys(), [linkKey])

      const init = yield* kmStarted(state, [
        "slack",
        "init",
        "--bot-token",
        workspace.botToken,
        "--invite-email",
        "ada@lab.test",
        "--signing-secret",
        workspace.signingSecret
      ], env)
      yield* Effect.addFinalizer(() => km(state, ["down"]))
      const url = yield* untilReal(
        "the Events URL is printed",
        Effect.sync(() => /Events URL: (\S+)/.exec(init.err())?.[1] ?? (init.child.exitCode !== null && init.err()))
      )
      yield* workspace.setEventsUrl(url)
      assert.strictEqual(yield* Effect.promise(() => init.ended), 0, init.err())
      assert.notInclude(init.out() + init.err(), workspace.botToken)
      assert.notInclude(init.out() + init.err(), workspace.signingSecret)
      const install = JSON.parse(readFileSync(path.join(state, "install.json"), "utf8"))
      assert.deepInclude(install, { local: false, teamId: workspace.teamId, appId: workspace.appId })
      assert.strictEqual(install.slack.sharedChannel.name, "km-notifications")

      const test = yield* typed("slack", "test")
      assert.strictEqual(test.exit, 0, test.out + test.err)
      const status = yield* typed("slack", "status")
      assert.strictEqual(status.exit, 0, status.out + status.err)
      const down = yield* typed("down")
      assert.strictEqual(down.exit, 0, down.err)
    }).pipe(Effect.scoped))

  it.live("by a shell, with what make install put on PATH, from another directory", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const prefix = path.join(directory, "a prefix")
      const setup = fileURLToPath(new URL("../../../km-cli/setup/install.ts", import.meta.url))
      execFileSync(process.execPath, [setup, "install", "--prefix", prefix], { stdio: "pipe" })
      const workspace = yield* testWorkspace()
      const state = path.join(directory, "state")
      const tools = path.join(directory, "tools")
      mkdirSync(tools)
      // As npm's global install leaves it.
      symlinkSync(
        realpathSync(fileURLToPath(new URL("../../../node_modules/.bin/claude", import.meta.url))),
        path.join(tools, "claude")
      )
      const env = {
        PATH: `${path.join(prefix, "bin")}:${tools}:/usr/bin:/bin`,
        HOME: directory,
        KM_STATE: state,
        KM_SLACK_API_URL: workspace.apiUrl
      }
      yield* Effect.addFinalizer(() => km(state, ["down"]))
      const typed = (line: string, seen: (text: string) => Effect.Effect<boolean> = () => Effect.succeed(true)) =>
        Effect.gen(function*() {
          const child = spawn("sh", ["-c", line], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] })
          let text = ""
          for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => text += part)
          const ended = new Promise<number | null>((end) => child.once("close", end))
          yield* Effect.forkScoped(untilReal(
            "what is waited for is shown, or the command ends",
            Effect.suspend(() => /Events URL: \S+\n/.test(text) ? seen(text) : Effect.succeed(false))
          ))
          assert.strictEqual(yield* Effect.promise(() => ended), 0, `${line}\n${text}`)
          return text
        }).pipe(Effect.scoped)
      yield* typed("km init --sidecars && km init")
      const said = yield* typed(
        `km slack init --bot-token ${workspace.botToken} --invite-email ops@example.com --signing-secret ${workspace.signingSecret}`,
        // Saved on the app's page again and again, until Slack has its answer.
        (text) => Effect.isSuccess(workspace.setEventsUrl(/Events URL: (\S+)/.exec(text)?.[1] ?? ""))
      )
      assert.notInclude(said, workspace.botToken)
      for (const line of ["km slack test", "km slack status", "km down"]) yield* typed(line)
    }).pipe(Effect.scoped))

  it.live("by Socket Mode: one command after the tokens, and nothing to paste", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const workspace = yield* testWorkspace({ sockets: { enabled: true } })
      const env = {
        KM_SLACK_API_URL: workspace.apiUrl,
        KM_SLACK_BOT_TOKEN: workspace.botToken,
        KM_SLACK_APP_TOKEN: workspace.appToken
      }
      yield* Effect.addFinalizer(() => km(state, ["down"]))
      const init = yield* km(state, ["slack", "init", "--invite-email", "eve@elsewhere.test"], env)
      assert.strictEqual(init.exit, 0, init.out + init.err)
      assert.include(init.out, "events come by Socket Mode: nothing to paste")
      assert.notInclude(init.err, "signing")
      // What it leaves running was given no secret that the command had: whoever is the same user reads its environment.
      const { supervisor } = JSON.parse(readFileSync(path.join(state, "run", "up.json"), "utf8"))
      const environment = readFileSync(`/proc/${supervisor.pid}/environ`, "utf8")
      assert.include(environment, "PATH=")
      for (const token of [workspace.botToken, workspace.appToken]) assert.notInclude(environment, token)
      const status = yield* km(state, ["slack", "status"], env)
      assert.strictEqual(status.exit, 0, status.out + status.err)
      assert.match(status.out, /ok +socket +1 open, last frame \d+ s ago/)
      assert.match(status.out, /warn +invitation eve@elsewhere\.test +KM-SLK-125/)

      // The shared channel has another id from now on, and its name.
      const settings = path.join(state, "install.json")
      const install = JSON.parse(readFileSync(settings, "utf8"))
      const shared = install.slack.sharedChannel
      writeFileSync(
        settings,
        JSON.stringify({ ...install, slack: { ...install.slack, sharedChannel: { ...shared, id: "G0BEFORE001" } } })
      )
      const lost = yield* km(state, ["slack", "status"], env)
      assert.strictEqual(lost.exit, 1, lost.out + lost.err)
      const [, next = ""] = /next: km (slack init .*)$/m.exec(lost.err) ?? []
      const again = yield* km(state, next.split(" "), env)
      assert.strictEqual(again.exit, 0, again.out + again.err)
      assert.deepStrictEqual(JSON.parse(readFileSync(settings, "utf8")).slack.sharedChannel, shared)

      yield* workspace.sockets.switch(false)
      const off = yield* untilReal(
        "the switch is noticed",
        Effect.map(km(state, ["slack", "status"], env), (run) => run.exit !== 0 && run)
      )
      assert.match(off.err, /error KM-SLK-111: /)
    }).pipe(Effect.scoped))
})
