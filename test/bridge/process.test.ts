import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schedule, Schema } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { slackSignature } from "../../bridge/slack/slackSignature.ts"
import type { WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import { statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { BridgeAnswer } from "../../runtime/domain/slack/BridgeProtocol.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { bundled } from "../support/bundled.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { userIdOf } from "../support/Workspace.ts"
import { certified, certifier, host, install, room, rowOf, sandbox, sandboxKey, say, signedV2 } from "./world.ts"

const decodeAnswer = Schema.decodeUnknownSync(BridgeAnswer)

/** A bridge process that has said it is ready; killed with its scope. */
const started = (state: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [bundled("km-bridge.mjs"), "--state", state, "--port", "0"], {
        stdio: ["ignore", "pipe", "pipe"]
      })
      const errors: Array<string> = []
      child.stderr.on("data", (chunk: Buffer) => errors.push(chunk.toString()))
      for await (const line of createInterface({ input: child.stdout })) {
        const said: { url?: string } = JSON.parse(line)
        return { child, url: said.url ?? "" }
      }
      throw new Error(`the bridge ended: ${errors.join("")}`)
    }),
    ({ child }) => Effect.promise(() => ended(child, "SIGKILL"))
  )

const ended = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exit = once(child, "exit")
  child.kill(signal)
  await exit
  return child.exitCode
}

/** A state directory with an install, secrets, keys and one sandbox whose queue is empty. */
const furnished = Effect.fnUntraced(function*(workspace: WorkspaceHandle, channel: string) {
  const state = path.join(yield* temporaryDirectory, "state")
  const engine = yield* Layer.build(
    Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))
  )
  yield* Effect.gen(function*() {
    yield* writeInstall(state, {
      version: 1,
      install,
      certifierPublicKey: Buffer.from(certifier.publicKey).toString("base64"),
      bridgeUrl: "http://127.0.0.1:0",
      bridgeHost: host,
      slackApiUrl: workspace.apiUrl,
      teamId: TeamId.make(workspace.teamId),
      appId: workspace.appId,
      local: true
    })
    const secrets = yield* Secrets
    yield* secrets.put("slack/bot-token", Redacted.make(workspace.botToken))
    yield* secrets.put("slack/signing-secret", Redacted.make(workspace.signingSecret))
    yield* (yield* Identities).put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
    yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
    yield* (yield* TurnQueue).create(sandbox)
  }).pipe(Effect.provide(engine))
  return { state, queue: Context.get(engine, TurnQueue) }
})

describe("km-bridge", () => {
  it.live("serves an install, ends on SIGTERM, and fetches after a restart what was written meanwhile", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      const { queue, state } = yield* furnished(workspace, channel)
      const first = yield* started(state)
      const health = yield* Effect.promise(() => fetch(`${first.url}/healthz`).then((answer) => answer.json()))
      assert.deepStrictEqual(health, { ok: true, transport: "http" })
      yield* workspace.setEventsUrl(`${first.url}/events`)
      const taken = yield* say(ada, channel, "while it is up")
      yield* workspace.eventsDelivered
      assert.strictEqual(yield* Effect.promise(() => ended(first.child, "SIGTERM")), 0)

      yield* workspace.clearEventsUrl
      const missed = yield* say(ada, channel, "while it is down")
      const reply = yield* say(ada, channel, "in a thread, while it is down", taken)
      yield* started(state)
      yield* workspace.waitFor((change) => change.kind === "reaction_added" && change.ts === reply, 0)
      const keys = (yield* queue.keys(sandbox)).map((entry) => entry.key.split(":")[2])
      assert.deepStrictEqual(keys, [taken, missed, reply])
      const marked = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp: missed }))
      assert.deepStrictEqual(marked.message?.reactions?.map(({ name }) => name), ["eyes"])
    }))

  it.live(
    "killed while events stream in: what was answered 200 is stored, and repetitions double nothing",
    () =>
      Effect.gen(function*() {
        const { channel, workspace } = yield* room()
        const { queue, state } = yield* furnished(workspace, channel)
        const bodies = Array.from({ length: 300 }, (_, n) => {
          const ts = `1700000000.${String(n).padStart(6, "0")}`
          return {
            ts,
            body: JSON.stringify({
              type: "event_callback",
              team_id: workspace.teamId,
              api_app_id: workspace.appId,
              event_id: `Ev${n}`,
              is_ext_shared_channel: false,
              event: {
                type: "message",
                channel,
                user: userIdOf(workspace, "ada"),
                team: workspace.teamId,
                text: `message ${n}`,
                ts
              }
            })
          }
        })
        const deliver = (url: string, body: string) => {
          const timestamp = String(Math.floor(Date.now() / 1000))
          return fetch(`${url}/events`, {
            method: "POST",
            body,
            headers: {
              "x-slack-request-timestamp": timestamp,
              "x-slack-signature": slackSignature(workspace.signingSecret, timestamp, body)
            }
          }).then((answer) => answer.status, () => 0)
        }
        const first = yield* started(state)
        const answered = new Set<string>()
        // So many at a time that they are in every state, and so few that a slow reader of answers kills in time.
        yield* Effect.forEach(bodies, ({ body, ts }) =>
          Effect.promise(async () => {
            if ((await deliver(first.url, body)) !== 200) return
            answered.add(ts)
            // Somewhere between an enqueue and a mark.
            if (answered.size === 50) first.child.kill("SIGKILL")
          }), { concurrency: 100, discard: true })
        assert.isAtLeast(answered.size, 50)
        assert.isBelow(answered.size, bodies.length)
        const keys = Effect.map(
          queue.keys(sandbox),
          (entries) => entries.map((entry) => entry.key.split(":")[2] ?? "")
        )
        const stored = new Set(yield* keys)
        for (const ts of answered) assert.isTrue(stored.has(ts), ts)

        const second = yield* started(state)
        const again = yield* Effect.promise(() => Promise.all(bodies.map(({ body }) => deliver(second.url, body))))
        assert.isTrue(again.every((status) => status === 200))
        assert.deepStrictEqual((yield* keys).toSorted(), bodies.map(({ ts }) => ts))
      })
  )

  it.live(
    "killed between Slack's OK and its record: the repeated request adopts the message",
    () =>
      Effect.gen(function*() {
        const { ada, channel, workspace } = yield* room()
        const { state } = yield* furnished(workspace, channel)
        const ts = yield* say(ada, channel, "hello")
        const first = yield* started(state)
        yield* workspace.faults.add({ method: "chat.postMessage", channel, fault: { kind: "hang-after" } })
        const { body, headers } = signedV2("the answer", {
          action: "post",
          channel,
          threadTs: ts,
          markdown: "the answer"
        })
        const lost = fetch(`${first.url}/v2`, { method: "POST", headers, body }).catch(() => undefined)
        yield* workspace.waitFor(
          ({ data, kind }) => kind === "message" && JSON.stringify(data).includes("the answer"),
          0
        )
        yield* Effect.promise(() => ended(first.child, "SIGKILL"))
        yield* Effect.promise(() => lost)

        const second = yield* started(state)
        const ask = Effect.promise(async () => {
          const fresh = signedV2("the answer", { action: "post", channel, threadTs: ts, markdown: "the answer" })
          const answer = await fetch(`${second.url}/v2`, { method: "POST", headers: fresh.headers, body: fresh.body })
          return decodeAnswer(await answer.json())
        })
        // The dead bridge's lease has to run out first, as a client's retries wait for it.
        const settled = yield* ask.pipe(
          Effect.repeat({
            schedule: Schedule.spaced("1 second"),
            until: (answer) => answer.ok || answer.error.code !== "in_progress"
          })
        )
        const thread = yield* workspace.thread(channel, ts)
        assert.isTrue(settled.ok, JSON.stringify(settled))
        assert.deepStrictEqual(
          thread?.replies.map((reply) => reply.ts),
          settled.ok ? settled.parts?.map((part) => part.ts) : []
        )
      })
  )
})
