/** Who a bot token and an app-level token are, by Slack itself; nothing is stored and nothing in Slack changes. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { judgeScopes, type ScopeVerdict } from "../../runtime/domain/slack/SlackNeeds.ts"
import { appOfToken } from "./Credentials.ts"
import { type SlackCode, slackError } from "./SlackCodes.ts"
import { callSlack, isTokenRefused, type SlackCallFailed, slackTrouble } from "./SlackWeb.ts"

/** Seconds. Slack refuses, and the bridge too, at 300; network and whole seconds are far below this. */
export const maxSkewSeconds = 120

const Auth = Schema.Struct({
  user_id: Schema.String,
  bot_id: Schema.optionalKey(Schema.String),
  team_id: TeamId,
  team: Schema.optionalKey(Schema.String),
  url: Schema.optionalKey(Schema.String)
})
const decodeAuth = Schema.decodeUnknownOption(Auth)
const Bot = Schema.Struct({
  bot: Schema.Struct({ app_id: Schema.String.check(Schema.isPattern(/^A[A-Z0-9]{2,20}$/)) })
})
const decodeBot = Schema.decodeUnknownOption(Bot)

export interface BotIs {
  readonly teamId: TeamId
  /** The workspace's name, for people. */
  readonly team: string
  readonly botUserId: string
  readonly botId: string
  readonly scopes: ScopeVerdict
  /** Our clock minus Slack's, seconds. */
  readonly skewSeconds: number
}

/** KM-SLK-104, 101, 107, 108, 109, 110. */
export const verifyBot = Effect.fn("Verify.bot")(function*(api: string, token: Redacted.Redacted<string>) {
  const what = "the bot token was not accepted"
  const answer = yield* Effect.mapError(
    callSlack(api, token, "auth.test"),
    (failure) => slackTrouble(api, failure, what)
  )
  const skewSeconds = Math.round((answer.skewMillis ?? 0) / 1_000)
  if (Math.abs(skewSeconds) > maxSkewSeconds) {
    const way = skewSeconds > 0 ? "ahead of" : "behind"
    return yield* slackError(
      "KM-SLK-110",
      "the clocks differ",
      `this machine is ${Math.abs(skewSeconds)} s ${way} Slack`
    )
  }
  const auth = Option.getOrUndefined(decodeAuth(answer.body))
  if (auth === undefined) return yield* slackError("KM-SLK-109", what, `auth.test answers in another form, at ${api}`)
  if (auth.bot_id === undefined) {
    return yield* slackError("KM-SLK-101", "the bot token cannot be used", "it is a person's, not a bot's")
  }
  if (answer.scopes === undefined) {
    return yield* slackError(
      "KM-SLK-109",
      what,
      `the answer has no x-oauth-scopes, which Slack always sends; at ${api}`
    )
  }
  const scopes = judgeScopes(answer.scopes)
  if (scopes.missing.length > 0) {
    return yield* slackError("KM-SLK-107", "the bot token lacks scopes", scopes.missing.join(", "))
  }
  const is: BotIs = {
    teamId: auth.team_id,
    team: auth.team ?? auth.team_id,
    botUserId: auth.user_id,
    botId: auth.bot_id,
    scopes,
    skewSeconds
  }
  return is
})

/** The app that a bot belongs to. */
export const appOfBot = Effect.fn("Verify.app")(
  function*(api: string, token: Redacted.Redacted<string>, botId: string) {
    const what = "the bot's app is not known"
    const { body } = yield* Effect.mapError(
      callSlack(api, token, "bots.info", { bot: botId }),
      (failure) => slackTrouble(api, failure, what)
    )
    const bot = Option.getOrUndefined(decodeBot(body))
    return bot?.bot.app_id ?? (yield* slackError("KM-SLK-109", what, `bots.info answers in another form, at ${api}`))
  }
)

/** Slack's word for an app without Socket Mode is not documented; it names the mode. */
const socketIsOff = ({ error }: SlackCallFailed): boolean => /socket_mode|socket_not_enabled/.test(error)

/** What `apps.connections.open` refused, as a code. */
export const socketCode = (failure: SlackCallFailed): SlackCode => {
  if (socketIsOff(failure)) return "KM-SLK-111"
  if (isTokenRefused(failure) || (failure.kind === "refused" && failure.error === "missing_scope")) return "KM-SLK-112"
  return failure.kind === "odd" ? "KM-SLK-109" : failure.kind === "refused" ? "KM-SLK-133" : "KM-SLK-108"
}

/** That the token opens connections for `appId`. The URL that comes is for one connection, a secret, and not used. */
export const verifySocket = Effect.fn("Verify.socket")(function*(
  api: string,
  token: Redacted.Redacted<string>,
  appId: string
) {
  const named = appOfToken(token)
  if (named !== undefined && named !== appId) {
    return yield* slackError(
      "KM-SLK-106",
      "the tokens belong to two apps",
      `bot token: ${appId}, app-level token: ${named}`
    )
  }
  yield* Effect.mapError(
    callSlack(api, token, "apps.connections.open"),
    (failure) =>
      slackError(socketCode(failure), "the app-level token opens no connection", `${failure.message}, at ${api}`)
  )
})
