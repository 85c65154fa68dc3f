/**
 * Fetches what the bridge missed: reads each chatting channel's history, and its threads with news, since the newest
 * message it accepted, and takes what it finds like events, under the same keys. Reading too much is harmless.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { isLater, MessageTs, TeamId as TeamIdSchema } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { SlackMessageEvent } from "../../runtime/domain/slack/Slack.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import { Acceptance } from "./Acceptance.ts"
import { classifyMessage } from "./classifyEvent.ts"
import type { IncomingMessage } from "./Incoming.ts"
import { Progress } from "./Progress.ts"

/** Read again before the newest accepted message: an older one may have failed while a newer one was taken. */
const overlapSeconds = 600
/** Threads whose first message is older than this are not looked at for replies. */
const threadAgeSeconds = 7 * 24 * 3600
/** By which Slack's clock may be behind ours: a message written right after create must not look older than its sandbox. */
const clockSkewSeconds = 5
const maxPages = 20
/** Between two looks while something is known to be missed. */
const retryMillis = 30_000

/** Unix seconds before which nothing was meant for this sandbox. */
const beginOf = (row: SandboxRow): number => Math.floor(row.createdAt / 1000) - clockSkewSeconds

/** Slack leaves out what it does not know, or says null. */
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
const HistoryMessage = Schema.Struct({
  ts: MessageTs,
  thread_ts: optional(MessageTs),
  reply_count: optional(Schema.Finite),
  latest_reply: optional(Schema.String)
})
const Page = Schema.Struct({
  messages: optional(Schema.Array(Schema.Unknown)),
  response_metadata: optional(Schema.Struct({ next_cursor: optional(Schema.String) }))
})
const decodeHistory = Schema.decodeUnknownOption(HistoryMessage)
const decodeMessage = Schema.decodeUnknownOption(SlackMessageEvent)
const decodeTeam = Schema.decodeUnknownOption(TeamIdSchema)

export class CatchUp extends Context.Service<CatchUp, {
  /** One pass over all channels; false when some of it has to be done again. */
  readonly once: Effect.Effect<boolean>
  /** A pass now, then further ones while something is missing or was missed since. Never ends. */
  readonly forever: Effect.Effect<never>
}>()("km/bridge/events/CatchUp") {
  static readonly layer = Layer.effect(
    CatchUp,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const callPage = callAs(slack, Page)
      const sandboxes = yield* Sandboxes
      const identity = yield* BotIdentity
      const acceptance = yield* Acceptance
      const progress = yield* Progress

      const read = Effect.fnUntraced(function*(method: string, args: Readonly<Record<string, unknown>>) {
        const found: Array<unknown> = []
        let cursor: string | undefined
        for (let page = 0; page < maxPages; page++) {
          const answer = yield* callPage(method, {
            ...args,
            limit: 200,
            ...(cursor === undefined ? {} : { cursor })
          })
          found.push(...answer.messages ?? [])
          cursor = answer.response_metadata?.next_cursor ?? undefined
          if (cursor === undefined || cursor === "") break
        }
        return found
      })

      /** What people wrote in the row's channel since `since`, oldest first. */
      const missed = Effect.fnUntraced(function*(row: SandboxRow, channel: string, since: string, team: TeamId) {
        const threadsFrom = Math.max(beginOf(row), Number(since) - threadAgeSeconds)
        const history = yield* read("conversations.history", { channel, oldest: threadsFrom.toFixed(6) })
        const raw = new Map<string, unknown>()
        const keep = (message: unknown): void => {
          const known = Option.getOrUndefined(decodeHistory(message))
          if (known !== undefined && isLater(known.ts, since)) raw.set(known.ts, message)
        }
        for (const message of history) {
          keep(message)
          const root = Option.getOrUndefined(decodeHistory(message))
          const news = root !== undefined && (root.thread_ts ?? root.ts) === root.ts && (root.reply_count ?? 0) > 0
            && isLater(root.latest_reply ?? "9999999999.000000", since)
          if (!news) continue
          const replies = yield* read("conversations.replies", { channel, ts: root.ts, oldest: since })
          for (const reply of replies) keep(reply)
        }
        const bot = identity.known()?.user
        return [...raw].toSorted(([a], [b]) => isLater(a, b) ? 1 : -1).flatMap(
          ([, message]): ReadonlyArray<IncomingMessage> => {
            const event = Option.getOrUndefined(
              decodeMessage(message !== null && typeof message === "object" ? { ...message, channel } : message)
            )
            if (event === undefined) return []
            const incoming = classifyMessage(event, team, bot, { eventId: "", externalPossible: true })
            return incoming._tag === "Message" ? [incoming.message] : []
          }
        )
      })

      const channelOnce = Effect.fn("CatchUp.channel")(
        function*(row: SandboxRow, team: TeamId) {
          const { channel } = row
          if (channel === undefined) return true
          const newest = row.lastAcceptedTs ?? `${Math.floor(row.createdAt / 1000)}.000000`
          const since = Math.max(beginOf(row), Number(newest) - overlapSeconds).toFixed(6)
          const messages = yield* missed(row, channel, since, team)
          let queued = 0
          for (const message of messages) {
            const taken = acceptance.take(message, undefined).pipe(
              // One message must not keep the others, or this loop, from going on.
              Effect.catchDefect((defect) => acceptance.refuseAfter(message, defect))
            )
            if ((yield* taken) === "queued") queued += 1
          }
          if (queued > 0) {
            yield* Effect.logInfo("caught up on missed messages").pipe(
              Effect.annotateLogs({ sandbox: row.id, channel, queued })
            )
          }
          return true
        },
        (effect, row) =>
          effect.pipe(
            Effect.catchDefect((defect) =>
              Effect.as(
                Effect.logError("a channel could not be caught up because of a defect", defect).pipe(
                  Effect.annotateLogs({ sandbox: row.id, channel: row.channel })
                ),
                false
              )
            ),
            Effect.catch((error) =>
              Effect.as(
                Effect.logWarning("a channel could not be caught up; it is tried again").pipe(
                  Effect.annotateLogs({ sandbox: row.id, channel: row.channel, error: error.message })
                ),
                // A channel that Slack will never show us again is no reason to go on trying.
                error._tag === "SlackFailure" && error.kind === "Refused"
              )
            )
          )
      )

      const once = Effect.fn("CatchUp.once")(function*() {
        const bot = yield* Effect.option(identity.bot)
        if (Option.isNone(bot)) return false
        const team = Option.getOrUndefined(decodeTeam(bot.value.team))
        const rows = yield* Effect.option(sandboxes.list)
        if (Option.isNone(rows) || team === undefined) return false
        const chatting = rows.value.filter((row) =>
          row.profile.spec.cli.notifySlackInboundEnabled && row.desired !== "destroyed" && row.status !== "destroying"
          && (row.channelMode ?? "perSandbox") === "perSandbox"
        )
        const done = yield* Effect.forEach(chatting, (row) => channelOnce(row, team), { concurrency: 4 })
        return done.every((it) => it)
      })

      let whole = false
      const forever = unending(
        "a pass over missed messages ended in a defect; it is done again",
        retryMillis,
        Effect.gen(function*() {
          if (!whole || progress.takeMissed()) {
            whole = false
            whole = yield* once()
          }
          const before = yield* Clock.currentTimeMillis
          yield* Effect.timeoutOrElse(progress.hurry, { duration: retryMillis, orElse: () => Effect.void })
          // A machine that slept missed events without knowing.
          if ((yield* Clock.currentTimeMillis) - before > retryMillis * 3) progress.missed()
        })
      )

      return CatchUp.of({ once: Effect.suspend(once), forever })
    })
  )
}
