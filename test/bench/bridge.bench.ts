/**
 * How fast the bridge takes Slack's events: a real bridge process on the embedded engine (`synchronous=FULL`), signed
 * requests over kept connections from this process, and a Slack that answers at once, so that only our time counts.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { slackSignature } from "../../bridge/slack/slackSignature.ts"
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
const secret = "bench-signing-secret"
const team = "T0BENCH001"
const app = "A0BENCH001"
const user = "U0BENCH001"
const steadyEvents = 1_000
const steadyPerSecond = 50
const burstEvents = 10_000
const connections = 64
const markEvents = 40

/** A Slack that knows one bot and one person and notes when each reaction was asked for. */
const startSlack = async (marks: Map<string, number>) => {
  const server = http.createServer((request, response) => {
    const method = request.url?.split("/").at(-1) ?? ""
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      if (method === "reactions.add") {
        const form = new URLSearchParams(Buffer.concat(chunks).toString("utf8"))
        marks.set(form.get("timestamp") ?? "", performance.now())
      }
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify(
        method === "auth.test"
          ? { ok: true, user_id: "U0BENCHBOT", bot_id: "B0BENCHBOT", team_id: team }
          : method === "users.info"
          ? { ok: true, user: { name: "ada", team_id: team } }
          : { ok: true, messages: [] }
      ))
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  return { server, url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/api/` }
}

const startBridge = async (state: string): Promise<{ readonly child: ChildProcess; readonly port: number }> => {
  const child = spawn(process.execPath, [main, "--state", state, "--port", "0"], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const said: { url?: string } = JSON.parse(line)
    return { child, port: Number(new URL(said.url ?? "").port) }
  }
  throw new Error("the bridge did not start")
}

const eventBody = (channel: string, ts: string, text: string): string =>
  JSON.stringify({
    token: "unused",
    team_id: team,
    api_app_id: app,
    type: "event_callback",
    event_id: `Ev${channel}${ts}`,
    event_time: Number(ts.split(".")[0]),
    authorizations: [{ team_id: team, user_id: "U0BENCHBOT", is_bot: true }],
    is_ext_shared_channel: false,
    event: {
      type: "message",
      channel,
      channel_type: "channel",
      user,
      team,
      text,
      ts,
      event_ts: ts,
      client_msg_id: `c-${ts}`,
      blocks: [{ type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text }] }] }]
    }
  })

/** Milliseconds from the request to the end of its 200; throws on another status. */
const post = (agent: http.Agent, port: number, body: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const timestamp = String(Math.floor(Date.now() / 1000))
    const started = performance.now()
    const request = http.request({
      agent,
      port,
      host: "127.0.0.1",
      method: "POST",
      path: "/events",
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": slackSignature(secret, timestamp, body)
      }
    }, (response) => {
      response.resume()
      response.on("end", () =>
        response.statusCode === 200
          ? resolve(performance.now() - started)
          : reject(new Error(`/events answered ${response.statusCode}`)))
    })
    request.on("error", reject)
    request.end(body)
  })

const tsOf = (n: number): string => `${1_700_000_000 + Math.floor(n / 1_000)}.${String(n % 1_000).padStart(6, "0")}`
const wait = (millis: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, millis))

/** Sends events at an even pace, whatever the answers take. */
const paced = async (count: number, perSecond: number, send: (n: number) => Promise<number>) => {
  const started = performance.now()
  const answers: Array<Promise<number>> = []
  for (let n = 0; n < count; n++) {
    const due = started + n * 1_000 / perSecond
    if (due > performance.now()) await wait(due - performance.now())
    answers.push(send(n))
  }
  return Promise.all(answers)
}

const row = (name: string, unit: BenchRow["unit"], value: number, target: string, samples?: ReadonlyArray<number>) => ({
  area: "bridge",
  name,
  unit,
  value,
  target,
  ok: meets(value, target),
  ...(samples === undefined ? {} : { p50: percentile(samples, 50), p99: percentile(samples, 99) })
})

const channels = ["C0STEADY01", "C0BURST001", "C0MARKS001"]

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-")))
  const state = path.join(root, "state")
  const marks = new Map<string, number>()
  const slack = await startSlack(marks)
  const engine = Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))
  const sandboxes = channels.map((_, index) => SandboxId.make(`sb-0000000${index + 1}`))
  const prepare = Effect.gen(function*() {
    yield* writeInstall(state, {
      version: 1,
      install: InstallName.make("km"),
      certifierPublicKey: Buffer.from(signingKeyFromSeed(new Uint8Array(32).fill(1)).publicKey).toString("base64"),
      bridgeUrl: "http://127.0.0.1:0",
      bridgeHost: "bridge.bench",
      slackApiUrl: slack.url,
      teamId: TeamId.make(team),
      appId: app,
      local: true
    })
    yield* (yield* Secrets).put("slack/bot-token", Redacted.make("xoxb-bench"))
    yield* (yield* Secrets).put("slack/signing-secret", Redacted.make(secret))
    for (const [index, sandbox] of sandboxes.entries()) {
      yield* (yield* Sandboxes).insert({
        id: sandbox,
        install: InstallName.make("km"),
        profile: slackProfile,
        desired: "running",
        status: "running",
        channel: ChannelId.make(channels[index] ?? ""),
        channelMode: "perSandbox",
        unconfined: false,
        createdAt: Date.now() - 3_600_000,
        generation: "1",
        inventory: []
      })
      yield* (yield* TurnQueue).create(sandbox)
    }
  })
  const stored = (sandbox: SandboxId) =>
    Effect.runPromise(
      Effect.flatMap(TurnQueue, (queue) => queue.depth(sandbox)).pipe(
        Effect.map((depth) => depth.waiting),
        Effect.provide(EmbeddedEngine.layer(state, { check: false }))
      )
    )
  await Effect.runPromise(Effect.provide(prepare, engine))
  const { child, port } = await startBridge(state)
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  const [steady = "", burst = "", marked = ""] = channels
  try {
    // The first requests compile the code; a bridge that has run for a second is the one that is measured.
    for (let n = 0; n < 200; n++) await post(agent, port, eventBody("C0NOBODY01", tsOf(n), "warm"))

    const asked = new Map<string, number>()
    await paced(markEvents, 5, (n) => {
      asked.set(tsOf(n), performance.now())
      return post(agent, port, eventBody(marked, tsOf(n), "hello"))
    })
    await wait(500)
    const toMark = [...asked].map(([ts, at]) => (marks.get(ts) ?? Number.POSITIVE_INFINITY) - at)

    const latencies = await paced(
      steadyEvents,
      steadyPerSecond,
      (n) => post(agent, port, eventBody(steady, tsOf(n), "a message of ordinary length, as people write them"))
    )
    const lostSteady = steadyEvents - (await stored(sandboxes[0] ?? SandboxId.make("sb-1")))

    let next = 0
    const started = performance.now()
    await Promise.all(Array.from({ length: connections }, async () => {
      while (next < burstEvents) await post(agent, port, eventBody(burst, tsOf(next++), "a message of ordinary length"))
    }))
    const perSecond = burstEvents / ((performance.now() - started) / 1_000)
    const lostBurst = burstEvents - (await stored(sandboxes[1] ?? SandboxId.make("sb-1")))

    return [
      row("/events: request to 200 at 50/s, p99", "ms", percentile(latencies, 99), "<= 60", latencies),
      row("/events saturated", "1/s", perSecond, ">= 1000"),
      row("/events: answered 200 and not stored", "count", lostSteady + lostBurst, "= 0"),
      row(
        "event received to 👀 asked for, p95, Slack's own time left out",
        "ms",
        percentile(toMark, 95),
        "<= 150",
        toMark
      )
    ]
  } finally {
    agent.destroy()
    child.kill("SIGTERM")
    await once(child, "exit")
    slack.server.close()
    slack.server.closeAllConnections()
    fs.rmSync(root, { recursive: true, force: true })
  }
}
