/** What Slack answers to the calls of an upload: as far as it is read, and what its refusals mean. */
import * as Schema from "effect/Schema"
import { type ChannelId, MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import type { SlackFailure } from "../slack/SlackErrors.ts"

export const Ticket = Schema.Struct({ upload_url: Schema.String, file_id: Schema.String })
export const Share = Schema.Struct({ ts: MessageTs, thread_ts: Schema.optionalKey(Schema.NullOr(Schema.String)) })
const SharesByChannel = Schema.optionalKey(Schema.Record(Schema.String, Schema.Array(Share)))
/** Where a file stands: by kind of channel and channel. Source: docs.slack.dev/reference/objects/file-object. */
const Shares = Schema.optionalKey(Schema.Struct({ public: SharesByChannel, private: SharesByChannel }))
export const Completed = Schema.Struct({
  files: Schema.Array(
    Schema.Struct({ id: Schema.String, permalink: Schema.optionalKey(Schema.String), shares: Shares })
  )
})
export const FileInfo = Schema.Struct({
  file: Schema.Struct({
    id: Schema.String,
    shares: Shares,
    user: Schema.optionalKey(Schema.String),
    channels: Schema.optionalKey(Schema.Array(Schema.String)),
    groups: Schema.optionalKey(Schema.Array(Schema.String)),
    permalink: Schema.optionalKey(Schema.String)
  })
})
export const ChannelInfo = Schema.Struct({
  channel: Schema.Struct({ is_ext_shared: Schema.optionalKey(Schema.Boolean) })
})
export const Page = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Schema.Struct({
    user: Schema.optionalKey(Schema.String),
    bot_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
    files: Schema.optionalKey(Schema.Array(Schema.Struct({
      id: Schema.String,
      name: Schema.optionalKey(Schema.NullOr(Schema.String)),
      title: Schema.optionalKey(Schema.NullOr(Schema.String)),
      permalink: Schema.optionalKey(Schema.String)
    })))
  })))
})

/** Where files are not allowed Slack says so … */
export const refusesFiles = (failure: SlackFailure): boolean =>
  [
    "file_sharing_disabled",
    "not_allowed",
    "restricted_action",
    "channel_type_not_supported",
    "file_uploads_except_images_disabled",
    "posting_to_channel_denied",
    "slack_connect_file_upload_sharing_blocked"
  ].includes(failure.error)
/** … and so it does of files of some kinds … */
export const refusesForm = (failure: SlackFailure): boolean =>
  ["slack_connect_blocked_file_type", "blocked_file_type", "file_type_not_allowed"].includes(failure.error)
/** … except in Slack Connect channels, where it answers with `internal_error`, as it does when something is broken. */
export const mayRefuseFiles = (failure: SlackFailure): boolean => failure.error === "internal_error"

export interface SharedFile {
  readonly id: string
  readonly permalink?: string
}

/** The messages of a channel that show a file. */
export const placesIn = (
  shares: typeof Shares.Type | undefined,
  channel: ChannelId
): ReadonlyArray<typeof Share.Type> =>
  [shares?.public, shares?.private].flatMap((places) =>
    places !== undefined && Object.hasOwn(places, channel) ? places[channel] ?? [] : []
  )
