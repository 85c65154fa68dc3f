/** `POST /interactive`: a form with one field that holds JSON, under the same checks as `/events`. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { eventErrors, EventRefused } from "../BridgeErrors.ts"
import { Heard } from "../events/Heard.ts"
import { refusalAnswer, responseOf } from "../events/HttpEvents.ts"
import { bodyOf, SignedRequests } from "../events/SignedRequests.ts"
import { jsonOf, textOf } from "../RawBody.ts"
import { Interactions } from "./Interactions.ts"

export class HttpInteractive extends Context.Service<HttpInteractive, {
  /** Answers every request; a 200 means that the gesture is stored, or asks for nothing. */
  readonly handle: (request: HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>
}>()("km/bridge/questions/HttpInteractive") {
  static readonly layer = Layer.effect(
    HttpInteractive,
    Effect.gen(function*() {
      const requests = yield* SignedRequests
      const interactions = yield* Interactions
      const heard = yield* Heard

      const answer = Effect.fnUntraced(function*(request: HttpServerRequest) {
        const text = textOf(yield* requests.verified(request.headers, yield* bodyOf(request)))
        if (Option.isNone(text)) return yield* new EventRefused({ reason: "bad_utf8", detail: "" })
        const fields = new URLSearchParams(text.value).getAll("payload")
        const [source] = fields
        const json = source === undefined || fields.length !== 1 ? Option.none() : jsonOf(source)
        if (source === undefined || Option.isNone(json)) {
          return yield* new EventRefused({ reason: "bad_json", detail: "no field payload with JSON" })
        }
        yield* heard.signed("event")
        const outcome = yield* interactions.take(source, json.value)
        yield* Effect.logDebug("interaction taken").pipe(Effect.annotateLogs({ outcome }))
        return HttpServerResponse.empty({ status: 200 })
      })

      const handle = Effect.fn("HttpInteractive.handle")(function*(request: HttpServerRequest) {
        return yield* Effect.catchTag(answer(request), "EventRefused", (refusal) => {
          const { code } = eventErrors[refusal.reason]
          return Effect.logWarning("interaction refused").pipe(
            Effect.annotateLogs({ code, detail: refusal.detail }),
            Effect.andThen(heard.refused(code, refusal.detail)),
            Effect.as(responseOf(refusalAnswer(refusal)))
          )
        })
      })
      return HttpInteractive.of({ handle })
    })
  )
}
