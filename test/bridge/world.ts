/** A bridge over in-memory ports and a real local workspace, with one sandbox in a channel, for the tests here. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { WebClient } from "@slack/web-api"
import { Effect, Layer, Logger, Option, Redacted } from "effect"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as http from "node:http"
import { BridgeApp, layer as bridgeLayer } from "../../bridge/BridgeApp.ts"
import { BridgeSettings } from "../../bridge/BridgeSettings.ts"
import { slackSignature } from "../../bridge/slack/slackSignature.ts"
import type { WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import { certify } from "../../runtime/domain/identity/Certificate.ts"
import { type SigningKey, signingKeyFromSeed, signText } from "../../runtime/domain/identity/Ed25519.ts"
import type { Profile } from "../../runtime/domain/profile/Profile.ts"
import {
  ChannelId,
  InstallName,
  MessageTs,
  requestIdOf,
  SandboxId,
  type SenderId,
  TeamId,
  UserId
} from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { type BridgeAction, bridgeHeaders, signedText } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { linkKeyPath } from "../../runtime/domain/slack/FileLinks.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import * as MemoryAudit from "../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryControls from "../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryFacts from "../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryIdempotency from "../../runtime/ports/memory/MemoryIdempotency.ts"
import { type MemoryIdempotencyState } from "../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemoryIdentities from "../../runtime/ports/memory/MemoryIdentities.ts"
import * as MemoryLeases from "../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryObjects from "../../runtime/ports/memory/MemoryObjects.ts"
import * as MemoryPosts from "../../runtime/ports/memory/MemoryPosts.ts"
import * as MemoryReports from "../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemorySecrets from "../../runtime/ports/memory/MemorySecrets.ts"
import * as MemorySeen from "../../runtime/ports/memory/MemorySeen.ts"
import { makeMemorySeenState } from "../../runtime/ports/memory/MemorySeen.ts"
import * as MemoryThreads from "../../runtime/ports/memory/MemoryThreads.ts"
import * as MemoryTurnQueue from "../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../runtime/ports/memory/MemoryTurnQueue.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { slackProfile } from "../support/profiles.ts"
import { slackClient, testWorkspace, tokenOf, userIdOf } from "../support/Workspace.ts"

export const install = InstallName.make("km")
export const host = "bridge.test"
export const certifier = signingKeyFromSeed(new Uint8Array(32).fill(1))
export const sandboxKey = signingKeyFromSeed(new Uint8Array(32).fill(2))
export const operatorKey = signingKeyFromSeed(new Uint8Array(32).fill(3))
export const sandbox = SandboxId.make("sb-00000001")
export const otherSandbox = SandboxId.make("sb-00000002")

const portsMemory = Layer.mergeAll(
  MemoryAudit.layer,
  MemoryControls.layer,
  Errands.layerMemory,
  MemoryIdentities.layer,
  MemoryLeases.layer,
  MemoryObjects.layer,
  MemoryPosts.layer,
  MemoryFacts.layer,
  MemoryReports.layer,
  MemorySecrets.layer,
  MemoryThreads.layer
)

/** What is changed in one step lies beside each other. */
const stores = (
  over: { readonly queue?: Layer.Layer<TurnQueue, never, TurnQueue>; readonly seen?: Layer.Layer<Seen> }
) =>
  Layer.suspend(() => {
    const sandboxes = makeMemorySandboxesState()
    const seen = makeMemorySeenState()
    const queue = MemoryTurnQueue.layerOver(makeMemoryTurnQueueState({ rows: sandboxes.rows, seen }))
    return Layer.mergeAll(
      MemorySandboxes.layerOver(sandboxes),
      over.seen ?? MemorySeen.layerOver(seen),
      over.queue === undefined ? queue : Layer.provide(over.queue, queue)
    )
  })

/** The bridge against this workspace. Rate limits are off: the workspace of a test has none. */
export const bridgeOver = (workspace: WorkspaceHandle, options: {
  readonly pinned?: boolean
  /** Pinned in place of the workspace's own. */
  readonly team?: string
  readonly transport?: "http" | "socket"
  readonly idempotency?: MemoryIdempotencyState
  /** Put around the one in memory. */
  readonly queue?: Layer.Layer<TurnQueue, never, TurnQueue>
  readonly audit?: Layer.Layer<Audit>
  readonly seen?: Layer.Layer<Seen>
  readonly operators?: ReadonlyArray<string>
} = {}) =>
  bridgeLayer.pipe(
    Layer.provideMerge(Layer.mergeAll(
      options.audit === undefined ? portsMemory : Layer.merge(portsMemory, options.audit),
      stores(options),
      options.idempotency === undefined ? MemoryIdempotency.layer : MemoryIdempotency.layerOver(options.idempotency)
    )),
    // Refusals are what many tests here are about: their log lines would hide a failure.
    Layer.provideMerge(Logger.layer([])),
    Layer.provideMerge(BridgeSettings.layer({
      install,
      host,
      publicUrl: "http://bridge.test",
      certifierPublicKey: certifier.publicKey,
      slackApiUrl: workspace.apiUrl,
      ...(options.transport === undefined ? {} : { transport: options.transport }),
      ...(options.pinned === false
        ? {}
        : { team: TeamId.make(options.team ?? workspace.teamId), appId: workspace.appId }),
      operators: new Set((options.operators ?? []).map((id) => UserId.make(id))),
      rateScale: 1_000
    }))
  )

export const rowOf = (
  id: SandboxId,
  channel: string | undefined,
  changes: Partial<SandboxRow> = {},
  profile: Profile = slackProfile
): SandboxRow => ({
  id,
  install,
  profile,
  desired: "running",
  status: "running",
  ...(channel === undefined ? {} : { channel: ChannelId.make(channel), channelName: "sb-demo" }),
  channelMode: "perSandbox",
  unconfined: false,
  createdAt: Date.now() - 3_600_000,
  generation: "1",
  inventory: [],
  ...changes
})

/** Certifies a key for a year minus nothing: 30 days around now. */
export const certified = (sender: SenderId, key: SigningKey, changes: { readonly notAfter?: number } = {}) => {
  const now = Math.floor(Date.now() / 1000)
  return certify(certifier, {
    version: 1,
    install,
    subject: sender,
    addresses: [],
    purpose: sender === "operator" ? "operator" : "bridge",
    keyId: key.keyId,
    publicKey: Buffer.from(key.publicKey).toString("base64"),
    notBefore: now - 86_400,
    notAfter: changes.notAfter ?? now + 86_400
  })
}

/** Secrets, keys, one sandbox with its queue in `channel`. */
export const furnish = Effect.fnUntraced(function*(
  workspace: WorkspaceHandle,
  channel: string,
  profile: Profile = slackProfile
) {
  const secrets = yield* Secrets
  yield* secrets.put("slack/bot-token", Redacted.make(workspace.botToken))
  yield* secrets.put(linkKeyPath, Redacted.make("a key of the install"))
  yield* secrets.put("slack/signing-secret", Redacted.make(workspace.signingSecret))
  yield* secrets.put("slack/app-token", Redacted.make(workspace.appToken))
  const identities = yield* Identities
  yield* identities.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
  yield* identities.put("operator", "operator", operatorKey.keyId, certified("operator", operatorKey))
  const sandboxes = yield* Sandboxes
  yield* sandboxes.insert(rowOf(sandbox, channel, {}, profile))
  yield* (yield* TurnQueue).create(sandbox)
})

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly json: Readonly<Record<string, unknown>>
}

/** Sends a raw request through the application, as a server would. */
export const send = Effect.fnUntraced(function*(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string | Uint8Array | undefined
) {
  const { app } = yield* BridgeApp
  const request = new Request(`http://${host}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : new Uint8Array(body) })
  })
  const response = HttpServerResponse.toWeb(
    yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request))
  )
  const text = yield* Effect.promise(() => response.text())
  const json: unknown = text === "" ? {} : JSON.parse(text)
  const answer: Answer = {
    status: response.status,
    headers: response.headers,
    json: json !== null && typeof json === "object" ? { ...json } : {}
  }
  return answer
})

/** What `GET path` serves, as bytes. */
export const download = Effect.fnUntraced(function*(path: string) {
  const { app } = yield* BridgeApp
  const request = HttpServerRequest.fromWeb(new Request(`http://${host}${path}`))
  const response = HttpServerResponse.toWeb(
    yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, request)
  )
  const bytes = Buffer.from(yield* Effect.promise(() => response.arrayBuffer()))
  return { status: response.status, headers: response.headers, bytes }
})

/** A signed Slack event; `options` break one thing at a time. */
export const sendEvent = (
  signingSecret: string,
  body: string | Uint8Array,
  options: { readonly timestamp?: number; readonly signature?: string } = {}
) => {
  const timestamp = String(options.timestamp ?? Math.floor(Date.now() / 1000))
  return send("POST", "/events", {
    "content-type": "application/json",
    "x-slack-request-timestamp": timestamp,
    "x-slack-signature": options.signature ?? slackSignature(signingSecret, timestamp, body)
  }, body)
}

export interface V2Options {
  readonly sender?: SenderId
  readonly key?: SigningKey
  readonly epoch?: string
  readonly id?: string
  readonly timestamp?: number
  readonly host?: string
  readonly body?: string | Uint8Array
  readonly headers?: Record<string, string>
}

/** A signed request of `/v2`; `effectKey` is hashed into the id as the client does. */
export const signedV2 = (effectKey: string, action: BridgeAction | object, options: V2Options = {}) => {
  const sender = options.sender ?? sandbox
  const key = options.key ?? (sender === "operator" ? operatorKey : sandboxKey)
  const body = options.body ?? JSON.stringify(action)
  const timestamp = String(options.timestamp ?? Math.floor(Date.now() / 1000))
  const id = options.id ?? requestIdOf(effectKey)
  const epoch = options.epoch ?? "0"
  const signature = signText(
    key,
    signedText({
      install,
      host: options.host ?? host,
      method: "POST",
      path: "/v2",
      sender,
      key: key.keyId,
      epoch,
      id,
      timestamp,
      bodySha256: sha256Hex(body)
    })
  )
  const headers: Record<string, string> = {
    "content-type": "application/json",
    [bridgeHeaders.install]: install,
    [bridgeHeaders.sender]: sender,
    [bridgeHeaders.key]: key.keyId,
    [bridgeHeaders.epoch]: epoch,
    [bridgeHeaders.id]: id,
    [bridgeHeaders.timestamp]: timestamp,
    [bridgeHeaders.signature]: signature,
    ...options.headers
  }
  return { headers, body: typeof body === "string" ? body : new Uint8Array(body) }
}

/** Sends it. */
export const callV2 = (effectKey: string, action: BridgeAction | object, options: V2Options = {}) => {
  const { body, headers } = signedV2(effectKey, action, options)
  return send("POST", "/v2", headers, body)
}

/** The error code of an answer, or undefined. */
export const codeOf = (answer: Answer): string | undefined => {
  const error = answer.json["error"]
  if (error === null || typeof error !== "object" || !("code" in error)) return undefined
  return typeof error.code === "string" ? error.code : undefined
}

/** Waiting messages of the sandbox. */
export const waiting = Effect.gen(function*() {
  const queue = yield* TurnQueue
  const queued = (yield* queue.keys(sandbox)).filter(({ state }) => state === "waiting")
  return (yield* Effect.forEach(queued, ({ key }) => queue.get(sandbox, key))).flatMap(Option.toArray)
})

/** Serves the application on 127.0.0.1 and lets the workspace deliver its events there. */
export const listen = Effect.fnUntraced(function*(workspace: WorkspaceHandle) {
  const { app } = yield* BridgeApp
  const server = yield* NodeHttpServer.make(() => http.createServer(), { port: 0, host: "127.0.0.1" })
  yield* server.serve(app)
  const url = HttpServer.formatAddress(server.address)
  yield* workspace.setEventsUrl(`${url}/events`)
  return url
})

export interface Room {
  readonly workspace: WorkspaceHandle
  readonly channel: ChannelId
  readonly ada: WebClient
  readonly bot: WebClient
}

/** A workspace with a channel in which the bot and Ada are. */
export const room = Effect.fnUntraced(function*(input: Parameters<typeof testWorkspace>[0] = {}) {
  const workspace = yield* testWorkspace(input)
  const bot = slackClient(workspace, workspace.botToken)
  const ada = slackClient(workspace, tokenOf(workspace, "ada"))
  const made = yield* Effect.promise(() => bot.conversations.create({ name: "sb-demo" }))
  const channel = ChannelId.make(made.channel?.id ?? "")
  yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "ada") }))
  return { workspace, channel, ada, bot }
})

/** What Ada writes, as the workspace stored it. */
export const say = (client: WebClient, channel: string, text: string, threadTs?: string) =>
  Effect.map(
    Effect.promise(() =>
      client.chat.postMessage({ channel, text, ...(threadTs === undefined ? {} : { thread_ts: threadTs }) })
    ),
    (posted) => MessageTs.make(posted.ts ?? "")
  )

/** How often the bridge called a method with an argument `name` of this value. */
export const callsOf = (workspace: WorkspaceHandle, method: string) =>
  Effect.map(workspace.calls.list({ method }), (calls) => calls.length)
