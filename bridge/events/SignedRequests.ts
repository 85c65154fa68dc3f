/** A request of Slack's over HTTP, proved by its signature before anything of it is read: cap, then HMAC. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { EventRefused } from "../BridgeErrors.ts"
import { readBody } from "../RawBody.ts"
import { SlackSecrets } from "../slack/SlackSecrets.ts"
import { checkSlackSignature } from "../slack/slackSignature.ts"

/** Bytes; Slack's largest events are some 100 KiB. */
export const maxEventBytes = 1024 * 1024

export class SignedRequests extends Context.Service<SignedRequests, {
  /** The raw body. */
  readonly verified: (request: HttpServerRequest) => Effect.Effect<Uint8Array, EventRefused>
}>()("km/bridge/events/SignedRequests") {
  static readonly layer = Layer.effect(
    SignedRequests,
    Effect.gen(function*() {
      const secrets = yield* SlackSecrets

      const verified = Effect.fnUntraced(function*(request: HttpServerRequest) {
        const body = yield* Effect.mapError(readBody(request, maxEventBytes), (fault) =>
          new EventRefused(
            fault === "too_large" ? { reason: "too_large", detail: "" } : { reason: "bad_json", detail: "cut short" }
          ))
        const nowSeconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        const judged = Effect.fnUntraced(
          function*(read: SlackSecrets["Service"]["signingSecrets"]) {
            const signing = yield* read
            return signing.length === 0 ? "no_secret" : checkSlackSignature({
              timestamp: request.headers["x-slack-request-timestamp"],
              signature: request.headers["x-slack-signature"],
              body,
              secrets: signing.map(Redacted.value),
              nowSeconds
            })
          },
          Effect.mapError((error) => new EventRefused({ reason: "no_secret", detail: error.reason }))
        )
        const first = yield* judged(secrets.signingSecrets)
        const unknown = first === "unsigned" || first === "no_secret"
        const verdict = unknown ? yield* judged(secrets.signingSecretsAnew) : first
        return verdict === "valid" ? body : yield* new EventRefused({ reason: verdict, detail: "" })
      })
      return SignedRequests.of({ verified })
    })
  )
}
