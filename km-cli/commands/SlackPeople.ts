/** `km slack invite`, `allow`, `adopt` and `threads`: who and what a sandbox works with in Slack. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { Alias, ChannelId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { isEnding } from "../../runtime/domain/sandbox/Sandbox.ts"
import { allow, guest } from "../../runtime/kernel/sandboxes/Guests.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import type { Backend } from "../Backend.ts"
import { KmError, kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"
import { labelOf, resolve } from "../Reference.ts"
import { channelOfId, type Connection, invite as inviteInto, isAddress, joined } from "../slack/Channels.ts"
import { slackError } from "../slack/SlackCodes.ts"
import { callSlack, slackTrouble } from "../slack/SlackWeb.ts"
import { connectedInstall, storedSecret } from "./SlackRotate.ts"

const decodeChannel = Schema.decodeOption(ChannelId)
const decodeUser = Schema.decodeOption(UserId)
const decodeAlias = Schema.decodeOption(Alias)
const decodePerson = Schema.decodeUnknownOption(Schema.Struct({
  user: Schema.Struct({
    id: UserId,
    name: Schema.optionalKey(Schema.String),
    real_name: Schema.optionalKey(Schema.String),
    team_id: Schema.optionalKey(Schema.String),
    is_bot: Schema.optionalKey(Schema.Boolean)
  })
}))

const time = (millis: number): string => new Date(millis).toISOString()

const connection = Effect.fnUntraced(function*(backend: Backend, install: Install) {
  const token = yield* storedSecret(backend, "bot-token")
  return { api: install.slackApiUrl, token, botUserId: install.botUserId ?? "" } satisfies Connection
})

const channelFrom = (text: string, from: string) => {
  const id = Option.getOrUndefined(decodeChannel(text))
  return id === undefined
    ? Effect.fail(kmError("KM-CLI-001", `${from} takes a channel id (C…)`, JSON.stringify(text)))
    : Effect.succeed(id)
}

export const slackInvite = Effect.fn("km.slack.invite")(function*(input: {
  readonly email: string
  readonly channel: Option.Option<string>
}) {
  const email = input.email.trim()
  if (!isAddress(email)) return yield* slackError("KM-SLK-118", "the address cannot be used", JSON.stringify(email))
  const { backend, install } = yield* connectedInstall()
  const channel = Option.isSome(input.channel)
    ? yield* channelFrom(input.channel.value, "--channel")
    : install.slack?.sharedChannel?.id
  if (channel === undefined) {
    return yield* slackError("KM-SLK-134", "there is no channel to invite into", "no shared channel is known; name one")
  }
  const invited = yield* inviteInto(yield* connection(backend, install), channel, email)
  if (invited._tag === "Sent") {
    const now = yield* Clock.currentTimeMillis
    const others = (install.slack?.invitations ?? []).filter((one) => one.email !== email || one.channel !== channel)
    const entry = { id: invited.invite, email, channel, sentAt: now }
    yield* backend.writeInstall({ ...install, slack: { ...install.slack, invitations: [...others, entry] } })
  }
  yield* data(
    [
      invited._tag === "Member"
        ? `${email} is a member of the workspace, and in ${channel}`
        : `${email} was invited into ${channel} by Slack Connect; the invitation ends after 14 days`
    ],
    { ok: true, email, channel, how: invited._tag === "Member" ? "member" : "connect" }
  )
})

export const slackAllow = Effect.fn("km.slack.allow")(function*(input: {
  readonly reference: string
  readonly user: string
}) {
  const user = Option.getOrUndefined(decodeUser(input.user))
  if (user === undefined) {
    return yield* kmError("KM-CLI-001", "a person is named by their member id (U…)", JSON.stringify(input.user))
  }
  const { backend, install } = yield* connectedInstall()
  const { api, token } = yield* connection(backend, install)
  const { body } = yield* Effect.mapError(
    callSlack(api, token, "users.info", { user }),
    (failure) => slackTrouble(api, failure, `${user} is not known`, "KM-SLK-138")
  )
  const person = Option.getOrUndefined(decodePerson(body))?.user
  if (person === undefined || person.is_bot === true) {
    return yield* slackError("KM-SLK-138", `${user} cannot drive an agent`, "it is no person")
  }
  yield* Effect.gen(function*() {
    const row = yield* resolve(input.reference)
    if (isEnding(row)) {
      return yield* new KmError({
        code: "KM-CLI-102",
        exit: 5,
        what: `${labelOf(row)} takes nobody any more`,
        why: "it is being destroyed",
        next: "km list"
      })
    }
    const known = row.profile.spec.cli.notifySlackInboundAllow.includes(user) || (yield* guest(row.id, user)).confirmed
    if (!known) yield* allow(row.id, user)
    const outside = person.team_id !== undefined && person.team_id !== install.teamId
    const whom = `${person.real_name ?? person.name ?? user} (${user}${outside ? ", of another workspace" : ""})`
    yield* data(
      [`${whom} may drive ${labelOf(row)}${known ? " already" : " from now on"}`],
      { ok: true, sandbox: row.id, user, external: outside, changed: !known }
    )
  }).pipe(Effect.provide(backend.ports("short")))
})

export const slackAdopt = Effect.fn("km.slack.adopt")(function*(input: {
  readonly channel: string
  readonly alias: Option.Option<string>
}) {
  const id = yield* channelFrom(input.channel, "adopt")
  const alias = Option.map(input.alias, (text) => Option.getOrUndefined(decodeAlias(text)))
  if (Option.isSome(alias) && alias.value === undefined) {
    return yield* kmError("KM-CLI-001", "--alias cannot be used", "it has lower-case letters, digits and hyphens")
  }
  const { backend, install } = yield* connectedInstall()
  const speaks = yield* connection(backend, install)
  const channel = yield* channelOfId(speaks, id)
  yield* joined(speaks, channel)
  const name = Option.getOrUndefined(alias)
  if (name !== undefined) {
    yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.rememberChannel(name, id)).pipe(
      Effect.provide(backend.ports("short"))
    )
  }
  yield* data(
    [
      `the bot is in #${channel.name} (${id})`,
      ...(name === undefined ? [] : [`the next sandbox called ${name} works there`])
    ],
    { ok: true, channel: { id, name: channel.name }, alias: name ?? null }
  )
})

export const slackThreads = Effect.fn("km.slack.threads")(function*(input: {
  readonly reference: string
  readonly lines: number
}) {
  const { backend } = yield* opened
  yield* backend.install
  yield* Effect.gen(function*() {
    const row = yield* resolve(input.reference)
    const threads = yield* (yield* Threads).list(row.id, input.lines)
    yield* data(
      threads.length === 0
        ? input.lines === 0 ? [] : [`${labelOf(row)} has no threads`]
        : columns([
          ["CHANNEL", "THREAD", "SESSION", "LAST TURN"],
          ...threads.map((one) => [one.channel, one.threadTs, one.session ?? "-", time(one.lastTurnAt)])
        ]),
      {
        ok: true,
        sandbox: row.id,
        threads: threads.map(({ channel, createdAt, lastTurnAt, session, threadTs }) => ({
          channel,
          threadTs,
          session: session ?? null,
          createdAt: time(createdAt),
          lastTurnAt: time(lastTurnAt)
        }))
      }
    )
  }).pipe(Effect.provide(backend.ports("short")))
})
