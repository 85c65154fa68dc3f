/** `POST /events`: the checks in their order (cap, signature, then parsing, then the installation) and the answers. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { jsonOf, readBody, textOf } from "../RawBody.ts"
import { SlackSecrets } from "../slack/SlackSecrets.ts"
import { checkSlackSignature } from "../slack/slackSignature.ts"
import { EventIntake, readDelivery } from "./EventIntake.ts"

/** Bytes; Slack's largest events are some 100 KiB. */
export const maxEventBytes = 1024 * 1024

const refuse = (reason: EventError, detail = "") => Effect.fail(new EventRefused({ reason, detail }))

export class HttpEvents extends Context.Service<HttpEvents, {
  /** Answers every request; a 200 means that the message is stored or asks for nothing. */
  readonly handle: (
    request: HttpServerRequest
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse>
}>()("km/bridge/events/HttpEvents") {
  static readonly layer = Layer.effect(
    HttpEvents,
    Effect.gen(function*() {
      const secrets = yield* SlackSecrets
      const intake = yield* EventIntake

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

      const answer = Effect.fnUntraced(function*(request: HttpServerRequest) {
        const text = textOf(yield* verified(request))
        if (Option.isNone(text)) return yield* refuse("bad_utf8")
        const json = jsonOf(text.value)
        if (Option.isNone(json)) return yield* refuse("bad_json")
        const repeated = request.headers["x-slack-retry-num"] !== undefined
        const delivery = yield* readDelivery(text.value, json.value, repeated)
        if (delivery.envelope.type === "url_verification") {
          return HttpServerResponse.jsonUnsafe({ challenge: delivery.envelope.challenge ?? "" })
        }
        yield* intake.take(delivery)
        return HttpServerResponse.jsonUnsafe({ ok: true })
      })

      const handle = Effect.fn("HttpEvents.handle")(
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
      return HttpEvents.of({ handle })
    })
  )
}

/** The answer that Slack gets, as a message for whoever looks into it. */
export const refusalAnswer = (refused: EventRefused): HttpServerResponse.HttpServerResponse => {
  const { code, status } = eventErrors[refused.reason]
  return HttpServerResponse.jsonUnsafe(
    { ok: false, error: { code, name: refused.reason, message: refused.message } },
    // Slack repeats what was not stored; what is wrong for good it must not repeat.
    { status, headers: status === 503 ? { "retry-after": "2" } : { "x-slack-no-retry": "1" } }
  )
}
