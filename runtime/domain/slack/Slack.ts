/**
 * The part of Slack's Events API that we read, as schemas over untrusted JSON (unknown keys are dropped).
 * Source: docs.slack.dev/apis/events-api and /reference/events/message, read 2026-11.
 */
import * as Schema from "effect/Schema"
import { ChannelId, MessageTs, TeamId, UserId } from "../sandbox/Ids.ts"

/** Slack leaves out what it does not know, or says null. */
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** A file inside a message. `file_access: "check_file_info"` means a stub: ask `files.info`. */
export const SlackFile = Schema.Struct({
  id: Schema.String,
  name: optional(Schema.String),
  mimetype: optional(Schema.String),
  /** Bytes by the sender's word; whatever is no number counts as unknown. */
  size: optional(Schema.Unknown),
  file_access: optional(Schema.String)
})

/** Any `message` event, subtypes included; which of them start a turn is decided by the bridge's filter. */
export const SlackMessageEvent = Schema.Struct({
  type: Schema.Literals(["message", "app_mention"]),
  subtype: optional(Schema.String),
  channel: ChannelId,
  channel_type: optional(Schema.String),
  user: optional(UserId),
  bot_id: optional(Schema.String),
  app_id: optional(Schema.String),
  text: optional(Schema.String),
  ts: MessageTs,
  thread_ts: optional(MessageTs),
  event_ts: optional(Schema.String),
  client_msg_id: optional(Schema.String),
  team: optional(Schema.String),
  user_team: optional(Schema.String),
  files: optional(Schema.Array(SlackFile)),
  hidden: optional(Schema.Boolean),
  deleted_ts: optional(MessageTs),
  message: optional(Schema.Struct({
    user: optional(UserId),
    text: optional(Schema.String),
    ts: MessageTs,
    thread_ts: optional(MessageTs),
    bot_id: optional(Schema.String),
    subtype: optional(Schema.String)
  })),
  previous_message: optional(Schema.Struct({
    user: optional(UserId),
    text: optional(Schema.String),
    ts: MessageTs,
    thread_ts: optional(MessageTs),
    bot_id: optional(Schema.String)
  }))
})
export type SlackMessageEvent = typeof SlackMessageEvent.Type

/** `reaction_added` / `reaction_removed` on a message. */
export const SlackReactionEvent = Schema.Struct({
  type: Schema.Literals(["reaction_added", "reaction_removed"]),
  user: UserId,
  reaction: Schema.String,
  item: Schema.Struct({
    type: Schema.String,
    channel: optional(ChannelId),
    ts: optional(MessageTs)
  }),
  item_user: optional(Schema.String),
  event_ts: optional(Schema.String)
})
export type SlackReactionEvent = typeof SlackReactionEvent.Type

/** The outer envelope. `event` is decoded by its type in a second step, so that an unknown kind is no error. */
export const SlackEnvelope = Schema.Struct({
  type: Schema.String,
  team_id: optional(TeamId),
  context_team_id: optional(Schema.String),
  api_app_id: optional(Schema.String),
  event_id: optional(Schema.String),
  event_time: optional(Schema.Finite),
  challenge: optional(Schema.String),
  is_ext_shared_channel: optional(Schema.Boolean),
  authorizations: optional(Schema.Array(Schema.Struct({
    team_id: optional(Schema.String),
    user_id: optional(Schema.String),
    is_bot: optional(Schema.Boolean)
  }))),
  event: optional(Schema.Unknown)
})
export type SlackEnvelope = typeof SlackEnvelope.Type
