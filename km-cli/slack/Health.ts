/** `km slack status`: everything that can be wrong between Slack and this install, asked for now. Changes nothing. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Install } from "../../runtime/domain/install/Install.ts"
import type { ChannelId } from "../../runtime/domain/sandbox/Ids.ts"
import { judgeScopes } from "../../runtime/domain/slack/SlackNeeds.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Backend } from "../Backend.ts"
import { secretPaths } from "./Credentials.ts"
import { probeEvents } from "./EventsProbe.ts"
import { judgeHeard, judgeProbe, judgeSessions, judgeSocket, ok, skip, type SlackCheck, wrong } from "./Judgement.ts"
import { people } from "./People.ts"
import type { SlackCode } from "./SlackCodes.ts"
import { callSlack, isTokenRefused, type SlackCallFailed } from "./SlackWeb.ts"
import { appOfBot, maxSkewSeconds, socketCode } from "./Verify.ts"
import { healthOf, heardBy } from "./Waiting.ts"

/** Channels that are asked about; Slack takes about 50 a minute. */
const maxChannels = 40
const decodeAuth = Schema.decodeUnknownOption(Schema.Struct({
  team_id: Schema.String,
  team: Schema.optionalKey(Schema.String),
  user_id: Schema.String,
  bot_id: Schema.optionalKey(Schema.String)
}))
const decodeChannel = Schema.decodeUnknownOption(Schema.Struct({
  channel: Schema.Struct({
    name: Schema.String,
    is_member: Schema.optionalKey(Schema.Boolean),
    is_archived: Schema.optionalKey(Schema.Boolean),
    is_ext_shared: Schema.optionalKey(Schema.Boolean)
  })
}))

const codeOf = (failure: SlackCallFailed): SlackCode => {
  if (failure.kind === "odd") return "KM-SLK-109"
  if (failure.kind !== "refused") return "KM-SLK-108"
  if (failure.error === "missing_scope") return "KM-SLK-107"
  return isTokenRefused(failure) ? "KM-SLK-104" : "KM-SLK-133"
}

type Token = Redacted.Redacted<string>

/** Token, workspace, scopes, app, clock: one call, and one for the app. */
const identity = Effect.fnUntraced(function*(install: Install, token: Token | undefined) {
  const later = ["workspace", "scopes", "app", "clock"].map((name) => skip(name, "needs the token"))
  if (token === undefined) return [wrong("token", "KM-SLK-135", "no bot token is stored"), ...later]
  const asked = yield* Effect.result(callSlack(install.slackApiUrl, token, "auth.test"))
  if (asked._tag === "Failure") return [wrong("token", codeOf(asked.failure), asked.failure.message), ...later]
  const { body, scopes, skewMillis } = asked.success
  const auth = Option.getOrUndefined(decodeAuth(body))
  if (auth === undefined) return [wrong("token", "KM-SLK-109", "auth.test answers in another form"), ...later]
  const checks: Array<SlackCheck> = [ok("token", `${auth.user_id} in ${auth.team ?? auth.team_id}`)]
  checks.push(
    install.teamId === undefined
      ? ok("workspace", `${auth.team_id}, not pinned yet`)
      : install.teamId === auth.team_id
      ? ok("workspace", `${auth.team_id}, pinned`)
      : wrong("workspace", "KM-SLK-105", `the token is of ${auth.team_id}, this install of ${install.teamId}`)
  )
  if (scopes === undefined) checks.push(wrong("scopes", "KM-SLK-109", "Slack did not say which scopes the token has"))
  else {
    const { missing, privateChannels, superfluous } = judgeScopes(scopes)
    const more = superfluous.length === 0 ? "" : `; superfluous: ${superfluous.join(", ")}`
    checks.push(
      missing.length > 0
        ? wrong("scopes", "KM-SLK-107", `missing: ${missing.join(", ")}${more}`)
        : ok("scopes", `all are granted${privateChannels ? "" : " but those for private channels"}${more}`)
    )
  }
  const app = auth.bot_id === undefined
    ? undefined
    : yield* Effect.result(appOfBot(install.slackApiUrl, token, auth.bot_id))
  checks.push(
    app === undefined
      ? wrong("app", "KM-SLK-101", "the token is a person's, not a bot's")
      : app._tag === "Failure"
      // Which scope is missing is said above.
      ? skip("app", app.failure.why)
      : install.appId === undefined
      ? ok("app", `${app.success}, not pinned yet`)
      : install.appId === app.success
      ? ok("app", `${app.success}, pinned`)
      : wrong("app", "KM-SLK-106", `the token is of ${app.success}, this install of ${install.appId}`)
  )
  const skew = Math.round((skewMillis ?? 0) / 1_000)
  checks.push(
    skewMillis === undefined
      ? skip("clock", "Slack named no time")
      : Math.abs(skew) > maxSkewSeconds
      ? wrong("clock", "KM-SLK-110", `${Math.abs(skew)} s ${skew > 0 ? "ahead of" : "behind"} Slack`)
      : ok("clock", `${Math.abs(skew)} s apart from Slack`)
  )
  return checks
})

const heardCheck = Effect.fnUntraced(
  function*(backend: Backend, install: Install, now: number, transport: "http" | "socket") {
    const heard = yield* Effect.result(heardBy(backend, install))
    return heard._tag === "Success" && heard.success !== undefined
      ? judgeHeard(heard.success, now, transport)
      : skip("events", heard._tag === "Failure" ? heard.failure.message : "the bridge does not say")
  }
)

/** How events come: the sockets of the running bridge, or the Events URL. */
const transport = Effect.fnUntraced(function*(backend: Backend, install: Install, tokens: {
  readonly app: Token | undefined
  readonly signing: Token | undefined
}) {
  const now = yield* Clock.currentTimeMillis
  const health = yield* healthOf(install)
  const bridge = health === undefined
    ? wrong("bridge", "KM-SLK-129", `nothing healthy at ${install.bridgeUrl}`)
    : ok("bridge", install.bridgeUrl)
  const sessions = judgeSessions(health?.agentSessions)
  const bySocket = install.slackTransport === "socket" || health?.transport === "socket"
  if (bySocket) {
    if (tokens.app === undefined) return [bridge, wrong("socket", "KM-SLK-135", "no app-level token is stored")]
    if (health?.socket?.state === "connected") {
      return [bridge, judgeSocket(health.socket, now), yield* heardCheck(backend, install, now, "socket"), ...sessions]
    }
    // Nothing is open, so asking for a connection takes nobody's place; the answer says what a person has to repair.
    const asked = yield* Effect.result(callSlack(install.slackApiUrl, tokens.app, "apps.connections.open"))
    if (asked._tag === "Failure" && asked.failure.kind !== "limited") {
      return [bridge, wrong("socket", socketCode(asked.failure), asked.failure.message)]
    }
    return [bridge, health?.socket === undefined ? skip("socket", "needs the bridge") : judgeSocket(health.socket, now)]
  }
  const url = `${install.bridge?.publicUrl ?? install.bridgeUrl}/events`
  if (tokens.signing === undefined) return [bridge, wrong("events", "KM-SLK-135", "no signing secret is stored")]
  if (health === undefined) return [bridge, skip("events url", "needs the bridge"), skip("events", "needs the bridge")]
  const { challenge, probe } = yield* probeEvents(url, tokens.signing)
  return [bridge, judgeProbe(url, probe, challenge), yield* heardCheck(backend, install, now, "http"), ...sessions]
})

/** Where the bot works. */
const channels = Effect.fnUntraced(function*(install: Install, token: Token) {
  const rows = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list)
  const shared = install.slack?.sharedChannel
  const wanted = new Map<ChannelId, string>([
    ...(shared === undefined ? [] : [[shared.id, "the shared channel"] as const]),
    ...rows.flatMap((row) =>
      row.channel === undefined || row.desired === "destroyed" ? [] : [[row.channel, row.alias ?? row.id] as const]
    )
  ])
  const checks: Array<SlackCheck> = []
  const connected = new Set<string>()
  for (const [id, whose] of [...wanted].slice(0, maxChannels)) {
    const asked = yield* Effect.result(callSlack(install.slackApiUrl, token, "conversations.info", { channel: id }))
    const name = `channel ${id}`
    if (asked._tag === "Failure") {
      const gone = /channel_not_found|not_in_channel/.test(asked.failure.error)
      checks.push(
        wrong(
          name,
          gone ? "KM-SLK-124" : codeOf(asked.failure),
          `${whose}: ${asked.failure.message}`,
          // Under its name it may be there with another id; where nobody has it any more it is made again.
          gone && id === shared?.id ? `km slack init --shared-channel ${shared.name}` : undefined
        )
      )
      continue
    }
    const channel = Option.getOrUndefined(decodeChannel(asked.success.body))?.channel
    if (channel?.is_ext_shared === true) connected.add(id)
    if (channel?.is_archived === true) checks.push(wrong(name, "KM-SLK-143", `#${channel.name} (${whose}) is archived`))
    else if (channel?.is_member === false) {
      checks.push(
        wrong(name, "KM-SLK-124", `the bot is not in #${channel.name} (${whose})`, `km slack adopt ${id}`)
      )
    } else checks.push(ok(name, `#${channel?.name ?? id} (${whose})`))
  }
  if (wanted.size > maxChannels) checks.push(skip("channels", `${wanted.size - maxChannels} more were not asked about`))
  return { checks, connected }
})

/** Messages that wait, and those that were put aside. */
const queues = Effect.gen(function*() {
  const queue = yield* TurnQueue
  const rows = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list)
  let waiting = 0
  let inFlight = 0
  const dead: Array<{ readonly id: string; readonly count: number }> = []
  for (const row of rows.filter(({ inventory }) => inventory.some(({ kind }) => kind === "queue"))) {
    const depth = yield* queue.depth(row.id)
    waiting += depth.waiting
    inFlight += depth.inFlight
    if (depth.dead > 0) dead.push({ id: row.alias ?? row.id, count: depth.dead })
  }
  return [
    ok("queue", `${waiting} waiting, ${inFlight} in flight`),
    ...dead.map(({ count, id }) => wrong(`dead letters ${id}`, "KM-SLK-126", `${count} of ${id}`, `km status ${id}`)),
    ...(dead.length === 0 ? [ok("dead letters", "none")] : [])
  ]
})

/** All of it, in the order a person would look. */
export const slackHealth = Effect.fn("Slack.health")(function*(backend: Backend, install: Install) {
  const tokens = yield* Effect.gen(function*() {
    const secrets = yield* Secrets
    const held = (path: string) => Effect.map(secrets.get(path), Option.getOrUndefined)
    const signing = yield* held(secretPaths["signing-secret"])
    return {
      bot: yield* held(secretPaths["bot-token"]),
      app: yield* held(secretPaths["app-token"]),
      // While one is being rotated there may be two lines; the first is the new one.
      signing: signing === undefined ? undefined : Redacted.make(Redacted.value(signing).split(/\s+/)[0] ?? "")
    }
  }).pipe(Effect.provide(backend.ports("short")))
  const who = yield* identity(install, tokens.bot)
  const events = yield* transport(backend, install, tokens)
  const usable = tokens.bot !== undefined && who[0]?.status === "ok"
  return yield* Effect.gen(function*() {
    const where = usable && tokens.bot !== undefined
      ? yield* channels(install, tokens.bot)
      : { checks: [skip("channels", "needs the token")], connected: undefined }
    return [
      ...who,
      ...events,
      ...where.checks,
      ...yield* people(install, where.connected),
      ...yield* queues
    ]
  }).pipe(Effect.provide(backend.ports("short")))
})
