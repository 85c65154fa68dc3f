/**
 * Whole runtimes beside each other in one process, for the benches that count: real host, pipeline, slack-inbound plugin,
 * queue and ledgers (SQLite, `synchronous=FULL`); the bridge is a stub that writes down what reached it.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { SlackInboundPlugin } from "../../plugins/slack-inbound/SlackInboundPlugin.ts"
import * as SandboxStore from "../../runtime/adapters/disk/SandboxStore.ts"
import { Profile } from "../../runtime/domain/profile/Profile.ts"
import {
  ChannelId,
  InstallName,
  MessageTs,
  SandboxId,
  type SessionId,
  type TurnKey
} from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import { PluginHost } from "../../runtime/kernel/plugins/PluginHost.ts"
import { TurnPipeline } from "../../runtime/kernel/turns/TurnPipeline.ts"
import type { Agent } from "../../runtime/ports/Agent.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { RuntimeStatus } from "../../runtime/ports/RuntimeStatus.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { type BenchRow, meets } from "./BenchRow.ts"

/** How much is sent. Every message is sent twice. */
export interface Load {
  readonly sandboxes: number
  readonly threads: number
  readonly perThread: number
  /** Begins the text of each message; a directive for the scripted model, where there is one. */
  readonly text: string
  readonly limit: Duration.Input
}

export const messagesOf = ({ perThread, sandboxes, threads }: Load): number => sandboxes * threads * perThread

const profile = Schema.decodeSync(Profile)({
  apiVersion: "klankermaker.ai/v1",
  kind: "SandboxProfile",
  metadata: { name: "bench" },
  // As every measurement before had it.
  spec: {
    network: { mode: "shared" },
    cli: { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true }
  }
})
const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

const requestOf = (load: Load, channel: string, thread: number, n: number): TurnRequest => {
  const ts = `17000${thread}${String(n).padStart(4, "0")}.000001`
  const threadTs = MessageTs.make(`17000${thread}0000.000001`)
  return Schema.decodeSync(TurnRequest)({
    key: `T100:${channel}:${ts}`,
    group: `${channel}:${threadTs}`,
    origin: { kind: "slack", team: "T100", channel, ts, threadTs, user: "U100", userName: "Ada" },
    text: `${load.text} message ${n} of thread ${thread}: ${"x".repeat(400)}`,
    files: [],
    acceptedAt: Date.now()
  })
}

/** What reached the world outside. */
export interface Seen {
  /** Turn keys in the order in which their agents were started, by thread. */
  readonly started: Map<string, Array<string>>
  /** Posts by effect key: the second time under the same key is a replay, not a second message. */
  readonly answers: Map<string, number>
  /** Sessions by thread. */
  readonly sessions: Map<string, SessionId>
  readonly all: Deferred.Deferred<void>
}

/** Notes the start of an agent, in the order of its thread. */
export const noteStart = (seen: Seen, turn: TurnKey): void => {
  const thread = turn.slice(0, -"0000.000001".length)
  const list = seen.started.get(thread) ?? []
  list.push(turn)
  seen.started.set(thread, list)
}

const stubBridge = (seen: Seen, channel: string, messages: number) =>
  Layer.succeed(
    Bridge,
    Bridge.of({
      call: ({ action, key }) =>
        Effect.sync((): BridgeResult => {
          if (action.action === "thread.put") {
            seen.sessions.set(`${action.channel}:${action.threadTs}`, action.session)
          }
          if (action.action === "thread.lookup" && action.threadTs !== undefined) {
            const session = seen.sessions.get(`${channel}:${action.threadTs}`)
            const thread = { channel: ChannelId.make(channel), threadTs: action.threadTs }
            return { ok: true, ...(session === undefined ? {} : { thread: { ...thread, session } }) }
          }
          if (action.action !== "post") return { ok: true }
          const times = (seen.answers.get(key) ?? 0) + 1
          seen.answers.set(key, times)
          if (seen.answers.size === messages) Deferred.doneUnsafe(seen.all, Effect.void)
          return { ok: true, parts: [{ ts: MessageTs.make("1700000000.000001") }] }
        })
    })
  )

/** Makes the agent of one sandbox. */
export type AgentOf = (seen: Seen, directory: string) => Layer.Layer<Agent>

const runtimeOf = (id: SandboxId, channel: string, directory: string, seen: Seen, agentOf: AgentOf, load: Load) => {
  const runs = path.join(directory, "runs")
  const info = Layer.succeed(
    SandboxInfo,
    SandboxInfo.of({
      id,
      install: InstallName.make("km"),
      profile,
      channel: ChannelId.make(channel),
      label: id,
      directories: {
        state: directory,
        home: path.join(directory, "home"),
        workspace: path.join(directory, "workspace"),
        runs
      }
    })
  )
  const ports = Layer.mergeAll(
    SandboxStore.layer(directory),
    info,
    agentOf(seen, directory),
    stubBridge(seen, channel, messagesOf(load)),
    Redaction.layer,
    RuntimeStatus.memory({ ready: false, lastActiveAt: 0, plugins: [], confined: true, confinement: "stub" }),
    NodeFileSystem.layer
  )
  return Layer.fresh(
    PluginHost.layer([SlackInboundPlugin]).pipe(
      Layer.provideMerge(TurnPipeline.layer),
      Layer.provideMerge(ports)
    )
  )
}

const measure = (directory: string, load: Load, agentOf: AgentOf) =>
  Effect.gen(function*() {
    const { perThread, sandboxes, threads } = load
    const messages = messagesOf(load)
    const queue = yield* TurnQueue
    const seen: Seen = {
      started: new Map(),
      answers: new Map(),
      sessions: new Map(),
      all: Deferred.makeUnsafe()
    }
    const all = Array.from({ length: sandboxes }, (_, n) => ({
      id: SandboxId.make(`sb-${String(n).padStart(8, "0")}`),
      channel: `C${String(n).padStart(6, "0")}`
    }))
    const ledgers = yield* Effect.forEach(all, ({ channel, id }) =>
      Effect.gen(function*() {
        yield* queue.create(id)
        const built = yield* Layer.build(
          runtimeOf(id, channel, path.join(directory, "sandboxes", id), seen, agentOf, load)
        )
        return Context.get(built, Ledger)
      }))
    const startedAt = performance.now()
    yield* Effect.forEach(
      all,
      ({ channel, id }) =>
        Effect.gen(function*() {
          for (let n = 1; n <= perThread; n++) {
            for (let thread = 1; thread <= threads; thread++) {
              const request = requestOf(load, channel, thread, n)
              const entry = { key: request.key, group: request.group, body: encodeRequest(request) }
              yield* queue.send(id, entry)
              yield* queue.send(id, entry)
            }
          }
        }),
      { concurrency: "unbounded", discard: true }
    )
    yield* Deferred.await(seen.all).pipe(Effect.timeoutOption(load.limit))
    const seconds = (performance.now() - startedAt) / 1_000
    // What would come twice needs time to come.
    yield* Effect.sleep("2 seconds")
    const rows = (yield* Effect.forEach(ledgers, (ledger) => ledger.recent(1_000))).flat()
    const answered = rows.filter((row) => row.state === "settled" && row.result === "answered").length
    let disorder = 0
    for (const list of seen.started.values()) {
      if (list.join() !== list.toSorted().join()) disorder++
    }
    const agents = [...seen.started.values()].reduce((sum, list) => sum + list.length, 0)
    const doubled = [...seen.answers.values()].reduce((sum, times) => sum + times - 1, 0) +
      Math.max(0, agents - messages)
    const resumed = rows.filter((row) => row.resumed).length
    return { seconds, resumed, disorder, lost: messages - answered, doubled, shown: seen.answers.size }
  })

/** Sends the load to fresh runtimes and tells what became of it. */
export const runLoad = async (area: string, what: string, load: Load, agentOf: AgentOf) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "km-pipeline-"))
  try {
    const found = await Effect.runPromise(
      measure(directory, load, agentOf).pipe(
        Effect.provide(EmbeddedEngine.layer(directory, { check: false })),
        Effect.scoped,
        Effect.provide(Logger.layer([]))
      )
    )
    const nothing = (name: string, value: number): BenchRow => ({
      area,
      name: `${name}, ${what}`,
      unit: "count",
      value,
      target: "= 0",
      ok: meets(value, "= 0")
    })
    const rows: ReadonlyArray<BenchRow> = [
      nothing("threads out of order", found.disorder),
      nothing("messages lost", found.lost),
      nothing("messages doubled", found.doubled)
    ]
    return { rows, resumed: found.resumed, perSecond: found.shown / found.seconds }
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}
