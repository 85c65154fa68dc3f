/**
 * Takes a person's message into a sandbox's queue: which sandbox, may this person, must the bot be mentioned, then
 * stored durably and known as seen in one step, 👀. Used alike for events and for what the catch-up finds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import {
  type ChannelId,
  GroupId,
  isMessageTs,
  type MessageTs,
  slackTurnKey,
  type TurnKey
} from "../../runtime/domain/sandbox/Ids.ts"
import { isEnding, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { readSpoken } from "../../runtime/domain/slack/ChatWords.ts"
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import type { SlackOrigin, TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { spanned } from "../../runtime/ports/TraceParent.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { stringFault } from "../RawBody.ts"
import { decodeSlackText, mentionedUsers } from "../render/decodeSlackText.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import type { IncomingMessage } from "./Incoming.ts"
import { type Mark, Marks } from "./Marks.ts"
import { Notes } from "./Notes.ts"
import { Outsiders } from "./Outsiders.ts"
import { Progress } from "./Progress.ts"
import { Refusals } from "./Refusals.ts"
import { Words } from "./Words.ts"

/** A new row may be invisible in an index this long (docs/architecture.md). */
const invisibleMillis = 60_000
/** How long one look at all rows is good for. */
const youngMillis = 500
/** The 200 waits at most this long for names; the id stands in for a name that comes later. */
const nameMillis = 250
/** UTF-8 bytes of a queue entry (the port's limit). */
export const maxEntryBytes = 256 * 1024

/** What became of a message that was taken without an error. */
export type Taken =
  | "queued"
  | "repeated"
  | "refused"
  | "stopped"
  | "not addressed"
  | "no sandbox"
  | "for people only"
  | "answered by a word"

type Refusal = Extract<EventError, "not_allowed" | "ending" | "bad_text" | "too_long" | "not_readable">

/** What a person's message in Slack asks for. */
export interface SlackRequest extends TurnRequest {
  readonly origin: SlackOrigin
}

/** As the schema would write it: nothing in a request from Slack is encoded, and all of it was checked where it came in. */
export const encodeRequest = (request: SlackRequest): string => JSON.stringify(request)

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
      const words = yield* Words

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

      const sandboxOf = Effect.fnUntraced(function*(channel: ChannelId) {
        const rows = yield* Effect.mapError(sandboxes.byChannelLately(channel), notStored)
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
        const outsider = Effect.suspend(() => Effect.mapError(outsiders.mayDrive(row, message.user), notStored))
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
      const repeated = (message: IncomingMessage, turn: TurnKey, emoji: "eyes" | "octagonal_sign" | undefined) => {
        const ts = tsOf(turn)
        if (ts !== undefined && emoji !== undefined) marks.set({ channel: message.channel, ts, emoji })
        return "repeated" as const
      }

      const mark = (message: IncomingMessage, emoji: Mark["emoji"]): void =>
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

      const take = Effect.fnUntraced(function*(message: IncomingMessage, traceparent: string | undefined) {
        const key = slackTurnKey(message.team, message.channel, message.ts)
        const keys = [`turn:${key}`, ...message.gestures]
        const found = yield* sandboxOf(message.channel)
        if (Option.isNone(found)) return "no sandbox"
        const row = found.value
        yield* Effect.annotateCurrentSpan({ "km.sandbox": row.id, "km.turn": key })
        const said = decoded(message)
        const spoken = readSpoken(said)
        // Of the others, not even a refusal: it is between people.
        if (spoken._tag === "Aside") {
          mark(message, "shushing_face")
          yield* words.aside(message)
          return "for people only"
        }
        const stop = spoken._tag === "Word" && spoken.word === "stop"
        // Taken before Slack gave the channel another id, it is not taken again.
        const formerly = (row.formerChannels ?? []).map((id) => slackTurnKey(message.team, id, message.ts))
        const kind = stop ? "stop" : spoken._tag === "Message" ? "turn" : "word"
        const ownKeys = kind === "turn" ? keys : [`${kind}:${key}`]
        const known = [...ownKeys, ...formerly.map((old) => `${kind}:${old}`)]
        const earlier = Effect.mapError(seen.find(known), notStored)
        const again = (turn: TurnKey) =>
          Effect.gen(function*() {
            // The delivery before may have died between storing the message and stopping those before it.
            if (kind === "turn" && row.profile.spec.cli.slackBusyPolicy === "interrupt") {
              yield* words.stored(message, row, { key: turn, group: yield* groupOf(message, row) })
            }
            return repeated(message, turn, kind === "word" ? undefined : stop ? "octagonal_sign" : "eyes")
          })
        // What was taken before stays so, whatever holds now. Of a message that is to be queued the queue itself says it, in
        // the transaction that stores it; nobody is asked about the author of one that was taken.
        const looksFirst = kind !== "turn" || formerly.length > 0 ||
          (message.userTeam === undefined && message.externalPossible)
        const before = looksFirst ? yield* earlier : Option.none()
        if (Option.isSome(before)) return yield* again(before.value)
        const why = !(yield* mayDrive(message, row))
          ? "not_allowed"
          : kind === "word"
          ? undefined
          : isEnding(row)
          ? "ending"
          : faultOf(message) !== undefined
          ? "bad_text"
          : undefined
        const addressed = why === undefined && kind === "turn" && (yield* isAddressed(message, row))
        if (!addressed && !looksFirst) {
          const taken = yield* earlier
          if (Option.isSome(taken)) return yield* again(taken.value)
        }
        if (why !== undefined) return yield* refuse(message, why, row)
        const group = yield* groupOf(message, row)
        if (kind === "word") {
          if (spoken._tag === "Hint") yield* words.hint(message, spoken)
          if (spoken._tag === "Word" && spoken.word !== "stop") {
            yield* Effect.mapError(words.answer(message, row, spoken.word, group), notStored)
          }
          yield* Effect.mapError(seen.mark(ownKeys, key), notStored)
          progress.accepted(row.id, message.ts)
          return "answered by a word"
        }
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
          yield* Effect.mapError(seen.mark(ownKeys, key), notStored)
          mark(message, "octagonal_sign")
          progress.accepted(row.id, message.ts)
          return "stopped"
        }
        if (!addressed) return "not addressed"
        const mentioned = mentionedUsers(message.text)
        yield* identity.learn([message.user, ...mentioned], nameMillis)
        const request: SlackRequest = {
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
          // Names of those mentioned may have come.
          text: mentioned.length === 0 ? said : decoded(message),
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
        if (answer._tag === "Repeated") return yield* again(answer.turn)
        // The message is stored: from here on nothing may turn the answer into an error.
        yield* Effect.logInfo("message stored").pipe(Effect.annotateLogs({ turn: key, sandbox: row.id }))
        mark(message, "eyes")
        yield* words.stored(message, row, { key, group, ahead: answer.ahead })
        return "queued"
      })

      const refuseAfter = (message: IncomingMessage, defect: unknown) =>
        Effect.andThen(
          Effect.logError("a message could not be taken because of a defect", defect).pipe(
            Effect.annotateLogs({ channel: message.channel, ts: message.ts })
          ),
          refuse(message, "not_readable")
        )

      return Acceptance.of({
        take: (message, traceparent) => spanned("Acceptance.take", take(message, traceparent)),
        refuseAfter,
        sandboxOf
      })
    })
  )
}

/** Only a sandbox's own channel is a chat; several sandboxes may share a channel that is only posted to. */
const isChatting = (row: SandboxRow): boolean =>
  row.profile.spec.cli.notifySlackInboundEnabled && (row.channelMode ?? "perSandbox") === "perSandbox"

/** What no turn can hold, in what is read of a message. */
export const faultOf = (message: Pick<IncomingMessage, "text" | "files">): string | undefined =>
  [message.text, ...message.files.flatMap((file) => [file.id, file.name, file.mimeType])]
    .map(stringFault).find((fault) => fault !== undefined)

const tsOf = (key: TurnKey): MessageTs | undefined => {
  const ts = key.split(":")[2]?.split("~")[0]
  return isMessageTs(ts) ? ts : undefined
}
