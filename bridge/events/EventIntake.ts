/** `POST /events`: the checks in their order (cap, signature, then parsing, then the installation) and the answers. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { SlackEnvelope } from "../../runtime/domain/slack/Slack.ts"
import { traceparentOf } from "../../runtime/ports/TraceParent.ts"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { jsonOf, readBody, textFault, textOf } from "../RawBody.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { SlackSecrets } from "../slack/SlackSecrets.ts"
import { checkSlackSignature } from "../slack/slackSignature.ts"
import { Acceptance, faultOf } from "./Acceptance.ts"
import { classifyEvent, type Incoming } from "./classifyEvent.ts"
import { Corrections } from "./Corrections.ts"
import { Installation } from "./Installation.ts"
import { Outsiders } from "./Outsiders.ts"
import { Progress } from "./Progress.ts"

/** Bytes; Slack's largest events are some 100 KiB. */
export const maxEventBytes = 1024 * 1024

const decodeEnvelope = Schema.decodeUnknownOption(SlackEnvelope)
const decodeTeam = Schema.decodeUnknownOption(TeamId)

/** The 200 waits at most this long for who our bot is; without it, bots are still told by their `bot_id`. */
const identityMillis = 250

const refuse = (reason: EventError, detail = "") => Effect.fail(new EventRefused({ reason, detail }))

export class EventIntake extends Context.Service<EventIntake, {
  /** Answers every request; a 200 means that the message is stored or asks for nothing. */
  readonly handle: (
    request: HttpServerRequest
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse>
}>()("km/bridge/events/EventIntake") {
  static readonly layer = Layer.effect(
    EventIntake,
    Effect.gen(function*() {
      const secrets = yield* SlackSecrets
      const identity = yield* BotIdentity
      const acceptance = yield* Acceptance
      const corrections = yield* Corrections
      const installation = yield* Installation
      const progress = yield* Progress
      const outsiders = yield* Outsiders

      const verified = Effect.fnUntraced(function*(request: HttpServerRequest) {
        const body = yield* Effect.mapError(readBody(request, maxEventBytes), (fault) =>
          new EventRefused(
            fault === "too_large" ? { reason: "too_large", detail: "" } : { reason: "bad_json", detail: "cut short" }
          ))
        const signing = yield* Effect.mapError(
          secrets.signingSecrets,
          (error) => new EventRefused({ reason: "no_secret", detail: error.reason })
        )
        if (signing.length === 0) return yield* refuse("no_secret")
        const verdict = checkSlackSignature({
          timestamp: request.headers["x-slack-request-timestamp"],
          signature: request.headers["x-slack-signature"],
          body,
          secrets: signing.map(Redacted.value),
          nowSeconds: Math.floor((yield* Clock.currentTimeMillis) / 1000)
        })
        return verdict === "valid" ? body : yield* refuse(verdict)
      })

      const parsed = Effect.fnUntraced(function*(body: Uint8Array) {
        const text = textOf(body)
        if (Option.isNone(text)) return yield* refuse("bad_utf8")
        const json = jsonOf(text.value)
        if (Option.isNone(json)) return yield* refuse("bad_json")
        const fault = textFault(text.value, json.value, { controls: true })
        const envelope = decodeEnvelope(json.value)
        if (Option.isSome(envelope)) return { envelope: envelope.value, fault }
        return yield* fault === undefined ? refuse("bad_event") : refuse("bad_text", fault)
      })

      /** Ends the event where the fault is in what we read; its author gets the verdict that the catch-up would give. */
      const tellOfFault = Effect.fnUntraced(function*(incoming: Incoming | undefined, fault: string) {
        if (incoming?._tag === "Message" && faultOf(incoming.message) === undefined) return
        if (incoming?._tag === "Edited" && faultOf({ text: incoming.text, files: [] }) === undefined) return
        if (incoming?._tag === "Message") yield* acceptance.take(incoming.message, undefined)
        if (incoming?._tag === "Edited") yield* corrections.edited(incoming)
        return yield* refuse("bad_text", fault)
      })

      const outcomeOf = Effect.fnUntraced(function*(envelope: SlackEnvelope, fault: string | undefined) {
        const team = Option.getOrUndefined(decodeTeam(envelope.authorizations?.[0]?.team_id ?? envelope.team_id))
        if (team === undefined) return yield* refuse("bad_event", "no workspace")
        yield* installation.check(team, envelope.api_app_id ?? undefined)
        if (identity.known() === undefined) {
          yield* identity.learnBot(identityMillis)
        }
        const incoming = classifyEvent(envelope, team, identity.known()?.user)
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
            const row = yield* acceptance.sandboxOf(incoming.channel)
            if (Option.isNone(row)) return "no sandbox"
            if (incoming._tag === "InviteAccepted") return yield* outsiders.accepted(row.value, incoming)
            if (incoming._tag === "InviteJudged") return yield* outsiders.judged(row.value, incoming)
            return yield* outsiders.member(row.value, incoming)
          }
          case "Returned":
            if (Option.isNone(yield* acceptance.sandboxOf(incoming.channel))) return "no sandbox"
            // What people wrote while the bot was out is in the channel's history only.
            progress.missed()
            return "looked for what was written meanwhile"
          case "StopMark":
            return yield* corrections.stopMark(incoming)
        }
      })

      const answer = Effect.fnUntraced(function*(request: HttpServerRequest) {
        const { envelope, fault } = yield* parsed(yield* verified(request))
        if (fault !== undefined && envelope.type !== "event_callback") return yield* refuse("bad_text", fault)
        if (envelope.type === "url_verification") {
          return HttpServerResponse.jsonUnsafe({ challenge: envelope.challenge ?? "" })
        }
        // Slack had to repeat this one, or drops events: there may be others that it has given up.
        if (envelope.type === "app_rate_limited" || request.headers["x-slack-retry-num"] !== undefined) {
          progress.missed()
        }
        if (envelope.type !== "event_callback") {
          yield* Effect.logInfo("an envelope that asks for nothing").pipe(Effect.annotateLogs({ type: envelope.type }))
          return HttpServerResponse.jsonUnsafe({ ok: true })
        }
        const outcome = yield* outcomeOf(envelope, fault)
        yield* Effect.logDebug("event taken").pipe(
          Effect.annotateLogs({ event: envelope.event_id ?? "", outcome, retry: request.headers["x-slack-retry-num"] })
        )
        return HttpServerResponse.jsonUnsafe({ ok: true })
      })

      const handle = Effect.fn("EventIntake.handle")(
        function*(request: HttpServerRequest) {
          return yield* answer(request)
        },
        Effect.catchTag("EventRefused", (refused) =>
          Effect.as(
            Effect.logWarning("event refused").pipe(
              Effect.annotateLogs({ code: eventErrors[refused.reason].code, detail: refused.detail })
            ),
            refusalAnswer(refused)
          ))
      )
      return EventIntake.of({ handle })
    })
  )
}

const refusalAnswer = (refused: EventRefused): HttpServerResponse.HttpServerResponse => {
  const { code, status } = eventErrors[refused.reason]
  return HttpServerResponse.jsonUnsafe(
    { ok: false, error: { code, name: refused.reason, message: refused.message } },
    // Slack repeats what was not stored; what is wrong for good it must not repeat.
    { status, headers: status === 503 ? { "retry-after": "2" } : { "x-slack-no-retry": "1" } }
  )
}

/** W3C trace context of the span that is current, so that the turn continues it. */
const currentTraceparent = Effect.map(
  Effect.option(Effect.currentSpan),
  Option.match({
    onNone: () => undefined,
    onSome: traceparentOf
  })
)
