import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as EmbeddedEngine from "../../runtime/adapters/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/adapters/embedded/FileSecrets.ts"
import { statePaths, writeInstall } from "../../runtime/adapters/embedded/StateDirectory.ts"
import { TeamId } from "../../runtime/domain/Ids.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { certifier, host, install, room, rowOf, sandbox, say } from "./world.ts"

const main = fileURLToPath(new URL("../../bridge/main.ts", import.meta.url))

/** A bridge process that has said it is ready; killed with its scope. */
const started = (state: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [main, "--state", state, "--port", "0"], {
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

describe("bridge/main.ts", () => {
  it.live("serves an install, ends on SIGTERM, and fetches after a restart what was written meanwhile", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      const state = path.join(yield* temporaryDirectory, "state")
      const engine = Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))
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
        yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
        const queue = yield* TurnQueue
        yield* queue.create(sandbox)

        const first = yield* started(state)
        const health = yield* Effect.promise(() => fetch(`${first.url}/healthz`).then((answer) => answer.json()))
        assert.deepStrictEqual(health, { ok: true })
        yield* workspace.setEventsUrl(`${first.url}/events`)
        const taken = yield* say(ada, channel, "while it is up")
        yield* workspace.eventsDelivered
        assert.strictEqual(yield* Effect.promise(() => ended(first.child, "SIGTERM")), 0)

        yield* workspace.clearEventsUrl
        const missed = yield* say(ada, channel, "while it is down")
        const reply = yield* say(ada, channel, "in a thread, while it is down", taken)
        yield* started(state)
        yield* workspace.waitFor((change) => change.kind === "reaction_added" && change.ts === reply, 0)
        const keys = (yield* queue.peek(sandbox, 10)).map((entry) => entry.key.split(":")[2])
        assert.deepStrictEqual(keys, [taken, missed, reply])
        const marked = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp: missed }))
        assert.deepStrictEqual(marked.message?.reactions?.map(({ name }) => name), ["eyes"])
      }).pipe(Effect.provide(engine))
    }))
})
