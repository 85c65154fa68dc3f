/** What `km slack status` tells apart: each fault alone, by its code, with the next command and exit 1; and none of them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as http from "node:http"
import type { WorkspaceHandle } from "../../../km-cli/local/workspace/Workspace.ts"
import type { Install } from "../../../runtime/domain/install/Install.ts"
import { Alias, ChannelId, InstallName, SandboxId, TeamId } from "../../../runtime/domain/sandbox/Ids.ts"
import { World } from "../../support/ControlWorld.ts"
import { slackProfile } from "../../support/profiles.ts"
import { TestKm } from "../../support/TestKm.ts"
import { slackClient, testWorkspace, tokenOf } from "../../support/Workspace.ts"

/** What the bridge's server would answer. */
interface Answers {
  readonly health?: unknown
  /** Of `/events`; the challenge unless given. */
  readonly events?: { readonly status: number; readonly body: string }
}

const bridgeServer = (answers: Answers) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly server: http.Server }>((resume) => {
      const server = http.createServer((request, response) => {
        let body = ""
        request.setEncoding("utf8").on("data", (part: string) => body += part).on("end", () => {
          if (request.url === "/healthz") return response.end(JSON.stringify(answers.health ?? { ok: true }))
          if (answers.events !== undefined) {
            response.statusCode = answers.events.status
            return response.end(answers.events.body)
          }
          return response.end(JSON.stringify({ challenge: (JSON.parse(body) as { challenge: string }).challenge }))
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, server }))
      })
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const socketOf = (changes: object = {}) => ({
  ok: true,
  transport: "socket",
  socket: {
    state: "connected",
    connections: 1,
    lastFrameAt: 1,
    lastFrameAgeMillis: 900,
    lastDisconnect: { reason: "refresh_requested", at: 1 },
    trouble: null,
    ...changes
  }
})
const trouble = (name: string) => ({ state: "waiting", connections: 0, trouble: { name, what: "as told", detail: "" } })

interface Scene {
  readonly workspace: WorkspaceHandle
  readonly world: World
  readonly shared: ChannelId
  known: Partial<Install>
  answers: Answers
  readonly bridgeDown: { now: boolean }
}

const sandbox = SandboxId.make("sb-1a2b3c4d")

/** A connected install with a shared channel and a sandbox, over what `change` makes of it; the first lines that are wrong. */
const status = (change: (scene: Scene) => Effect.Effect<unknown> = () => Effect.void, socket = false) =>
  Effect.gen(function*() {
    const workspace = yield* testWorkspace(socket ? { sockets: { enabled: true } } : {})
    const bot = slackClient(workspace, workspace.botToken)
    const made = yield* Effect.promise(() => bot.conversations.create({ name: "km-notifications" }))
    const shared = ChannelId.make(made.channel?.id ?? "")
    const world = new World()
    world.secrets.set("slack/bot-token", workspace.botToken)
    if (socket) world.secrets.set("slack/app-token", workspace.appToken)
    else world.secrets.set("slack/signing-secret", workspace.signingSecret)
    world.heard = { startedAt: 1, firstAt: 2, eventAt: 3 }
    const scene: Scene = {
      workspace,
      world,
      shared,
      answers: socket ? { health: socketOf() } : {},
      bridgeDown: { now: false },
      known: {
        local: false,
        slackApiUrl: workspace.apiUrl,
        teamId: TeamId.make(workspace.teamId),
        appId: workspace.appId,
        slackTransport: socket ? "socket" : "http",
        slack: { sharedChannel: { id: shared, name: "km-notifications" } }
      }
    }
    yield* change(scene)
    const { url } = yield* bridgeServer(scene.answers)
    const bridgeUrl = scene.bridgeDown.now ? "http://127.0.0.1:9" : url
    const km = new TestKm(world, { ...scene.known, bridgeUrl, bridgeHost: new URL(bridgeUrl).host })
    const { err, exit, out } = yield* km.run("slack", "status", "--json")
    const { checks, ok } = JSON.parse(out.join("\n")) as {
      readonly ok: boolean
      readonly checks: ReadonlyArray<{ name: string; status: string; code?: string; next?: string; detail: string }>
    }
    assert.strictEqual(exit === 0, ok)
    for (const check of checks) {
      if (check.status === "error" || check.status === "warn") {
        assert.match(check.next ?? "", /\bkm [a-z]/)
      }
      assert.notInclude(check.detail, workspace.botToken)
    }
    return { exit, err, checks, wrong: checks.filter((check) => check.status === "error") }
  }).pipe(Effect.scoped)

const only = (code: string, change: (scene: Scene) => Effect.Effect<unknown>, socket = false) =>
  Effect.gen(function*() {
    const { err, exit, wrong } = yield* status(change, socket)
    assert.deepStrictEqual([...new Set(wrong.map((check) => check.code))], [code], JSON.stringify(wrong))
    assert.notStrictEqual(exit, 0)
    assert.match(err[0] ?? "", new RegExp(`^error ${code}: `))
    assert.match(err.at(-1) ?? "", /^ {2}next: \S/)
  })

const set = (change: () => void) => Effect.sync(change)

/** An agent app, over a bridge that runs. */
const sessions = (stopButton: boolean | null) => (scene: Scene) =>
  set(() => scene.answers = { health: { ...socketOf(), agentSessions: { allowed: true, stopButton } } })

const invited = (sentAt: number) => (scene: Scene) =>
  set(() => {
    const invitations = [{ id: "I1", email: "eve@elsewhere.test", channel: scene.shared, sentAt }]
    scene.known = { ...scene.known, slack: { ...scene.known.slack, invitations } }
  })

describe("km slack status", () => {
  it.live("finds nothing where nothing is wrong, by HTTPS and by Socket Mode", () =>
    Effect.gen(function*() {
      for (const socket of [false, true]) {
        const { checks, exit, wrong } = yield* status(undefined, socket)
        assert.deepStrictEqual(wrong, [])
        assert.strictEqual(exit, 0)
        assert.deepStrictEqual(
          checks.slice(0, 6).map(({ name }) => name),
          ["token", "workspace", "scopes", "app", "clock", "bridge"]
        )
      }
    }))

  it.live("a revoked token", () => only("KM-SLK-104", ({ workspace }) => workspace.revoke(workspace.botToken)))

  it.live("a token of another workspace", () =>
    only("KM-SLK-105", (scene) => set(() => scene.known = { ...scene.known, teamId: TeamId.make("T0OTHER001") })))

  it.live("a token of another app", () =>
    only("KM-SLK-106", (scene) => set(() => scene.known = { ...scene.known, appId: "A0OTHER001" })))

  it.live("missing scopes, and tells superfluous ones", () =>
    Effect.gen(function*() {
      const scopes = ["chat:write", "users:read", "channels:read", "admin"]
      const workspace = yield* testWorkspace({ bot: { name: "poor", scopes } })
      const { wrong } = yield* status((scene) =>
        set(() => {
          scene.known = {
            ...scene.known,
            slackApiUrl: workspace.apiUrl,
            teamId: TeamId.make(workspace.teamId),
            appId: workspace.appId,
            slack: {}
          }
          scene.world.secrets.set("slack/bot-token", workspace.botToken)
        })
      )
      assert.deepStrictEqual(wrong.map(({ code }) => code), ["KM-SLK-107"])
      assert.match(wrong[0]?.detail ?? "", /app_mentions:read, .*superfluous: admin$/)
    }).pipe(Effect.scoped))

  it.live("an install by Socket Mode that has heard nothing yet is not deaf; what it refused is told", () =>
    Effect.gen(function*() {
      const quiet = yield* status(({ world }) => set(() => world.heard = { startedAt: 1 }), true)
      assert.deepStrictEqual(quiet.wrong, [])
      assert.deepInclude(quiet.checks.find(({ name }) => name === "events"), { status: "ok" })
      yield* only(
        "KM-SLK-106",
        ({ world }) => set(() => world.heard = { startedAt: 1, refused: { at: 2, code: "KM-SLK-008", detail: "" } }),
        true
      )
    }))

  it.live("an agent app without the event of Slack's Stop button; with it, or without a turn yet, nothing is wrong", () =>
    Effect.gen(function*() {
      yield* only("KM-SLK-144", sessions(false), true)
      for (const [shown, word] of [[true, "ok"], [null, "skip"]] as const) {
        const { checks, wrong } = yield* status(sessions(shown), true)
        assert.deepStrictEqual(wrong, [])
        assert.strictEqual(checks.find(({ name }) => name === "stop button")?.status, word)
      }
    }))

  it.live("Socket Mode switched off", () =>
    only("KM-SLK-111", (scene) =>
      Effect.andThen(
        scene.workspace.sockets.switch(false),
        set(() => scene.answers = { health: socketOf(trouble("link_disabled")) })
      ), true))

  it.live("an app-level token that Slack does not take", () =>
    only("KM-SLK-112", (scene) =>
      Effect.andThen(
        scene.workspace.revoke(scene.workspace.appToken),
        set(() => scene.answers = { health: socketOf(trouble("auth")) })
      ), true))

  it.live("too many connections", () =>
    only(
      "KM-SLK-113",
      (scene) => set(() => scene.answers = { health: socketOf(trouble("too_many_websockets")) }),
      true
    ))

  it.live("a connection over which nothing comes", () =>
    only(
      "KM-SLK-114",
      (scene) => set(() => scene.answers = { health: socketOf({ lastFrameAgeMillis: 61_000 }) }),
      true
    ))

  it.live("a bridge that is down", () => only("KM-SLK-129", (scene) => set(() => scene.bridgeDown.now = true)))

  it.live("signatures that do not hold, until one does", () =>
    Effect.gen(function*() {
      const refused = { at: 5, code: "KM-SLK-002", detail: "" }
      yield* only(
        "KM-SLK-116",
        ({ world }) => set(() => world.heard = { startedAt: 1, firstAt: 2, eventAt: 3, refused })
      )
      const later = yield* status(({ world }) =>
        set(() => world.heard = { startedAt: 1, firstAt: 2, eventAt: 6, refused })
      )
      assert.deepStrictEqual(later.wrong, [])
    }))

  it.live("bodies that are changed on the way to the bridge", () =>
    only(
      "KM-SLK-116",
      (scene) =>
        set(() => scene.answers = { events: { status: 401, body: JSON.stringify({ error: { code: "KM-SLK-002" } }) } })
    ))

  it.effect("a clock that is five minutes off", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.now() + 300_000)
      yield* only("KM-SLK-110", () => Effect.void)
    }))

  it.live("events that are too old for the bridge's clock", () =>
    only(
      "KM-SLK-110",
      ({ world }) =>
        set(() => world.heard = { startedAt: 1, firstAt: 2, refused: { at: 5, code: "KM-SLK-003", detail: "" } })
    ))

  it.live("an Events URL that answers something else", () =>
    only("KM-SLK-115", (scene) => set(() => scene.answers = { events: { status: 200, body: "<html>welcome</html>" } })))

  it.live("an Events URL that Slack has never reached", () =>
    only("KM-SLK-130", ({ world }) => set(() => world.heard = { startedAt: 1 })))

  it.live("a bot that is not in its channel", () =>
    only(
      "KM-SLK-124",
      ({ shared, workspace }) =>
        Effect.promise(async () => {
          await slackClient(workspace, tokenOf(workspace, "ada")).conversations.join({ channel: shared })
          await slackClient(workspace, workspace.botToken).conversations.leave({ channel: shared })
        })
    ))

  it.live("a channel that was archived by hand", () =>
    only(
      "KM-SLK-143",
      ({ shared, workspace }) =>
        Effect.promise(async () => {
          const ada = slackClient(workspace, tokenOf(workspace, "ada"))
          await ada.conversations.join({ channel: shared })
          await ada.conversations.archive({ channel: shared })
        })
    ))

  it.live("an open invitation is told and no failure; one that ended is one", () =>
    Effect.gen(function*() {
      const open = yield* status(invited(Date.now()))
      assert.strictEqual(open.exit, 0)
      assert.deepInclude(open.checks.find(({ name }) => name.startsWith("invitation")), {
        status: "warn",
        code: "KM-SLK-125"
      })
      yield* only("KM-SLK-125", invited(Date.now() - 15 * 24 * 3_600_000))
    }))

  it.live("dead letters", () =>
    only("KM-SLK-126", ({ world }) =>
      set(() => {
        world.rows.set(sandbox, {
          id: sandbox,
          install: InstallName.make("km"),
          profile: slackProfile,
          alias: Alias.make("demo"),
          desired: "running",
          status: "running",
          unconfined: false,
          createdAt: 0,
          generation: "1",
          inventory: [{ kind: "queue", ref: sandbox, state: "made" }]
        })
        const dead = new Map([["T1/C1/1.1", {}]])
        world.queue.queues.set(sandbox, { messages: [], dedupe: new Map(), dead } as never)
      })))
})
