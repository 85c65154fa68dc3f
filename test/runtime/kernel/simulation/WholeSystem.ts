/**
 * Bridge and runtime, both real, in one program on a virtual clock: Slack's event goes in by `/events`, the turn runs
 * behind a simulated agent, the outcome comes back by signed `/v2` requests from the outbox. Either side can be crashed
 * before and after every durable write, every call to Slack and every start of an agent.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import { HttpClientError, TransportError } from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { BridgeApp, layerOverSlack } from "../../../../bridge/BridgeApp.ts"
import { BridgeSettings } from "../../../../bridge/BridgeSettings.ts"
import { CatchUp } from "../../../../bridge/events/CatchUp.ts"
import { BotIdentity } from "../../../../bridge/slack/BotIdentity.ts"
import { CallQueue } from "../../../../bridge/slack/CallQueue.ts"
import { Download, FileDownload } from "../../../../bridge/slack/FileDownload.ts"
import { FileTransfer } from "../../../../bridge/slack/FileTransfer.ts"
import { SlackApi } from "../../../../bridge/slack/SlackApi.ts"
import { SlackFailure } from "../../../../bridge/slack/SlackErrors.ts"
import { SlackSecrets } from "../../../../bridge/slack/SlackSecrets.ts"
import { slackSignature } from "../../../../bridge/slack/slackSignature.ts"
import { owedFact } from "../../../../plugins/slack-inbound/OwedMarks.ts"
import { SlackInboundPlugin, type SlackInboundPorts } from "../../../../plugins/slack-inbound/SlackInboundPlugin.ts"
import { TranscriptPlugin, type TranscriptPorts } from "../../../../plugins/transcript/TranscriptPlugin.ts"
import * as BridgeClient from "../../../../runtime/adapters/bridge/BridgeClient.ts"
import { certify } from "../../../../runtime/domain/identity/Certificate.ts"
import { signingKeyFromSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import { ChannelId, InstallName, TeamId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { outcomeText } from "../../../../runtime/domain/turn/OutcomeText.ts"
import { PluginHost } from "../../../../runtime/kernel/plugins/PluginHost.ts"
import { TurnPipeline } from "../../../../runtime/kernel/turns/TurnPipeline.ts"
import { Errands } from "../../../../runtime/ports/Errands.ts"
import { HookEvents, type ReceivedHook } from "../../../../runtime/ports/HookEvents.ts"
import { Idempotency } from "../../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../../runtime/ports/Identities.ts"
import * as MemoryAudit from "../../../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryControls from "../../../../runtime/ports/memory/MemoryControls.ts"
import { makeMemoryControlsState } from "../../../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryFacts from "../../../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryIdempotency from "../../../../runtime/ports/memory/MemoryIdempotency.ts"
import { makeMemoryIdempotencyState } from "../../../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemoryIdentities from "../../../../runtime/ports/memory/MemoryIdentities.ts"
import { makeMemoryIdentitiesState } from "../../../../runtime/ports/memory/MemoryIdentities.ts"
import * as MemoryLeases from "../../../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryObjects from "../../../../runtime/ports/memory/MemoryObjects.ts"
import * as MemoryOutbox from "../../../../runtime/ports/memory/MemoryOutbox.ts"
import { makeMemoryOutboxState } from "../../../../runtime/ports/memory/MemoryOutbox.ts"
import * as MemoryPosts from "../../../../runtime/ports/memory/MemoryPosts.ts"
import { makeMemoryPostsState } from "../../../../runtime/ports/memory/MemoryPosts.ts"
import * as MemoryReports from "../../../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemorySecrets from "../../../../runtime/ports/memory/MemorySecrets.ts"
import { makeMemorySecretsState } from "../../../../runtime/ports/memory/MemorySecrets.ts"
import * as MemorySeen from "../../../../runtime/ports/memory/MemorySeen.ts"
import { type MemorySeenState } from "../../../../runtime/ports/memory/MemorySeen.ts"
import * as MemoryThreads from "../../../../runtime/ports/memory/MemoryThreads.ts"
import { makeMemoryThreadsState } from "../../../../runtime/ports/memory/MemoryThreads.ts"
import * as MemoryTurnQueue from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { Outbox } from "../../../../runtime/ports/Outbox.ts"
import type { AnyPlugin } from "../../../../runtime/ports/Plugin.ts"
import { Posts } from "../../../../runtime/ports/Posts.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { RuntimeStatus } from "../../../../runtime/ports/RuntimeStatus.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { SandboxInfo } from "../../../../runtime/ports/SandboxInfo.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { Seen } from "../../../../runtime/ports/Seen.ts"
import { Sessions } from "../../../../runtime/ports/Sessions.ts"
import { Threads } from "../../../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { slackProfile } from "../../../support/profiles.ts"
import * as SimulatedAgent from "./SimulatedAgent.ts"
import { ledger, records } from "./Simulation.ts"
import {
  crash,
  type CrashPoint,
  gate,
  type Incarnation,
  makeWorld,
  type Message,
  sandbox,
  type World
} from "./World.ts"

const install = InstallName.make("km")
const host = "bridge.test"
const channel = ChannelId.make("C123")
const botUser = "U0BOT"
const signingSecret = "0123456789abcdef0123456789abcdef"
const certifier = signingKeyFromSeed(new Uint8Array(32).fill(1))
const sandboxSeed = new Uint8Array(32).fill(2)

/** When the simulation begins: just after the messages' own timestamps. */
const epochMillis = 1_700_000_200_000

interface SlackMessage {
  readonly ts: string
  readonly threadTs: string
  readonly user: string
  text: string
  readonly key: string | undefined
  readonly reactions: Set<string>
}

/** Everything that survives both processes. */
export interface System {
  readonly world: World
  readonly slack: Array<SlackMessage>
  readonly outbox: ReturnType<typeof makeMemoryOutboxState>
  readonly controls: ReturnType<typeof makeMemoryControlsState>
  readonly idempotency: ReturnType<typeof makeMemoryIdempotencyState>
  readonly identities: ReturnType<typeof makeMemoryIdentitiesState>
  readonly posts: ReturnType<typeof makeMemoryPostsState>
  readonly sandboxes: ReturnType<typeof makeMemorySandboxesState>
  readonly secrets: ReturnType<typeof makeMemorySecretsState>
  readonly seen: MemorySeenState
  readonly threads: ReturnType<typeof makeMemoryThreadsState>
  /** Calls of `chat.postMessage` that Slack takes and whose answer is lost, by number. */
  readonly lostAnswers: Set<number>
  /** The transcript plugin runs: the last live message is the answer. */
  readonly transcript: boolean
  posted: number
  bridge: BridgeProcess | undefined
}

interface BridgeProcess {
  readonly incarnation: Incarnation
  readonly scope: Scope.Closeable
  readonly app: BridgeApp["Service"]["app"]
}

type Through = ReturnType<typeof gate>

/** A port with some of its methods behind the gate. */
const gated = <S extends object>(
  service: S,
  through: Through,
  name: string,
  methods: ReadonlyArray<keyof S & string>
): S => {
  const changed: Partial<Record<keyof S, unknown>> = {}
  for (const method of methods) {
    const original: unknown = service[method]
    if (typeof original !== "function") continue
    changed[method] = (...args: ReadonlyArray<unknown>) =>
      Effect.suspend(() => {
        const effect: unknown = Reflect.apply(original, service, args)
        return Effect.isEffect(effect)
          ? through(`${name}.${method}`, effect as Effect.Effect<unknown>)
          : Effect.die(name)
      })
  }
  return { ...service, ...changed }
}

const gatedLayer = <I, S extends object>(
  key: Context.Key<I, S>,
  layer: Layer.Layer<I>,
  through: Through,
  name: string,
  methods: ReadonlyArray<keyof S & string>
): Layer.Layer<I> =>
  Layer.effect(key, Effect.map(Effect.service(key), (service) => gated(service, through, name, methods))).pipe(
    Layer.provide(layer)
  )

const whileAlive = <A, E>(incarnation: Incarnation, effect: () => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => incarnation.dead ? Effect.never : effect()).pipe(
    Effect.raceFirst(Effect.andThen(Deferred.await(incarnation.crashed), Effect.never))
  )

const metadataKeyOf = (args: Readonly<Record<string, unknown>>): string | undefined => {
  const metadata = args["metadata"]
  if (typeof metadata !== "object" || metadata === null || !("event_payload" in metadata)) return undefined
  const payload = metadata.event_payload
  return typeof payload === "object" && payload !== null && "key" in payload ? String(payload.key) : undefined
}

const textOf = (args: Readonly<Record<string, unknown>>): string => {
  const blocks = args["blocks"]
  const first: unknown = Array.isArray(blocks) ? blocks[0] : undefined
  return typeof first === "object" && first !== null && "text" in first ? String(first.text) : String(args["text"])
}

const shown = (system: System) => (message: SlackMessage) => {
  const replies = system.slack.filter((reply) => reply.threadTs === message.ts && reply.ts !== message.ts)
  return {
    type: "message",
    ts: message.ts,
    thread_ts: message.threadTs,
    user: message.user,
    text: message.text,
    ...message.user === botUser ? { bot_id: "B0BOT" } : { team: "T123" },
    ...message.key === undefined
      ? {}
      : { metadata: { event_type: "km_message", event_payload: { key: message.key } } },
    ...replies.length === 0 ? {} : { reply_count: replies.length, latest_reply: replies.at(-1)?.ts }
  }
}

/** Slack's Web API, as far as the bridge needs it here. Takes 30 ms. */
const slackApi = (system: System, through: Through) => {
  const answer = (method: string, args: Readonly<Record<string, unknown>>): Effect.Effect<unknown, SlackFailure> =>
    Effect.gen(function*() {
      const ts = String(args["timestamp"] ?? args["ts"] ?? "")
      const found = system.slack.find((message) => message.ts === ts)
      switch (method) {
        case "auth.test":
          return { ok: true, user_id: botUser, bot_id: "B0BOT", team_id: "T123" }
        case "users.info":
          return { ok: true, user: { name: "ada", team_id: "T123" } }
        case "chat.postMessage": {
          const now = yield* Clock.currentTimeMillis
          const posted: SlackMessage = {
            ts: `${Math.floor(now / 1000)}.${String(++system.posted).padStart(6, "0")}`,
            threadTs: String(args["thread_ts"] ?? ""),
            user: botUser,
            text: textOf(args),
            key: metadataKeyOf(args),
            reactions: new Set()
          }
          system.slack.push(posted)
          if (system.lostAnswers.has(system.posted)) {
            return yield* new SlackFailure({ method, kind: "Uncertain", error: "reset", retryAfterMillis: 0 })
          }
          return { ok: true, ts: posted.ts, channel }
        }
        case "chat.update":
          if (found !== undefined) found.text = textOf(args)
          return { ok: true, ts }
        case "reactions.add":
          found?.reactions.add(String(args["name"]))
          return { ok: true }
        case "reactions.remove":
          found?.reactions.delete(String(args["name"]))
          return { ok: true }
        case "conversations.history":
          return { ok: true, messages: system.slack.filter((it) => it.threadTs === it.ts).map(shown(system)) }
        case "conversations.replies":
          return { ok: true, messages: system.slack.filter((it) => it.threadTs === ts).map(shown(system)) }
        default:
          return yield* new SlackFailure({ method, kind: "Refused", error: "unknown_method", retryAfterMillis: 0 })
      }
    })
  const reading = new Set(["auth.test", "users.info", "conversations.history", "conversations.replies"])
  return Layer.succeed(
    SlackApi,
    SlackApi.of({
      call: (method, args) =>
        Effect.andThen(
          Effect.sleep(30),
          reading.has(method) ? answer(method, args) : through(`slack.${method}`, answer(method, args))
        )
    })
  )
}

const startBridge = Effect.fnUntraced(function*(system: System, number: number) {
  const { world } = system
  const incarnation: Incarnation = { number: -number, dead: false, crashed: Deferred.makeUnsafe() }
  const through = gate(world, incarnation)
  const ports = Layer.mergeAll(
    MemoryAudit.layer,
    MemoryControls.layerOver(system.controls),
    gatedLayer(Idempotency, MemoryIdempotency.layerOver(system.idempotency), through, "idempotency", [
      "begin",
      "complete",
      "release",
      "extend",
      "abandon"
    ]),
    MemoryIdentities.layerOver(system.identities),
    MemoryLeases.layerOver(world.leases),
    MemoryObjects.layer,
    gatedLayer(Posts, MemoryPosts.layerOver(system.posts), through, "posts", ["record", "putLive"]),
    MemorySandboxes.layerOver(system.sandboxes),
    MemoryFacts.layer,
    MemoryReports.layer,
    MemorySecrets.layerOver(system.secrets),
    gatedLayer(Seen, MemorySeen.layerOver(system.seen), through, "seen", ["mark"]),
    gatedLayer(Threads, MemoryThreads.layerOver(system.threads), through, "threads", ["put"]),
    gatedLayer(TurnQueue, MemoryTurnQueue.layerOver(world.queue), through, "queue", ["accept"])
  )
  const settings = BridgeSettings.layer({
    install,
    host,
    publicUrl: `http://${host}`,
    certifierPublicKey: certifier.publicKey,
    slackApiUrl: "http://slack.test/api/",
    team: TeamId.make("T123"),
    appId: "A123",
    operators: new Set(),
    rateScale: 1
  })
  const scope = yield* Scope.make()
  const built = yield* layerOverSlack.pipe(
    Layer.provideMerge(BotIdentity.layer),
    Layer.provideMerge(
      Layer.mergeAll(slackApi(system, through), FileTransfer.layer, noDownloads, SlackSecrets.layer, CallQueue.layer)
    ),
    Layer.provideMerge(Layer.mergeAll(ports, settings, Errands.layerMemory)),
    Layer.fresh,
    Layer.buildWithScope(scope)
  )
  yield* Effect.forkIn(Context.get(built, CatchUp).forever, scope)
  system.bridge = { incarnation, scope, app: Context.get(built, BridgeApp).app }
})

/** Nobody drops files here. */
const noDownloads = Layer.succeed(
  FileDownload,
  FileDownload.of({ open: () => Effect.succeed(Download.Refused({ status: 404 })) })
)

/** One HTTP request to whatever bridge lives; a dead one refuses, one that dies meanwhile hangs up. */
const ask = (system: System, path: string, headers: Readonly<Record<string, string>>, body: string) =>
  Effect.suspend(() => {
    const bridge = system.bridge
    if (bridge === undefined || bridge.incarnation.dead) return Effect.undefined
    const request = new Request(`http://${host}${path}`, { method: "POST", headers, body })
    return bridge.app.pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request)),
      Effect.map((response) => HttpServerResponse.toWeb(response)),
      Effect.raceFirst(Effect.as(Deferred.await(bridge.incarnation.crashed), undefined))
    )
  })

const bodyOf = (request: HttpClientRequest.HttpClientRequest): string =>
  request.body._tag === "Uint8Array" ? Buffer.from(request.body.body).toString("utf8") : ""

const http = (system: System) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.flatMap(ask(system, "/v2", request.headers, bodyOf(request)), (response) =>
        response === undefined
          ? Effect.fail(
            new HttpClientError({ reason: new TransportError({ request, description: "connection refused" }) })
          )
          : Effect.succeed(HttpClientResponse.fromWeb(request, response)))
    )
  )

/** Hooks fail open: here none ever comes, and the live message is told by the agent's output. */
const noHooks = Layer.effect(
  HookEvents,
  Effect.map(PubSub.unbounded<ReceivedHook>(), (hooks) =>
    HookEvents.of({
      subscribe: PubSub.subscribe(hooks),
      issue: () => Effect.succeed({ token: "simulated" })
    }))
)

const startRuntime = Effect.fnUntraced(function*(system: System, number: number, transcript: boolean) {
  const { world } = system
  const incarnation: Incarnation = { number, dead: false, crashed: Deferred.makeUnsafe() }
  const through = gate(world, incarnation)
  const scope = yield* Scope.make()
  // One runtime at a time: its lease is simply the next epoch.
  world.leases.leases.set(sandbox, { sandbox, holder: `r${number}`, epoch: number, expiresAt: Number.MAX_SAFE_INTEGER })
  const ports = Layer.mergeAll(
    ledger(world, incarnation),
    records(world, incarnation),
    SimulatedAgent.layer(world, incarnation, { tellsReceived: number % 2 === 1 }),
    gatedLayer(Outbox, MemoryOutbox.layerOver(system.outbox), through, "outbox", ["put", "remove"]),
    Layer.effect(
      TurnQueue,
      Effect.map(TurnQueue, (queue) => ({
        ...gated(queue, through, "queue", ["delete"]),
        // A dead process does neither; they are no crash points, or there would be no end of them.
        receive: (...args: Parameters<typeof queue.receive>) => whileAlive(incarnation, () => queue.receive(...args)),
        extend: (...args: Parameters<typeof queue.extend>) => whileAlive(incarnation, () => queue.extend(...args))
      }))
    ).pipe(Layer.provide(MemoryTurnQueue.layerOver(world.queue))),
    MemoryControls.layerOver(system.controls),
    MemorySecrets.layerOver(system.secrets),
    Redaction.layer,
    RuntimeStatus.memory({ ready: false, lastActiveAt: 0, plugins: [], confined: true, confinement: "simulated" }),
    FileSystem.layerNoop({ makeDirectory: (path) => Effect.sync(() => void world.directories.add(path)) }),
    http(system),
    noHooks,
    MemoryObjects.layer,
    Sessions.layerNone,
    Layer.succeed(
      SandboxInfo,
      SandboxInfo.of({
        id: sandbox,
        install,
        profile: slackProfile,
        channel,
        label: "simulated",
        directories: { state: "/state", home: "/home", workspace: "/workspace", runs: "/state/runs" }
      })
    )
  )
  const bridge = BridgeClient.layer({
    url: `http://${host}`,
    host,
    install,
    sender: sandbox,
    epoch: Effect.succeed(number)
  })
  const plugins: ReadonlyArray<AnyPlugin<SlackInboundPorts | TranscriptPorts>> = transcript
    ? [TranscriptPlugin, SlackInboundPlugin]
    : [SlackInboundPlugin]
  const all = PluginHost.layer(plugins).pipe(
    Layer.provideMerge(TurnPipeline.layer),
    Layer.provideMerge(bridge),
    Layer.provideMerge(ports)
  )
  yield* Effect.forkIn(Layer.buildWithScope(Layer.fresh(all), scope), scope)
  return { incarnation, scope }
})

/** Slack tells the bridge, and tells it again 1 s, 1 min and 5 min later when it gets no 200 within 3 s. */
const deliver = Effect.fnUntraced(function*(system: System, message: Message, copy: number) {
  const { origin, text } = message.request
  if (origin.kind !== "slack") return
  const body = JSON.stringify({
    type: "event_callback",
    team_id: "T123",
    api_app_id: "A123",
    event_id: `Ev${origin.ts}${copy % 2}`,
    authorizations: [{ team_id: "T123", user_id: botUser, is_bot: true }],
    is_ext_shared_channel: false,
    event: {
      type: copy % 2 === 0 ? "message" : "app_mention",
      channel,
      user: "U123",
      team: "T123",
      text: `<@${botUser}> ${text}`,
      ts: origin.ts,
      thread_ts: origin.threadTs
    }
  })
  for (const pause of [0, 1_000, 60_000, 300_000]) {
    yield* Effect.sleep(pause)
    const timestamp = String(Math.floor((yield* Clock.currentTimeMillis) / 1000))
    const answered = yield* ask(system, "/events", {
      "content-type": "application/json",
      "x-slack-request-timestamp": timestamp,
      "x-slack-signature": slackSignature(signingSecret, timestamp, body)
    }, body).pipe(Effect.timeoutOption("3 seconds"))
    if (answered._tag === "Some" && answered.value?.status === 200) return
  }
})

const furnish = Effect.fnUntraced(function*(system: System) {
  const now = epochMillis / 1000
  yield* Effect.gen(function*() {
    const secrets = yield* Secrets
    yield* secrets.put("slack/bot-token", Redacted.make("xoxb-simulated"))
    yield* secrets.put("slack/signing-secret", Redacted.make(signingSecret))
    yield* secrets.put(`sandbox/${sandbox}/signing-key`, Redacted.make(Buffer.from(sandboxSeed).toString("base64")))
    const key = signingKeyFromSeed(sandboxSeed)
    yield* (yield* Identities).put(
      sandbox,
      "bridge",
      key.keyId,
      certify(certifier, {
        version: 1,
        install,
        subject: sandbox,
        addresses: [],
        purpose: "bridge",
        keyId: key.keyId,
        publicKey: Buffer.from(key.publicKey).toString("base64"),
        notBefore: now - 86_400,
        notAfter: now + 86_400
      })
    )
    yield* (yield* Sandboxes).insert({
      id: sandbox,
      install,
      profile: slackProfile,
      desired: "running",
      status: "running",
      channel,
      channelName: "sb-simulated",
      channelMode: "perSandbox",
      unconfined: false,
      createdAt: epochMillis - 3_600_000,
      generation: "1",
      inventory: []
    })
  }).pipe(
    Effect.provide(Layer.mergeAll(
      MemorySecrets.layerOver(system.secrets),
      MemoryIdentities.layerOver(system.identities),
      MemorySandboxes.layerOver(system.sandboxes),
      MemoryReports.layer
    ))
  )
})

/** What a person sees in the threads, and what is left on the disks. */
export const check = (system: System): ReadonlyArray<string> => {
  const { slack, world } = system
  const problems = [...world.violations]
  const rows = [...world.ledger.rows.values()]
  if (system.outbox.entries.size > 0) problems.push(`${system.outbox.entries.size} requests are left in the outbox`)
  if ((world.queue.queues.get(sandbox)?.messages.length ?? 0) > 0) problems.push("messages are left in the queue")
  const threads = new Set(world.messages.map(({ request }) => request.group))
  for (const { request } of world.messages) {
    const row = rows.find(({ key }) => key === request.key)
    if (row === undefined) problems.push(`${request.key} is lost`)
    else if (row.state !== "settled") problems.push(`${request.key} is left ${row.state}`)
    const marks = slack.find(({ ts }) => request.origin.kind === "slack" && ts === request.origin.ts)?.reactions
    const final = row?.result === "answered" ? "white_check_mark" : row?.result === "cancelled" ? "octagonal_sign" : "x"
    if (marks?.has("eyes") !== true) problems.push(`${request.key} got no 👀`)
    if (marks?.has(final) !== true) problems.push(`${request.key} got no ${final}`)
    if (marks?.has("hourglass_flowing_sand") === true) problems.push(`${request.key} keeps ⏳`)
  }
  for (const thread of threads) {
    const wanted = world.messages.filter(({ request }) => request.group === thread).map(({ request }) => {
      const row = rows.find(({ key }) => key === request.key)
      return row === undefined ? "" : outcomeText(row)
    })
    const root = world.messages.find(({ request }) => request.group === thread)?.request.origin
    const replies = slack.filter(({ threadTs, ts, user }) =>
      root?.kind === "slack" && threadTs === root.threadTs && ts !== threadTs && user === botUser
    ).map(({ text }) => text)
    if (!system.transcript && replies.join("|") !== wanted.join("|")) {
      problems.push(`${thread} shows ${replies.join("|")}`)
    }
    // With the transcript on, what the agent wrote before is shown too; the outcome is still shown once, and in order.
    const outcomes = replies.flatMap((reply) => wanted.find((text) => reply.includes(text)) ?? [])
    if (outcomes.join("|") !== wanted.join("|")) problems.push(`${thread} shows its outcomes as ${replies.join("|")}`)
    if (replies.length > 2 * wanted.length) problems.push(`${thread} has ${replies.length} messages`)
  }
  return problems
}

const hop = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** True while a real file is being read: virtual time must not pass by it. */
const readsFiles = (): boolean =>
  process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq") || name === "CloseReq")

/** Lets what waits for real work of the program (web streams, the transcript's file) come through, then moves the clock. */
const tick = Effect.fnUntraced(function*(millis: number) {
  for (let hops = 0; hops < 3 || readsFiles(); hops++) yield* hop
  yield* TestClock.adjust(millis)
})

/** Marks that Slack or the bridge did not take in time are written down, and set by a later round or life. */
const nothingOwed = (world: World): boolean => (world.ledger.facts.get(owedFact) ?? "[]") === "[]"

const quiet = ({ outbox, slack, world }: System): boolean =>
  outbox.entries.size === 0
  && nothingOwed(world)
  && (world.queue.queues.get(sandbox)?.messages.length ?? 0) === 0
  && world.messages.every(({ request }) =>
    world.ledger.rows.get(request.key)?.state === "settled"
    && slack.some(({ reactions, ts }) =>
      request.origin.kind === "slack" && ts === request.origin.ts && reactions.has("eyes")
    )
  )

/** Plays messages through the whole system; a crashed side is started again `downMillis` later. */
export const play = Effect.fnUntraced(function*(
  messages: ReadonlyArray<Message>,
  crashes: ReadonlyArray<CrashPoint>,
  options: {
    readonly lostAnswers?: ReadonlyArray<number>
    readonly downMillis?: number
    readonly transcript?: boolean
  } = {}
) {
  const made = makeWorld(messages, crashes)
  const system: System = {
    world: made,
    slack: [],
    outbox: makeMemoryOutboxState(),
    controls: makeMemoryControlsState(),
    idempotency: makeMemoryIdempotencyState(),
    identities: makeMemoryIdentitiesState(),
    posts: makeMemoryPostsState(),
    sandboxes: { ...makeMemorySandboxesState(), rows: made.queue.rows },
    secrets: makeMemorySecretsState(),
    seen: made.queue.seen,
    threads: makeMemoryThreadsState(),
    lostAnswers: new Set(options.lostAnswers),
    transcript: options.transcript === true,
    posted: 0,
    bridge: undefined
  }
  const { world } = system
  yield* TestClock.setTime(epochMillis)
  yield* furnish(system)
  for (const { request } of messages) {
    const { origin } = request
    if (origin.kind !== "slack" || system.slack.some(({ ts }) => ts === origin.threadTs)) continue
    system.slack.push({
      ts: origin.threadTs,
      threadTs: origin.threadTs,
      user: botUser,
      text: "a thread",
      key: undefined,
      reactions: new Set()
    })
  }
  let lives = 1
  yield* startBridge(system, lives)
  let runtime = yield* startRuntime(system, lives, system.transcript)
  for (const message of messages) {
    yield* Effect.forkDetach(Effect.gen(function*() {
      const { origin, text } = message.request
      yield* Effect.sleep(message.at)
      if (origin.kind !== "slack") return
      system.slack.push({ ...origin, user: "U123", text, key: undefined, reactions: new Set() })
      yield* Effect.forEach(
        Array.from({ length: message.copies }, (_, copy) => copy),
        (copy) => deliver(system, message, copy),
        { concurrency: "unbounded" }
      )
    }))
  }
  for (let step = 0; step < 400 && !quiet(system); step++) {
    yield* tick(step < 40 ? 200 : 5_000)
    const bridge = system.bridge
    if (bridge?.incarnation.dead === true) {
      yield* Effect.forkDetach(Scope.close(bridge.scope, Exit.void))
      yield* tick(options.downMillis ?? 500)
      yield* startBridge(system, ++lives)
    }
    if (runtime.incarnation.dead) {
      yield* Effect.forkDetach(Scope.close(runtime.scope, Exit.void))
      yield* tick(options.downMillis ?? 500)
      runtime = yield* startRuntime(system, ++lives, system.transcript)
    }
  }
  const { ops } = world
  for (let step = 0; step < 8; step++) yield* tick(20_000)
  const problems = check(system)
  crash(world, runtime.incarnation)
  yield* Effect.forkDetach(Scope.close(runtime.scope, Exit.void))
  if (system.bridge !== undefined) {
    crash(world, system.bridge.incarnation)
    yield* Effect.forkDetach(Scope.close(system.bridge.scope, Exit.void))
  }
  return { system, ops, problems }
}, Effect.provide(Logger.layer([])))
