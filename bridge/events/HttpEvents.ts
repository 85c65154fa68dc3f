/** `POST /events`: the checks in their order (cap, signature, then parsing, then the installation) and the answers. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ownProbe } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { jsonOf, textOf } from "../RawBody.ts"
import { EventIntake, readDelivery } from "./EventIntake.ts"
import { Heard } from "./Heard.ts"
import { SignedRequests } from "./SignedRequests.ts"

/** `km slack status` asks as Slack would; that proves nothing of Slack. */
const isOwnProbe = (request: HttpServerRequest): boolean => request.headers["user-agent"] === ownProbe

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
      const requests = yield* SignedRequests
      const intake = yield* EventIntake
      const heard = yield* Heard

      const answer = Effect.fnUntraced(function*(request: HttpServerRequest) {
        const text = textOf(yield* requests.verified(request))
        if (Option.isNone(text)) return yield* refuse("bad_utf8")
        const json = jsonOf(text.value)
        if (Option.isNone(json)) return yield* refuse("bad_json")
        const repeated = request.headers["x-slack-retry-num"] !== undefined
        const delivery = yield* readDelivery(text.value, json.value, repeated)
        if (!isOwnProbe(request)) {
          yield* heard.signed(delivery.envelope.type === "url_verification" ? "challenge" : "event")
        }
        if (delivery.envelope.type === "url_verification") {
          return HttpServerResponse.jsonUnsafe({ challenge: delivery.envelope.challenge ?? "" })
        }
        yield* intake.take(delivery)
        return HttpServerResponse.jsonUnsafe({ ok: true })
      })

      const refused = Effect.fnUntraced(function*(request: HttpServerRequest, refusal: EventRefused) {
        const { code } = eventErrors[refusal.reason]
        yield* Effect.logWarning("event refused").pipe(Effect.annotateLogs({ code, detail: refusal.detail }))
        if (!isOwnProbe(request)) yield* heard.refused(code, refusal.detail)
        return refusalAnswer(refusal)
      })

      const handle = Effect.fn("HttpEvents.handle")(function*(request: HttpServerRequest) {
        return yield* Effect.catchTag(answer(request), "EventRefused", (refusal) => refused(request, refusal))
      })
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
