/**
 * The first state of a workspace: the team, its people and the bot, told to the emulator and then read back, because
 * the emulator gives people random ids.
 */
import * as Effect from "effect/Effect"
import type { Channels } from "./Channels.ts"
import type { Emulator } from "./Emulator.ts"
import { appLevelToken, slackId, slackToken } from "./Identifiers.ts"
import { type Json, objectsOf, textOf } from "./Json.ts"
import { externalTeamId, homeTeamId, type People } from "./People.ts"
import { aliasesOf, type Caller, type TokenEntry, type TokenTable } from "./TokenTable.ts"
import { type EmulatorFailure, type SlackRefusal, WorkspaceError } from "./WorkspaceError.ts"
import { defaultBotScopes, type WorkspaceOptions } from "./WorkspaceOptions.ts"
import type { Bot } from "./WorkspaceState.ts"

/** A person's scopes: what somebody can do in a client. */
const personScopes: ReadonlyArray<string> = [
  ...defaultBotScopes,
  "channels:write",
  "chat:write.customize",
  "im:read",
  "im:write",
  "im:history",
  "mpim:read",
  "mpim:write",
  "mpim:history",
  "team:read",
  "conversations.connect:manage"
]

/** The emulator's own administrator, always there. */
const adminId = "U000000001"

/** Names, ids and tokens, before the emulator has started. */
export interface Plan {
  readonly bot: Bot
  readonly botToken: string
  /** Stands for the app, opens its sockets and nothing else. */
  readonly appToken: string
  readonly botScopes: ReadonlyArray<string>
  readonly adminToken: string
  readonly people: ReadonlyArray<{
    readonly name: string
    readonly realName: string
    readonly email: string
    readonly external: boolean
    readonly token: string
  }>
}

/** Makes up what the options leave open. */
export const planOf = (options: WorkspaceOptions): Plan => {
  const appId = options.appId ?? slackId("A0")
  return {
    bot: {
      userId: slackId("U0"),
      botId: slackId("B0"),
      appId,
      name: options.bot?.name ?? "km",
      realName: options.bot?.realName ?? options.bot?.name ?? "km"
    },
    botToken: options.bot?.token ?? slackToken("xoxb"),
    appToken: options.sockets?.appToken ?? appLevelToken(appId),
    botScopes: options.bot?.scopes ?? defaultBotScopes,
    adminToken: slackToken("xoxp"),
    people: options.users.map((user) => ({
      name: user.name,
      realName: user.realName,
      email: user.email,
      external: user.external === true,
      token: slackToken("xoxp")
    }))
  }
}

/** The emulator's seed. Aliases of every token are seeded, never the tokens themselves. */
export const seedOf = (plan: Plan, domain: string): Json => ({
  strict_scopes: false,
  team: { name: domain, domain },
  users: plan.people.map((person) => ({ name: person.name, real_name: person.realName, email: person.email })),
  oauth_apps: [{
    app_id: plan.bot.appId,
    client_id: "1.1",
    client_secret: slackId(""),
    name: plan.bot.realName,
    redirect_uris: ["http://127.0.0.1/callback"],
    scopes: [...plan.botScopes],
    bot_id: plan.bot.botId,
    bot_user_id: plan.bot.userId,
    bot_name: plan.bot.name
  }],
  tokens: [
    ...aliasesOf(plan.botToken).map((token) => ({
      token,
      type: "bot",
      user_id: plan.bot.userId,
      bot_id: plan.bot.botId,
      bot_user_id: plan.bot.userId,
      app_id: plan.bot.appId
    })),
    ...aliasesOf(plan.adminToken).map((token) => ({ token, type: "user", user_id: adminId })),
    ...plan.people.flatMap((person) =>
      aliasesOf(person.token).map((token) => ({ token, type: "user", user: person.name }))
    )
  ]
})

/** Fills the tables of the front from the running emulator. */
export const settle = Effect.fn("Setup.settle")(function*(
  plan: Plan,
  emulator: Emulator,
  tables: { readonly people: People; readonly tokens: TokenTable; readonly channels: Channels }
): Effect.fn.Return<void, WorkspaceError | SlackRefusal | EmulatorFailure> {
  const { channels, people, tokens } = tables
  const enterToken = (
    entry: Pick<TokenEntry, "token" | "kind" | "userId" | "teamId" | "scopes">,
    botId?: string
  ): Caller => tokens.enter({ ...entry, botId })
  const admin = enterToken({
    token: plan.adminToken,
    kind: "person",
    userId: adminId,
    teamId: homeTeamId,
    scopes: personScopes
  })
  enterToken(
    { token: plan.botToken, kind: "bot", userId: plan.bot.userId, teamId: homeTeamId, scopes: plan.botScopes },
    plan.bot.botId
  )
  enterToken({
    token: plan.appToken,
    kind: "app",
    userId: plan.bot.appId,
    teamId: homeTeamId,
    scopes: ["connections:write"]
  })
  const listed = yield* emulator.call(admin, "users.list", { limit: 1000 })
  const ids = new Map(objectsOf(listed, "members").map((user) => [textOf(user, "name"), textOf(user, "id")]))
  people.enter({
    userId: adminId,
    name: "admin",
    realName: "Workspace Admin",
    email: "admin@workspace.local",
    teamId: homeTeamId,
    isBot: false
  })
  const { bot } = plan
  people.enter({ ...bot, email: "", teamId: homeTeamId, isBot: true })
  for (const person of plan.people) {
    const userId = ids.get(person.name)
    if (userId === undefined || people.byName(person.name) !== undefined) {
      return yield* new WorkspaceError({
        reason: "options",
        detail: `the name ${person.name} cannot be used for a person.`,
        remedy: "Give every person another name, and none of them `admin` or the bot's."
      })
    }
    const teamId = person.external ? externalTeamId : homeTeamId
    people.enter({ userId, name: person.name, realName: person.realName, email: person.email, teamId, isBot: false })
    const caller = enterToken({ token: person.token, kind: "person", userId, teamId, scopes: personScopes })
    // Everyone of the team is in #general, as in a new workspace.
    if (!person.external) yield* emulator.call(caller, "conversations.join", { channel: "C000000001" })
  }
  for (const [id, name] of [["C000000001", "general"], ["C000000002", "random"]] as const) {
    const inside = id === "C000000001" ? plan.people.filter((person) => !person.external) : []
    channels.enter({
      id,
      name,
      isPrivate: false,
      kind: "channel",
      isArchived: false,
      creator: adminId,
      created: 0,
      members: new Set([adminId, ...inside.flatMap((person) => people.byName(person.name)?.userId ?? [])]),
      connectedTeams: new Set()
    })
  }
})
