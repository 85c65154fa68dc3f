/**
 * What people do to a message after they sent it: an edit replaces the text while it waits, a deletion withdraws it,
 * 🛑 stops its turn. Once the agent works on it, edits and deletions are answered with a note in the thread.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { GroupId, type SandboxId, slackTurnKey, type TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { readSpoken } from "../../runtime/domain/slack/ChatWords.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { eventErrors, EventRefused } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { decodeSlackText, mentionedUsers } from "../render/decodeSlackText.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { Acceptance, faultOf, maxEntryBytes } from "./Acceptance.ts"
import type { Incoming } from "./Incoming.ts"
import { Notes } from "./Notes.ts"
import { Refusals } from "./Refusals.ts"

type Of<Tag extends Incoming["_tag"]> = Extract<Incoming, { readonly _tag: Tag }>

const RequestJson = Schema.fromJsonString(TurnRequest)
const decodeRequest = Schema.decodeUnknownOption(RequestJson)
const encodeRequest = Schema.encodeSync(RequestJson)

const notStored = (error: StoreError) =>
  new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })

export class Corrections extends Context.Service<Corrections, {
  readonly edited: (event: Of<"Edited">) => Effect.Effect<string, EventRefused>
  readonly deleted: (event: Of<"Deleted">) => Effect.Effect<string, EventRefused>
  readonly stopMark: (event: Of<"StopMark">) => Effect.Effect<string, EventRefused>
}>()("km/bridge/events/Corrections") {
  static readonly layer = Layer.effect(
    Corrections,
    Effect.gen(function*() {
      const queue = yield* TurnQueue
      const seen = yield* Seen
      const controls = yield* Controls
      const identity = yield* BotIdentity
      const acceptance = yield* Acceptance
      const notes = yield* Notes
      const refusals = yield* Refusals
      const settings = yield* BridgeSettings
      const reports = yield* Reports

      const known = (key: TurnKey) => Effect.mapError(seen.find([`turn:${key}`]), notStored)

      /** The key under which a message was taken: it may have come while its channel had another id. */
      const keyOf = Effect.fnUntraced(
        function*(row: SandboxRow, event: Pick<Of<"Deleted">, "team" | "channel" | "ts">) {
          const key = slackTurnKey(event.team, event.channel, event.ts)
          if (Option.isSome(yield* known(key))) return key
          for (const id of row.formerChannels ?? []) {
            const formerly = slackTurnKey(event.team, id, event.ts)
            if (Option.isSome(yield* known(formerly))) return formerly
          }
          return key
        }
      )

      /**
       * Whether the agent has a message. One that has joined the turn of another is in no queue: of that the runtime says,
       * within the minute, that it is not over.
       */
      const isHeld = Effect.fnUntraced(function*(
        { id, profile }: SandboxRow,
        key: TurnKey,
        state: "in-flight" | "absent" | "replaced" | "withdrawn"
      ) {
        if (state !== "absent" || profile.spec.cli.slackBusyPolicy !== "debounce") return state === "in-flight"
        const { open = [] } = yield* Effect.mapError(reports.get(id), notStored)
        return open.some((turn) => turn.key === key)
      })

      const queuedBody = (sandbox: SandboxId, key: TurnKey) =>
        Effect.map(queue.get(sandbox, key), (entry) => Option.getOrUndefined(entry)?.body)

      const edited = Effect.fn("Corrections.edited")(function*(event: Of<"Edited">) {
        const row = yield* acceptance.sandboxOf(event.channel)
        if (Option.isNone(row)) return "not a turn"
        const key = yield* keyOf(row.value, event)
        if (Option.isNone(yield* known(key))) return "not a turn"
        const place = { channel: event.channel, threadTs: event.threadTs ?? event.ts }
        const keeps = (why: "bad_text" | "too_long") =>
          refusals.record({
            person: event.user,
            reason: why,
            channel: event.channel,
            threadTs: place.threadTs,
            turn: key,
            sandbox: row.value.id
          }).pipe(
            Effect.andThen(notes.put(
              `edit-refused/${key}/${sha256Hex(event.text)}`,
              place,
              `🚫 **The edit was not taken:** ${eventErrors[why].what}; the message stays as it was. (${
                eventErrors[why].code
              })`
            )),
            Effect.as("refused")
          )
        if (faultOf({ text: event.text, files: [] }) !== undefined) return yield* keeps("bad_text")
        yield* identity.learn(mentionedUsers(event.text), 250)
        const self = identity.known()?.user
        const text = withoutHidden(decodeSlackText(event.text, {
          ...(self === undefined ? {} : { self }),
          nameOf: identity.knownName
        }))
        // What it says now is not for the agent.
        if (text.trim() === "" || readSpoken(text)._tag !== "Message") return yield* withdraw(row.value, key, event)
        const body = yield* Effect.mapError(queuedBody(row.value.id, key), notStored)
        const request = body === undefined ? undefined : Option.getOrUndefined(decodeRequest(body))
        // One that is gone is only asked about.
        const replacement = request === undefined ? yield* rebuilt(event, key, text) : { ...request, text }
        const entry = encodeRequest(replacement)
        if (Buffer.byteLength(entry) > maxEntryBytes) return yield* keeps("too_long")
        const state = yield* Effect.mapError(queue.replace(row.value.id, key, entry), notStored)
        if (yield* isHeld(row.value, key, state)) {
          yield* notes.put(
            `edit/${key}/${sha256Hex(text)}`,
            { channel: event.channel, threadTs: event.threadTs ?? event.ts },
            "✏️ The agent already has this message, so the edit does not reach it. Write a reply in this thread to correct it, or `!stop` to stop it."
          )
        }
        return state
      })

      const rebuilt = (event: Of<"Edited">, key: TurnKey, text: string) =>
        Effect.map(Clock.currentTimeMillis, (acceptedAt): TurnRequest => ({
          key,
          group: GroupId.make(`${event.channel}:${event.threadTs ?? event.ts}`),
          origin: {
            kind: "slack",
            team: event.team,
            channel: event.channel,
            ts: event.ts,
            threadTs: event.threadTs ?? event.ts,
            user: event.user,
            userName: identity.knownName(event.user) ?? event.user
          },
          text,
          files: [],
          acceptedAt
        }))

      const withdraw = Effect.fnUntraced(function*(
        row: SandboxRow,
        key: TurnKey,
        event: Of<"Deleted"> | Of<"Edited">
      ) {
        const state = yield* Effect.mapError(queue.withdraw(row.id, key), notStored)
        // Slack may deliver the deletion before the message itself: then it is never taken.
        yield* Effect.mapError(seen.mark([`turn:${key}`], key), notStored)
        const author = event._tag === "Deleted" ? event.user : undefined
        if (author !== undefined) yield* identity.learn([author], 250)
        const who = author === undefined ? "Its author" : identity.knownName(author) ?? "Its author"
        if (state === "withdrawn") {
          yield* notes.put(
            `withdrawn/${key}`,
            // A thread under a message that is gone would be seen by nobody.
            event._tag === "Edited"
              ? { channel: event.channel, threadTs: event.threadTs ?? event.ts }
              : event.threadTs === undefined
              ? { channel: event.channel }
              : { channel: event.channel, threadTs: event.threadTs },
            `🛑 ${who} withdrew a message before the agent started on it. It was not run.`
          )
        } else if (yield* isHeld(row, key, state)) {
          yield* notes.put(
            `deleted/${key}`,
            { channel: event.channel, threadTs: event.threadTs ?? event.ts },
            "🗑️ The agent already has this message, so deleting it does not stop it. Write `!stop` in this thread to stop it."
          )
        }
        return state
      })

      const deleted = Effect.fn("Corrections.deleted")(function*(event: Of<"Deleted">) {
        const row = yield* acceptance.sandboxOf(event.channel)
        if (Option.isNone(row)) return "no sandbox"
        return yield* withdraw(row.value, yield* keyOf(row.value, event), event)
      })

      const stopMark = Effect.fn("Corrections.stopMark")(function*(event: Of<"StopMark">) {
        if (event.by !== event.author && !settings.operators.has(event.by)) return "not the author"
        const row = yield* acceptance.sandboxOf(event.channel)
        if (Option.isNone(row)) return "no sandbox"
        const key = yield* keyOf(row.value, event)
        const turn = yield* known(key)
        if (Option.isNone(turn)) return "not a turn"
        yield* identity.learn([event.by], 250)
        yield* Effect.mapError(
          controls.send(row.value.id, {
            kind: "stop",
            id: `mark-${key}-${event.by}`,
            turn: turn.value,
            by: identity.knownName(event.by) ?? event.by
          }),
          notStored
        )
        return "stopped"
      })

      return Corrections.of({ edited, deleted, stopMark })
    })
  )
}
