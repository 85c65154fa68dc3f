/**
 * `chat.postMessage` and what posting needs: the content rules, the events, the thread a reply belongs to.
 */
import * as Effect from "effect/Effect"
import { checkBlocks, maxMarkdownCharacters } from "../Blocks.ts"
import type { Call } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { blockId, clientMessageId } from "../Identifiers.ts"
import { flagOf, isJson, type Json, objectOf, parseJson, textOf, without } from "../Json.ts"
import { characters, mentions, normaliseText, richText } from "../Text.ts"
import { type EmulatorFailure, explained, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import { channelType, emit, memberChannel, shownMessage, type WorkspaceState } from "../WorkspaceState.ts"

/** Source: docs.slack.dev/messaging/message-metadata ("metadata_too_large"); the size is the reference's. */
const maxMetadataBytes = 16_384

/** Source: docs.slack.dev/reference/methods/chat.postMessage (too_many_attachments). */
const maxAttachments = 100

/** What a message consists of, checked. */
export interface Content {
  readonly text: string
  readonly blocks: ReadonlyArray<Json> | undefined
  readonly attachments: ReadonlyArray<Json> | undefined
  readonly metadata: Json | undefined
}

const objectList = Effect.fnUntraced(
  function*(argument: unknown, code: string): Effect.fn.Return<ReadonlyArray<Json> | undefined, SlackRefusal> {
    if (argument === undefined || argument === null || argument === "") return undefined
    const value = typeof argument === "string" ? parseJson(argument) : argument
    if (!Array.isArray(value) || !value.every(isJson)) return yield* refusal(code)
    return value
  }
)

const readMetadata = Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json | undefined, SlackRefusal> {
  const argument = call.args["metadata"]
  if (argument === undefined || argument === null || argument === "") return undefined
  const value = typeof argument === "string" ? parseJson(argument) : argument
  if (!isJson(value)) return yield* refusal("invalid_metadata_format")
  if (call.method === "chat.update" && Object.keys(value).length === 0) return value
  if ((textOf(value, "event_type") ?? "") === "" || !isJson(value["event_payload"])) {
    return yield* refusal("invalid_metadata_schema")
  }
  if (call.caller.kind !== "bot") return yield* refusal("metadata_must_be_sent_from_app")
  if (Buffer.byteLength(JSON.stringify(value)) > maxMetadataBytes) return yield* refusal("metadata_too_large")
  return { event_type: value["event_type"], event_payload: value["event_payload"] }
})

/**
 * Reads the content arguments of `chat.postMessage` and `chat.update`. `markdown_text` stands alone and holds
 * 12,000 characters (docs.slack.dev/reference/methods/chat.postMessage); the emulator does not know it, so it is
 * kept as a markdown block.
 */
export const readContent = Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Content, SlackRefusal> {
  const text = textOf(call.args, "text")
  const markdown = textOf(call.args, "markdown_text")
  const blocks = yield* checkBlocks(call.args["blocks"])
  const attachments = yield* objectList(call.args["attachments"], "invalid_attachments")
  const metadata = yield* readMetadata(call)
  if ((attachments?.length ?? 0) > maxAttachments) return yield* refusal("too_many_attachments")
  if (markdown !== undefined) {
    if (text !== undefined || blocks !== undefined) return yield* refusal("markdown_text_conflict")
    if (characters(markdown) > maxMarkdownCharacters) return yield* refusal("msg_too_long")
    if (markdown.trim() === "") return yield* refusal("no_text")
    return {
      text: normaliseText(markdown),
      blocks: [{ type: "markdown", block_id: blockId(), text: markdown }],
      attachments,
      metadata
    }
  }
  return { text: normaliseText(text ?? ""), blocks, attachments, metadata }
})

/** True when there is nothing to show. */
export const isEmpty = (content: Content): boolean =>
  content.text.trim() === "" && (content.blocks?.length ?? 0) === 0 && (content.attachments?.length ?? 0) === 0

/** The arguments for the emulator: checked content, and the `rich_text` block that Slack makes of plain text. */
export const contentArguments = (content: Content): Json => ({
  text: content.text,
  blocks: content.blocks ?? (content.text.trim() === "" ? [] : [richText(content.text)]),
  ...(content.attachments === undefined ? {} : { attachments: content.attachments }),
  ...(content.metadata === undefined ? {} : { metadata: content.metadata })
})

/**
 * The root a `thread_ts` stands for; none: it goes to the channel. The emulator takes any text; Slack refuses what is no
 * message, and posts beside the thread, without a word, where the root was deleted and had no replies
 * (github.com/slack-go/slack/issues/1571, caipe-io/ai-platform-engineering#1034). Files likewise: assumed.
 */
export const threadRoot = Effect.fnUntraced(function*(
  state: WorkspaceState,
  channel: Channel,
  threadTs: string | undefined
): Effect.fn.Return<string | undefined, SlackRefusal> {
  if (threadTs === undefined || threadTs === "") return undefined
  if (!/^\d{1,12}\.\d{1,6}$/.test(threadTs)) {
    return yield* explained("invalid_thread_ts", [`${threadTs} is not a valid thread_ts`])
  }
  const root = state.messages.rootOf(channel.id, threadTs)
  if (root === undefined && state.messages.isGone(channel.id, threadTs)) return undefined
  if (root === undefined) return yield* refusal("thread_not_found")
  return root
})

/** Remembers a new message, tells watchers, and queues `message` and, where the bot is mentioned, `app_mention`. */
export const announce = (
  state: WorkspaceState,
  call: Pick<Call, "answered">,
  channel: Channel,
  message: Json
): void => {
  const ts = textOf(message, "ts") ?? ""
  const threadTs = textOf(message, "thread_ts")
  state.watch.tell("message", { channel: channel.id, ts, ...(threadTs === undefined ? {} : { threadTs }) }, { message })
  const event = {
    ...without(message, ["metadata", "reply_count", "reply_users", "reply_users_count", "latest_reply", "is_locked"]),
    type: "message",
    channel: channel.id,
    event_ts: ts,
    channel_type: channelType(channel)
  }
  emit(state, call, channel, event)
  // One post, two events: `message` and `app_mention` (docs.slack.dev/reference/events/app_mention).
  if (textOf(message, "user") === state.bot.userId || channel.kind === "im") return
  if (!mentions(textOf(message, "text") ?? "").has(state.bot.userId)) return
  emit(state, call, channel, {
    ...without(event, ["subtype", "channel_type"]),
    type: "app_mention"
  })
}

const customised = ["username", "icon_url", "icon_emoji"]

/**
 * `chat.postMessage`. Membership is required also in public channels (no `chat:write.public` here); a caller cannot
 * set `bot_id`, `app_id` or `client_msg_id`; `username` and icons need `chat:write.customize`. A person's token posts
 * as if typed: with a `client_msg_id` and without the app's ids (the real service marks such posts as the app's;
 * tests and `km chat` need a person).
 */
export const postMessage = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"), true)
    if (channel.isArchived) return yield* refusal("is_archived")
    const content = yield* readContent(call)
    if (isEmpty(content)) return yield* refusal("no_text")
    const look = customised.filter((key) => textOf(call.args, key) !== undefined)
    if (look.length > 0 && !call.caller.scopes.includes("chat:write.customize")) {
      return yield* refusal("missing_scope", {
        needed: "chat:write.customize",
        provided: call.caller.scopes.join(",")
      })
    }
    const work = Effect.gen(function*() {
      const root = yield* threadRoot(state, channel, textOf(call.args, "thread_ts"))
      const broadcast = root !== undefined && flagOf(call.args, "reply_broadcast")
      const answer = yield* state.emulator.call(call.caller, "chat.postMessage", {
        channel: channel.id,
        ...contentArguments(content),
        ...(root === undefined ? {} : { thread_ts: root }),
        ...(call.caller.kind === "person" ? { client_msg_id: clientMessageId() } : {}),
        ...Object.fromEntries(look.map((key) => [key, call.args[key]]))
      })
      const ts = textOf(answer, "ts") ?? ""
      state.messages.add(channel.id, { ts, userId: call.caller.userId, root, broadcast })
      const message = shownMessage(state, channel, objectOf(answer, "message"), true)
      announce(state, call, channel, message)
      return { ...answer, channel: channel.id, ts, message }
    })
    return yield* state.writing(channel.id).withPermit(work)
  })
