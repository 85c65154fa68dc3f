/**
 * Slack Connect, as much as trust rules need: an invitation to a channel, its acceptance by someone of another team, the
 * approval where one is required, and a channel that is shared from then on. The emulator has none of it. Shapes of the
 * events: @slack/types 3.2.0, events/shared-channel.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { slackId } from "../Identifiers.ts"
import { type Json, parseJson, textOf, textsOf } from "../Json.ts"
import { externalTeamId, homeTeamId, type Member } from "../People.ts"
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
import { tellJoined } from "./ConversationEvents.ts"

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

const isExpired = (state: WorkspaceState, invite: SharedInvite): boolean =>
  invite.status === "sent" && state.now() / 1000 > invite.created + inviteDays * 86_400

const isPending = (state: WorkspaceState, invite: SharedInvite): boolean =>
  (invite.status === "sent" && !isExpired(state, invite)) || invite.status === "accepted"

/** `conversations.inviteShared`: one address or one user id. Nothing is shared before the acceptance. */
const inviteShared = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["conversations.connect:write"])
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    if (channel.isArchived) return yield* refusal("channel_archived")
    if (state.connect.plan === "free") return yield* refusal("not_paid")
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
    const pending = [...state.invites.values()].some((invite) =>
      invite.channel === channel.id && isPending(state, invite) && invite.email === email && invite.userId === userId
    )
    if (pending) return yield* refusal("connection_limit_exceeded_pending")
    const invite: SharedInvite = {
      id: slackId("I"),
      channel: channel.id,
      invitingUser: call.caller.userId,
      email,
      userId,
      created: Math.floor(state.now() / 1000),
      status: "sent",
      acceptedBy: undefined
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

const known = Effect.fnUntraced(function*(
  state: WorkspaceState,
  call: Call
): Effect.fn.Return<{ readonly invite: SharedInvite; readonly channel: Channel }, SlackRefusal> {
  const invite = state.invites.get(textOf(call.args, "invite_id") ?? "")
  const channel = invite === undefined ? undefined : state.channels.find(invite.channel)
  if (invite === undefined || channel === undefined) return yield* refusal("invite_not_found")
  return { invite, channel }
})

const aboutUser = (member: Member): Json => ({
  id: member.userId,
  team_id: member.teamId,
  name: member.name,
  profile: { email: member.email }
})

const teamsIn = (state: WorkspaceState) => [
  { id: homeTeamId, name: state.team.name, domain: state.team.domain, is_verified: false }
]

/** From now on the channel is shared and the person is a member; the app hears of both. */
const share = Effect.fnUntraced(function*(
  state: WorkspaceState,
  invite: SharedInvite,
  channel: Channel,
  person: Member
) {
  const reader = readerOf(state, channel)
  if (reader === undefined) return yield* refusal("channel_not_found")
  yield* state.emulator.call(reader, "conversations.invite", { channel: channel.id, users: person.userId })
  invite.status = "approved"
  channel.members.add(person.userId)
  channel.connectedTeams.add(externalTeamId)
})

const tellShared = (
  state: WorkspaceState,
  call: Call,
  invite: SharedInvite,
  channel: Channel,
  userId: string
): void => {
  emit(state, call, channel, {
    type: "channel_shared",
    connected_team_id: externalTeamId,
    channel: channel.id,
    event_ts: eventTs(state)
  })
  tellJoined(state, call, channel, userId, invite.invitingUser)
}

/**
 * `conversations.acceptSharedInvite`, called with the external person's token. The channel is shared at once, or when the
 * acceptance is approved; the app hears `shared_channel_invite_accepted` either way.
 */
const acceptShared = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const { channel, invite } = yield* known(state, call)
    if (invite.status !== "sent") return yield* refusal("invite_used")
    // Which word Slack has for it is assumed.
    if (isExpired(state, invite)) return yield* refusal("invite_expired")
    if ((textOf(call.args, "channel_name") ?? "") === "") return yield* refusal("invalid_name_required")
    if (call.caller.teamId === homeTeamId) return yield* refusal("invite_from_same_org")
    const person = state.people.find(call.caller.userId)
    const meant = state.connect.anyoneMayAccept === true || (invite.userId === undefined
      ? person?.email.toLowerCase() === invite.email?.toLowerCase()
      : invite.userId === call.caller.userId)
    if (person === undefined || !meant) return yield* refusal("email_does_not_match")
    const approval = state.connect.approvalRequired === true
    invite.acceptedBy = person.userId
    if (approval) invite.status = "accepted"
    else yield* share(state, invite, channel, person)
    emit(state, call, channel, {
      type: "shared_channel_invite_accepted",
      approval_required: approval,
      ...inviteEvent(state, invite, channel),
      teams_in_channel: teamsIn(state),
      accepting_user: aboutUser(person),
      event_ts: eventTs(state)
    })
    if (!approval) tellShared(state, call, invite, channel, person.userId)
    return { implicit_approval: !approval, channel_id: channel.id, invite_id: invite.id }
  })

/** `conversations.approveSharedInvite`, by an administrator of either side. */
const approveShared = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const { channel, invite } = yield* known(state, call)
    const person = state.people.find(invite.acceptedBy ?? "")
    const approving = state.people.find(call.caller.userId)
    if (invite.status !== "accepted" || person === undefined || approving === undefined) {
      return yield* refusal("invite_not_found")
    }
    yield* share(state, invite, channel, person)
    emit(state, call, channel, {
      type: "shared_channel_invite_approved",
      ...inviteEvent(state, invite, channel),
      approving_team_id: approving.teamId,
      teams_in_channel: teamsIn(state),
      approving_user: aboutUser(approving),
      event_ts: eventTs(state)
    })
    tellShared(state, call, invite, channel, person.userId)
    return {}
  })

/** `conversations.declineSharedInvite`: by the invited side, or instead of an approval. */
const declineShared = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const { channel, invite } = yield* known(state, call)
    const declining = state.people.find(call.caller.userId)
    if (!isPending(state, invite) || declining === undefined) return yield* refusal("invite_not_found")
    invite.status = "declined"
    emit(state, call, channel, {
      type: "shared_channel_invite_declined",
      ...inviteEvent(state, invite, channel),
      declining_team_id: declining.teamId,
      teams_in_channel: teamsIn(state),
      declining_user: aboutUser(declining),
      event_ts: eventTs(state)
    })
    return {}
  })

const listInvites = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["conversations.connect:manage", "conversations.connect:write"])
    const invites = [...state.invites.values()].filter((invite) => isPending(state, invite)).flatMap((invite) => {
      const channel = state.channels.find(invite.channel)
      return channel === undefined
        ? []
        : [{ direction: "outgoing", status: invite.status, ...inviteEvent(state, invite, channel) }]
    })
    return { invites }
  })

/** The methods of this file by name. */
export const connectMethods = (state: WorkspaceState): Record<string, Method> => ({
  "conversations.inviteShared": { tier: 2, scopes: ["conversations.connect:write"], run: inviteShared(state) },
  "conversations.acceptSharedInvite": { tier: 2, scopes: ["conversations.connect:write"], run: acceptShared(state) },
  "conversations.approveSharedInvite": {
    tier: 2,
    scopes: ["conversations.connect:manage"],
    run: approveShared(state)
  },
  "conversations.declineSharedInvite": {
    tier: 2,
    scopes: ["conversations.connect:manage"],
    run: declineShared(state)
  },
  "conversations.listConnectInvites": { tier: 1, scopes: ["conversations.connect:manage"], run: listInvites(state) }
})
