/** The bridge over a Slack that is a table of answers: what it asks, and what it makes of each answer, in virtual time. */
import { Effect, Layer, Logger, Redacted, Stream } from "effect"
import { layerOverSlack } from "../../bridge/BridgeApp.ts"
import { BridgeSettings } from "../../bridge/BridgeSettings.ts"
import { BotIdentity } from "../../bridge/slack/BotIdentity.ts"
import { CallQueue } from "../../bridge/slack/CallQueue.ts"
import { Download, FileDownload } from "../../bridge/slack/FileDownload.ts"
import { FileTransfer } from "../../bridge/slack/FileTransfer.ts"
import { SlackApi, type SlackCallOptions } from "../../bridge/slack/SlackApi.ts"
import { SlackFailure } from "../../bridge/slack/SlackErrors.ts"
import { SlackSecrets } from "../../bridge/slack/SlackSecrets.ts"
import { ChannelId, MessageTs, RequestId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { linkKeyPath } from "../../runtime/domain/slack/FileLinks.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import * as MemoryAudit from "../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryControls from "../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryFacts from "../../runtime/ports/memory/MemoryFacts.ts"
import type { MemoryFactsState } from "../../runtime/ports/memory/MemoryFacts.ts"
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
import { Objects } from "../../runtime/ports/Objects.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { certifier, host, install } from "./world.ts"

export const channel = ChannelId.make("C0CHANNEL1")
export const threadTs = MessageTs.make("1700000000.000100")
export const botUser = UserId.make("U0BOT00001")
export const ada = UserId.make("U0ADA00001")
export const requestId = RequestId.make("a".repeat(43))

export interface Call {
  readonly method: string
  readonly args: Readonly<Record<string, unknown>>
  readonly options?: SlackCallOptions
}
type Answer = object | SlackFailure | Effect.Effect<unknown, SlackFailure>
/** One answer for every call, or one after the other, the last again and again. */
type Answers = Answer | ReadonlyArray<Answer> | ((args: Readonly<Record<string, unknown>>) => Answer)

const failed = (kind: SlackFailure["kind"], retryAfterMillis = 0) => (error: string) =>
  new SlackFailure({ method: "test", kind, error, retryAfterMillis })
export const refused = failed("Refused")
export const unclear = failed("Uncertain")
export const limited = failed("RateLimited", 1_000)

/** Slack with these answers by method; what is not named is answered with `ok` alone. */
export const scriptedSlack = (answers: Readonly<Record<string, Answers>> = {}) => {
  const script: Readonly<Record<string, Answers>> = {
    "auth.test": { ok: true, user_id: botUser, bot_id: "B0BOT00001", team_id: "T0TEAM0001" },
    "users.info": { ok: true, user: { name: "ada", team_id: "T0TEAM0001" } },
    ...answers
  }
  const calls: Array<Call> = []
  const used = new Map<string, number>()
  let posted = 0
  const answerTo = (method: string, args: Readonly<Record<string, unknown>>): Answer => {
    const answer = script[method]
    if (typeof answer === "function") return answer(args)
    if (Array.isArray(answer)) {
      const at = used.get(method) ?? 0
      used.set(method, at + 1)
      const list: ReadonlyArray<Answer> = answer
      return list[Math.min(at, list.length - 1)] ?? { ok: true }
    }
    if (answer !== undefined && !Array.isArray(answer)) return answer as Answer
    if (method !== "chat.postMessage") return { ok: true }
    const ts = `1700000001.${String(++posted).padStart(6, "0")}`
    return { ok: true, ts, message: { thread_ts: args["thread_ts"] ?? null } }
  }
  return {
    calls,
    /** The arguments of each call of a method. */
    argsOf: (method: string) => calls.filter((call) => call.method === method).map(({ args }) => args),
    methods: () => calls.map(({ method }) => method),
    layer: Layer.succeed(
      SlackApi,
      SlackApi.of({
        call: (method, args, options) =>
          Effect.suspend((): Effect.Effect<unknown, SlackFailure> => {
            const { place, ...others } = options ?? {}
            if (place !== undefined) place.used = true
            calls.push({ method, args, ...(Object.keys(others).length === 0 ? {} : { options: others }) })
            const answer = answerTo(method, args)
            return answer instanceof SlackFailure
              ? Effect.fail(answer)
              : Effect.isEffect(answer)
              ? answer as Effect.Effect<unknown, SlackFailure>
              : Effect.succeed(answer)
          })
      })
    )
  }
}
export type ScriptedSlack = ReturnType<typeof scriptedSlack>

/** What is changed in one step lies beside each other. What a test puts around the sandboxes is over the same rows. */
const stores = (over: {
  readonly queue?: Layer.Layer<TurnQueue>
  readonly seen?: Layer.Layer<Seen>
  readonly sandboxes?: Layer.Layer<Sandboxes, never, Sandboxes>
}) =>
  Layer.suspend(() => {
    const rows = makeMemorySandboxesState()
    const seen = makeMemorySeenState()
    const sandboxes = MemorySandboxes.layerOver(rows)
    return Layer.mergeAll(
      over.sandboxes === undefined ? sandboxes : Layer.provide(over.sandboxes, sandboxes),
      over.seen ?? MemorySeen.layerOver(seen),
      over.queue ?? MemoryTurnQueue.layerOver(makeMemoryTurnQueueState({ rows: rows.rows, seen }))
    )
  })

/** The whole bridge over it. */
export const bridgeOverScript = (slack: {
  readonly layer: Layer.Layer<SlackApi, never, CallQueue | SlackSecrets>
}, options: {
  readonly idempotency?: MemoryIdempotencyState
  readonly facts?: MemoryFactsState
  readonly transfer?: FileTransfer["Service"]["send"]
  /** No file is anywhere unless told. */
  readonly download?: FileDownload["Service"]["open"]
  readonly operators?: ReadonlyArray<UserId>
  readonly transport?: "http" | "socket"
  readonly posts?: Layer.Layer<Posts>
  readonly objects?: Layer.Layer<Objects>
  readonly queue?: Layer.Layer<TurnQueue>
  readonly seen?: Layer.Layer<Seen>
  readonly threads?: Layer.Layer<Threads>
  readonly sandboxes?: Layer.Layer<Sandboxes, never, Sandboxes>
} = {}) =>
  layerOverSlack.pipe(
    Layer.provideMerge(BotIdentity.layer),
    Layer.provideMerge(Layer.mergeAll(
      slack.layer,
      Layer.succeed(
        FileDownload,
        FileDownload.of({ open: options.download ?? (() => Effect.succeed(Download.Refused({ status: 404 }))) })
      ),
      Layer.succeed(
        FileTransfer,
        FileTransfer.of({ send: options.transfer ?? ((_url, _size, content) => Stream.runDrain(content)) })
      )
    )),
    Layer.provideMerge(Layer.merge(SlackSecrets.layer, CallQueue.layer)),
    Layer.provideMerge(Layer.mergeAll(
      MemoryAudit.layer,
      MemoryControls.layer,
      Errands.layerMemory,
      options.idempotency === undefined ? MemoryIdempotency.layer : MemoryIdempotency.layerOver(options.idempotency),
      MemoryIdentities.layer,
      MemoryLeases.layer,
      options.objects ?? MemoryObjects.layer,
      options.posts ?? MemoryPosts.layer,
      options.facts === undefined ? MemoryFacts.layer : MemoryFacts.layerOver(options.facts),
      MemoryReports.layer,
      MemorySecrets.layer,
      options.threads ?? MemoryThreads.layer,
      stores(options)
    )),
    Layer.provideMerge(BridgeSettings.layer({
      install,
      host,
      publicUrl: "http://bridge.test",
      certifierPublicKey: certifier.publicKey,
      slackApiUrl: options.transport === "socket" ? "http://127.0.0.1:1/api/" : "http://slack.test/api/",
      ...(options.transport === undefined ? {} : { transport: options.transport }),
      operators: new Set(options.operators ?? []),
      rateScale: 1
    })),
    // Refusals are what many tests here are about: their log lines would hide a failure.
    Layer.provideMerge(Logger.layer([]))
  )

/** The bot's token and the signing secret. */
export const secretsStored = Effect.gen(function*() {
  const secrets = yield* Secrets
  yield* secrets.put("slack/bot-token", Redacted.make("xoxb-test"))
  yield* secrets.put(linkKeyPath, Redacted.make("a key of the install"))
  yield* secrets.put("slack/signing-secret", Redacted.make("secret"))
  yield* secrets.put("slack/app-token", Redacted.make("xapp-test"))
})
