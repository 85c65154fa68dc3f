/**
 * The one place that talks to Slack's Web API: token, rate limits, timeouts and error translation; nothing is
 * repeated here, because only the caller knows whether a repetition would double something.
 */
import { ErrorCode, LogLevel, WebClient } from "@slack/web-api"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { BridgeSettings } from "../BridgeSettings.ts"
import { makeRateBuckets } from "./RateBuckets.ts"
import { kindOfSlackError, SlackFailure } from "./SlackErrors.ts"
import { SlackSecrets } from "./SlackSecrets.ts"

/** Milliseconds that one call may take, connection and body included. */
export const slackTimeoutMillis = 6_000

export interface SlackCallOptions {
  /** Longest wait for a place under Slack's rate limits; 5 s unless told. */
  readonly maxWaitMillis?: number
  /** Whose call it is: the bot's unless told. */
  readonly token?: "bot" | "app"
}

export class SlackApi extends Context.Service<SlackApi, {
  /** One attempt of one method. The answer is untrusted JSON with `ok: true`. */
  readonly call: (
    method: string,
    args: Readonly<Record<string, unknown>>,
    options?: SlackCallOptions
  ) => Effect.Effect<unknown, SlackFailure>
}>()("km/bridge/slack/SlackApi") {
  static readonly layer = Layer.effect(
    SlackApi,
    Effect.gen(function*() {
      const settings = yield* BridgeSettings
      const secrets = yield* SlackSecrets
      const buckets = makeRateBuckets(settings.rateScale)
      const clients = new Map<"bot" | "app", { readonly token: string; readonly web: WebClient }>()

      const clientOf = (kind: "bot" | "app", token: string): WebClient => {
        const known = clients.get(kind)
        if (known?.token === token) return known.web
        const web = makeWebClient(token, settings.slackApiUrl)
        clients.set(kind, { token, web })
        return web
      }

      const call = Effect.fn("SlackApi.call")(function*(
        method: string,
        args: Readonly<Record<string, unknown>>,
        options?: SlackCallOptions
      ) {
        yield* Effect.annotateCurrentSpan({ "km.slack.method": method })
        const unready = (error: string) => new SlackFailure({ method, kind: "Unready", error, retryAfterMillis: 5_000 })
        const kind = options?.token ?? "bot"
        const stored = kind === "bot" ? secrets.botToken : secrets.appToken
        const token = yield* Effect.mapError(stored, (error) => unready(error.message))
        if (Option.isNone(token)) return yield* unready(`no ${kind} token is stored under slack/${kind}-token`)
        const channel = typeof args["channel"] === "string" ? args["channel"] : undefined
        const reservation = buckets.reserve(
          method,
          channel,
          yield* Clock.currentTimeMillis,
          options?.maxWaitMillis ?? 5_000
        )
        if (!reservation.granted) {
          return yield* new SlackFailure({
            method,
            kind: "RateLimited",
            error: "our own limit for this method",
            retryAfterMillis: reservation.waitMillis
          })
        }
        if (reservation.waitMillis > 0) yield* Effect.sleep(reservation.waitMillis)
        const web = clientOf(kind, Redacted.value(token.value))
        return yield* Effect.tryPromise({
          try: (): Promise<unknown> => web.apiCall(method, { ...args }),
          catch: (cause) => failureOf(method, cause)
        }).pipe(
          Effect.tapError((failure) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              if (failure.kind === "RateLimited") buckets.block(method, channel, now, failure.retryAfterMillis)
              return /auth|token/.test(failure.error) ? secrets.forget : Effect.void
            })
          )
        )
      })
      return SlackApi.of({ call })
    })
  )
}

const quiet = () => undefined

/** The SDK with everything of its own that would act behind our back switched off. */
const makeWebClient = (token: string, slackApiUrl: string): WebClient =>
  new WebClient(token, {
    slackApiUrl,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    timeout: slackTimeoutMillis,
    allowAbsoluteUrls: false,
    // Its log lines would hold message texts.
    logger: {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: quiet,
      setLevel: quiet,
      getLevel: () => LogLevel.ERROR,
      setName: quiet
    }
  })

const CodedFailure = Schema.Struct({
  code: Schema.String,
  retryAfter: Schema.optionalKey(Schema.Finite),
  statusCode: Schema.optionalKey(Schema.Finite),
  original: Schema.optionalKey(Schema.Struct({
    cause: Schema.optionalKey(Schema.Struct({ code: Schema.optionalKey(Schema.String) }))
  })),
  data: Schema.optionalKey(Schema.Struct({
    error: Schema.String,
    response_metadata: Schema.optionalKey(Schema.Struct({ retryAfter: Schema.optionalKey(Schema.Finite) }))
  }))
})
const decodeCoded = Schema.decodeUnknownOption(CodedFailure)

/** Failures before a byte of the request was sent. */
const neverSent: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT"
])

/** What the SDK threw, as one of our four kinds. Codes are compared, not classes: two copies of the SDK differ. */
const failureOf = (method: string, cause: unknown): SlackFailure => {
  const coded = Option.getOrUndefined(decodeCoded(cause))
  const make = (kind: SlackFailure["kind"], error: string, seconds = 0) =>
    new SlackFailure({ method, kind, error, retryAfterMillis: Math.ceil(Math.max(0, seconds) * 1_000) })
  if (coded?.code === ErrorCode.RateLimitedError) return make("RateLimited", "ratelimited", coded.retryAfter ?? 1)
  if (coded?.code === ErrorCode.PlatformError && coded.data !== undefined) {
    const kind = kindOfSlackError(coded.data.error)
    const error = /^[a-z0-9_]{1,80}$/.test(coded.data.error) ? coded.data.error : "an answer that is not Slack's"
    return make(kind, error, coded.data.response_metadata?.retryAfter ?? (kind === "RateLimited" ? 1 : 0))
  }
  if (coded?.code === ErrorCode.HTTPError) return make("Uncertain", `HTTP ${coded.statusCode ?? "error"}`)
  const transport = coded?.original?.cause?.code
  if (transport !== undefined && neverSent.has(transport)) return make("Unready", `no connection (${transport})`, 2)
  if (cause instanceof Error && cause.message.startsWith("Retry header")) return make("RateLimited", "ratelimited", 1)
  return make("Uncertain", "no answer (timeout or broken connection)")
}

/** Calls and decodes; an answer of another shape is `Uncertain`, since Slack did say ok. */
export const callAs = <S extends Schema.Top & { readonly DecodingServices: never }>(
  slack: SlackApi["Service"],
  schema: S
) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (method: string, args: Readonly<Record<string, unknown>>, options?: SlackCallOptions) =>
    Effect.flatMap(
      slack.call(method, args, options),
      (answer) =>
        Effect.mapError(decode(answer), () =>
          new SlackFailure({
            method,
            kind: "Uncertain",
            error: "an answer of an unknown shape",
            retryAfterMillis: 1_000
          }))
    )
}
