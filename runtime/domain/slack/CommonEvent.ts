/**
 * The one event that nearly all are, a person's message, read by hand: what it takes, the schemas of `Slack.ts` take with
 * the same value (`test/runtime/domain/slack/commonEvent.test.ts` compares them), and what it does not take is theirs.
 */
import { isChannelId, isMessageTs, isTeamId, isUserId } from "../sandbox/Ids.ts"
import type { SlackEnvelope, SlackMessageEvent } from "./Slack.ts"

type Check = (value: unknown) => boolean

const isString: Check = (value) => typeof value === "string"
const isBoolean: Check = (value) => typeof value === "boolean"
/** Left out or null where Slack does not know. */
const optional = (check: Check): Check => (value) => value === undefined || value === null || check(value)

type Fields = ReadonlyArray<readonly [name: string, check: Check]>

const text = optional(isString)
const flag = optional(isBoolean)

const envelopeFields: Fields = [
  ["type", (value) => value === "event_callback"],
  ["team_id", optional(isTeamId)],
  ["context_team_id", text],
  ["api_app_id", text],
  ["event_id", text],
  ["event_time", optional(Number.isFinite)],
  ["challenge", text],
  ["is_ext_shared_channel", flag]
]
const authorizationFields: Fields = [["team_id", text], ["user_id", text], ["is_bot", flag]]
const messageFields: Fields = [
  ["type", (value) => value === "message" || value === "app_mention"],
  ["subtype", text],
  ["channel", isChannelId],
  ["channel_type", text],
  ["user", optional(isUserId)],
  ["bot_id", text],
  ["app_id", text],
  ["text", text],
  ["ts", isMessageTs],
  ["thread_ts", optional(isMessageTs)],
  ["event_ts", text],
  ["client_msg_id", text],
  ["team", text],
  ["user_team", text],
  ["hidden", flag],
  ["deleted_ts", optional(isMessageTs)],
  // With files, and of an edit or a deletion: those are read by the schema.
  ["files", (value) => value === undefined],
  ["message", (value) => value === undefined],
  ["previous_message", (value) => value === undefined]
]

type Fact = Record<string, unknown>

const isObject = (value: unknown): value is Fact => typeof value === "object" && value !== null && !Array.isArray(value)

/** The named fields alone, or undefined where one is not what it has to be. */
const picked = (value: unknown, fields: Fields): Fact | undefined => {
  if (!isObject(value)) return undefined
  const made: Fact = {}
  for (const [name, check] of fields) {
    const found = value[name]
    if (!check(found)) return undefined
    if (found !== undefined) made[name] = found
  }
  return made
}

export interface CommonEvent {
  readonly envelope: SlackEnvelope
  readonly event: SlackMessageEvent
}

/** `json` as `JSON.parse` gives it. Undefined says nothing of it but that the schemas have to read it. */
export const readCommonEvent = (json: unknown): CommonEvent | undefined => {
  const envelope = picked(json, envelopeFields)
  if (envelope === undefined || !isObject(json)) return undefined
  const event = picked(json["event"], messageFields)
  if (event === undefined) return undefined
  const { authorizations } = json
  if (authorizations === null) envelope["authorizations"] = null
  else if (authorizations !== undefined) {
    if (!Array.isArray(authorizations)) return undefined
    const read: Array<Fact> = []
    for (const authorization of authorizations) {
      const made = picked(authorization, authorizationFields)
      if (made === undefined) return undefined
      read.push(made)
    }
    envelope["authorizations"] = read
  }
  envelope["event"] = json["event"]
  const common: { readonly envelope: unknown; readonly event: unknown } = { envelope, event }
  // What the fields above say is what the types say; the test holds them to it.
  return common as CommonEvent
}
