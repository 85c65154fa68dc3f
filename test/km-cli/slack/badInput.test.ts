/** Bad input to `km slack init`: a code of its own, a sentence, the next command, and nothing stored. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { writeFileSync } from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import type { WorkspaceHandle } from "../../../km-cli/local/workspace/Workspace.ts"
import type { Install } from "../../../runtime/domain/install/Install.ts"
import { InstallName, SandboxId, TeamId } from "../../../runtime/domain/sandbox/Ids.ts"
import { World } from "../../support/ControlWorld.ts"
import { slackProfile } from "../../support/profiles.ts"
import { temporaryDirectory } from "../../support/ScriptedModel.ts"
import { TestKm } from "../../support/TestKm.ts"
import { testWorkspace, tokenOf } from "../../support/Workspace.ts"

interface Tried {
  readonly args: (workspace: WorkspaceHandle) => ReadonlyArray<string>
  readonly env?: (workspace: WorkspaceHandle) => Record<string, string>
  readonly known?: Partial<Install>
  readonly world?: World
  readonly workspace?: WorkspaceHandle
}

/** The code, and that neither a secret nor anything in Slack came of it. */
const tried = (code: string, { args, env = () => ({}), known = {}, workspace, world = new World() }: Tried) =>
  Effect.gen(function*() {
    const where = workspace ?? (yield* testWorkspace())
    const km = new TestKm(world, known)
    km.env = { HOME: "/nowhere", CI: "1", KM_SLACK_API_URL: where.apiUrl, ...env(where) }
    const before = world.snapshot()
    const { err, exit, out } = yield* km.run("slack", "init", ...args(where))
    assert.notStrictEqual(exit, 0, out.join("\n"))
    const told = err.findIndex((line) => line.startsWith("error "))
    assert.match(err[told] ?? "", new RegExp(`^error ${code}: \\S`), err.join("\n"))
    assert.match(err.at(-1) ?? "", /^ {2}next: \S/)
    for (const secret of [where.botToken, where.appToken, where.signingSecret]) {
      assert.notInclude([...err, ...out].join("\n"), secret)
    }
    assert.deepStrictEqual(world.snapshot(), before)
    assert.deepStrictEqual([...world.secrets.keys()].filter((name) => name.startsWith("slack/")), [])
    const changed = (yield* where.calls.list()).filter(({ method }) => !/^(auth\.test|bots\.info|apps\.)/.test(method))
    assert.deepStrictEqual(changed, [])
  }).pipe(Effect.scoped)

const good = (workspace: WorkspaceHandle) => [
  "--bot-token",
  workspace.botToken,
  "--signing-secret",
  workspace.signingSecret
]
const bot = (token: (workspace: WorkspaceHandle) => string) => (workspace: WorkspaceHandle) => [
  "--bot-token",
  token(workspace),
  "--signing-secret",
  workspace.signingSecret
]

const signing = (text: string) => ({
  args: (w: WorkspaceHandle) => ["--bot-token", w.botToken, "--signing-secret", text]
})
const bySocket = (w: WorkspaceHandle) => ["--bot-token", w.botToken, "--app-token", w.appToken]
const instead = (url: string) => ({ args: good, env: () => ({ KM_SLACK_API_URL: url }) })
const from = (file: string) => ({ args: () => ["--bot-token-file", file] })

/** Something that is not Slack's API. */
const answering = (status: number, body: string, headers: Record<string, string> = {}) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: http.Server; readonly url: string }>((resume) => {
      const server = http.createServer((_, response) => {
        response.writeHead(status, headers)
        response.end(body)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ server, url: `http://127.0.0.1:${port}/api/` }))
      })
    }),
    ({ server }) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

describe("km slack init refuses", () => {
  it.live("an app-level token in the bot token's place, and the reverse", () =>
    Effect.gen(function*() {
      yield* tried("KM-SLK-101", { args: bot(({ appToken }) => appToken) })
      yield* tried("KM-SLK-102", { args: (w) => ["--bot-token", w.botToken, "--app-token", w.botToken] })
      yield* tried("KM-SLK-101", { args: bot(({ signingSecret }) => signingSecret) })
    }))

  it.live("a person's token, a token with a line break, an empty one", () =>
    Effect.gen(function*() {
      yield* tried("KM-SLK-101", { args: bot((w) => tokenOf(w, "ada")) })
      yield* tried("KM-SLK-101", { args: bot(({ botToken }) => `${botToken.slice(0, 12)}\n${botToken.slice(12)}`) })
      yield* tried("KM-SLK-101", { args: bot(({ botToken }) => ` ${botToken}`) })
      yield* tried("KM-SLK-101", { args: bot(() => "") })
    }))

  it.live("a signing secret with a typo", () =>
    Effect.gen(function*() {
      yield* tried("KM-SLK-103", signing("0123456789abcdef0123456789abcde"))
      yield* tried("KM-SLK-103", signing("0123456789abcdef0123456789abcdeg"))
      yield* tried("KM-SLK-103", signing("0123456789ABCDEF0123456789ABCDEF"))
    }))

  it.live("a revoked token", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      yield* workspace.revoke(workspace.botToken)
      yield* tried("KM-SLK-104", { args: good, workspace })
    }).pipe(Effect.scoped))

  it.live("a token of another team, and of another app", () =>
    Effect.gen(function*() {
      const connected = { local: false, teamId: TeamId.make("T0OTHER001") }
      const workspace = yield* testWorkspace()
      const at = { slackApiUrl: workspace.apiUrl }
      yield* tried("KM-SLK-105", { args: good, workspace, known: { ...connected, ...at } })
      const sameTeam = { local: false, teamId: TeamId.make(workspace.teamId), appId: "A0OTHER001", ...at }
      yield* tried("KM-SLK-106", { args: good, workspace, known: sameTeam })
    }).pipe(Effect.scoped))

  it.live("two tokens of two apps", () =>
    Effect.gen(function*() {
      const other = "xapp-1-A0OTHER001-1-0123456789abcdef"
      yield* tried("KM-SLK-106", { args: (w) => ["--bot-token", w.botToken, "--app-token", other] })
    }))

  it.live("an app without Socket Mode, and an app-level token that is revoked", () =>
    Effect.gen(function*() {
      yield* tried("KM-SLK-111", { args: bySocket })
      const workspace = yield* testWorkspace({ sockets: { enabled: true } })
      yield* workspace.revoke(workspace.appToken)
      yield* tried("KM-SLK-112", { args: bySocket, workspace })
    }).pipe(Effect.scoped))

  it.live("missing scopes", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace({ bot: { name: "poor", scopes: ["chat:write", "users:read"] } })
      yield* tried("KM-SLK-107", { args: good, workspace })
    }).pipe(Effect.scoped))

  it.live("an API that cannot be reached, and what answers in its place", () =>
    Effect.gen(function*() {
      yield* tried("KM-SLK-108", instead("http://127.0.0.1:9/api/"))
      const page = yield* answering(200, "<html>sign in to the network</html>", { "content-type": "text/html" })
      yield* tried("KM-SLK-109", instead(page.url))
      const json = yield* answering(200, "{\"hello\":true}")
      yield* tried("KM-SLK-109", instead(json.url))
      const silent = yield* answering(
        200,
        "{\"ok\":true,\"user_id\":\"U1\",\"bot_id\":\"B1\",\"team_id\":\"T0TEAM0001\"}"
      )
      yield* tried("KM-SLK-109", instead(silent.url))
    }).pipe(Effect.scoped))

  it.effect("a clock that is five minutes off", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.now() - 300_000)
      yield* tried("KM-SLK-110", { args: good })
    }))

  it.live("an invitation to what is no address", () =>
    Effect.gen(function*() {
      for (const address of ["ops", "ops@", "a b@example.com", "ops@example", "ops@example.com,eve@example.com", ""]) {
        yield* tried("KM-SLK-118", { args: (w) => [...good(w), "--invite-email", address] })
      }
    }))

  it.live("another install's directory", () =>
    tried("KM-CLI-042", { args: (w) => [...good(w), "--install", "team", "--state", "/nowhere/state"] }))

  it.live("a local install with sandboxes, and names the command for a new one", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-1a2b3c4d")
      world.rows.set(id, {
        id,
        install: InstallName.make("km"),
        profile: slackProfile,
        desired: "running",
        status: "running",
        unconfined: false,
        createdAt: 0,
        generation: "1",
        inventory: []
      })
      yield* tried("KM-SLK-121", { args: good, world })
    }))

  it.live("to guess a secret where nobody can be asked", () =>
    Effect.gen(function*() {
      yield* tried("KM-SLK-122", { args: () => [] })
      yield* tried("KM-SLK-122", { args: () => [], env: (w) => ({ KM_SLACK_BOT_TOKEN: w.botToken }) })
    }))

  it.live("a file that is missing, is a directory, or holds more than a secret", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* tried("KM-SLK-123", from(path.join(directory, "none")))
      yield* tried("KM-SLK-123", from(directory))
      writeFileSync(path.join(directory, "large"), "x".repeat(100_000))
      yield* tried("KM-SLK-123", from(path.join(directory, "large")))
      yield* tried("KM-SLK-123", from("/dev/zero"))
      writeFileSync(path.join(directory, "two"), "xoxb-0123456789ab\nxapp-1-A0-1-0123456789ab\n")
      yield* tried("KM-SLK-101", from(path.join(directory, "two")))
    }).pipe(Effect.scoped))
})
