/** Slack's Web API as the commands call it: one attempt each, bounded, with what its headers say of scopes and time. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { KmError } from "../KmError.ts"
import { type SlackCode, slackError } from "./SlackCodes.ts"

/** One call, connection and body included. */
const callWithin = "15 seconds"
/** Characters of an answer that are read; the largest is a page of channels. */
const maxAnswer = 8 * 1024 * 1024
/** Waits for a place under Slack's limits, at most this often and this long. */
const limitedTimes = 3
const longestWaitSeconds = 60

/** `refused`: Slack said no, in its own word. `unreachable`: nothing answered. `odd`: what answered is not Slack's API. */
export class SlackCallFailed extends Schema.TaggedError<SlackCallFailed>()("SlackCallFailed", {
  method: Schema.String,
  kind: Schema.Literals(["refused", "limited", "unreachable", "odd"]),
  /** Slack's word, or ours. */
  error: Schema.String,
  /** The scope that was needed, where Slack says so. */
  needed: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `Slack's ${this.method}: ${this.error}${this.needed === undefined ? "" : ` (needs ${this.needed})`}`
  }
}

export interface SlackAnswer {
  readonly body: Readonly<Record<string, unknown>>
  /** What the token may do; undefined where Slack does not say. */
  readonly scopes: ReadonlyArray<string> | undefined
  /** Our clock minus Slack's, in milliseconds; Slack's has whole seconds. Undefined without a `Date`. */
  readonly skewMillis: number | undefined
}

const Answer = Schema.Record(Schema.String, Schema.Unknown)
const decodeAnswer = Schema.decodeUnknownEffect(Schema.fromJsonString(Answer))

type Args = Readonly<Record<string, string | number | boolean>>

const attempt = Effect.fnUntraced(function*(
  api: string,
  token: Redacted.Redacted<string>,
  method: string,
  args: Args
) {
  const http = yield* HttpClient.HttpClient
  const failed = (kind: SlackCallFailed["kind"], error: string, needed?: string) =>
    new SlackCallFailed({ method, kind, error, ...(needed === undefined ? {} : { needed }) })
  const request = HttpClientRequest.post(`${api}${method}`).pipe(
    // In the header only: Slack refuses app-level tokens elsewhere, and addresses end up in logs.
    HttpClientRequest.bearerToken(Redacted.value(token)),
    HttpClientRequest.bodyUrlParams(
      Object.fromEntries(Object.entries(args).map(([key, value]) => [key, String(value)]))
    )
  )
  const response = yield* Effect.mapError(http.execute(request), (error) => failed("unreachable", error.message))
  const text = yield* Effect.mapError(response.text, () => failed("unreachable", "the answer was cut short"))
  if (response.status === 429) {
    const seconds = Number(response.headers["retry-after"] ?? "1")
    return { _tag: "Limited" as const, seconds: Number.isFinite(seconds) ? Math.max(1, seconds) : 1 }
  }
  if (response.status >= 500) return yield* failed("unreachable", `HTTP ${response.status}`)
  if (text.length > maxAnswer) return yield* failed("odd", "an answer of more than 8 MiB")
  const body = yield* Effect.mapError(
    decodeAnswer(text),
    () =>
      failed("odd", `HTTP ${response.status} and no JSON (${response.headers["content-type"] ?? "no content type"})`)
  )
  if (typeof body["ok"] !== "boolean") return yield* failed("odd", "JSON without Slack's ok")
  if (!body["ok"]) {
    const error = typeof body["error"] === "string" && /^[a-z0-9_]{1,80}$/.test(body["error"])
      ? body["error"]
      : undefined
    if (error === undefined) return yield* failed("odd", "a refusal without Slack's word for it")
    return yield* failed("refused", error, typeof body["needed"] === "string" ? body["needed"] : undefined)
  }
  const scopes = response.headers["x-oauth-scopes"]
  const date = Date.parse(response.headers["date"] ?? "")
  const now = yield* Clock.currentTimeMillis
  return {
    _tag: "Answered" as const,
    answer: {
      body,
      scopes: scopes === undefined ? undefined : scopes.split(",").map((one) => one.trim()).filter((one) => one !== ""),
      skewMillis: Number.isFinite(date) ? now - date : undefined
    } satisfies SlackAnswer
  }
})

/** Calls a method; waits where Slack says how long, and repeats nothing else. `api` ends with a slash. */
export const callSlack = Effect.fn("SlackWeb.call")(
  function*(api: string, token: Redacted.Redacted<string>, method: string, args: Args = {}) {
    for (let times = 0; times <= limitedTimes; times++) {
      const outcome = yield* attempt(api, token, method, args).pipe(
        Effect.timeoutOrElse({
          duration: callWithin,
          orElse: () =>
            Effect.fail(new SlackCallFailed({ method, kind: "unreachable", error: `no answer within ${callWithin}` }))
        })
      )
      if (outcome._tag === "Answered") return outcome.answer
      if (times < limitedTimes) yield* Effect.sleep(Math.min(outcome.seconds, longestWaitSeconds) * 1_000)
    }
    return yield* new SlackCallFailed({ method, kind: "limited", error: "ratelimited" })
  },
  Effect.provide(FetchHttpClient.layer)
)

const tokenWords =
  /^(invalid_auth|not_authed|account_inactive|token_revoked|token_expired|user_removed_from_team|team_disabled|org_login_required|ekm_access_denied|not_allowed_token_type)$/

/** Whether Slack refuses the token itself, whatever is asked with it. */
export const isTokenRefused = ({ error, kind }: SlackCallFailed): boolean =>
  kind === "refused" && tokenWords.test(error)

/** As a person is told; `refused` is what to say when Slack refused for a reason that is not the token's. */
export const slackTrouble = (
  api: string,
  failure: SlackCallFailed,
  what: string,
  refused: SlackCode = "KM-SLK-133"
): KmError => {
  switch (failure.kind) {
    case "unreachable":
    case "limited":
      return slackError("KM-SLK-108", what, `${failure.message}, at ${api}`)
    case "odd":
      return slackError("KM-SLK-109", what, `${failure.message}, at ${api}`)
    case "refused":
      if (isTokenRefused(failure)) return slackError("KM-SLK-104", what, failure.message)
      if (failure.error === "missing_scope") return slackError("KM-SLK-107", what, failure.message)
      return slackError(refused, what, failure.message)
  }
}
