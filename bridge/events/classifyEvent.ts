/** What one Slack event asks for, decided from its data alone: a turn, a correction, a withdrawal, a stop, a look back, or nothing. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelId, MessageTs, type TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { InviteId } from "../../runtime/domain/slack/Guest.ts"
import { type SlackEnvelope, SlackMessageEvent, SlackReactionEvent } from "../../runtime/domain/slack/Slack.ts"
import type { TurnFile } from "../../runtime/domain/turn/Turn.ts"
import type { Incoming } from "./Incoming.ts"

/** An invitation by Slack Connect that was accepted. Source: docs.slack.dev/reference/events/shared_channel_invite_accepted. */
const InviteAccepted = Schema.Struct({
  approval_required: Schema.optionalKey(Schema.Boolean),
  invite: Schema.Struct({
    id: InviteId,
    inviting_user: Schema.Struct({ id: Schema.String }),
    recipient_email: Schema.optionalKey(Schema.NullOr(Schema.String.check(Schema.isMaxLength(320))))
  }),
  channel: Schema.Struct({ id: ChannelId }),
  accepting_user: Schema.Struct({
    id: UserId,
    profile: Schema.optionalKey(
      Schema.NullOr(Schema.Struct({
        email: Schema.optionalKey(Schema.NullOr(Schema.String.check(Schema.isMaxLength(320))))
      }))
    )
  })
})
const InviteJudged = Schema.Struct({
  invite: Schema.Struct({
    id: InviteId,
    inviting_user: Schema.optionalKey(Schema.NullOr(Schema.Struct({ id: Schema.String })))
  }),
  channel: Schema.Struct({ id: ChannelId })
})
const decodeJudged = Schema.decodeUnknownOption(InviteJudged)
const decodeAccepted = Schema.decodeUnknownOption(InviteAccepted)

/** Source: docs.slack.dev/reference/events/member_joined_channel. */
const MemberJoined = Schema.Struct({ user: UserId, channel: ChannelId })
const decodeMember = Schema.decodeUnknownOption(MemberJoined)

/** Source: docs.slack.dev/reference/events/channel_id_changed. */
const ChannelMoved = Schema.Struct({ old_channel_id: ChannelId, new_channel_id: ChannelId })
const decodeMoved = Schema.decodeUnknownOption(ChannelMoved)
/** Source: docs.slack.dev/reference/events/channel_archive; the other three have the same form. */
const ChannelChanged = Schema.Struct({ channel: ChannelId, user: Schema.optionalKey(Schema.NullOr(UserId)) })
const decodeChanged = Schema.decodeUnknownOption(ChannelChanged)

/** Source: docs.slack.dev/reference/events/agent_session_stopped. */
const SessionStopped = Schema.Struct({ channel: ChannelId, thread_ts: MessageTs, user: UserId })
const decodeStopped = Schema.decodeUnknownOption(SessionStopped)

/** Subtypes that are a person's own message. Everything else (joins, topics, bots …) never starts a paid turn. */
const spoken: ReadonlySet<string> = new Set(["", "thread_broadcast", "file_share"])

/** Slack's names of 🛑. */
const stopMarks: ReadonlySet<string> = new Set(["octagonal_sign", "stop_sign", "stop"])

const decodeMessage = Schema.decodeUnknownOption(SlackMessageEvent)
const decodeReaction = Schema.decodeUnknownOption(SlackReactionEvent)
const EventKind = Schema.Struct({ type: Schema.String })
const decodeKind = Schema.decodeUnknownOption(EventKind)

const ignored = (why: string): Incoming => ({ _tag: "Ignored", why })

/**
 * `undefined` when an event of a kind that we read does not have its documented shape. `message` is the envelope's event
 * where that has been read as one already.
 */
export const classifyEvent = (
  envelope: SlackEnvelope,
  team: TeamId,
  botUser: string | undefined,
  message?: SlackMessageEvent
): Incoming | undefined => {
  if (message !== undefined) return classifySpoken(message, envelope, team, botUser)
  const kind = Option.getOrUndefined(decodeKind(envelope.event))?.type
  if (kind === undefined) return undefined
  const eventId = envelope.event_id ?? ""
  if (kind === "reaction_added") {
    const reaction = Option.getOrUndefined(decodeReaction(envelope.event))
    return reaction === undefined ? undefined : classifyReaction(reaction, team, botUser, eventId)
  }
  if (kind === "shared_channel_invite_accepted") {
    const accepted = Option.getOrUndefined(decodeAccepted(envelope.event))
    if (accepted === undefined) return undefined
    const { accepting_user: user, channel, invite } = accepted
    // While our bot's id is unknown the address decides alone: only one that the profile names counts in the end.
    const foreign = botUser !== undefined && invite.inviting_user.id !== botUser
    return foreign || invite.recipient_email === undefined || invite.recipient_email === null
      ? ignored("an invitation that is not our bot's")
      : {
        _tag: "InviteAccepted",
        channel: channel.id,
        invite: invite.id,
        user: user.id,
        invited: invite.recipient_email,
        ...(typeof user.profile?.email === "string" ? { address: user.profile.email } : {}),
        // What is not said is not granted.
        approvalRequired: accepted.approval_required !== false
      }
  }
  if (kind === "shared_channel_invite_approved" || kind === "shared_channel_invite_declined") {
    const judged = Option.getOrUndefined(decodeJudged(envelope.event))
    if (judged === undefined) return undefined
    const inviter = judged.invite.inviting_user?.id
    if (botUser !== undefined && inviter !== undefined && inviter !== botUser) {
      return ignored("an invitation that is not our bot's")
    }
    return {
      _tag: "InviteJudged",
      channel: judged.channel.id,
      invite: judged.invite.id,
      approved: kind === "shared_channel_invite_approved"
    }
  }
  if (kind === "member_joined_channel" || kind === "member_left_channel") {
    const member = Option.getOrUndefined(decodeMember(envelope.event))
    if (member === undefined) return undefined
    const present = kind === "member_joined_channel"
    if (member.user !== botUser) return { _tag: "Member", channel: member.channel, user: member.user, present }
    return present ? { _tag: "Returned", channel: member.channel } : ignored("our bot left a channel")
  }
  if (kind === "agent_session_stopped") {
    const stopped = Option.getOrUndefined(decodeStopped(envelope.event))
    if (stopped === undefined) return undefined
    const { channel, thread_ts: threadTs, user: by } = stopped
    return { _tag: "SessionStopped", channel, threadTs, by, eventId }
  }
  if (kind === "channel_id_changed") {
    const moved = Option.getOrUndefined(decodeMoved(envelope.event))
    if (moved === undefined) return undefined
    return { _tag: "ChannelMoved", from: moved.old_channel_id, to: moved.new_channel_id }
  }
  if (kind === "channel_archive" || kind === "group_archive") {
    const changed = Option.getOrUndefined(decodeChanged(envelope.event))
    if (changed === undefined) return undefined
    if (changed.user === botUser && botUser !== undefined) return ignored("our bot archived a channel")
    return { _tag: "Archived", channel: changed.channel, ...userOf(changed), eventId }
  }
  if (kind === "channel_unarchive" || kind === "group_unarchive") {
    const changed = Option.getOrUndefined(decodeChanged(envelope.event))
    return changed === undefined ? undefined : { _tag: "Returned", channel: changed.channel }
  }
  if (kind !== "message" && kind !== "app_mention") return ignored(`events of kind ${kind} are not read`)
  const event = Option.getOrUndefined(decodeMessage(envelope.event))
  return event === undefined ? undefined : classifySpoken(event, envelope, team, botUser)
}

const classifySpoken = (
  event: SlackMessageEvent,
  envelope: SlackEnvelope,
  team: TeamId,
  botUser: string | undefined
): Incoming => {
  const eventId = envelope.event_id ?? ""
  if (event.subtype === "message_changed") return classifyEdit(event, team, botUser, eventId)
  if (event.subtype === "message_deleted") return classifyDeletion(event, team, botUser, eventId)
  return classifyMessage(event, team, botUser, {
    eventId,
    externalPossible: envelope.is_ext_shared_channel !== false
  })
}

/** A message event, or a message that the channel's history holds. */
export const classifyMessage = (
  event: SlackMessageEvent,
  team: TeamId,
  botUser: string | undefined,
  origin: { readonly eventId: string; readonly externalPossible: boolean }
): Incoming => {
  const subtype = event.subtype ?? ""
  if (typeof event.bot_id === "string" && event.bot_id !== "") return ignored("written by a bot")
  if (!spoken.has(subtype)) return ignored(`messages of subtype ${subtype} are not read`)
  if (event.user === undefined || event.user === null) return ignored("written by nobody")
  if (event.user === botUser || event.user === "USLACKBOT") return ignored("written by our own bot or Slack's")
  if (event.channel.startsWith("D")) return ignored("a direct message")
  const text = event.text ?? ""
  const files = (event.files ?? []).slice(0, 25).map((file): TurnFile => ({
    id: file.id.slice(0, 100),
    name: (file.name ?? "file").slice(0, 255),
    mimeType: (file.mimetype ?? "application/octet-stream").slice(0, 100),
    size: sizeOf(file.size)
  }))
  if (text.trim() === "" && files.length === 0) return ignored("a message without text and files")
  const author = event.user_team ?? event.team ?? undefined
  return {
    _tag: "Message",
    message: {
      team,
      channel: event.channel,
      ts: event.ts,
      ...threadOf(event),
      user: event.user,
      ...(author === undefined ? {} : { userTeam: author }),
      text,
      files,
      mention: event.type === "app_mention" || (botUser !== undefined && text.includes(`<@${botUser}`)),
      externalPossible: origin.externalPossible,
      gestures: [
        ...(origin.eventId === "" ? [] : [`event:${origin.eventId}`]),
        ...(event.client_msg_id === undefined || event.client_msg_id === null
          ? []
          : [`client:${event.channel}:${event.user}:${event.client_msg_id.slice(0, 100)}`])
      ]
    }
  }
}

const byBot = (
  message: { readonly user?: string | null; readonly bot_id?: string | null } | null | undefined,
  botUser: string | undefined
): boolean =>
  (typeof message?.bot_id === "string" && message.bot_id !== "") || (botUser !== undefined && message?.user === botUser)

const classifyEdit = (
  event: SlackMessageEvent,
  team: TeamId,
  botUser: string | undefined,
  eventId: string
): Incoming => {
  const { message, previous_message: previous } = event
  if (message === undefined || message === null) return ignored("an edit without the message")
  if (byBot(message, botUser)) return ignored("an edit of a bot's message")
  // A message with replies is not removed when its author deletes it: it becomes a tombstone.
  if (message.subtype === "tombstone") {
    return {
      _tag: "Deleted",
      team,
      channel: event.channel,
      ts: message.ts,
      ...threadOf(previous ?? message),
      ...userOf(previous),
      eventId
    }
  }
  const text = message.text ?? ""
  if (message.user === undefined || message.user === null || text === (previous?.text ?? "")) {
    return ignored("an edit that leaves the text")
  }
  return {
    _tag: "Edited",
    team,
    channel: event.channel,
    ts: message.ts,
    ...threadOf(message),
    user: message.user,
    text,
    eventId
  }
}

const threadOf = (
  message: { readonly ts: MessageTs; readonly thread_ts?: MessageTs | null }
): { readonly threadTs?: MessageTs } =>
  message.thread_ts === undefined || message.thread_ts === null || message.thread_ts === message.ts
    ? {}
    : { threadTs: message.thread_ts }

const userOf = (message: { readonly user?: UserId | null } | null | undefined): { readonly user?: UserId } =>
  message?.user === undefined || message.user === null ? {} : { user: message.user }

/** A whole number of bytes that every reader can hold; 0 where it is not known. */
const sizeOf = (size: unknown): number =>
  typeof size === "number" && size > 0 ? Math.min(Number.MAX_SAFE_INTEGER, Math.trunc(size)) : 0

const classifyDeletion = (
  event: SlackMessageEvent,
  team: TeamId,
  botUser: string | undefined,
  eventId: string
): Incoming => {
  const ts = event.deleted_ts ?? event.previous_message?.ts
  if (ts === undefined || ts === null) return ignored("a deletion without the message's ts")
  if (byBot(event.previous_message, botUser)) return ignored("a deletion of a bot's message")
  return {
    _tag: "Deleted",
    team,
    channel: event.channel,
    ts,
    ...threadOf(event.previous_message ?? { ts }),
    ...userOf(event.previous_message),
    eventId
  }
}

const classifyReaction = (
  event: SlackReactionEvent,
  team: TeamId,
  botUser: string | undefined,
  eventId: string
): Incoming => {
  if (!stopMarks.has(event.reaction)) return ignored("a reaction that asks for nothing")
  if (event.user === botUser) return ignored("our own reaction")
  const { channel, ts, type } = event.item
  if (type !== "message" || !channel || !ts) return ignored("a reaction to no message")
  return {
    _tag: "StopMark",
    team,
    channel,
    ts,
    by: event.user,
    ...(event.item_user === undefined || event.item_user === null ? {} : { author: event.item_user }),
    eventId
  }
}
