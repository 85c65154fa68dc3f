/**
 * What all methods share: the emulator, the tables of the front, and the few rules that more than one method needs.
 */
import * as Effect from "effect/Effect"
import type * as Semaphore from "effect/Semaphore"
import type { Call } from "./Call.ts"
import type { Channel, Channels } from "./Channels.ts"
import type { Emulator } from "./Emulator.ts"
import type { EventSender, Installation } from "./EventSender.ts"
import { type Json, objectOf, textOf } from "./Json.ts"
import type { MessageIndex } from "./MessageIndex.ts"
import { homeTeamId, type People } from "./People.ts"
import type { SocketServer } from "./sockets/SocketServer.ts"
import type { Caller, TokenTable } from "./TokenTable.ts"
import type { Watch } from "./Watch.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "./WorkspaceError.ts"
import type { ConnectOptions } from "./WorkspaceOptions.ts"

/** The app's bot. */
export interface Bot {
  readonly userId: string
  readonly botId: string
  readonly appId: string
  readonly name: string
  readonly realName: string
}

/**
 * A Slack Connect invitation. `sent` → `accepted` (where an approval is required) → `approved`; or `declined` before that.
 * One that is `sent` for longer than it is valid has expired.
 */
export interface SharedInvite {
  readonly id: string
  readonly channel: string
  readonly invitingUser: string
  readonly email: string | undefined
  readonly userId: string | undefined
  readonly created: number
  status: "sent" | "accepted" | "approved" | "declined"
  /** Who accepted it. */
  acceptedBy: string | undefined
}

/** A word that one person alone was shown (`chat.postEphemeral`). */
export interface Whispered {
  readonly at: number
  readonly channel: string
  readonly userId: string
  readonly threadTs?: string
  readonly text: string
}

/** Everything behind the front. */
export interface WorkspaceState {
  readonly emulator: Emulator
  readonly tokens: TokenTable
  readonly people: People
  readonly channels: Channels
  readonly messages: MessageIndex
  readonly events: EventSender
  readonly sockets: SocketServer
  readonly watch: Watch
  readonly installation: Installation
  readonly bot: Bot
  readonly team: { readonly name: string; readonly domain: string; readonly url: string }
  readonly emoji: ReadonlySet<string>
  readonly invites: Map<string, SharedInvite>
  readonly connect: ConnectOptions
  /** What one person alone was shown, oldest first. */
  readonly whispered: Array<Whispered>
  /** One writer per channel: previous text is read, changed and told in one go, so edits cannot race. */
  readonly writing: (channel: string) => Semaphore.Semaphore
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Seconds and a counter, larger than any message so far; for events that are no message. */
export const eventTs = (state: WorkspaceState): string => {
  const micros = state.now() * 1000 + Math.floor(Math.random() * 1000)
  return `${Math.floor(micros / 1_000_000)}.${String(micros % 1_000_000).padStart(6, "0")}`
}

/** True when people of another team are in the channel (Slack Connect). */
export const isExtShared = (channel: Channel): boolean => channel.connectedTeams.size > 0

/** Slack's word for the kind of a channel in events: `channel`, `group`, `im`, `mpim`. */
export const channelType = (channel: Channel): string =>
  channel.isPrivate && channel.kind === "channel" ? "group" : channel.kind

/** The letter that member events use. */
export const channelLetter = (channel: Channel): string => channel.kind === "im" ? "D" : channel.isPrivate ? "G" : "C"

/**
 * Queues an event for the app. The app hears of a channel only while its bot is a member
 * (docs.slack.dev/apis/events-api: bot users receive events of conversations they are in).
 */
export const emit = (
  state: WorkspaceState,
  call: Pick<Call, "answered">,
  channel: Channel | undefined,
  event: Json
): void => {
  if (channel !== undefined && !channel.members.has(state.bot.userId)) return
  state.events.publish({
    event,
    channel: channel?.id,
    isExtShared: channel !== undefined && isExtShared(channel),
    answered: call.answered
  })
}

/**
 * The channel a caller names, as far as the caller may know of it. A private channel that the caller is not in does
 * not exist for it (`channel_not_found`; the emulator says `not_in_channel`), and neither does any channel of
 * another team. `#name` is accepted where `byName` says so.
 */
export const visibleChannel = Effect.fnUntraced(function*(
  state: WorkspaceState,
  caller: Caller,
  reference: string | undefined,
  byName: boolean
): Effect.fn.Return<Channel, SlackRefusal> {
  if (reference === undefined || reference === "") return yield* refusal("channel_not_found")
  const channel = state.channels.find(reference) ?? (byName ? state.channels.byName(reference) : undefined)
  if (channel === undefined) return yield* refusal("channel_not_found")
  const outside = caller.teamId !== homeTeamId
  if ((channel.isPrivate || outside) && !channel.members.has(caller.userId)) return yield* refusal("channel_not_found")
  return channel
})

/** As `visibleChannel`, and the caller is a member: `not_in_channel` otherwise, also for public channels. */
export const memberChannel = Effect.fnUntraced(function*(
  state: WorkspaceState,
  caller: Caller,
  reference: string | undefined,
  byName = false
): Effect.fn.Return<Channel, SlackRefusal> {
  const channel = yield* visibleChannel(state, caller, reference, byName)
  if (!channel.members.has(caller.userId)) return yield* refusal("not_in_channel")
  return channel
})

/** `missing_scope`, with what is needed and what the token has, as Slack answers. */
export const requireScope = Effect.fnUntraced(function*(
  caller: Caller,
  anyOf: ReadonlyArray<string>
): Effect.fn.Return<void, SlackRefusal> {
  if (anyOf.length === 0 || anyOf.some((scope) => caller.scopes.includes(scope))) return
  return yield* refusal("missing_scope", { needed: anyOf[0] ?? "", provided: caller.scopes.join(",") })
})

/** A caller that may read the channel in the emulator: a member whose token we hold. */
export const readerOf = (state: WorkspaceState, channel: Channel): Caller | undefined => {
  for (const userId of channel.members) {
    const caller = state.tokens.ofUser(userId)
    if (caller !== undefined) return caller
  }
  return state.tokens.ofUser(state.bot.userId)
}

/** One message as the emulator has it. */
export const storedMessage = Effect.fnUntraced(function*(
  state: WorkspaceState,
  channel: Channel,
  ts: string
): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
  const reader = readerOf(state, channel)
  if (reader === undefined) return yield* refusal("message_not_found")
  const answer = yield* state.emulator.call(reader, "reactions.get", { channel: channel.id, timestamp: ts })
  return objectOf(answer, "message")
})

const botProfile = (state: WorkspaceState): Json => ({
  id: state.bot.botId,
  app_id: state.bot.appId,
  user_id: state.bot.userId,
  name: state.bot.name,
  icons: {},
  deleted: false,
  updated: 0,
  team_id: homeTeamId
})

const authorFields = (state: WorkspaceState, userId: string): Json => {
  if (userId === state.bot.userId) {
    return { bot_id: state.bot.botId, app_id: state.bot.appId, team: homeTeamId, bot_profile: botProfile(state) }
  }
  const member = state.people.find(userId)
  if (member === undefined) return {}
  // Slack Connect names the author's own team (docs.slack.dev/apis/slack-connect).
  return member.teamId === homeTeamId
    ? { team: member.teamId }
    : { team: member.teamId, user_team: member.teamId, source_team: member.teamId }
}

const threadFields = (state: WorkspaceState, channel: Channel, ts: string): Json => {
  const entry = state.messages.find(channel.id, ts)
  if (entry?.root !== undefined) {
    const root = state.messages.find(channel.id, entry.root)
    return {
      thread_ts: entry.root,
      ...(root === undefined ? {} : { parent_user_id: root.userId }),
      ...(entry.broadcast ? { subtype: "thread_broadcast" } : {})
    }
  }
  const replies = state.messages.replies(channel.id, ts)
  if (replies.length === 0) return {}
  const users = [...new Set(replies.flatMap((reply) => state.messages.find(channel.id, reply)?.userId ?? []))]
  return {
    thread_ts: ts,
    reply_count: replies.length,
    reply_users_count: users.length,
    reply_users: users.slice(0, 5),
    latest_reply: replies.at(-1),
    is_locked: false,
    subscribed: false
  }
}

const dropped = new Set([
  "bot_id",
  "app_id",
  "thread_ts",
  "reply_count",
  "reply_users",
  "reply_broadcast",
  "mrkdwn",
  "parse",
  "link_names",
  "unfurl_links",
  "unfurl_media"
])

/**
 * A stored message as Slack shows it: author fields, thread fields, tombstones; `metadata` only when asked for
 * (`include_all_metadata`, docs.slack.dev/messaging/message-metadata).
 */
export const shownMessage = (state: WorkspaceState, channel: Channel, stored: Json, withMetadata: boolean): Json => {
  const ts = textOf(stored, "ts") ?? ""
  const entry = state.messages.find(channel.id, ts)
  const thread = threadFields(state, channel, ts)
  if (entry?.tombstone === true) {
    return {
      type: "message",
      subtype: "tombstone",
      text: "This message was deleted.",
      user: "USLACKBOT",
      hidden: true,
      ts,
      ...thread
    }
  }
  const hasMetadata = withMetadata && textOf(objectOf(stored, "metadata"), "event_type") !== undefined
  const kept = Object.fromEntries(
    Object.entries(stored).filter(([key]) =>
      !dropped.has(key) && (key !== "metadata" || hasMetadata) && (key !== "edited" || entry?.editedByText !== false)
    )
  )
  const gone = [...entry?.deletedFiles ?? []].map((id) => ({ id, mode: "tombstone" }))
  const files: ReadonlyArray<unknown> = Array.isArray(stored["files"]) ? stored["files"] : []
  return {
    ...kept,
    // A post with a name or icon of its own keeps Slack's classic subtype.
    ...(stored["username"] !== undefined || stored["icon_emoji"] !== undefined ? { subtype: "bot_message" } : {}),
    ...(gone.length > 0 ? { files: [...files, ...gone] } : {}),
    ...authorFields(state, textOf(stored, "user") ?? ""),
    ...thread
  }
}
