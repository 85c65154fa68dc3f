/** What a workspace tells its apps when a channel's members or settings change. */
import * as Effect from "effect/Effect"
import type { Call } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { objectsOf, textOf } from "../Json.ts"
import { homeTeamId } from "../People.ts"
import type { EmulatorFailure, SlackRefusal } from "../WorkspaceError.ts"
import {
  channelLetter,
  channelType,
  emit,
  eventTs,
  isExtShared,
  readerOf,
  type WorkspaceState
} from "../WorkspaceState.ts"

/** Of private channels Slack's events have names of their own: `group_archive` beside `channel_archive`. */
export const group = (channel: Channel, suffix: string): string =>
  `${channel.isPrivate ? "group" : "channel"}_${suffix}`

/** Notes and tells the system message that the emulator adds when a channel changes. */
export const tellSystemMessage = Effect.fnUntraced(function*(
  state: WorkspaceState,
  call: Call,
  channel: Channel
): Effect.fn.Return<void, SlackRefusal | EmulatorFailure> {
  const reader = readerOf(state, channel)
  if (reader === undefined) return
  const answer = yield* state.emulator.call(reader, "conversations.history", { channel: channel.id, limit: 1 })
  const message = objectsOf(answer, "messages")[0]
  const ts = message === undefined ? undefined : textOf(message, "ts")
  if (message === undefined || ts === undefined || state.messages.find(channel.id, ts) !== undefined) return
  state.messages.add(channel.id, { ts, userId: call.caller.userId, root: undefined, broadcast: false })
  state.watch.tell("message", { channel: channel.id, ts }, { message })
  emit(state, call, channel, { ...message, channel: channel.id, event_ts: ts, channel_type: channelType(channel) })
})

/** Tells of a new member: `member_joined_channel`, and the `channel_join` notice. */
export const tellJoined = (
  state: WorkspaceState,
  call: Pick<Call, "answered">,
  channel: Channel,
  userId: string,
  inviter: string | undefined
): void => {
  state.watch.tell("member", { channel: channel.id }, { user: userId, change: "joined" })
  const at = eventTs(state)
  const invited = inviter === undefined ? {} : { inviter }
  emit(state, call, channel, {
    type: "member_joined_channel",
    user: userId,
    channel: channel.id,
    channel_type: channelLetter(channel),
    team: state.people.find(userId)?.teamId ?? homeTeamId,
    ...invited,
    event_ts: at
  })
  // Slack also keeps this notice in the history; the emulator cannot store it, so it exists as an event only.
  emit(state, call, channel, {
    type: "message",
    subtype: group(channel, "join"),
    user: userId,
    text: `<@${userId}> has joined the channel`,
    ...invited,
    channel: channel.id,
    ts: at,
    event_ts: at,
    channel_type: channelType(channel)
  })
}

export const tellLeft = (state: WorkspaceState, call: Call, channel: Channel, userId: string): void => {
  state.watch.tell("member", { channel: channel.id }, { user: userId, change: "left" })
  if (userId === state.bot.userId) {
    // The bot hears of its own leaving, and of nothing after it.
    state.events.publish({
      event: {
        type: group(channel, "left"),
        channel: channel.id,
        actor_id: call.caller.userId,
        event_ts: eventTs(state)
      },
      channel: channel.id,
      isExtShared: isExtShared(channel),
      answered: call.answered
    })
    return
  }
  emit(state, call, channel, {
    type: "member_left_channel",
    user: userId,
    channel: channel.id,
    channel_type: channelLetter(channel),
    team: homeTeamId,
    event_ts: eventTs(state)
  })
}
