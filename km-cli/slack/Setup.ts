/**
 * The steps of `km slack init`, in their order. Everything is verified before anything is stored; each step that changes
 * something is written down as soon as it is done, so that a run that was cut off anywhere is continued by the next one.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Install, SentInvitation } from "../../runtime/domain/install/Install.ts"
import { UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { Backend } from "../Backend.ts"
import type { KmError } from "../KmError.ts"
import { talk } from "../Output.ts"
import { channelOfId, type Connection, invite, metadataReadsBack, sharedChannel } from "./Channels.ts"
import { type SecretKind, secretPaths } from "./Credentials.ts"
import type { SecretAnswers } from "./SecretInput.ts"
import { slackError } from "./SlackCodes.ts"
import { appOfBot, type BotIs, verifyBot, verifySocket } from "./Verify.ts"

/** What became of one step. `failed`: the set-up went on without it. */
export interface StepReport {
  readonly step: string
  readonly outcome: "done" | "kept" | "failed"
  readonly detail: string
  readonly code?: string
  readonly next?: string
}

const tell = (report: StepReport): Effect.Effect<StepReport> => {
  const mark = report.outcome === "failed" ? "!" : "✓"
  const lines = [
    `${mark} ${report.step}: ${report.detail}${report.code === undefined ? "" : ` (${report.code})`}`,
    ...(report.next === undefined ? [] : [`  next: ${report.next}`])
  ]
  return Effect.as(Effect.forEach(lines, talk, { discard: true }), report)
}

export const done = (step: string, detail: string): Effect.Effect<StepReport> => tell({ step, outcome: "done", detail })
export const kept = (step: string, detail: string): Effect.Effect<StepReport> => tell({ step, outcome: "kept", detail })
export const failed = (step: string, error: KmError): Effect.Effect<StepReport> =>
  tell({
    step,
    outcome: "failed",
    detail: error.why === "" ? error.what : `${error.what}: ${error.why}`,
    code: error.code,
    next: error.next
  })

export interface Verified {
  readonly bot: BotIs
  readonly appId: string
  readonly transport: "http" | "socket"
}

/** Asks Slack about every secret; nothing is stored and nothing in Slack changes. */
export const verify = Effect.fn("Setup.verify")(function*(options: {
  readonly api: string
  readonly secrets: { readonly "bot-token": Redacted.Redacted<string> } & SecretAnswers
  readonly transport: "http" | "socket"
  /** The workspace and app that must stay. */
  readonly pinned: { readonly teamId?: string; readonly appId?: string }
}) {
  const { api, pinned, secrets, transport } = options
  const bot = yield* verifyBot(api, secrets["bot-token"])
  yield* done("bot token", `${bot.botUserId} in ${bot.team} (${bot.teamId})`)
  if (pinned.teamId !== undefined && pinned.teamId !== bot.teamId) {
    return yield* slackError("KM-SLK-105", "the token is of another workspace", `${bot.teamId}, not ${pinned.teamId}`)
  }
  yield* done(
    "scopes",
    [
      bot.scopes.privateChannels
        ? "all are granted"
        : "all are granted but those for private channels, which are not wanted",
      ...(bot.scopes.superfluous.length === 0 ? [] : [`not needed: ${bot.scopes.superfluous.join(", ")}`])
    ].join("; ")
  )
  const appId = yield* appOfBot(api, secrets["bot-token"], bot.botId)
  if (pinned.appId !== undefined && pinned.appId !== appId) {
    return yield* slackError("KM-SLK-106", "the token is of another app", `${appId}, not ${pinned.appId}`)
  }
  yield* done("app", appId)
  if (secrets["app-token"] !== undefined && transport === "socket") {
    yield* verifySocket(api, secrets["app-token"], appId)
    yield* done("Socket Mode", "the app-level token opens connections for this app")
  }
  return { bot, appId, transport } satisfies Verified
})

/** Secrets first, then `install.json` in one step: until that is written, the install is what it was. */
export const store = Effect.fn("Setup.store")(function*(
  backend: Backend,
  install: Install,
  secrets: SecretAnswers,
  found: Verified,
  api: string
) {
  yield* Effect.gen(function*() {
    const held = yield* Secrets
    for (const kind of Object.keys(secretPaths) as ReadonlyArray<SecretKind>) {
      const secret = secrets[kind]
      if (secret !== undefined) yield* held.put(secretPaths[kind], secret)
    }
    // With Socket Mode no request has a signature; one of an earlier app must not open the door.
    if (found.transport === "socket" && secrets["signing-secret"] === undefined) {
      yield* held.delete(secretPaths["signing-secret"])
      yield* held.delete(`${secretPaths["signing-secret"]}-previous`)
    }
    if (found.transport === "http" && secrets["app-token"] === undefined) yield* held.delete(secretPaths["app-token"])
  }).pipe(Effect.provide(backend.ports("short")))
  const same = !install.local && install.teamId === found.bot.teamId
  const { operators, ...rest } = install
  const connected: Install = {
    ...rest,
    // People of another workspace are nobody here.
    ...(same && operators !== undefined ? { operators } : {}),
    local: false,
    slackApiUrl: api,
    teamId: found.bot.teamId,
    appId: found.appId,
    botUserId: found.bot.botUserId,
    botId: found.bot.botId,
    slackTransport: found.transport,
    slack: same ? install.slack ?? {} : {}
  }
  yield* backend.writeInstall(connected)
  return connected
})

const change = Effect.fnUntraced(
  function*(backend: Backend, install: Install, slack: Partial<NonNullable<Install["slack"]>>) {
    const changed: Install = { ...install, slack: { ...install.slack, ...slack } }
    yield* backend.writeInstall(changed)
    return changed
  }
)

/** The channel for notices: the one that is known, made or taken. What keeps it away does not stop the set-up. */
export const shareChannel = Effect.fn("Setup.channel")(function*(
  backend: Backend,
  install: Install,
  connection: Connection,
  wanted: string
) {
  const known = install.slack?.sharedChannel
  const isKnown = known !== undefined && (known.name === wanted || known.id === wanted)
  if (isKnown) {
    const seen = yield* Effect.result(channelOfId(connection, known.id))
    if (seen._tag === "Success") {
      return { install, report: yield* kept("shared channel", `#${seen.success.name} (${known.id})`) }
    }
    if (seen.failure.code !== "KM-SLK-134") return { install, report: yield* failed("shared channel", seen.failure) }
  }
  // Slack may have given the channel another id, as when a private one is shared: its name stays.
  const found = yield* Effect.result(sharedChannel(connection, isKnown ? known.name : wanted))
  if (found._tag === "Failure") return { install, report: yield* failed("shared channel", found.failure) }
  const { id, made, name } = found.success
  const changed = yield* change(backend, install, { sharedChannel: { id, name } })
  return { install: changed, report: yield* done("shared channel", `#${name} (${id}), ${made ? "made" : "was there"}`) }
})

const decodeUser = Schema.decodeUnknownOption(UserId)

/** Invites the operator. Who is a member of the workspace may stop any turn from now on. */
export const inviteOperator = Effect.fn("Setup.invite")(function*(
  backend: Backend,
  install: Install,
  connection: Connection,
  email: string
) {
  const channel = install.slack?.sharedChannel
  if (channel === undefined) {
    const error = slackError("KM-SLK-134", `${email} was not invited`, "there is no shared channel to invite into")
    return { install, report: yield* failed("invitation", error) }
  }
  const sent = install.slack?.invitations ?? []
  const earlier = sent.find((one) => one.email === email && one.channel === channel.id)
  if (earlier !== undefined) {
    return { install, report: yield* kept("invitation", `${email} was invited into #${channel.name} before`) }
  }
  const invited = yield* Effect.result(invite(connection, channel.id, email))
  if (invited._tag === "Failure" && invited.failure.code !== "KM-SLK-119") {
    return { install, report: yield* failed("invitation", invited.failure) }
  }
  if (invited._tag === "Success" && invited.success._tag === "Member") {
    const user = Option.getOrUndefined(decodeUser(invited.success.user))
    const operators = [...new Set([...install.operators ?? [], ...(user === undefined ? [] : [user])])]
    const changed: Install = { ...install, operators }
    yield* backend.writeInstall(changed)
    return { install: changed, report: yield* done("invitation", `${email} is a member, and in #${channel.name}`) }
  }
  const now = yield* Clock.currentTimeMillis
  const entry: SentInvitation = {
    id: invited._tag === "Success" && invited.success._tag === "Sent" ? invited.success.invite : "",
    email,
    channel: channel.id,
    sentAt: now
  }
  const changed = yield* change(backend, install, { invitations: [...sent, entry] })
  const report = invited._tag === "Failure"
    ? yield* kept("invitation", `${email} is invited into #${channel.name} already (${invited.failure.code})`)
    : yield* done("invitation", `${email} was invited into #${channel.name} by Slack Connect; it ends after 14 days`)
  return { install: changed, report }
})

/** That what we write beside our messages can be read back: doubled posts are found by it. */
export const proveMetadata = Effect.fn("Setup.metadata")(function*(install: Install, connection: Connection) {
  const channel = install.slack?.sharedChannel
  if (channel === undefined) {
    return yield* kept("metadata", "not tried without a shared channel; km slack test tries it in a sandbox's")
  }
  const proven = yield* Effect.result(metadataReadsBack(connection, channel.id))
  return proven._tag === "Failure"
    ? yield* failed("metadata", proven.failure)
    : yield* done("metadata", "our marks can be read back")
})
