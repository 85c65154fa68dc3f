/**
 * Takes a person's message into a sandbox's queue: which sandbox, may this person, must the bot be mentioned, then
 * stored durably and known as seen in one step, 👀. Used alike for events and for what the catch-up finds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type ChannelId, GroupId, type MessageTs, slackTurnKey, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { isEnding, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { stringFault } from "../RawBody.ts"
import { decodeSlackText, mentionedUsers } from "../render/decodeSlackText.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import type { IncomingMessage } from "./classifyEvent.ts"
import { Marks } from "./Marks.ts"
import { Notes } from "./Notes.ts"
import { Outsiders } from "./Outsiders.ts"
import { Progress } from "./Progress.ts"
import { Refusals } from "./Refusals.ts"

/** A new row may be invisible in an index this long (docs/architecture.md). */
const invisibleMillis = 60_000
/** How long one look at all rows is good for. */
const youngMillis = 500
/** The 200 waits at most this long for names; the id stands in for a name that comes later. */
const nameMillis = 250
/** UTF-8 bytes of a queue entry (the port's limit). */
export const maxEntryBytes = 256 * 1024

/** What became of a message that was taken without an error. */
export type Taken = "queued" | "repeated" | "refused" | "stopped" | "not addressed" | "no sandbox"

type Refusal = Extract<EventError, "not_allowed" | "ending" | "bad_text" | "too_long" | "not_readable">

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

export class Acceptance extends Context.Service<Acceptance, {
  readonly take: (
    message: IncomingMessage,
    traceparent: string | undefined
  ) => Effect.Effect<Taken, EventRefused>
  /** A message whose taking ended in a defect: its author is told, and the defect is logged. */
  readonly refuseAfter: (message: IncomingMessage, defect: unknown) => Effect.Effect<Taken>
  /** The sandbox whose chat a channel is; an error while it may only be invisible. */
  readonly sandboxOf: (channel: ChannelId) => Effect.Effect<Option.Option<SandboxRow>, EventRefused>
}>()("km/bridge/events/Acceptance") {
  static readonly layer = Layer.effect(
    Acceptance,
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      const queue = yield* TurnQueue
      const seen = yield* Seen
      const threads = yield* Threads
      const controls = yield* Controls
      const identity = yield* BotIdentity
      const marks = yield* Marks
      const notes = yield* Notes
      const outsiders = yield* Outsiders
      const refusals = yield* Refusals
      const progress = yield* Progress

      const notStored = (error: StoreError) => {
        progress.missed()
        return new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })
      }

      const retried = (error: { readonly message: string }) => {
        progress.missed()
        return Effect.fail(new EventRefused({ reason: "not_stored", detail: error.message }))
      }

      let young: { readonly rows: ReadonlyArray<SandboxRow>; readonly at: number } | undefined
      /** Rows that an index may not show yet. A busy channel that is none of ours must not read all rows each time. */
      const youngRows = Effect.fnUntraced(function*(now: number) {
        if (young === undefined || now - young.at >= youngMillis) {
          young = { rows: yield* Effect.mapError(sandboxes.youngerThan(now - invisibleMillis + 1), notStored), at: now }
        }
        return young.rows
      })

      const sandboxOf = Effect.fn("Acceptance.sandboxOf")(function*(channel: ChannelId) {
        const rows = yield* Effect.mapError(sandboxes.byChannel(channel), notStored)
        const chatting = rows.find(isChatting)
        if (chatting !== undefined) return Option.some(chatting)
        if (rows.length === 0) {
          const now = yield* Clock.currentTimeMillis
          const hidden = (yield* youngRows(now)).some((row) => row.channel === undefined || row.channel === channel)
          if (hidden) {
            progress.missed()
            return yield* new EventRefused({ reason: "not_visible", detail: channel })
          }
        }
        return Option.none<SandboxRow>()
      })

      const mayDrive = Effect.fnUntraced(function*(message: IncomingMessage, row: SandboxRow) {
        const allowed = row.profile.spec.cli.notifySlackInboundAllow
        if (allowed.includes(message.user)) return true
        const outsider = Effect.mapError(outsiders.mayDrive(row, message.user), notStored)
        if (message.userTeam !== undefined) return message.userTeam === message.team || (yield* outsider)
        if (!message.externalPossible) return true
        const person = yield* Effect.mapError(identity.person(message.user), (failure) => {
          progress.missed()
          return new EventRefused({
            reason: "not_stored",
            detail: `the author's workspace is unknown: ${failure.error}`
          })
        })
        return person.team === message.team || (yield* outsider)
      })

      const isAddressed = Effect.fnUntraced(function*(message: IncomingMessage, row: SandboxRow) {
        if (!row.profile.spec.cli.notifySlackInboundMentionOnly || message.mention) return true
        if (message.threadTs === undefined) return false
        const thread = yield* threads.get(message.channel, message.threadTs)
        if (Option.isSome(thread)) return true
        const root = `turn:${slackTurnKey(message.team, message.channel, message.threadTs)}`
        return Option.isSome(yield* seen.find([root]))
      }, Effect.mapError(notStored))

      const decoded = (message: IncomingMessage): string => {
        const bot = identity.known()?.user
        return withoutHidden(decodeSlackText(message.text, {
          ...(bot === undefined ? {} : { self: bot }),
          nameOf: identity.knownName
        }))
      }

      /** 🚫 on each message, and the reason once per person and thread: a sentence under each would be noise. */
      const refuse = Effect.fnUntraced(function*(message: IncomingMessage, reason: Refusal, row?: SandboxRow) {
        const { code, remedy, what } = eventErrors[reason]
        const threadTs = message.threadTs ?? message.ts
        yield* refusals.record({
          person: message.user,
          reason,
          channel: message.channel,
          threadTs,
          turn: slackTurnKey(message.team, message.channel, message.ts),
          ...(row === undefined ? {} : { sandbox: row.id })
        })
        mark(message, "no_entry_sign")
        yield* notes.put(
          `refused/${message.channel}/${threadTs}/${message.user}/${reason}`,
          { channel: message.channel, threadTs },
          `🚫 **Not taken:** ${what}. ${remedy.replace(/^./, (letter) => letter.toUpperCase())}. (${code})`
        )
        return "refused" as const
      })

      /** The mark once more: the delivery before may have died before it set it. */
      const repeated = (message: IncomingMessage, turn: TurnKey, emoji: "eyes" | "octagonal_sign") => {
        const ts = tsOf(turn)
        if (ts !== undefined) marks.set({ channel: message.channel, ts, emoji })
        return "repeated" as const
      }

      const mark = (message: IncomingMessage, emoji: "eyes" | "no_entry_sign" | "octagonal_sign"): void =>
        marks.set({ channel: message.channel, ts: message.ts, emoji })

      /** One thread is one group, also when Slack gave its channel another id since it began. */
      const groupOf = Effect.fnUntraced(function*({ channel, team, threadTs, ts }: IncomingMessage, row: SandboxRow) {
        if (threadTs !== undefined) {
          for (const former of row.formerChannels ?? []) {
            const root = yield* Effect.mapError(seen.find([`turn:${slackTurnKey(team, former, threadTs)}`]), notStored)
            if (Option.isSome(root)) return GroupId.make(`${former}:${threadTs}`)
          }
        }
        return GroupId.make(`${channel}:${threadTs ?? ts}`)
      })

      const take = Effect.fn("Acceptance.take")(function*(
        message: IncomingMessage,
        traceparent: string | undefined
      ) {
        const key = slackTurnKey(message.team, message.channel, message.ts)
        const keys = [`turn:${key}`, ...message.gestures]
        const found = yield* sandboxOf(message.channel)
        if (Option.isNone(found)) return "no sandbox"
        const row = found.value
        yield* Effect.annotateCurrentSpan({ "km.sandbox": row.id, "km.turn": key })
        const stop = isStop(decoded(message))
        // Taken before Slack gave the channel another id, it is not taken again.
        const formerly = (row.formerChannels ?? []).map((id) => slackTurnKey(message.team, id, message.ts))
        const stopKeys = stop ? [`stop:${key}`] : keys
        const known = [...stopKeys, ...formerly.map((old) => `${stop ? "stop" : "turn"}:${old}`)]
        const earlier = yield* Effect.mapError(seen.find(known), notStored)
        if (Option.isSome(earlier)) return repeated(message, earlier.value, stop ? "octagonal_sign" : "eyes")
        if (!(yield* mayDrive(message, row))) return yield* refuse(message, "not_allowed", row)
        if (isEnding(row)) return yield* refuse(message, "ending", row)
        if (faultOf(message) !== undefined) return yield* refuse(message, "bad_text", row)
        const group = yield* groupOf(message, row)
        if (stop) {
          yield* identity.learn([message.user], nameMillis)
          yield* Effect.mapError(
            controls.send(row.id, {
              kind: "stop",
              id: `stop-${key}`,
              // At top level there is no thread to mean: everything of the sandbox stops.
              ...(message.threadTs === undefined ? {} : { group }),
              by: identity.knownName(message.user) ?? message.user,
              at: yield* Clock.currentTimeMillis
            }),
            notStored
          )
          yield* Effect.mapError(seen.mark(stopKeys, key), notStored)
          mark(message, "octagonal_sign")
          progress.accepted(row.id, message.ts)
          return "stopped"
        }
        if (!(yield* isAddressed(message, row))) return "not addressed"
        yield* identity.learn([message.user, ...mentionedUsers(message.text)], nameMillis)
        const request: TurnRequest = {
          key,
          group,
          origin: {
            kind: "slack",
            team: message.team,
            channel: message.channel,
            ts: message.ts,
            threadTs: message.threadTs ?? message.ts,
            user: message.user,
            userName: identity.knownName(message.user) ?? message.user
          },
          text: decoded(message),
          files: message.files,
          acceptedAt: yield* Clock.currentTimeMillis,
          ...(traceparent === undefined ? {} : { traceparent })
        }
        const body = encodeRequest(request)
        if (Buffer.byteLength(body) > maxEntryBytes) return yield* refuse(message, "too_long", row)
        const terms = { generation: row.generation, seen: keys, ts: message.ts }
        const answer = yield* queue.accept(row.id, { key, group, body }, terms).pipe(
          Effect.catchTags({
            StoreError: (error) => Effect.fail(notStored(error)),
            QueueMissing: retried,
            // Its end began after the row was read. Another life of the same id is read when the event comes again.
            SandboxEnding: (error) => error.why === "replaced" ? retried(error) : Effect.succeed(error)
          })
        )
        if (answer._tag === "SandboxEnding") return yield* refuse(message, "ending", row)
        // The other delivery of the same gesture was quicker.
        if (answer._tag === "Repeated") return repeated(message, answer.turn, "eyes")
        // The message is stored: from here on nothing may turn the answer into an error.
        yield* Effect.logInfo("message stored").pipe(Effect.annotateLogs({ turn: key, sandbox: row.id }))
        mark(message, "eyes")
        return "queued"
      })

      const refuseAfter = (message: IncomingMessage, defect: unknown) =>
        Effect.andThen(
          Effect.logError("a message could not be taken because of a defect", defect).pipe(
            Effect.annotateLogs({ channel: message.channel, ts: message.ts })
          ),
          refuse(message, "not_readable")
        )

      return Acceptance.of({ take, refuseAfter, sandboxOf })
    })
  )
}

/** Only a sandbox's own channel is a chat; several sandboxes may share a channel that is only posted to. */
const isChatting = (row: SandboxRow): boolean =>
  row.profile.spec.cli.notifySlackInboundEnabled && (row.channelMode ?? "perSandbox") === "perSandbox"

/**
 * `!stop`, also with blanks after the mark and a few words of courtesy: who writes it wants the agent to end, not to read
 * it. `!stopwatch` and `!stop-the-press` are words of their own.
 */
export const isStop = (text: string): boolean =>
  /^[!\uff01]\s*stop(?:[\s,.!\u2026]+(?:it|that|this|now|please|pls|plz|thanks|thank you|ok|okay|immediately|at once|everything|all))*[\s,.!\u2026]*$/i
    .test(text.trim())

/** What no turn can hold, in what is read of a message. */
export const faultOf = (message: Pick<IncomingMessage, "text" | "files">): string | undefined =>
  [message.text, ...message.files.flatMap((file) => [file.id, file.name, file.mimeType])]
    .map(stringFault).find((fault) => fault !== undefined)

const TsOfKey = Schema.decodeUnknownOption(
  Schema.String.check(Schema.isPattern(/^\d{9,11}\.\d{6}$/)).pipe(
    Schema.brand("km/MessageTs")
  )
)
const tsOf = (key: TurnKey): MessageTs | undefined => Option.getOrUndefined(TsOfKey(key.split(":")[2]?.split("~")[0]))
