/**
 * Takes what Slack delivered, whichever way it came: behind the step that proves its origin (the signature of an HTTP
 * request, the token of a socket) all ways are one.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isTeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { readCommonEvent } from "../../runtime/domain/slack/CommonEvent.ts"
import { SlackEnvelope, type SlackMessageEvent } from "../../runtime/domain/slack/Slack.ts"
import { currentTraceparent, spanned } from "../../runtime/ports/TraceParent.ts"
import { type EventError, EventRefused } from "../BridgeErrors.ts"
import { textFault } from "../RawBody.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { Acceptance, faultOf } from "./Acceptance.ts"
import { ChannelChanges } from "./ChannelChanges.ts"
import { classifyEvent } from "./classifyEvent.ts"
import { Corrections } from "./Corrections.ts"
import type { Incoming } from "./Incoming.ts"
import { Installation } from "./Installation.ts"
import { Outsiders } from "./Outsiders.ts"
import { Progress } from "./Progress.ts"
import { SessionStops } from "./SessionStops.ts"

const decodeEnvelope = Schema.decodeUnknownOption(SlackEnvelope)

/** The 200 waits at most this long for who our bot is; without it, bots are still told by their `bot_id`. */
const identityMillis = 250

const refuse = (reason: EventError, detail = "") => Effect.fail(new EventRefused({ reason, detail }))

/** An event whose origin is proved; nothing else of it is believed yet. */
export interface SlackDelivery {
  readonly envelope: SlackEnvelope
  /** The envelope's event where it is a plain message. */
  readonly message?: SlackMessageEvent
  /** Of a string anywhere in the JSON. */
  readonly fault: TextFault | undefined
  /** Slack says that this is not its first try. */
  readonly repeated: boolean
}

type TextFault = NonNullable<ReturnType<typeof textFault>>

/** Reads an envelope; `source` is the JSON text that `json` was parsed from. */
export const readDelivery = Effect.fnUntraced(function*(source: string, json: unknown, repeated: boolean) {
  const fault = textFault(source, json, { controls: true })
  const common = readCommonEvent(json)
  if (common !== undefined) {
    return { envelope: common.envelope, message: common.event, fault, repeated } satisfies SlackDelivery
  }
  const envelope = decodeEnvelope(json)
  if (Option.isNone(envelope)) return yield* fault === undefined ? refuse("bad_event") : refuse("bad_text", fault)
  if (fault !== undefined && envelope.value.type !== "event_callback") return yield* refuse("bad_text", fault)
  return { envelope: envelope.value, fault, repeated } satisfies SlackDelivery
})

export class EventIntake extends Context.Service<EventIntake, {
  /** Says what became of it. When it returns, the message is stored or asks for nothing: Slack may be told so. */
  readonly take: (delivery: SlackDelivery) => Effect.Effect<string, EventRefused>
}>()("km/bridge/events/EventIntake") {
  static readonly layer = Layer.effect(
    EventIntake,
    Effect.gen(function*() {
      const identity = yield* BotIdentity
      const acceptance = yield* Acceptance
      const corrections = yield* Corrections
      const installation = yield* Installation
      const progress = yield* Progress
      const outsiders = yield* Outsiders
      const changes = yield* ChannelChanges
      const stops = yield* SessionStops

      /** Ends the event where the fault is in what we read; its author gets the verdict that the catch-up would give. */
      const tellOfFault = Effect.fnUntraced(function*(incoming: Incoming | undefined, fault: string) {
        if (incoming?._tag === "Message" && faultOf(incoming.message) === undefined) return
        if (incoming?._tag === "Edited" && faultOf({ text: incoming.text, files: [] }) === undefined) return
        if (incoming?._tag === "Message") yield* acceptance.take(incoming.message, undefined)
        if (incoming?._tag === "Edited") yield* corrections.edited(incoming)
        return yield* refuse("bad_text", fault)
      })

      const outcomeOf = Effect.fnUntraced(function*({ envelope, fault, message }: SlackDelivery) {
        const team = envelope.authorizations?.[0]?.team_id ?? envelope.team_id
        if (!isTeamId(team)) return yield* refuse("bad_event", "no workspace")
        yield* installation.check(team, envelope.api_app_id ?? undefined)
        if (identity.known() === undefined) {
          yield* identity.learnBot(identityMillis)
        }
        const incoming = classifyEvent(envelope, team, identity.known()?.user, message)
        if (fault !== undefined) yield* tellOfFault(incoming, fault)
        if (incoming === undefined) return yield* refuse("bad_event", "an event of an unknown shape")
        switch (incoming._tag) {
          case "Ignored":
            return incoming.why
          case "Message":
            return yield* acceptance.take(incoming.message, yield* currentTraceparent).pipe(
              Effect.catchDefect((defect) => acceptance.refuseAfter(incoming.message, defect))
            )
          case "Edited":
            return yield* corrections.edited(incoming)
          case "Deleted":
            return yield* corrections.deleted(incoming)
          case "InviteAccepted":
          case "InviteJudged":
          case "Member": {
            const row = Option.getOrUndefined(yield* acceptance.sandboxOf(incoming.channel))
            if (incoming._tag === "InviteAccepted") return yield* outsiders.accepted(row, incoming)
            if (incoming._tag === "InviteJudged") return yield* outsiders.judged(row, incoming)
            return row === undefined ? "no sandbox" : yield* outsiders.member(row, incoming)
          }
          case "Returned":
            if (Option.isNone(yield* acceptance.sandboxOf(incoming.channel))) return "no sandbox"
            // What people wrote while the bot was out is in the channel's history only.
            progress.missed()
            return "looked for what was written meanwhile"
          case "ChannelMoved":
            return yield* changes.moved(incoming)
          case "Archived":
            return yield* changes.archived(incoming)
          case "SessionStopped":
            return yield* stops.stopped(incoming)
          case "StopMark":
            return yield* corrections.stopMark(incoming)
        }
      })

      const take = Effect.fnUntraced(function*(delivery: SlackDelivery) {
        const { envelope, repeated } = delivery
        // Slack had to repeat this one, or drops events: there may be others that it has given up.
        if (envelope.type === "app_rate_limited" || repeated) progress.missed()
        if (envelope.type !== "event_callback") {
          yield* Effect.logInfo("an envelope that asks for nothing").pipe(Effect.annotateLogs({ type: envelope.type }))
          return "asks for nothing"
        }
        const outcome = yield* outcomeOf(delivery)
        yield* Effect.logDebug("event taken").pipe(
          Effect.annotateLogs({ event: envelope.event_id ?? "", outcome, repeated })
        )
        return outcome
      })
      return EventIntake.of({ take: (delivery) => spanned("EventIntake.take", take(delivery)) })
    })
  )
}
