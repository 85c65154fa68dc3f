/** A challenge to the Events URL as Slack would send it, signed with the install's own secret. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHmac, randomUUID } from "node:crypto"
import { ownProbe } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { Probe } from "./Judgement.ts"

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  challenge: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(Schema.Struct({ code: Schema.optionalKey(Schema.String) }))
})))

/** Bytes of an answer that are looked at. */
const maxAnswer = 64 * 1024

/** Never fails. White space and letters that a proxy likes to change are part of the body. */
export const probeEvents = Effect.fn("Slack.probeEvents")(function*(url: string, secret: Redacted.Redacted<string>) {
  const challenge = randomUUID()
  const body = `{ "type":"url_verification",  "challenge":"${challenge}",\n "token":"\\u00e9é" }`
  const timestamp = String(Math.floor((yield* Clock.currentTimeMillis) / 1_000))
  const signature = createHmac("sha256", Redacted.value(secret)).update(`v0:${timestamp}:${body}`).digest("hex")
  const http = yield* HttpClient.HttpClient
  const request = HttpClientRequest.post(url).pipe(
    HttpClientRequest.setHeaders({
      "x-slack-request-timestamp": timestamp,
      "x-slack-signature": `v0=${signature}`,
      "user-agent": ownProbe
    }),
    HttpClientRequest.bodyText(body, "application/json")
  )
  const probe: Probe = yield* http.execute(request).pipe(
    Effect.flatMap((response) => Effect.map(response.text, (text) => ({ status: response.status, text }))),
    Effect.map(({ status, text }): Probe => {
      const read = text.length > maxAnswer ? undefined : Option.getOrUndefined(decode(text))
      return { _tag: "Answered", status, challenge: read?.challenge ?? "", code: read?.error?.code ?? "" }
    }),
    Effect.timeoutOrElse({
      duration: "5 seconds",
      orElse: () => Effect.succeed<Probe>({ _tag: "Unreachable", why: "no answer within 5 s" })
    }),
    Effect.catch((error) => Effect.succeed<Probe>({ _tag: "Unreachable", why: error.message }))
  )
  return { probe, challenge }
}, Effect.provide(FetchHttpClient.layer))
