/**
 * The part of Slack's `block_actions` that is read, as a schema over untrusted JSON.
 * Source: docs.slack.dev/reference/interaction-payloads/block_actions-payload, read 2026-11.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelId, MessageTs, TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { approveAction, type Click, denyAction, optionActions } from "../../runtime/domain/slack/Question.ts"

/** Slack leaves out what it does not know, or says null. */
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Kind = Schema.Struct({ type: Schema.String })
const decodeKind = Schema.decodeUnknownOption(Kind)

const BlockActions = Schema.Struct({
  type: Schema.Literal("block_actions"),
  /** The workspace in which the app is installed. */
  team: Schema.Struct({ id: TeamId }),
  user: Schema.Struct({ id: UserId, team_id: optional(Schema.String) }),
  api_app_id: Schema.String,
  container: Schema.Struct({
    message_ts: optional(MessageTs),
    channel_id: optional(ChannelId),
    thread_ts: optional(MessageTs),
    is_ephemeral: optional(Schema.Boolean)
  }),
  channel: optional(Schema.Struct({ id: ChannelId })),
  actions: Schema.Array(Schema.Struct({
    type: optional(Schema.String),
    action_id: Schema.String,
    value: optional(Schema.String),
    action_ts: optional(Schema.String)
  }))
})
const decodeActions = Schema.decodeUnknownOption(BlockActions)

export type Interaction =
  | { readonly _tag: "Ignored"; readonly why: string }
  | {
    readonly _tag: "Clicked"
    readonly appId: string
    readonly userTeam: string | undefined
    readonly threadTs: MessageTs | undefined
    /** Of this gesture; empty where Slack does not say it. */
    readonly actionTs: string
    readonly click: Click
  }

/** By the button's `action_id`. */
const choices = new Map<string, Pick<Click, "choice" | "option">>([
  [approveAction, { choice: "approve" }],
  [denyAction, { choice: "deny" }]
])
optionActions.forEach((action, option) => choices.set(action, { choice: "approve", option }))

/** `undefined` for a payload that does not have its documented shape, or says two things about where it was. */
export const readClick = (payload: unknown): Interaction | undefined => {
  const kind = Option.getOrUndefined(decodeKind(payload))?.type
  if (kind === undefined) return undefined
  if (kind !== "block_actions") return { _tag: "Ignored", why: "an interaction of a kind that is not used" }
  const decoded = Option.getOrUndefined(decodeActions(payload))
  if (decoded === undefined || decoded.actions.length !== 1) return undefined
  const { actions: [action], api_app_id, channel, container, team, user } = decoded
  if (action === undefined) return undefined
  const choice = choices.get(action.action_id)
  if (choice === undefined) return { _tag: "Ignored", why: "a button that is none of ours" }
  const place = container.channel_id ?? channel?.id
  if (place === undefined || (channel?.id ?? place) !== place) return undefined
  if (!container.message_ts || container.is_ephemeral === true) return undefined
  return {
    _tag: "Clicked",
    appId: api_app_id,
    userTeam: user.team_id ?? undefined,
    threadTs: container.thread_ts ?? undefined,
    actionTs: (action.action_ts ?? "").slice(0, 40),
    click: {
      team: team.id,
      user: user.id,
      channel: place,
      message: container.message_ts,
      ...choice,
      value: action.value ?? ""
    }
  }
}
