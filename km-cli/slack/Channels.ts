/** What the set-up does in Slack: the shared channel, an invitation, a note that must be readable. Each can be repeated. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { ChannelId } from "../../runtime/domain/sandbox/Ids.ts"
import { slackError } from "./SlackCodes.ts"
import { callSlack, type SlackCallFailed, slackTrouble } from "./SlackWeb.ts"

/** A workspace as the set-up speaks to it. */
export interface Connection {
  readonly api: string
  readonly token: Redacted.Redacted<string>
  readonly botUserId: string
}

export interface SharedChannel {
  readonly id: ChannelId
  readonly name: string
}

const Channel = Schema.Struct({
  id: ChannelId,
  name: Schema.String,
  is_archived: Schema.optionalKey(Schema.Boolean),
  is_member: Schema.optionalKey(Schema.Boolean)
})
const decodeChannel = Schema.decodeUnknownOption(Schema.Struct({ channel: Channel }))
const decodePage = Schema.decodeUnknownOption(Schema.Struct({
  channels: Schema.Array(Channel),
  response_metadata: Schema.optionalKey(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.String) }))
}))
const decodeId = Schema.decodeOption(ChannelId)

/** Pages of 1,000 channels that are read for a name. */
const maxPages = 20

/** A name as Slack takes it. Source: docs.slack.dev/reference/methods/conversations.create. */
export const isChannelName = (text: string): boolean => /^[a-z0-9_-]{1,80}$/.test(text)

const odd = (api: string, method: string) => slackError("KM-SLK-109", `${method} answers in another form`, `at ${api}`)

const refusedCreate = (api: string, failure: SlackCallFailed) =>
  slackTrouble(
    api,
    failure,
    "the shared channel was not made",
    /restricted_action|no_permission|user_is_restricted/.test(failure.error) ? "KM-SLK-132" : "KM-SLK-133"
  )

const named = Effect.fnUntraced(function*({ api, token }: Connection, name: string) {
  let cursor = ""
  for (let page = 0; page < maxPages; page++) {
    const args = { types: "public_channel,private_channel", exclude_archived: false, limit: 1_000 }
    const { body } = yield* Effect.mapError(
      callSlack(api, token, "conversations.list", cursor === "" ? args : { ...args, cursor }),
      (failure) => slackTrouble(api, failure, "the channels were not listed")
    )
    const read = Option.getOrUndefined(decodePage(body))
    if (read === undefined) return yield* odd(api, "conversations.list")
    const found = read.channels.find((channel) => channel.name === name)
    if (found !== undefined) return found
    cursor = read.response_metadata?.next_cursor ?? ""
    if (cursor === "") break
  }
  return undefined
})

/** The bot becomes a member, if it can by itself. */
export const joined = Effect.fn("Slack.join")(function*({ api, token }: Connection, channel: SharedChannel) {
  yield* callSlack(api, token, "conversations.join", { channel: channel.id }).pipe(
    Effect.catchIf(
      // A private channel that we see is one that we are in.
      (failure) => /already_in_channel|method_not_supported_for_channel_type/.test(failure.error),
      () => Effect.void
    ),
    Effect.mapError((failure) => slackTrouble(api, failure, `the bot cannot join #${channel.name}`, "KM-SLK-117"))
  )
})

/** The channel of an id, which the bot must see. */
export const channelOfId = Effect.fn("Slack.channel")(function*({ api, token }: Connection, id: ChannelId) {
  const { body } = yield* Effect.mapError(
    callSlack(api, token, "conversations.info", { channel: id }),
    (failure) => slackTrouble(api, failure, `there is no channel ${id} for the bot`, "KM-SLK-134")
  )
  const read = Option.getOrUndefined(decodeChannel(body))
  if (read === undefined) return yield* odd(api, "conversations.info")
  if (read.channel.is_archived === true) {
    return yield* slackError(
      "KM-SLK-143",
      `#${read.channel.name} cannot be used`,
      "it is archived, and a bot cannot change that"
    )
  }
  return read.channel
})

/** Makes the channel, or takes one of this name (or id) that is there and can be joined. */
export const sharedChannel = Effect.fn("Slack.sharedChannel")(function*(connection: Connection, wanted: string) {
  const { api, token } = connection
  const id = Option.getOrUndefined(decodeId(wanted))
  if (id !== undefined) {
    const found = yield* channelOfId(connection, id)
    yield* joined(connection, found)
    return { id: found.id, name: found.name, made: false }
  }
  const made = yield* Effect.result(callSlack(api, token, "conversations.create", { name: wanted, is_private: false }))
  if (made._tag === "Success") {
    const read = Option.getOrUndefined(decodeChannel(made.success.body))
    if (read === undefined) return yield* odd(api, "conversations.create")
    return { id: read.channel.id, name: read.channel.name, made: true }
  }
  if (made.failure.error !== "name_taken") return yield* refusedCreate(api, made.failure)
  const found = yield* named(connection, wanted)
  if (found === undefined || found.is_archived === true) {
    const why = found === undefined
      ? "a private channel has it that the bot does not see"
      : "an archived channel has it"
    return yield* slackError("KM-SLK-117", `the name #${wanted} is taken`, why)
  }
  yield* joined(connection, found)
  return { id: found.id, name: found.name, made: false }
})

/** One address; Slack judges the rest. */
export const isAddress = (text: string): boolean =>
  text.length <= 254 && /^[^\s@<>,;"\p{Cc}\p{Cf}]+@[^\s@<>,;"\p{Cc}\p{Cf}.]+(\.[^\s@<>,;"\p{Cc}\p{Cf}.]+)+$/u.test(text)

const decodeUser = Schema.decodeUnknownOption(Schema.Struct({ user: Schema.Struct({ id: Schema.String }) }))
const decodeInvite = Schema.decodeUnknownOption(Schema.Struct({ invite_id: Schema.String }))

/** Slack's words for one that is invited, or in, already. Source: docs.slack.dev/reference/methods/conversations.inviteShared. */
const already = /^(already_in_channel|connection_limit_exceeded(_pending)?|already_invited|invite_already_sent)$/

const inviteCode = (failure: SlackCallFailed) => {
  if (failure.error === "invalid_email") return "KM-SLK-118" as const
  if (already.test(failure.error)) return "KM-SLK-119" as const
  return /^(not_paid|restricted_action|no_external_invite_permission|not_allowed_token_type|not_allowed_for_grid_workspace|org_login_required|cannot_share_\w+|not_supported)$/
      .test(failure.error)
    ? "KM-SLK-131" as const
    : "KM-SLK-133" as const
}

export type Invited =
  | { readonly _tag: "Member"; readonly user: string }
  | { readonly _tag: "Sent"; readonly invite: string }

/** A member of the workspace joins at once; anybody else gets an invitation by Slack Connect. */
export const invite = Effect.fn("Slack.invite")(function*(connection: Connection, channel: ChannelId, email: string) {
  const { api, token } = connection
  const what = `${email} was not invited`
  const known = yield* Effect.result(callSlack(api, token, "users.lookupByEmail", { email }))
  if (known._tag === "Success") {
    const user = Option.getOrUndefined(decodeUser(known.success.body))?.user.id
    if (user === undefined) return yield* odd(api, "users.lookupByEmail")
    yield* callSlack(api, token, "conversations.invite", { channel, users: user }).pipe(
      Effect.catchIf(({ error }) => /^(already_in_channel|cant_invite_self)$/.test(error), () => Effect.void),
      Effect.mapError((failure) => slackTrouble(api, failure, what, inviteCode(failure)))
    )
    return { _tag: "Member", user } satisfies Invited
  }
  if (known.failure.error !== "users_not_found") return yield* slackTrouble(api, known.failure, what)
  const args = { channel, emails: JSON.stringify([email]), external_limited: true }
  const { body } = yield* Effect.mapError(
    callSlack(api, token, "conversations.inviteShared", args),
    // Of an invitation it is the right to invite that Slack's token words are about, not the token.
    (failure) => slackError(failure.kind === "refused" ? inviteCode(failure) : "KM-SLK-108", what, failure.message)
  )
  const sent = Option.getOrUndefined(decodeInvite(body))
  return { _tag: "Sent", invite: sent?.invite_id ?? "" } satisfies Invited
})

const checkType = "km_setup_check"
const decodeHistory = Schema.decodeUnknownOption(Schema.Struct({
  messages: Schema.Array(Schema.Struct({
    ts: Schema.String,
    user: Schema.optionalKey(Schema.String),
    metadata: Schema.optionalKey(Schema.Struct({
      event_type: Schema.optionalKey(Schema.String),
      event_payload: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
    }))
  }))
}))

/** Posts a note with metadata, reads it back, and takes it away, with any that an interrupted run left. KM-SLK-127. */
export const metadataReadsBack = Effect.fn("Slack.metadata")(function*(connection: Connection, channel: ChannelId) {
  const { api, botUserId, token } = connection
  const what = "the check message was not readable"
  const told = (failure: SlackCallFailed) =>
    slackTrouble(api, failure, what, failure.error === "not_in_channel" ? "KM-SLK-124" : "KM-SLK-133")
  const key = randomUUID()
  const since = yield* Clock.currentTimeMillis
  const posted = yield* Effect.mapError(
    callSlack(api, token, "chat.postMessage", {
      channel,
      text: "km checks that it can read its own marks. It deletes this.",
      parse: "none",
      link_names: false,
      metadata: JSON.stringify({ event_type: checkType, event_payload: { key, since } })
    }),
    told
  )
  const history = yield* Effect.result(
    callSlack(api, token, "conversations.history", { channel, limit: 50, include_all_metadata: true })
  )
  const messages = history._tag === "Success"
    ? Option.getOrUndefined(decodeHistory(history.success.body))?.messages ?? []
    : []
  const ours = messages.filter(({ metadata, user }) => user === botUserId && metadata?.event_type === checkType)
  const notes = new Set(ours.map(({ ts }) => ts))
  if (typeof posted.body["ts"] === "string") notes.add(posted.body["ts"])
  for (const ts of notes) yield* Effect.ignore(callSlack(api, token, "chat.delete", { channel, ts }))
  if (history._tag === "Failure") return yield* told(history.failure)
  if (ours.some(({ metadata }) => metadata?.event_payload?.["key"] === key)) return
  return yield* slackError("KM-SLK-127", what, "the channel's history does not show its metadata")
})
