/**
 * `conversations.*` but history: channels come, change and go. The emulator keeps them; names, membership and what a
 * bot may do follow Slack.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { flagOf, type Json, numberOf, objectOf, textOf, textsOf } from "../Json.ts"
import { homeTeamId } from "../People.ts"
import { characters } from "../Text.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import {
  emit,
  eventTs,
  isExtShared,
  memberChannel,
  requireScope,
  visibleChannel,
  type WorkspaceState
} from "../WorkspaceState.ts"
import { group, tellJoined, tellLeft, tellSystemMessage } from "./ConversationEvents.ts"

type Answer = Effect.fn.Return<Json, SlackRefusal | EmulatorFailure>

/** A channel as Slack shows it: the emulator's, with the members that it lacks. */
const shownChannel = (state: WorkspaceState, call: Call, channel: Channel, stored: Json): Json => ({
  ...stored,
  id: channel.id,
  name: channel.name,
  name_normalized: channel.name,
  is_general: channel.id === "C000000001",
  is_shared: isExtShared(channel),
  is_ext_shared: isExtShared(channel),
  is_org_shared: false,
  is_pending_ext_shared: [...state.invites.values()].some((invite) =>
    invite.channel === channel.id && invite.status !== "approved" && invite.status !== "declined"
  ),
  is_archived: channel.isArchived,
  is_member: channel.members.has(call.caller.userId),
  num_members: channel.members.size,
  context_team_id: homeTeamId,
  shared_team_ids: [homeTeamId, ...channel.connectedTeams],
  ...(isExtShared(channel) ? { connected_team_ids: [...channel.connectedTeams] } : {}),
  previous_names: [],
  updated: channel.created * 1000
})

const writeScope = (channel: Channel): ReadonlyArray<string> =>
  channel.kind === "im" ? ["im:write"] : channel.isPrivate ? ["groups:write"] : ["channels:manage", "channels:write"]

const readScope = (channel: Channel): ReadonlyArray<string> =>
  channel.kind === "im" ? ["im:read"] : channel.isPrivate ? ["groups:read"] : ["channels:read"]

/**
 * Slack's naming rules (docs.slack.dev/reference/methods/conversations.create, "Naming"): lower-case letters,
 * digits, hyphens, underscores, at most 80. The emulator corrects such names; Slack refuses them. Slack also allows
 * letters of other alphabets, which the emulator cannot store, so they are refused here.
 */
const checkName = Effect.fnUntraced(function*(name: string | undefined): Effect.fn.Return<string, SlackRefusal> {
  if (name === undefined || name === "") return yield* refusal("invalid_name_required")
  if (characters(name) > 80) return yield* refusal("invalid_name_maxlength")
  if (!/^[a-z0-9_-]+$/.test(name)) return yield* refusal("invalid_name_specials")
  if (!/[a-z0-9]/.test(name)) return yield* refusal("invalid_name_punctuation")
  return name
})

/** `name_taken` holds for archived channels too, and for another case of the same letters. */
const create = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const isPrivate = flagOf(call.args, "is_private")
    yield* requireScope(call.caller, isPrivate ? ["groups:write"] : ["channels:manage", "channels:write"])
    if (call.caller.teamId !== homeTeamId) return yield* refusal("not_allowed_token_type")
    const name = yield* checkName(textOf(call.args, "name"))
    const answer = yield* state.emulator.call(call.caller, call.method, { name, is_private: isPrivate })
    const stored = objectOf(answer, "channel")
    const channel = state.channels.enter({
      id: textOf(stored, "id") ?? "",
      name,
      isPrivate,
      kind: "channel",
      isArchived: false,
      creator: call.caller.userId,
      created: Math.floor(state.now() / 1000),
      members: new Set([call.caller.userId]),
      connectedTeams: new Set()
    })
    state.watch.tell("channel", { channel: channel.id }, { change: "created", name, isPrivate })
    if (!isPrivate) {
      emit(state, call, undefined, {
        type: "channel_created",
        channel: { id: channel.id, name, created: channel.created, creator: channel.creator, is_channel: true },
        event_ts: eventTs(state)
      })
    }
    return { channel: shownChannel(state, call, channel, stored) }
  })

const info = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    yield* requireScope(call.caller, readScope(channel))
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id })
    return { channel: shownChannel(state, call, channel, objectOf(answer, "channel")) }
  })

/** Cursors are opaque; a wrong one is `invalid_cursor` (the emulator starts over). */
const pageOf = Effect.fnUntraced(function*<A>(
  call: Call,
  all: ReadonlyArray<A>,
  fallback: number
): Effect.fn.Return<{ readonly page: ReadonlyArray<A>; readonly next: string }, SlackRefusal> {
  const cursor = textOf(call.args, "cursor") ?? ""
  const text = cursor === "" ? "offset:0" : Buffer.from(cursor, "base64").toString("utf8")
  const start = /^offset:(\d+)$/.exec(text)?.[1]
  if (start === undefined) return yield* refusal("invalid_cursor")
  const limit = numberOf(call.args, "limit") ?? fallback
  if (limit < 0 || limit > 1000) return yield* refusal("invalid_limit")
  const end = Number(start) + (limit === 0 ? fallback : Math.floor(limit))
  return {
    page: all.slice(Number(start), end),
    next: end < all.length ? Buffer.from(`offset:${end}`).toString("base64") : ""
  }
})

const wanted = (types: string | undefined) => {
  const set = new Set((types ?? "public_channel").split(",").map((type) => type.trim()))
  return (channel: Channel): boolean =>
    channel.kind === "im"
      ? set.has("im")
      : channel.kind === "mpim"
      ? set.has("mpim")
      : set.has(channel.isPrivate ? "private_channel" : "public_channel")
}

const list = (state: WorkspaceState, mine: boolean) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const matches = wanted(textOf(call.args, "types"))
    const hideArchived = flagOf(call.args, "exclude_archived")
    const caller = call.caller
    const whose = mine ? textOf(call.args, "user") ?? caller.userId : caller.userId
    const visible = state.channels.all().filter((channel) =>
      matches(channel) && !(hideArchived && channel.isArchived) &&
      ((!channel.isPrivate && caller.teamId === homeTeamId) || channel.members.has(caller.userId)) &&
      (!mine || channel.members.has(whose))
    )
    for (const channel of visible) yield* requireScope(caller, readScope(channel))
    const { next, page } = yield* pageOf(call, visible, 100)
    const channels: Array<Json> = []
    for (const channel of page) {
      const answer = yield* state.emulator.call(caller, "conversations.info", { channel: channel.id })
      channels.push(shownChannel(state, call, channel, objectOf(answer, "channel")))
    }
    return { channels, response_metadata: { next_cursor: next } }
  })

const members = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    yield* requireScope(call.caller, readScope(channel))
    const { next, page } = yield* pageOf(call, [...channel.members], 100)
    return { members: page, response_metadata: { next_cursor: next } }
  })

const join = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    if (channel.isPrivate) return yield* refusal("method_not_supported_for_channel_type")
    if (channel.isArchived) return yield* refusal("is_archived")
    const already = channel.members.has(call.caller.userId)
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id })
    channel.members.add(call.caller.userId)
    if (!already) tellJoined(state, call, channel, call.caller.userId, undefined)
    return {
      channel: shownChannel(state, call, channel, objectOf(answer, "channel")),
      ...(already ? { warning: "already_in_channel", response_metadata: { warnings: ["already_in_channel"] } } : {})
    }
  })

/** External people come by Slack Connect only: `cant_invite` for them here. */
const invite = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    yield* requireScope(call.caller, writeScope(channel))
    const users = textOf(call.args, "users")?.split(",").map((user) => user.trim()).filter((user) => user !== "") ??
      textsOf(call.args, "users")
    if (users.length === 0) return yield* refusal("no_user")
    if (users.some((user) => state.people.isExternal(user))) return yield* refusal("cant_invite")
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id, users: users.join(",") })
    for (const user of users) {
      channel.members.add(user)
      tellJoined(state, call, channel, user, call.caller.userId)
    }
    return { channel: shownChannel(state, call, channel, objectOf(answer, "channel")) }
  })

const leave = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    if (!channel.members.has(call.caller.userId)) return { not_in_channel: true }
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id })
    channel.members.delete(call.caller.userId)
    tellLeft(state, call, channel, call.caller.userId)
    return answer
  })

const kick = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    const user = textOf(call.args, "user") ?? ""
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id, user })
    channel.members.delete(user)
    tellLeft(state, call, channel, user)
    return answer
  })

const archive = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    if (channel.isArchived) return yield* refusal("already_archived")
    if (!channel.members.has(call.caller.userId)) return yield* refusal("not_in_channel")
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id })
    channel.isArchived = true
    state.watch.tell("channel", { channel: channel.id }, { change: "archived", name: channel.name })
    emit(state, call, channel, {
      type: group(channel, "archive"),
      channel: channel.id,
      user: call.caller.userId,
      is_moved: 0,
      event_ts: eventTs(state)
    })
    yield* tellSystemMessage(state, call, channel)
    return answer
  })

/**
 * Refused for bot tokens: "Bot tokens (xoxb-...) cannot currently be used to unarchive conversations"
 * (docs.slack.dev/reference/methods/conversations.unarchive). The emulator allows it.
 */
const unarchive = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    if (call.caller.kind === "bot") return yield* refusal("not_allowed_token_type")
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    if (!channel.isArchived) return yield* refusal("not_archived")
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id })
    channel.isArchived = false
    channel.members.add(call.caller.userId)
    state.watch.tell("channel", { channel: channel.id }, { change: "unarchived", name: channel.name })
    emit(state, call, channel, {
      type: group(channel, "unarchive"),
      channel: channel.id,
      user: call.caller.userId,
      event_ts: eventTs(state)
    })
    yield* tellSystemMessage(state, call, channel)
    return answer
  })

const rename = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    const name = yield* checkName(textOf(call.args, "name"))
    const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id, name })
    channel.name = name
    state.watch.tell("channel", { channel: channel.id }, { change: "renamed", name })
    emit(state, call, channel, {
      type: group(channel, "rename"),
      channel: { id: channel.id, name, created: channel.created },
      event_ts: eventTs(state)
    })
    yield* tellSystemMessage(state, call, channel)
    return { channel: shownChannel(state, call, channel, objectOf(answer, "channel")) }
  })

/** `setTopic`, `setPurpose`: longer than 250 characters is `too_long`. */
const describe = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    const answer = yield* state.emulator.call(call.caller, call.method, { ...call.args, channel: channel.id })
    yield* tellSystemMessage(state, call, channel)
    return { ...answer, channel: shownChannel(state, call, channel, objectOf(answer, "channel")) }
  })

const open = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const answer = yield* state.emulator.call(call.caller, call.method, call.args)
    const id = textOf(objectOf(answer, "channel"), "id") ?? ""
    if (state.channels.find(id) === undefined) {
      const seen = yield* state.emulator.call(call.caller, "conversations.members", { channel: id })
      const users = textsOf(seen, "members")
      state.channels.enter({
        id,
        name: id,
        isPrivate: true,
        kind: users.length > 2 ? "mpim" : "im",
        isArchived: false,
        creator: call.caller.userId,
        created: Math.floor(state.now() / 1000),
        members: new Set(users),
        connectedTeams: new Set()
      })
    }
    return answer
  })

const mark = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    return yield* state.emulator.call(call.caller, call.method, { ...call.args, channel: channel.id })
  })

/** The methods of this file by name. */
export const conversationMethods = (state: WorkspaceState): Record<string, Method> => {
  const read = ["channels:read", "groups:read", "im:read", "mpim:read"]
  const write = ["channels:manage", "channels:write", "groups:write", "im:write", "mpim:write"]
  return {
    "conversations.create": { tier: 2, scopes: write, run: create(state) },
    "conversations.info": { tier: 3, scopes: read, run: info(state) },
    "conversations.list": { tier: 2, scopes: read, run: list(state, false) },
    "users.conversations": { tier: 3, scopes: read, run: list(state, true) },
    "conversations.members": { tier: 4, scopes: read, run: members(state) },
    "conversations.join": { tier: 3, scopes: ["channels:join", "channels:write"], run: join(state) },
    "conversations.invite": { tier: 3, scopes: write, run: invite(state) },
    "conversations.leave": { tier: 3, scopes: write, run: leave(state) },
    "conversations.kick": { tier: 3, scopes: write, run: kick(state) },
    "conversations.archive": { tier: 2, scopes: write, run: archive(state) },
    "conversations.unarchive": { tier: 2, scopes: write, run: unarchive(state) },
    "conversations.rename": { tier: 2, scopes: write, run: rename(state) },
    "conversations.setTopic": { tier: 2, scopes: write, run: describe(state) },
    "conversations.setPurpose": { tier: 2, scopes: write, run: describe(state) },
    "conversations.open": { tier: 3, scopes: ["im:write", "mpim:write", "groups:write"], run: open(state) },
    "conversations.mark": { tier: 3, scopes: write, run: mark(state) }
  }
}
