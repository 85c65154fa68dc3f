/** What the agent's programs may ask of their runtime, one request a connection (docs/multi-agent-email.md). */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { protocolVersion } from "./socketClient.ts"

/** Far over what a message may have, so that the account, which knows the limits, says what is wrong. */
const maxEntries = 1_000
const Texts = Schema.Array(Schema.String).check(Schema.isMaxLength(maxEntries))
const Line = Schema.String.check(Schema.isMaxLength(2_000))
/** What somebody looks for: an empty one would fit whoever has no such thing, as the sender of what proves nothing. */
const Sought = Schema.NonEmptyString.check(Schema.isMaxLength(2_000))
/** Checked together, so that the refusal can name the limit. */
const Bytes = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const version = Schema.Literal(protocolVersion)

export const Send = Schema.Struct({
  v: version,
  op: Schema.Literal("send"),
  to: Texts,
  cc: Texts,
  bcc: Texts,
  subject: Schema.String,
  encrypt: Schema.Boolean,
  /** Random, of one invocation: the same request with the same one is the same message, however often it is made. */
  invocation: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[\w-]{22,64}$/))),
  replyTo: Schema.optionalKey(Schema.String),
  inReplyTo: Schema.optionalKey(Schema.String),
  /** Somebody waits so long for the replies; at most as long as a message lives. */
  awaitSeconds: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 7 * 24 * 3_600 }))),
  bodySize: Bytes,
  attachments: Schema.Array(Schema.Struct({ name: Line, type: Line, size: Bytes }))
    .check(Schema.isMaxLength(maxEntries))
})
/** Mail of the inbox that is not marked as read, newest first. */
export const List = Schema.Struct({
  v: version,
  op: Schema.Literal("list"),
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 })),
  waitSeconds: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
  /**
   * Oldest first, for who asks again and again: the newest ones at first, then whatever comes after `after`, which is what
   * the answer before said (`upTo`), until all of it was handed over.
   */
  watch: Schema.optionalKey(Schema.Boolean),
  after: Schema.optionalKey(Schema.Int),
  id: Schema.optionalKey(Sought),
  from: Schema.optionalKey(Sought),
  subject: Schema.optionalKey(Sought),
  inReplyTo: Schema.optionalKey(Sought)
})
/** The verified replies to a message of this sandbox, once there is one that is not `known`, or all are there. */
export const Replies = Schema.Struct({
  v: version,
  op: Schema.Literal("replies"),
  id: Line,
  known: Schema.Array(Line).check(Schema.isMaxLength(200)),
  waitSeconds: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
})
const Read = Schema.Struct({
  v: version,
  op: Schema.Literal("read"),
  deliveries: Schema.Array(Line).check(Schema.isMaxLength(maxEntries))
})
const One = Schema.Struct({ v: version, op: Schema.Literals(["attachments", "raw"]), delivery: Line })
export const Request = Schema.Union([Send, List, Replies, Read, One])
export type Request = typeof Request.Type

/** Of the JSON of a request; none for what is no request of this version. */
export const decodeRequest: (json: string) => Option.Option<Request> = Schema.decodeUnknownOption(
  Schema.fromJsonString(Request)
)
