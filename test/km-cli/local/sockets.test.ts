import { assert, describe, it } from "@effect/vitest"
import { App, LogLevel as BoltLogLevel, SocketModeReceiver } from "@slack/bolt"
import { SocketModeClient } from "@slack/socket-mode"
import { LogLevel } from "@slack/web-api"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { WebSocket } from "ws"
import { isJson, parseJson, textOf } from "../../../km-cli/local/workspace/Json.ts"
import { startSocketServer } from "../../../km-cli/local/workspace/sockets/startSocketServer.ts"
import { Watch } from "../../../km-cli/local/workspace/Watch.ts"
import { errorOf, slackClient, testWorkspace, tokenOf, userIdOf } from "../../support/Workspace.ts"

const quiet = () => undefined
const logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: quiet,
  setLevel: quiet,
  getLevel: () => LogLevel.ERROR,
  setName: quiet
}

/** A workspace with Socket Mode, its bot and Ada in one channel. */
const stage = Effect.fnUntraced(function*(input: Parameters<typeof testWorkspace>[0] = {}) {
  const workspace = yield* testWorkspace({ sockets: { enabled: true }, ...input })
  const bot = slackClient(workspace, workspace.botToken)
  const ada = slackClient(workspace, tokenOf(workspace, "ada"))
  const made = yield* Effect.promise(() => bot.conversations.create({ name: "stage" }))
  const channel = made.channel?.id ?? ""
  yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "ada") }))
  yield* workspace.eventsDelivered
  return { workspace, bot, ada, channel }
})
type Stage = Effect.Success<ReturnType<typeof stage>>

/** Slack's own client, until the scope ends. */
const sdk = (workspace: Stage["workspace"]) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new SocketModeClient({
        appToken: workspace.appToken,
        clientOptions: { slackApiUrl: workspace.apiUrl, allowAbsoluteUrls: true },
        logger
      })
    ),
    (client) => Effect.promise(() => client.disconnect())
  )

/** Sockets that say nothing but acknowledge. */
const started = Effect.fnUntraced(function*(workspace: Stage["workspace"]) {
  const client = yield* sdk(workspace)
  client.on("slack_event", ({ ack }: { ack: () => Promise<void> }) => void ack())
  yield* Effect.promise(() => client.start())
  return client
})

/** What comes over one connection: so many frames, "closed" and "refused" included. The connection stays open. */
const frames = (url: string, count: number) =>
  Effect.callback<ReadonlyArray<unknown>>((resume) => {
    const seen: Array<unknown> = []
    const socket = new WebSocket(url)
    const add = (frame: unknown): void => {
      seen.push(frame)
      if (seen.length === count) resume(Effect.succeed(seen))
    }
    socket.on("message", (data) => add(parseJson(String(data))))
    socket.on("error", () => add("refused"))
    socket.on("close", () => add("closed"))
  })

describe("Socket Mode of the local workspace", () => {
  it.live("brings a message to Slack's own client, in the shape that HTTP has, and takes its acknowledgement", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* stage()
      const client = yield* sdk(workspace)
      const heard = yield* Deferred.make<{ readonly body: unknown; readonly retry: unknown }>()
      client.on("message", ({ ack, body, retry_num: retry }: {
        readonly ack: () => Promise<void>
        readonly body: unknown
        readonly retry_num: unknown
      }) => void ack().then(() => Deferred.doneUnsafe(heard, Exit.succeed({ body, retry }))))
      yield* Effect.promise(() => client.start())
      const posted = yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "over a socket" }))
      const { body, retry } = yield* Deferred.await(heard)
      yield* workspace.eventsDelivered
      assert.isTrue(isJson(body))
      if (!isJson(body)) return
      assert.deepInclude(body, { type: "event_callback", team_id: workspace.teamId, api_app_id: workspace.appId })
      assert.deepInclude(body["event"], { type: "message", text: "over a socket", channel, ts: posted.ts })
      assert.match(textOf(body, "event_id") ?? "", /^Ev/)
      assert.strictEqual(retry, 0)
      assert.deepInclude(workspace.sockets.counts(), { opened: 1, acknowledged: 1, strayAcknowledgements: 0 })
    }))

  it.live("runs Bolt, whose listener answers a message", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* stage()
      yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const clientOptions = { slackApiUrl: workspace.apiUrl, allowAbsoluteUrls: true }
          const receiver = new SocketModeReceiver({
            appToken: workspace.appToken,
            logger,
            logLevel: BoltLogLevel.ERROR,
            installerOptions: { clientOptions }
          })
          const app = new App({ token: workspace.botToken, receiver, clientOptions, logger })
          app.message("ping", async ({ say }) => void await say("pong"))
          await app.start()
          return app
        }),
        (app) => Effect.promise(() => app.stop())
      )
      const from = yield* workspace.lastChange
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "ping" }))
      yield* workspace.waitFor(({ data, kind }) => kind === "message" && JSON.stringify(data).includes("pong"), from)
      yield* workspace.eventsDelivered
      const counts = workspace.sockets.counts()
      assert.strictEqual(counts.strayAcknowledgements, 0)
      assert.isAbove(counts.acknowledged, 0)
    }))

  it.live("sends an envelope again that is not acknowledged in time, on any connection, with its number and reason", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* stage({ eventTimeoutMillis: 50, retryDelays: [0, 5, 5] })
      const client = yield* sdk(workspace)
      const tries: Array<unknown> = []
      const third = yield* Deferred.make<void>()
      client.on("slack_event", ({ ack, body, retry_num: num, retry_reason: reason }: {
        readonly ack: () => Promise<void>
        readonly body: { readonly event_id: string }
        readonly retry_num: unknown
        readonly retry_reason: unknown
      }) => {
        tries.push([num, reason, body.event_id])
        if (tries.length === 3) void ack().then(() => Deferred.doneUnsafe(third, Effect.void))
      })
      yield* Effect.promise(() => client.start())
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "again" }))
      yield* Deferred.await(third)
      yield* workspace.eventsDelivered
      const ids = tries.map((one) => Array.isArray(one) ? one[2] : one)
      assert.deepStrictEqual(tries, [[0, "", ids[0]], [1, "timeout", ids[0]], [2, "timeout", ids[0]]])
    }))

  it.live("loses what happens while no connection is open once the repetitions are used up, and says so", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* stage({ retryDelays: [0, 1, 1] })
      const from = yield* workspace.lastChange
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "nobody listens" }))
      yield* workspace.eventsDelivered
      const last = yield* workspace.waitFor(({ data, kind }) => kind === "delivery" && data["attempt"] === 3, from)
      assert.deepInclude(last.data, { ok: false, reason: "no_connection" })
    }))

  it.live("delivers each envelope to one of several connections, never to two", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* stage()
      yield* started(workspace)
      yield* started(workspace)
      for (const text of ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]) {
        yield* Effect.promise(() => ada.chat.postMessage({ channel, text }))
      }
      yield* workspace.eventsDelivered
      const sent = workspace.sockets.connections().map((connection) => connection.sent)
      assert.strictEqual(sent.reduce((sum, count) => sum + count, 0), 12)
      assert.isAbove(Math.min(...sent), 0, "both connections get some")
    }))

  it.live("takes app-level tokens alone, in the header alone, and only while Socket Mode is on", () =>
    Effect.gen(function*() {
      const { bot, workspace } = yield* stage()
      const app = slackClient(workspace, workspace.appToken)
      const open = (client: typeof app, args = {}) =>
        Effect.promise(() => errorOf(client.apiCall("apps.connections.open", args)))
      const opened = yield* Effect.promise(() => app.apps.connections.open({}))
      assert.match(opened.url ?? "", /^ws:\/\/127\.0\.0\.1:\d+\/link\/\?ticket=[\w-]+&app_id=A/)
      assert.strictEqual(yield* open(bot), "not_allowed_token_type")
      assert.strictEqual(yield* Effect.promise(() => errorOf(app.auth.test())), "not_allowed_token_type")
      const byForm = yield* Effect.promise(async () => {
        const body = new URLSearchParams({ token: workspace.appToken })
        const answer: unknown =
          await (await fetch(`${workspace.apiUrl}apps.connections.open`, { method: "POST", body }))
            .json()
        return answer
      })
      assert.deepInclude(byForm, { ok: false, error: "not_authed" })
      yield* workspace.sockets.switch(false)
      assert.strictEqual(yield* open(app), "socket_mode_not_enabled")
      yield* workspace.revoke(workspace.appToken)
      assert.strictEqual(yield* open(app), "token_revoked")
    }))

  it.live("lets a ticket in once", () =>
    Effect.gen(function*() {
      const { workspace } = yield* stage()
      const url = yield* workspace.sockets.ticket
      const [first] = yield* frames(url, 1)
      assert.deepInclude(first, { type: "hello", num_connections: 1 })
      assert.deepStrictEqual(yield* frames(url, 1), ["refused"])
      assert.deepStrictEqual(yield* frames(url.replace(/ticket=[\w-]+/, "ticket=made-up"), 1), ["refused"])
    }))

  it.live("greets with what it announces, and tells the eleventh connection that there are too many", () =>
    Effect.gen(function*() {
      const { workspace } = yield* stage({ sockets: { enabled: true, lifeSeconds: 1_800 } })
      for (let number = 1; number <= 10; number++) {
        const [hello] = yield* frames(yield* workspace.sockets.ticket, 1)
        assert.deepInclude(hello, { type: "hello", num_connections: number })
        const info: unknown = isJson(hello) ? hello["debug_info"] : undefined
        assert.deepInclude(info, { approximate_connection_time: 1_800 })
      }
      const [word] = yield* frames(yield* workspace.sockets.ticket, 1)
      assert.deepInclude(word, { type: "disconnect", reason: "too_many_websockets" })
      assert.strictEqual(workspace.sockets.counts().mostOpen, 10)
    }))

  it.live("switched off, says link_disabled to all and closes", () =>
    Effect.gen(function*() {
      const { workspace } = yield* stage()
      const from = yield* workspace.lastChange
      const both = yield* Effect.forkChild(
        Effect.all([
          Effect.flatMap(workspace.sockets.ticket, (url) => frames(url, 3)),
          Effect.flatMap(workspace.sockets.ticket, (url) => frames(url, 3))
        ], { concurrency: 2 })
      )
      yield* workspace.waitFor(() => workspace.sockets.connections().length === 2, from)
      yield* workspace.sockets.switch(false)
      for (const seen of yield* Fiber.join(both)) {
        assert.deepInclude(seen[1], { type: "disconnect", reason: "link_disabled" })
        assert.strictEqual(seen[2], "closed")
      }
    }))

  it.effect("warns ten seconds before the life that it announced is over, asks for a new connection, and closes", () =>
    Effect.gen(function*() {
      const watch = new Watch(() => 0)
      const sockets = yield* startSocketServer({
        appId: "A0TEST0000",
        watch,
        settings: { enabled: true, lifeSeconds: 60 },
        timeoutMillis: 3_000
      })
      const told = (event: string, reason?: string) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            const found = watch.since(0).some(({ data }) =>
              data["event"] === event && (reason === undefined || data["reason"] === reason)
            )
            if (!found) return
            stop()
            resume(Effect.void)
          }
          const stop = watch.listen(look)
          look()
          return Effect.sync(stop)
        })
      const seen = yield* Effect.forkChild(Effect.flatMap(sockets.ticket, (url) => frames(url, 4)))
      yield* told("opened")
      yield* TestClock.adjust("50 seconds")
      yield* told("disconnect", "warning")
      assert.strictEqual(sockets.connections()[0]?.state, "greeted")
      yield* TestClock.adjust("10 seconds")
      yield* told("disconnect", "refresh_requested")
      yield* TestClock.adjust("10 seconds")
      yield* told("closed")
      assert.deepStrictEqual(
        (yield* Fiber.join(seen)).map((frame) => isJson(frame) ? frame["reason"] ?? frame["type"] : frame),
        ["hello", "warning", "refresh_requested", "closed"]
      )
    }))
})
