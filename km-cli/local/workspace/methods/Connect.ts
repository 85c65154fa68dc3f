/**
 * Slack Connect, as much as trust rules need: an invitation to a channel, its acceptance by someone of another team,
 * and a channel that is shared from then on. The emulator has none of it.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { slackId } from "../Identifiers.ts"
import { type Json, parseJson, textOf, textsOf } from "../Json.ts"
import { externalTeamId, homeTeamId } from "../People.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import {
  emit,
  eventTs,
  memberChannel,
  readerOf,
  requireScope,
  type SharedInvite,
  type WorkspaceState
} from "../WorkspaceState.ts"
import { tellJoined } from "./Conversations.ts"

type Answer = Effect.fn.Return<Json, SlackRefusal | EmulatorFailure>

/** Invitations are valid for fourteen days. Source: docs.slack.dev/reference/methods/conversations.inviteShared */
const inviteDays = 14

/** A list as JSON, as JSON in a form field, or with commas. */
const listOf = (call: Call, key: string): ReadonlyArray<string> => {
  const text = textOf(call.args, key)
  if (text === undefined) return textsOf(call.args, key)
  const parsed = parseJson(text)
  const items = Array.isArray(parsed) ? parsed.filter((item) => typeof item === "string") : text.split(",")
  return items.map((item) => item.trim()).filter((item) => item !== "")
}

/** `conversations.inviteShared`: one address or one user id. Nothing is shared before the acceptance. */
const inviteShared = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["conversations.connect:write"])
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    if (channel.isArchived) return yield* refusal("channel_archived")
    if (channel.id === "C000000001") return yield* refusal("cannot_share_mandatory_channel")
    const emails = listOf(call, "emails")
    const [email] = emails
    const [userId] = listOf(call, "user_ids")
    if (emails.length > 1) return yield* refusal("too_many_emails")
    if ((email === undefined) === (userId === undefined)) return yield* refusal("recipients_not_specified")
    if (email !== undefined && !/^[^\s@]+@[^\s@]+$/.test(email)) return yield* refusal("invalid_email")
    const known = userId === undefined ? state.people.byEmail(email ?? "") : state.people.find(userId)
    if (userId !== undefined && known === undefined) return yield* refusal("user_not_found")
    if (known !== undefined && channel.members.has(known.userId)) return yield* refusal("already_in_channel")
    if (known !== undefined && known.teamId === homeTeamId) return yield* refusal("not_supported")
    const invite: SharedInvite = {
      id: slackId("I"),
      channel: channel.id,
      invitingUser: call.caller.userId,
      email,
      userId,
      created: Math.floor(state.now() / 1000),
      accepted: false
    }
    state.invites.set(invite.id, invite)
    return {
      invite_id: invite.id,
      conf_code: "",
      url: `${state.team.url}connect/${invite.id}`,
      is_legacy_shared_channel: false
    }
  })

const inviteEvent = (state: WorkspaceState, invite: SharedInvite, channel: Channel): Json => ({
  invite: {
    id: invite.id,
    date_created: invite.created,
    date_invalid: invite.created + inviteDays * 86_400,
    inviting_team: { id: homeTeamId, name: state.team.name, domain: state.team.domain, is_verified: false },
    inviting_user: { id: invite.invitingUser, team_id: homeTeamId },
    ...(invite.email === undefined ? {} : { recipient_email: invite.email }),
    ...(invite.userId === undefined ? {} : { recipient_user_id: invite.userId })
  },
  channel: { id: channel.id, name: channel.name, is_private: channel.isPrivate, is_im: false }
})

/**
 * `conversations.acceptSharedInvite`, called with the external person's token. From then on the channel is shared,
 * the person is a member, and the app hears `shared_channel_invite_accepted`, `channel_shared` and the new member.
 */
const acceptShared = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const invite = state.invites.get(textOf(call.args, "invite_id") ?? "")
    const channel = invite === undefined ? undefined : state.channels.find(invite.channel)
    if (invite === undefined || channel === undefined) return yield* refusal("invite_not_found")
    if (invite.accepted) return yield* refusal("invite_used")
    if ((textOf(call.args, "channel_name") ?? "") === "") return yield* refusal("invalid_name_required")
    if (call.caller.teamId === homeTeamId) return yield* refusal("invite_from_same_org")
    const person = state.people.find(call.caller.userId)
    const meant = invite.userId === undefined
      ? person?.email.toLowerCase() === invite.email?.toLowerCase()
      : invite.userId === call.caller.userId
    if (person === undefined || !meant) return yield* refusal("email_does_not_match")
    const reader = readerOf(state, channel)
    if (reader === undefined) return yield* refusal("channel_not_found")
    yield* state.emulator.call(reader, "conversations.invite", { channel: channel.id, users: person.userId })
    invite.accepted = true
    channel.members.add(person.userId)
    channel.connectedTeams.add(externalTeamId)
    emit(state, call, channel, {
      type: "shared_channel_invite_accepted",
      approval_required: false,
      ...inviteEvent(state, invite, channel),
      teams_in_channel: [{ id: homeTeamId, name: state.team.name, domain: state.team.domain, is_verified: false }],
      accepting_user: {
        id: person.userId,
        team_id: externalTeamId,
        name: person.name,
        profile: { email: person.email }
      },
      event_ts: eventTs(state)
    })
    emit(state, call, channel, {
      type: "channel_shared",
      connected_team_id: externalTeamId,
      channel: channel.id,
      event_ts: eventTs(state)
    })
    tellJoined(state, call, channel, person.userId, invite.invitingUser)
    return { implicit_approval: true, channel_id: channel.id, invite_id: invite.id }
  })

const listInvites = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["conversations.connect:manage", "conversations.connect:write"])
    const invites = [...state.invites.values()].filter((invite) => !invite.accepted).flatMap((invite) => {
      const channel = state.channels.find(invite.channel)
      return channel === undefined
        ? []
        : [{ direction: "outgoing", status: "sent", ...inviteEvent(state, invite, channel) }]
    })
    return { invites }
  })

/** The methods of this file by name. */
export const connectMethods = (state: WorkspaceState): Record<string, Method> => ({
  "conversations.inviteShared": { tier: 2, scopes: ["conversations.connect:write"], run: inviteShared(state) },
  "conversations.acceptSharedInvite": { tier: 2, scopes: ["conversations.connect:write"], run: acceptShared(state) },
  "conversations.listConnectInvites": { tier: 1, scopes: ["conversations.connect:manage"], run: listInvites(state) }
})
