/** A real bridge from `dist/` on an engine of its own, and a Slack that answers at once, so that only our time counts. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { nodeOptions } from "../../km-cli/NodeOptions.ts"
import { statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { signingKeyFromSeed } from "../../runtime/domain/identity/Ed25519.ts"
import { ChannelId, InstallName, SandboxId, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { slackProfile } from "../support/profiles.ts"
import { app, secret, team } from "./eventLoad.ts"

const bundled = fileURLToPath(new URL("../../dist/km-bridge.mjs", import.meta.url))

/** A program that answers `/events`, as a process. */
export interface Server {
  readonly child: ChildProcess
  readonly port: number
}

/** Starts a program that says `{"url": …}` on its first line once it listens, and ends with its standard input. */
export const startServer = async (
  program: string,
  args: ReadonlyArray<string>,
  nodeArgs: ReadonlyArray<string> = []
): Promise<Server> => {
  const child = spawn(process.execPath, [...nodeArgs, program, ...args], { stdio: ["pipe", "pipe", "ignore"] })
  for await (const line of createInterface({ input: child.stdout })) {
    const said: { url?: string } = JSON.parse(line)
    return { child, port: Number(new URL(said.url ?? "").port) }
  }
  throw new Error(`${path.basename(program)} did not start`)
}

export const stopServer = async ({ child }: Server): Promise<void> => {
  if (child.exitCode !== null) return
  child.kill("SIGTERM")
  await once(child, "exit")
}

/** A Slack that knows one bot and one person and notes when each reaction was asked for. */
export const startSlack = async (marks: Map<string, number>) => {
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

/** A bridge with one sandbox for each channel; `stored` counts what waits in a channel's queue. */
export const startBridge = async (
  root: string,
  channels: ReadonlyArray<string>,
  { nodeArgs = nodeOptions["km-bridge"] ?? [], program = bundled }: {
    readonly nodeArgs?: ReadonlyArray<string>
    readonly program?: string
  } = {}
) => {
  const state = path.join(fs.realpathSync(root), "state")
  const marks = new Map<string, number>()
  const slack = await startSlack(marks)
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
  await Effect.runPromise(Effect.provide(
    prepare,
    Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))
  ))
  const server = await startServer(program, ["--state", state, "--port", "0", "--end-with-stdin"], nodeArgs)
  const stored = (channel: string): Promise<number> =>
    Effect.runPromise(
      Effect.flatMap(TurnQueue, (queue) => queue.depth(sandboxes[channels.indexOf(channel)] ?? SandboxId.make("sb-1")))
        .pipe(
          Effect.map((depth) => depth.waiting),
          Effect.provide(EmbeddedEngine.layer(state, { check: false }))
        )
    )
  const stop = async () => {
    await stopServer(server)
    slack.server.close()
    slack.server.closeAllConnections()
  }
  return { ...server, marks, stored, stop }
}

/** Milliseconds of processor time that a process has used, all its threads. */
export const cpuMillis = (pid: number): number => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Resident memory in MiB. */
export const residentMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1_024
