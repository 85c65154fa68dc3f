/** `POST /events`: the checks in their order (cap, signature, then parsing, then the installation) and the answers. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ownProbe } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { type BodyFault, jsonOf, textOf } from "../RawBody.ts"
import { EventIntake, readDelivery } from "./EventIntake.ts"
import { Heard } from "./Heard.ts"
import { bodyOf, type Headers, SignedRequests } from "./SignedRequests.ts"

/** An answer as any server writes it; `body` is JSON. */
export interface EventAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** `km slack status` asks as Slack would; that proves nothing of Slack. */
const isOwnProbe = (headers: Headers): boolean => headers["user-agent"] === ownProbe

const taken: EventAnswer = { status: 200, headers: {}, body: JSON.stringify({ ok: true }) }

const refuse = (reason: EventError, detail = "") => Effect.fail(new EventRefused({ reason, detail }))

export class HttpEvents extends Context.Service<HttpEvents, {
  /** Answers every request; a 200 means that the message is stored or asks for nothing. */
  readonly handle: (
    request: HttpServerRequest
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse>
  /** The same of a request whose body was read, or broke off; header names in lower case. */
  readonly judge: (headers: Headers, body: Uint8Array | BodyFault) => Effect.Effect<EventAnswer>
}>()("km/bridge/events/HttpEvents") {
  static readonly layer = Layer.effect(
    HttpEvents,
    Effect.gen(function*() {
      const requests = yield* SignedRequests
      const intake = yield* EventIntake
      const heard = yield* Heard

      const answer = Effect.fnUntraced(function*(headers: Headers, body: Uint8Array | BodyFault) {
        const text = textOf(yield* requests.verified(headers, body))
        if (Option.isNone(text)) return yield* refuse("bad_utf8")
        const json = jsonOf(text.value)
        if (Option.isNone(json)) return yield* refuse("bad_json")
        const repeated = headers["x-slack-retry-num"] !== undefined
        const delivery = yield* readDelivery(text.value, json.value, repeated)
        if (!isOwnProbe(headers)) {
          yield* heard.signed(delivery.envelope.type === "url_verification" ? "challenge" : "event")
        }
        if (delivery.envelope.type === "url_verification") {
          return { ...taken, body: JSON.stringify({ challenge: delivery.envelope.challenge ?? "" }) }
        }
        yield* intake.take(delivery)
        return taken
      })

      const refused = Effect.fnUntraced(function*(headers: Headers, refusal: EventRefused) {
        const { code } = eventErrors[refusal.reason]
        yield* Effect.logWarning("event refused").pipe(Effect.annotateLogs({ code, detail: refusal.detail }))
        if (!isOwnProbe(headers)) yield* heard.refused(code, refusal.detail)
        return refusalAnswer(refusal)
      })

      const judge = (headers: Headers, body: Uint8Array | BodyFault) =>
        Effect.catchTag(answer(headers, body), "EventRefused", (refusal) => refused(headers, refusal))

      const handle = Effect.fn("HttpEvents.handle")(function*(request: HttpServerRequest) {
        return responseOf(yield* judge(request.headers, yield* bodyOf(request)))
      })
      return HttpEvents.of({ handle, judge })
    })
  )
}

/** The answer that Slack gets, as a message for whoever looks into it. */
export const refusalAnswer = (refused: EventRefused): EventAnswer => {
  const { code, status } = eventErrors[refused.reason]
  return {
    status,
    // Slack repeats what was not stored; what is wrong for good it must not repeat.
    headers: status === 503 ? { "retry-after": "2" } : { "x-slack-no-retry": "1" },
    body: JSON.stringify({ ok: false, error: { code, name: refused.reason, message: refused.message } })
  }
}

/** 5xx: whoever asked asks again; nothing was promised. */
export const brokenAnswer: EventAnswer = {
  status: 500,
  headers: {},
  body: JSON.stringify({ ok: false, error: { code: "unavailable" } })
}

export const responseOf = ({ body, headers, status }: EventAnswer): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(body, { status, headers, contentType: "application/json" })
