/**
 * The frames that Slack sends over a socket, as schemas over untrusted JSON.
 * Source: docs.slack.dev/apis/events-api/using-socket-mode, read 2026-11.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Slack leaves out what it does not know, or says null. */
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Hello = Schema.Struct({
  type: Schema.Literal("hello"),
  connection_info: optional(Schema.Struct({ app_id: optional(Schema.String) })),
  debug_info: optional(Schema.Struct({
    /** Seconds. */
    approximate_connection_time: optional(Schema.Finite)
  }))
})

const Disconnect = Schema.Struct({ type: Schema.Literal("disconnect"), reason: optional(Schema.String) })

/** `type` is `events_api`, `interactive`, `slash_commands`, or what Slack may think of next. */
const Envelope = Schema.Struct({
  envelope_id: Schema.NonEmptyString,
  type: Schema.String,
  payload: optional(Schema.Unknown),
  retry_attempt: optional(Schema.Finite)
})
export type Envelope = typeof Envelope.Type

const decodeHello = Schema.decodeUnknownOption(Hello)
const decodeDisconnect = Schema.decodeUnknownOption(Disconnect)
const decodeEnvelope = Schema.decodeUnknownOption(Envelope)

export type Frame =
  | { readonly _tag: "Hello"; readonly appId: string | undefined; readonly lifeMillis: number | undefined }
  | { readonly _tag: "Disconnect"; readonly reason: string }
  | { readonly _tag: "Envelope"; readonly envelope: Envelope }

/** A life that is announced as shorter than this is taken for a mistake: it would be replaced without end. */
const leastLifeSeconds = 30

const reasonOf = (reason: string | null | undefined): string =>
  typeof reason === "string" && /^[a-z0-9_]{1,80}$/.test(reason) ? reason : "unknown"

/** None for what is no frame of Slack's. */
export const readFrame = (json: unknown): Option.Option<Frame> => {
  const hello = decodeHello(json)
  if (Option.isSome(hello)) {
    const seconds = hello.value.debug_info?.approximate_connection_time ?? undefined
    return Option.some({
      _tag: "Hello",
      appId: hello.value.connection_info?.app_id ?? undefined,
      lifeMillis: seconds === undefined || seconds < leastLifeSeconds ? undefined : seconds * 1_000
    })
  }
  const disconnect = decodeDisconnect(json)
  if (Option.isSome(disconnect)) {
    return Option.some({ _tag: "Disconnect", reason: reasonOf(disconnect.value.reason) })
  }
  return Option.map(decodeEnvelope(json), (envelope): Frame => ({ _tag: "Envelope", envelope }))
}

/** The acknowledgement of an envelope, as Slack's own client sends it. */
export const acknowledgement = (id: string): string => JSON.stringify({ envelope_id: id, payload: {} })
