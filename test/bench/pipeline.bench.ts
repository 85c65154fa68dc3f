/**
 * Whole runtimes side by side in one process: 200 sandboxes, 50 messages each in 5 threads, every message sent twice.
 * Real host, pipeline, slack-inbound plugin, queue and ledgers (SQLite, `synchronous=FULL`); the agent and the bridge
 * are stubs that write down what reached them. First what must be nothing is counted, then the speed is told.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { SlackInboundPlugin } from "../../plugins/slack-inbound/SlackInboundPlugin.ts"
import * as EmbeddedEngine from "../../runtime/adapters/embedded/EmbeddedEngine.ts"
import * as SandboxStore from "../../runtime/adapters/embedded/SandboxStore.ts"
import { ChannelId, InstallName, MessageTs, SandboxId } from "../../runtime/domain/Ids.ts"
import { Profile } from "../../runtime/domain/Profile.ts"
import { AgentOutcome, TurnRequest } from "../../runtime/domain/Turn.ts"
import { PluginHost } from "../../runtime/kernel/PluginHost.ts"
import { TurnPipeline } from "../../runtime/kernel/TurnPipeline.ts"
import { Agent } from "../../runtime/ports/Agent.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { RuntimeStatus } from "../../runtime/ports/RuntimeStatus.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { type BenchRow, meets } from "./BenchRow.ts"

const sandboxes = 200
const threads = 5
const perThread = 10
const messages = sandboxes * threads * perThread

const profile = Schema.decodeUnknownSync(Profile)({
  apiVersion: "klankermaker.ai/v1",
  kind: "SandboxProfile",
  metadata: { name: "bench" },
  spec: { cli: { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true } }
})
const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

const requestOf = (channel: string, thread: number, n: number): TurnRequest => {
  const ts = `17000${thread}${String(n).padStart(4, "0")}.000001`
  const threadTs = MessageTs.make(`17000${thread}0000.000001`)
  return Schema.decodeSync(TurnRequest)({
    key: `T100:${channel}:${ts}`,
    group: `${channel}:${threadTs}`,
    origin: { kind: "slack", team: "T100", channel, ts, threadTs, user: "U100", userName: "Ada" },
    text: `message ${n} of thread ${thread}: ${"x".repeat(400)}`,
    files: [],
    acceptedAt: Date.now()
  })
}

/** What reached the world outside. */
interface Seen {
  /** Turn keys in the order in which their agents were started, by thread. */
  readonly started: Map<string, Array<string>>
  /** Posts by effect key: the second time under the same key is a replay, not a second message. */
  readonly answers: Map<string, number>
  readonly all: Deferred.Deferred<void>
}

const stubAgent = (seen: Seen) =>
  Layer.succeed(
    Agent,
    Agent.of({
      start: (run) =>
        Effect.sync(() => {
          const thread = run.turn.slice(0, -"0000.000001".length)
          const list = seen.started.get(thread) ?? []
          list.push(run.turn)
          seen.started.set(thread, list)
          return {
            mark: { pid: 1, startTime: "", bootId: "" },
            events: Stream.empty,
            outcome: Effect.as(Effect.sleep(5), AgentOutcome.cases.Answered.make({ text: `answer to ${run.turn}` })),
            interrupt: () => Effect.void,
            timeOut: () => Effect.void
          }
        }),
      recover: () => Effect.succeed(Option.none()),
      sessionExists: () => Effect.succeed(true),
      confinement: Effect.succeed({ confined: true, detail: "stub" })
    })
  )

const stubBridge = (seen: Seen) =>
  Layer.succeed(
    Bridge,
    Bridge.of({
      call: ({ action, key }) =>
        Effect.sync(() => {
          if (action.action !== "post") return { ok: true as const }
          const times = (seen.answers.get(key) ?? 0) + 1
          seen.answers.set(key, times)
          if (seen.answers.size === messages) Deferred.doneUnsafe(seen.all, Effect.void)
          return { ok: true as const, parts: [{ ts: MessageTs.make("1700000000.000001"), sha256: "" }] }
        })
    })
  )

const runtimeOf = (id: SandboxId, channel: string, directory: string, seen: Seen) => {
  const runs = path.join(directory, "runs")
  const info = Layer.succeed(
    SandboxInfo,
    SandboxInfo.of({
      id,
      install: InstallName.make("km"),
      profile,
      channel: ChannelId.make(channel),
      label: id,
      directories: { state: directory, home: directory, workspace: directory, runs }
    })
  )
  const ports = Layer.mergeAll(
    SandboxStore.layer(directory),
    info,
    stubAgent(seen),
    stubBridge(seen),
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

const measure = (directory: string) =>
  Effect.gen(function*() {
    const queue = yield* TurnQueue
    const seen: Seen = {
      started: new Map(),
      answers: new Map(),
      all: Deferred.makeUnsafe()
    }
    const all = Array.from({ length: sandboxes }, (_, n) => ({
      id: SandboxId.make(`sb-${String(n).padStart(8, "0")}`),
      channel: `C${String(n).padStart(6, "0")}`
    }))
    const ledgers = yield* Effect.forEach(all, ({ channel, id }) =>
      Effect.gen(function*() {
        yield* queue.create(id)
        const built = yield* Layer.build(runtimeOf(id, channel, path.join(directory, "sandboxes", id), seen))
        return Context.get(built, Ledger)
      }))
    const startedAt = performance.now()
    yield* Effect.forEach(
      all,
      ({ channel, id }) =>
        Effect.gen(function*() {
          for (let n = 1; n <= perThread; n++) {
            for (let thread = 1; thread <= threads; thread++) {
              const request = requestOf(channel, thread, n)
              const entry = { key: request.key, group: request.group, body: encodeRequest(request) }
              yield* queue.send(id, entry)
              yield* queue.send(id, entry)
            }
          }
        }),
      { concurrency: "unbounded", discard: true }
    )
    yield* Deferred.await(seen.all).pipe(Effect.timeoutOption("200 seconds"))
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
    return { seconds, disorder, lost: messages - answered, doubled, shown: seen.answers.size }
  })

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "km-pipeline-"))
  try {
    const found = await Effect.runPromise(
      measure(directory).pipe(
        Effect.provide(EmbeddedEngine.layer(directory, { check: false })),
        Effect.scoped,
        Effect.provide(Logger.layer([]))
      )
    )
    const nothing = (name: string, value: number): BenchRow => ({
      area: "pipeline",
      name: `${name}, ${sandboxes} sandboxes x ${threads * perThread} messages`,
      unit: "count",
      value,
      target: "= 0",
      ok: meets(value, "= 0")
    })
    return [
      nothing("threads out of order", found.disorder),
      nothing("messages lost", found.lost),
      nothing("messages doubled", found.doubled),
      {
        area: "pipeline",
        name: "turns settled with a stub agent, all ledgers synced",
        unit: "1/s",
        value: found.shown / found.seconds,
        target: "",
        ok: true
      }
    ]
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}
