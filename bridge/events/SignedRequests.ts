/** A request of Slack's over HTTP, proved by its signature before anything of it is read: cap, then HMAC. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { type EventError, EventRefused } from "../BridgeErrors.ts"
import { type BodyFault, readBody } from "../RawBody.ts"
import { SlackSecrets } from "../slack/SlackSecrets.ts"
import { checkSlackSignature } from "../slack/slackSignature.ts"

/** Bytes; Slack's largest events are some 100 KiB. */
export const maxEventBytes = 1024 * 1024

/** Names in lower case. */
export type Headers = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/** One value; of a header that comes twice there is none that counts. */
const only = (headers: Headers, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === "string" ? value : undefined
}

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

const unread = Effect.mapError((error: StoreError) => new EventRefused({ reason: "no_secret", detail: error.reason }))

/** The body under its cap, or why there is none. */
export const bodyOf = (request: HttpServerRequest): Effect.Effect<Uint8Array | BodyFault> =>
  Effect.match(readBody(request, maxEventBytes), { onFailure: (fault) => fault, onSuccess: (bytes) => bytes })

export class SignedRequests extends Context.Service<SignedRequests, {
  /** The body of a request that Slack signed. */
  readonly verified: (headers: Headers, body: Uint8Array | BodyFault) => Effect.Effect<Uint8Array, EventRefused>
}>()("km/bridge/events/SignedRequests") {
  static readonly layer = Layer.effect(
    SignedRequests,
    Effect.gen(function*() {
      const secrets = yield* SlackSecrets
      const signingSecrets = unread(secrets.signingSecrets)
      const signingSecretsAnew = unread(secrets.signingSecretsAnew)

      const verified = Effect.fnUntraced(function*(headers: Headers, body: Uint8Array | BodyFault) {
        if (body === "too_large") return yield* refuse("too_large")
        if (body === "broken") return yield* refuse("bad_json", "cut short")
        const nowSeconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        const first = judgedBy(yield* signingSecrets, headers, body, nowSeconds)
        const unknown = first === "unsigned" || first === "no_secret"
        const verdict = unknown ? judgedBy(yield* signingSecretsAnew, headers, body, nowSeconds) : first
        return verdict === "valid" ? body : yield* refuse(verdict)
      })
      return SignedRequests.of({ verified })
    })
  )
}
