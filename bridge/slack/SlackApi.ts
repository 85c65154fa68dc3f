/**
 * The one place that talks to Slack's Web API: token, rate limits, timeouts and error translation. Only what Slack refused
 * for its rate is repeated here, in its turn: nothing happened then. Of everything else the caller alone knows whether a
 * repetition would double something.
 */
import { ErrorCode, LogLevel, WebClient } from "@slack/web-api"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { CallPurpose } from "../../runtime/domain/slack/CallBudget.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { CallQueue, type Place } from "./CallQueue.ts"
import { kindOfSlackError, SlackFailure } from "./SlackErrors.ts"
import { SlackSecrets } from "./SlackSecrets.ts"

/** Milliseconds that one call may take, connection and body included. */
export const slackTimeoutMillis = 6_000

/** A longer Retry-After is told to the caller, who may have something better to do than to wait. */
export const maxRetryAfterMillis = 60_000

export interface SlackCallOptions {
  /** Who goes first when not all may; `work` unless told. */
  readonly purpose?: CallPurpose
  /** A place that the caller holds already, used by this call. */
  readonly place?: Place
  /** Whose call it is: the bot's unless told. */
  readonly token?: "bot" | "app"
}

/** One attempt of one method with this token, over HTTP or what stands in for it. */
export class SlackTransport extends Context.Service<SlackTransport, {
  readonly send: (
    token: string,
    method: string,
    args: Readonly<Record<string, unknown>>
  ) => Effect.Effect<unknown, SlackFailure>
}>()("km/bridge/slack/SlackTransport") {
  static readonly layer = Layer.effect(
    SlackTransport,
    Effect.gen(function*() {
      const { slackApiUrl } = yield* BridgeSettings
      /** The bot's and the app's; one that was replaced goes with the next that is new. */
      const clients = new Map<string, WebClient>()
      const clientOf = (token: string): WebClient => {
        const known = clients.get(token)
        if (known !== undefined) return known
        if (clients.size > 1) clients.clear()
        const web = makeWebClient(token, slackApiUrl)
        clients.set(token, web)
        return web
      }
      return SlackTransport.of({
        send: (token, method, args) =>
          Effect.tryPromise({
            try: (): Promise<unknown> => clientOf(token).apiCall(method, { ...args }),
            catch: (cause) => failureOf(method, cause)
          })
      })
    })
  )
}

export class SlackApi extends Context.Service<SlackApi, {
  /** One attempt of one method. The answer is untrusted JSON with `ok: true`. */
  readonly call: (
    method: string,
    args: Readonly<Record<string, unknown>>,
    options?: SlackCallOptions
  ) => Effect.Effect<unknown, SlackFailure>
}>()("km/bridge/slack/SlackApi") {
  /** Over whatever carries a call to Slack. */
  static readonly layerNoDeps = Layer.effect(
    SlackApi,
    Effect.gen(function*() {
      const queue = yield* CallQueue
      const secrets = yield* SlackSecrets
      const transport = yield* SlackTransport

      const attempt = Effect.fnUntraced(function*(
        place: Place,
        method: string,
        args: Readonly<Record<string, unknown>>,
        kind: "bot" | "app"
      ) {
        const unready = (error: string) => new SlackFailure({ method, kind: "Unready", error, retryAfterMillis: 5_000 })
        const stored = kind === "bot" ? secrets.botToken : secrets.appToken
        const token = yield* Effect.mapError(stored, (error) => unready(error.message))
        if (Option.isNone(token)) return yield* unready(`no ${kind} token is stored under slack/${kind}-token`)
        place.used = true
        return yield* transport.send(Redacted.value(token.value), method, args).pipe(
          Effect.tapError((failure) => {
            if (failure.kind === "RateLimited") return queue.block(place.call, failure.retryAfterMillis)
            return /auth|token/.test(failure.error) ? secrets.forget : Effect.void
          })
        )
      })

      const call = Effect.fn("SlackApi.call")(function*(
        method: string,
        args: Readonly<Record<string, unknown>>,
        options?: SlackCallOptions
      ) {
        yield* Effect.annotateCurrentSpan({ "km.slack.method": method })
        const planned = {
          method,
          channel: typeof args["channel"] === "string" ? args["channel"] : undefined,
          purpose: options?.purpose ?? "work"
        } as const
        const kind = options?.token ?? "bot"
        for (let held = options?.place;; held = undefined) {
          const sent = yield* Effect.result(
            held === undefined || held.used || held.call.method !== method
              ? queue.within(planned, (place) => attempt(place, method, args, kind))
              : attempt(held, method, args, kind)
          )
          if (sent._tag === "Success") return sent.success
          const { kind: failed, retryAfterMillis } = sent.failure
          // Whoever opens a socket has a pace of its own, and says why none is open.
          if (failed !== "RateLimited" || kind === "app" || retryAfterMillis > maxRetryAfterMillis) {
            return yield* sent.failure
          }
        }
      })
      return SlackApi.of({ call })
    })
  )

  static readonly layer = SlackApi.layerNoDeps.pipe(Layer.provide(SlackTransport.layer))
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
