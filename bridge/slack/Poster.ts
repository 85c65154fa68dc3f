/**
 * Puts one message into Slack once, although Slack may hang after taking it: each message carries its key in its
 * metadata, and after an unclear answer the thread is read for that key before anything is sent again.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type ChannelId, MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import type { CallPurpose } from "../../runtime/domain/slack/CallBudget.ts"
import { fallbackText, plainText } from "../render/fallbackText.ts"
import { BotIdentity } from "./BotIdentity.ts"
import type { Place } from "./CallQueue.ts"
import { callAs, SlackApi } from "./SlackApi.ts"
import { isBlockError, isThreadGone, SlackFailure } from "./SlackErrors.ts"

/** `event_type` of our message metadata. */
export const metadataType = "km_message"

/** A message with more than text in it, such as buttons: without its blocks it would be another message. */
export interface BuiltMessage {
  readonly text: string
  readonly blocks: ReadonlyArray<unknown>
}

export interface PosterMessage {
  /** Unique per message, the same on every attempt. */
  readonly key: string
  readonly channel: ChannelId
  readonly threadTs?: MessageTs
  /** At most `maxMessageCharacters`, already neutralised. */
  readonly markdown: string
  readonly broadcast?: boolean
  /** In place of the Markdown: blocks of our own, and what stands for them in notifications. Never made plainer. */
  readonly built?: BuiltMessage
  /** Unix milliseconds since when an earlier attempt may have posted it. */
  readonly uncertainSince?: number | undefined
  /** `outcome` unless told. */
  readonly purpose?: CallPurpose
  /** A place for the first call of `chat.postMessage`, or of `chat.update`. */
  readonly place?: Place
}

const ThreadTs = Schema.optionalKey(Schema.NullOr(Schema.String))
const Posted = Schema.Struct({ ts: MessageTs, message: Schema.optionalKey(Schema.Struct({ thread_ts: ThreadTs })) })
const Page = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Schema.Struct({
    ts: MessageTs,
    thread_ts: ThreadTs,
    user: Schema.optionalKey(Schema.String),
    bot_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
    metadata: Schema.optionalKey(Schema.Struct({
      event_type: Schema.optionalKey(Schema.String),
      event_payload: Schema.optionalKey(Schema.Struct({ key: Schema.optionalKey(Schema.Unknown) }))
    }))
  }))),
  response_metadata: Schema.optionalKey(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.String) }))
})

/** How long Slack may take to show a message it has accepted; then twice, three times as long. */
const settleMillis = 1_500
/** Clocks of Slack and ours may differ by this much. */
const skewMillis = 60_000
/** Pages of 200 messages that are read for a key. */
const maxPages = 10
/** On every way: nothing is made into a mention or a link by Slack. */
const inert = { parse: "none", link_names: false } as const
const argsOf = (message: PosterMessage, form: "blocks" | "plain") => ({
  channel: message.channel,
  ...(message.threadTs === undefined ? {} : { thread_ts: message.threadTs }),
  ...(message.broadcast === true && message.threadTs !== undefined ? { reply_broadcast: true } : {}),
  ...(message.built === undefined ? contentOf(message.markdown, form) : { ...message.built, ...inert }),
  metadata: { event_type: metadataType, event_payload: { key: message.key } },
  unfurl_links: false,
  unfurl_media: false
})

/** Slack's own word for it; the same whether Slack refused the thread or put the message beside it. */
const threadGone = (method: string) =>
  new SlackFailure({ method, kind: "Refused", error: "thread_not_found", retryAfterMillis: 0 })

/** What only passes by leaves the doubt as it is; what Slack refuses for good is known. */
const inDoubt = (failure: SlackFailure): SlackFailure =>
  failure.kind === "Refused" ? failure : new SlackFailure({ ...failure, kind: "Uncertain" })

export class Poster extends Context.Service<Poster, {
  /**
   * A message for a thread that is gone fails with `thread_not_found`, and stands nowhere: when the thread's first
   * message was deleted, Slack posts to the channel and says so only by leaving `message.thread_ts` out of its answer
   * (github.com/slack-go/slack/issues/1571), so what came unthreaded is taken back.
   */
  readonly post: (message: PosterMessage) => Effect.Effect<MessageTs, SlackFailure>
  /** Sets a message's whole text. Plainer form where Slack refuses the blocks. */
  readonly update: (
    message: {
      readonly channel: ChannelId
      readonly ts: MessageTs
      readonly markdown: string
      readonly key?: string
    }
  ) => Effect.Effect<void, SlackFailure>
  /** Sets all of a message that was posted `built`. */
  readonly rebuild: (
    channel: ChannelId,
    ts: MessageTs,
    built: BuiltMessage,
    purpose: CallPurpose
  ) => Effect.Effect<void, SlackFailure>
  /** Our own message with this key, posted at or after `since`. */
  readonly find: (
    place: { readonly channel: ChannelId; readonly threadTs?: MessageTs; readonly key: string; readonly since: number }
  ) => Effect.Effect<Option.Option<MessageTs>, SlackFailure>
}>()("km/bridge/slack/Poster") {
  static readonly layer = Layer.effect(
    Poster,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const identity = yield* BotIdentity
      const callPost = callAs(slack, Posted)
      const callPage = callAs(slack, Page)

      const find = Effect.fn("Poster.find")(function*(place: {
        readonly channel: ChannelId
        readonly threadTs?: MessageTs
        readonly key: string
        readonly since: number
        /** In the channel: no reply that is also shown there. */
        readonly unthreaded?: boolean
        readonly purpose?: CallPurpose
      }) {
        const { purpose = "outcome" } = place
        const bot = yield* identity.bot
        let cursor: string | undefined
        for (let page = 0; page < maxPages; page++) {
          const answer = yield* callPage(
            place.threadTs === undefined ? "conversations.history" : "conversations.replies",
            {
              channel: place.channel,
              ...(place.threadTs === undefined ? {} : { ts: place.threadTs }),
              oldest: ((place.since - skewMillis) / 1000).toFixed(6),
              limit: 200,
              include_all_metadata: true,
              ...(cursor === undefined ? {} : { cursor })
            },
            { purpose }
          )
          const mine = answer.messages?.find((message) =>
            message.metadata?.event_type === metadataType
            && message.metadata.event_payload?.key === place.key
            && (message.user === bot.user || (bot.bot !== "" && message.bot_id === bot.bot))
            && (place.threadTs !== undefined || place.unthreaded !== true || (message.thread_ts ?? "") === "")
          )
          if (mine !== undefined) return Option.some(mine.ts)
          cursor = answer.response_metadata?.next_cursor
          if (cursor === undefined || cursor === "") break
        }
        return Option.none<MessageTs>()
      })

      /** A message that should have been a reply goes; what keeps it there for now is tried again by whoever asked. */
      const takeBack = (channel: ChannelId, ts: MessageTs) =>
        slack.call("chat.delete", { channel, ts }, { purpose: "outcome" }).pipe(
          Effect.catchIf((failure) => failure.kind === "Refused", (failure) =>
            failure.error === "message_not_found"
              ? Effect.void
              : Effect.logWarning("a message beside its thread stays: Slack refuses to delete it").pipe(
                Effect.annotateLogs({ channel, ts, error: failure.error })
              )),
          Effect.mapError(inDoubt),
          Effect.asVoid
        )

      /** What an earlier attempt has posted. In a thread that is gone it may stand beside it. */
      const earlier = Effect.fnUntraced(function*(message: PosterMessage, since: number) {
        const { channel, key, threadTs } = message
        // As long as we cannot look, we must not post.
        if (threadTs === undefined) return yield* Effect.mapError(find({ channel, key, since }), inDoubt)
        const found = yield* find({ channel, threadTs, key, since }).pipe(
          Effect.catchIf(isThreadGone, () => Effect.succeed("gone" as const)),
          Effect.mapError(inDoubt)
        )
        if (found !== "gone" && Option.isSome(found)) return found
        const stray = yield* Effect.mapError(find({ channel, key, since, unthreaded: true }), inDoubt)
        if (Option.isSome(stray)) yield* takeBack(channel, stray.value)
        return found === "gone" || Option.isSome(stray) ? yield* threadGone("conversations.replies") : found
      })

      const post = Effect.fn("Poster.post")(function*(message: PosterMessage) {
        let since = message.uncertainSince
        let form: "blocks" | "plain" = "blocks"
        const { place, purpose = "outcome" } = message
        const options = { purpose, ...(place === undefined ? {} : { place }) }
        for (let attempt = 0;; attempt++) {
          if (since !== undefined) {
            const found = yield* earlier(message, since)
            if (Option.isSome(found)) return found.value
          }
          const startedAt = yield* Clock.currentTimeMillis
          const sent = yield* Effect.result(callPost("chat.postMessage", argsOf(message, form), options))
          if (sent._tag === "Success") {
            const { message: posted, ts } = sent.success
            if (message.threadTs === undefined || posted === undefined || (posted.thread_ts ?? "") !== "") return ts
            yield* takeBack(message.channel, ts)
            return yield* threadGone("chat.postMessage")
          }
          const failure = sent.failure
          if (failure.kind === "Uncertain" && attempt < 3) {
            since ??= startedAt
            yield* Effect.sleep(settleMillis * (attempt + 1))
          } else if (
            failure.kind === "Refused" && form === "blocks" && message.built === undefined &&
            isBlockError(failure.error)
          ) {
            form = "plain"
          } else return yield* failure
        }
      })

      const rebuild = Effect.fn("Poster.rebuild")(function*(
        channel: ChannelId,
        ts: MessageTs,
        built: BuiltMessage,
        purpose: CallPurpose
      ) {
        yield* slack.call("chat.update", { channel, ts, ...built, ...inert }, { purpose })
      })

      const update = Effect.fn("Poster.update")(function*(message: {
        readonly channel: ChannelId
        readonly ts: MessageTs
        readonly markdown: string
        readonly key?: string
        readonly purpose?: CallPurpose
        readonly place?: Place
      }) {
        const { place, purpose = "outcome" } = message
        const options = { purpose, ...(place === undefined ? {} : { place }) }
        const args = (form: "blocks" | "plain") => ({
          channel: message.channel,
          ts: message.ts,
          ...contentOf(message.markdown, form),
          ...(message.key === undefined
            ? {}
            : { metadata: { event_type: metadataType, event_payload: { key: message.key } } })
        })
        yield* slack.call("chat.update", args("blocks"), options).pipe(
          Effect.catchIf(
            (failure) => failure.kind === "Refused" && isBlockError(failure.error),
            () => slack.call("chat.update", args("plain"), options)
          )
        )
      })

      return Poster.of({ post, update, rebuild, find })
    })
  )
}

/**
 * Plain form: blocks are taken away explicitly, an edit would otherwise keep the old ones. Nothing is made into a mention or
 * a link by Slack: an edit's `parse` is `client` unless told (docs.slack.dev/reference/methods/chat.update).
 */
const contentOf = (markdown: string, form: "blocks" | "plain"): Readonly<Record<string, unknown>> => ({
  ...(form === "blocks"
    ? { text: fallbackText(markdown), blocks: [{ type: "markdown", text: markdown }] }
    : { text: plainText(markdown), blocks: [], mrkdwn: false }),
  ...inert
})
