/**
 * `users.*`, `auth.*`, `team.info`, `bots.info`: who is who, with the fields that the emulator leaves out.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import { type Json, objectOf, textOf, without } from "../Json.ts"
import { externalTeamId, homeTeamId, type Member } from "../People.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import { requireScope, type WorkspaceState } from "../WorkspaceState.ts"

type Answer = Effect.fn.Return<Json, SlackRefusal | EmulatorFailure>

/**
 * A user as Slack shows it. People of another team show no address, and `is_stranger` while no channel is shared
 * with them (docs.slack.dev/reference/objects/user-object).
 */
const shownUser = (state: WorkspaceState, member: Member, stored: Json): Json => {
  const external = member.teamId !== homeTeamId
  const profile = objectOf(stored, "profile")
  const shared = state.channels.all().some((channel) =>
    channel.members.has(member.userId) && channel.members.has(state.bot.userId)
  )
  return {
    ...stored,
    id: member.userId,
    team_id: member.teamId,
    name: member.name,
    real_name: member.realName,
    deleted: false,
    color: "4bbe2e",
    tz: "Etc/UTC",
    tz_label: "Coordinated Universal Time",
    tz_offset: 0,
    is_owner: false,
    is_primary_owner: false,
    is_restricted: false,
    is_ultra_restricted: false,
    is_bot: member.isBot,
    is_app_user: false,
    is_email_confirmed: true,
    updated: 0,
    ...(external ? { is_stranger: !shared } : {}),
    profile: {
      ...(external ? without(profile, ["email"]) : profile),
      team: member.teamId,
      ...(member.isBot ? { bot_id: state.bot.botId, api_app_id: state.bot.appId } : {})
    }
  }
}

const info = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["users:read"])
    const member = state.people.find(textOf(call.args, "user") ?? "")
    if (member === undefined) return yield* refusal("user_not_found")
    const answer = yield* state.emulator.call(call.caller, call.method, { user: member.userId })
    return { user: shownUser(state, member, objectOf(answer, "user")) }
  })

/** The home team's people; outsiders are not listed. */
const list = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["users:read"])
    const members: Array<Json> = []
    for (const member of state.people.all()) {
      if (member.teamId !== homeTeamId) continue
      const answer = yield* state.emulator.call(call.caller, "users.info", { user: member.userId })
      members.push(shownUser(state, member, objectOf(answer, "user")))
    }
    return { members, cache_ts: Math.floor(state.now() / 1000), response_metadata: { next_cursor: "" } }
  })

/** Needs `users:read` beside `users:read.email`, as Slack does. */
const lookup = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["users:read.email"])
    yield* requireScope(call.caller, ["users:read"])
    const member = state.people.byEmail(textOf(call.args, "email") ?? "")
    if (member === undefined || member.isBot || member.teamId !== homeTeamId) return yield* refusal("users_not_found")
    const answer = yield* state.emulator.call(call.caller, "users.info", { user: member.userId })
    return { user: shownUser(state, member, objectOf(answer, "user")) }
  })

const authTest = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const { caller } = call
    const external = caller.teamId === externalTeamId
    return yield* Effect.succeed({
      url: state.team.url,
      team: external ? "Elsewhere" : state.team.name,
      user: state.people.find(caller.userId)?.name,
      team_id: caller.teamId,
      user_id: caller.userId,
      ...(caller.botId === undefined ? {} : { bot_id: caller.botId }),
      is_enterprise_install: false
    })
  })

const botInfo = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["users:read"])
    const wanted = textOf(call.args, "bot")
    if (wanted !== undefined && wanted !== state.bot.botId) return yield* refusal("bot_not_found")
    const { appId, botId, name, userId } = state.bot
    return { bot: { id: botId, deleted: false, name, updated: 0, app_id: appId, user_id: userId, icons: {} } }
  })

const teamInfo = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    yield* requireScope(call.caller, ["team:read"])
    const { domain, name } = state.team
    return { team: { id: homeTeamId, name, domain, email_domain: "", icon: { image_default: true } } }
  })

/** `api.test` echoes its arguments; it needs no token at Slack, here any valid one. */
const apiTest = () => (call: Call) => Effect.succeed({ args: without(call.args, ["token"]) })

/** The methods of this file by name. */
export const userMethods = (state: WorkspaceState): Record<string, Method> => ({
  "users.info": { tier: 4, scopes: ["users:read"], run: info(state) },
  "users.list": { tier: 2, scopes: ["users:read"], run: list(state) },
  "users.lookupByEmail": { tier: 3, scopes: ["users:read.email"], run: lookup(state) },
  "auth.test": { tier: "special", scopes: [], run: authTest(state) },
  "api.test": { tier: 4, scopes: [], run: apiTest() },
  "bots.info": { tier: 3, scopes: ["users:read"], run: botInfo(state) },
  "team.info": { tier: 3, scopes: ["team:read"], run: teamInfo(state) }
})
