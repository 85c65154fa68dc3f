/** `POST /events`: the checks in their order (cap, signature, then parsing, then the installation) and the answers. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ownProbe } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { type EventError, eventErrors, EventRefused } from "../BridgeErrors.ts"
import { type BodyFault, jsonOf, readBody, textOf } from "../RawBody.ts"
import { SlackSecrets } from "../slack/SlackSecrets.ts"
import { checkSlackSignature } from "../slack/slackSignature.ts"
import { EventIntake, readDelivery } from "./EventIntake.ts"
import { Heard } from "./Heard.ts"

/** An answer as any server writes it; `body` is JSON. */
export interface EventAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

type Headers = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/** One value; of a header that comes twice there is none that counts. */
const only = (headers: Headers, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === "string" ? value : undefined
}

/** Bytes; Slack's largest events are some 100 KiB. */
export const maxEventBytes = 1024 * 1024

/** `km slack status` asks as Slack would; that proves nothing of Slack. */
const isOwnProbe = (headers: Headers): boolean => headers["user-agent"] === ownProbe

const taken: EventAnswer = { status: 200, headers: {}, body: JSON.stringify({ ok: true }) }

const refuse = (reason: EventError, detail = "") => Effect.fail(new EventRefused({ reason, detail }))

const judgedBy = (
  signing: ReadonlyArray<Redacted.Redacted<string>>,
  headers: Headers,
  body: Uint8Array,
  nowSeconds: number
) =>
  signing.length === 0 ? "no_secret" : checkSlackSignature({
    timestamp: only(headers, "x-slack-request-timestamp"),
    signature: only(headers, "x-slack-signature"),
    body,
    secrets: signing.map(Redacted.value),
    nowSeconds
  })

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
      const secrets = yield* SlackSecrets
      const intake = yield* EventIntake
      const heard = yield* Heard

      const unread = Effect.mapError((error: StoreError) =>
        new EventRefused({ reason: "no_secret", detail: error.reason })
      )
      const signingSecrets = unread(secrets.signingSecrets)
      const signingSecretsAnew = unread(secrets.signingSecretsAnew)

      const verified = Effect.fnUntraced(function*(headers: Headers, body: Uint8Array) {
        const nowSeconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        const first = judgedBy(yield* signingSecrets, headers, body, nowSeconds)
        const unknown = first === "unsigned" || first === "no_secret"
        const verdict = unknown ? judgedBy(yield* signingSecretsAnew, headers, body, nowSeconds) : first
        if (verdict !== "valid") return yield* refuse(verdict)
      })

      const answer = Effect.fnUntraced(function*(headers: Headers, body: Uint8Array | BodyFault) {
        if (body === "too_large") return yield* refuse("too_large")
        if (body === "broken") return yield* refuse("bad_json", "cut short")
        yield* verified(headers, body)
        const text = textOf(body)
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
        const body = yield* Effect.match(readBody(request, maxEventBytes), {
          onFailure: (fault) => fault,
          onSuccess: (bytes) => bytes
        })
        return responseOf(yield* judge(request.headers, body))
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
