/**
 * What a workspace is started with, as a schema, because a process of its own reads it from a file or stdin.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** One person of the workspace. An `external` person belongs to another team and gets in by Slack Connect only. */
export const PersonOptions = Schema.Struct({
  name: Schema.NonEmptyString,
  realName: Schema.NonEmptyString,
  email: Schema.NonEmptyString,
  external: Schema.optionalKey(Schema.Boolean)
})
export type PersonOptions = typeof PersonOptions.Type

/**
 * Limits as Slack has them. `tiers`: `true` (default) for Slack's per-method tiers and the message rate of a
 * channel, `false` for none, a number to multiply them (10 allows ten times as much). `postPerSecond`: messages per
 * second and channel, 1 by default. `postBurst`: how many may come at once before that rate holds, 4 by default.
 * Source: docs.slack.dev/apis/web-api/rate-limits (T1 1+, T2 20+, T3 50+, T4 100+ a minute; one message per second
 * per channel, short bursts tolerated). The size of the burst is our choice: Slack gives no number.
 */
export const LimitOptions = Schema.Struct({
  tiers: Schema.optionalKey(Schema.Union([Schema.Boolean, Schema.Finite.check(Schema.isGreaterThan(0))])),
  postPerSecond: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
  postBurst: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0)))
})
export type LimitOptions = typeof LimitOptions.Type

/** The scopes of the app's bot token: eight for chat, channels and files, six that our features need, and Slack Connect's. */
export const defaultBotScopes: ReadonlyArray<string> = [
  "chat:write",
  "channels:manage",
  "channels:history",
  "channels:read",
  "channels:join",
  "groups:write",
  "groups:history",
  "groups:read",
  "reactions:write",
  "reactions:read",
  "files:write",
  "files:read",
  "users:read",
  "users:read.email",
  "app_mentions:read",
  "conversations.connect:write"
]

/**
 * The app whose bot the bridge is. Its token is made up unless given. `scopes` replaces the default set (tests of
 * `missing_scope`).
 */
export const BotOptions = Schema.Struct({
  name: Schema.NonEmptyString,
  realName: Schema.optionalKey(Schema.NonEmptyString),
  token: Schema.optionalKey(Schema.NonEmptyString),
  scopes: Schema.optionalKey(Schema.Array(Schema.NonEmptyString))
})

/**
 * Socket Mode as the app's page would have it. `enabled`: switched on (default off); events then go to sockets and not to
 * the events URL. `lifeSeconds`: what `hello` announces and how long a connection lives, 3,600 by default. `appToken`
 * (`xapp-…`) is made up unless given. `seed` decides which of several connections an envelope goes to.
 */
export const SocketOptions = Schema.Struct({
  enabled: Schema.optionalKey(Schema.Boolean),
  appToken: Schema.optionalKey(Schema.NonEmptyString),
  lifeSeconds: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
  seed: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
})
export type SocketOptions = typeof SocketOptions.Type

/**
 * Everything a workspace can be told.
 *
 * `port` 0 (default) picks a free one. `retryDelays` are the milliseconds before the first, second and third retry
 * of an event (Slack: at once, one minute, five minutes). `eventTimeoutMillis` is Slack's 3-second rule.
 * `eventsUrl` is verified before the workspace is ready; leave it out and set it later when the receiver starts
 * after the workspace. `customEmoji` adds names that reactions may use.
 */
export const WorkspaceOptions = Schema.Struct({
  port: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
  signingSecret: Schema.optionalKey(Schema.NonEmptyString),
  teamDomain: Schema.String.check(Schema.isPattern(/^[a-z0-9][a-z0-9-]*$/)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("local"))
  ),
  users: Schema.Array(PersonOptions),
  bot: Schema.optionalKey(BotOptions),
  appId: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^A[A-Z0-9]{8,}$/))),
  eventsUrl: Schema.optionalKey(Schema.NonEmptyString),
  sockets: Schema.optionalKey(SocketOptions),
  limits: Schema.optionalKey(LimitOptions),
  retryDelays: Schema.optionalKey(Schema.Array(Schema.Finite)),
  eventTimeoutMillis: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
  customEmoji: Schema.optionalKey(Schema.Array(Schema.NonEmptyString))
})
export type WorkspaceOptions = typeof WorkspaceOptions.Type

/** The same before defaults are filled in: what callers in TypeScript write. */
export type WorkspaceInput = typeof WorkspaceOptions.Encoded
