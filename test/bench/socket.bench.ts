/**
 * How soon an envelope of Socket Mode is acknowledged: a real bridge process on the embedded engine (`synchronous=FULL`),
 * the local workspace's endpoint in this process, and a Slack that answers at once. And how soon a half-open connection
 * is noticed, three times in real time.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { startSocketServer } from "../../km-cli/local/workspace/sockets/startSocketServer.ts"
import { Watch } from "../../km-cli/local/workspace/Watch.ts"
import { statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { signingKeyFromSeed } from "../../runtime/domain/identity/Ed25519.ts"
import { ChannelId, InstallName, SandboxId, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { slackProfile } from "../support/profiles.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const main = fileURLToPath(new URL("../../bridge/main.ts", import.meta.url))
const team = "T0BENCH001"
const appId = "A0BENCH001"
const channel = "C0SOCKET01"
const sandbox = SandboxId.make("sb-00000001")
const envelopes = 1_000
const perSecond = 50
const warmUp = 50
const halfOpen = 3

const measured = Effect.gen(function*() {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-")))
  const state = path.join(root, "state")
  yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(root, { recursive: true, force: true })))
  const watch = new Watch(() => Date.now())
  const sockets = yield* startSocketServer({ appId, watch, settings: { enabled: true }, timeoutMillis: 3_000 })
  const changed = (event: string, after: number) =>
    Effect.callback<number>((resume) => {
      const look = () => {
        const found = watch.since(after).find(({ data }) => data["event"] === event)
        if (found === undefined) return
        stop()
        resume(Effect.succeed(found.at))
      }
      const stop = watch.listen(look)
      look()
      return Effect.sync(stop)
    })
  const promised = Effect.runPromiseWith(yield* Effect.context<never>())
  const server = http.createServer((request, response) => {
    request.resume()
    const answer = (body: object) => {
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ ok: true, ...body }))
    }
    switch (request.url?.split("/").at(-1)) {
      case "apps.connections.open":
        return void promised(sockets.ticket).then((url) => answer({ url }))
      case "auth.test":
        return answer({ user_id: "U0BENCHBOT", bot_id: "B0BENCHBOT", team_id: team })
      case "users.info":
        return answer({ user: { name: "ada", team_id: team } })
      default:
        return answer({ messages: [] })
    }
  })
  server.listen(0, "127.0.0.1")
  yield* Effect.promise(() => once(server, "listening"))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  yield* Effect.gen(function*() {
    yield* writeInstall(state, {
      version: 1,
      install: InstallName.make("km"),
      certifierPublicKey: Buffer.from(signingKeyFromSeed(new Uint8Array(32).fill(1)).publicKey).toString("base64"),
      bridgeUrl: "http://127.0.0.1:0",
      bridgeHost: "bridge.bench",
      slackApiUrl: `http://127.0.0.1:${port}/api/`,
      teamId: TeamId.make(team),
      appId,
      local: true
    })
    yield* (yield* Secrets).put("slack/bot-token", Redacted.make("xoxb-bench"))
    yield* (yield* Secrets).put("slack/app-token", Redacted.make("xapp-bench"))
    yield* (yield* Sandboxes).insert({
      id: sandbox,
      install: InstallName.make("km"),
      profile: slackProfile,
      desired: "running",
      status: "running",
      channel: ChannelId.make(channel),
      channelMode: "perSandbox",
      unconfined: false,
      createdAt: Date.now() - 3_600_000,
      generation: "1",
      inventory: []
    })
    yield* (yield* TurnQueue).create(sandbox)
  }).pipe(
    Effect.provide(Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))),
    Effect.orDie
  )
  const bridge = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [main, "--state", state, "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] })
    ),
    (child) => Effect.promise(() => (child.kill("SIGTERM"), once(child, "exit")))
  )
  yield* Effect.promise(() => once(createInterface({ input: bridge.stdout }), "line"))
  yield* changed("opened", 0)

  /** Milliseconds from the envelope to its acknowledgement. */
  const acknowledged = (n: number) =>
    Effect.gen(function*() {
      const ts = `${1_700_000_000 + n}.000100`
      const started = performance.now()
      const { ok } = yield* sockets.deliver({
        type: "events_api",
        payload: {
          type: "event_callback",
          team_id: team,
          api_app_id: appId,
          event_id: `Ev${n}`,
          authorizations: [{ team_id: team, user_id: "U0BENCHBOT", is_bot: true }],
          is_ext_shared_channel: false,
          event: { type: "message", channel, user: "U0BENCH001", team, text: `message ${n}`, ts, event_ts: ts }
        }
      })
      return ok ? performance.now() - started : Number.POSITIVE_INFINITY
    })
  // As for events by HTTP: a bridge that has just started, and asks who its bot and the author are, is another figure.
  for (let n = 0; n < warmUp; n++) yield* acknowledged(n)
  const acked = yield* Effect.forEach(
    Array.from({ length: envelopes }, (_, n) => n),
    (n) => Effect.delay(acknowledged(warmUp + n), n * 1_000 / perSecond),
    { concurrency: "unbounded" }
  )
  const depth = yield* Effect.flatMap(TurnQueue, (queue) => queue.depth(sandbox)).pipe(
    Effect.provide(EmbeddedEngine.layer(state, { check: false })),
    Effect.orDie
  )

  const noticed: Array<number> = []
  for (let time = 0; time < halfOpen; time++) {
    const place = watch.seq
    const since = Date.now()
    yield* sockets.freeze("all")
    noticed.push((yield* changed("opened", place)) - since)
  }
  return { acked, stored: depth.waiting, noticed }
})

const row = (name: string, unit: BenchRow["unit"], value: number, target: string, samples?: ReadonlyArray<number>) => ({
  area: "socket",
  name,
  unit,
  value,
  target,
  ok: meets(value, target),
  ...(samples === undefined ? {} : { p50: percentile(samples, 50), p99: percentile(samples, 99) })
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const { acked, noticed, stored } = await Effect.runPromise(Effect.scoped(measured))
  return [
    row(
      `envelope to acknowledgement, p99 of ${envelopes} at ${perSecond}/s`,
      "ms",
      percentile(acked, 99),
      "<= 150",
      acked
    ),
    row("acknowledged and not on disk", "count", warmUp + acked.filter(Number.isFinite).length - stored, "= 0"),
    row(`half-open noticed and replaced, longest of ${halfOpen}`, "ms", Math.max(...noticed), "<= 60000", noticed)
  ]
}
