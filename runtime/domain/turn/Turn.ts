/**
 * A turn: one message, one agent run, one visible outcome. The states of its ledger row and what a queue carries.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { ChannelId, GroupId, MessageTs, SessionId, TeamId, TurnKey, UserId } from "../sandbox/Ids.ts"

/** A file that a person attached; bytes stay with Slack until the agent asks for them. */
export const TurnFile = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  mimeType: Schema.String,
  /** Bytes, as Slack says. */
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
})
export type TurnFile = typeof TurnFile.Type

/** Where a turn came from and where its outcome goes. Slack's ids are those of the message that started it. */
export const SlackOrigin = Schema.Struct({
  kind: Schema.Literal("slack"),
  team: TeamId,
  channel: ChannelId,
  /** The message that started the turn. */
  ts: MessageTs,
  /** The thread the answer goes to: the message's `thread_ts`, else its own `ts`. */
  threadTs: MessageTs,
  user: UserId,
  /** As the bridge resolved it for the frame; the id where it could not. Untrusted text. */
  userName: Schema.String
})
export type SlackOrigin = typeof SlackOrigin.Type

/** Started by an operator or a schedule, answered into the run record only. */
export const OperatorOrigin = Schema.Struct({
  kind: Schema.Literal("operator"),
  label: Schema.String
})
export type OperatorOrigin = typeof OperatorOrigin.Type

/** What a plugin calls the turns that it brings; `slack` and `operator` are what everybody knows, `plugin` is none. */
export const PluginOriginKind = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/, { expected: "a plugin's kind of turns" }),
  Schema.makeFilter((kind) => ["slack", "operator", "plugin"].includes(kind) ? "it is no plugin's kind" : undefined)
)

const WrittenPluginOrigin = Schema.StructWithRest(
  Schema.Struct({ kind: PluginOriginKind, label: Schema.optionalKey(Schema.String) }),
  [Schema.Record(Schema.String, Schema.Json)]
)

/**
 * A turn of a kind that a plugin brings (`OriginHandler.kind`). What it is beside who asked is that plugin's own, which alone
 * decodes it. Written, all of it stands in one object, `kind` being what is `of` here.
 */
export const PluginOrigin = WrittenPluginOrigin.pipe(Schema.decodeTo(
  Schema.Struct({
    kind: Schema.Literal("plugin"),
    of: PluginOriginKind,
    /** Who asked, for people. Untrusted text. */
    label: Schema.String,
    /** Of the plugin's own schema, encoded. */
    data: Schema.Record(Schema.String, Schema.Json).check(
      Schema.makeFilter((data) =>
        Object.hasOwn(data, "kind") || Object.hasOwn(data, "label") ? "kind and label are not the plugin's" : undefined
      )
    )
  }),
  SchemaTransformation.transform({
    decode: ({ kind, label = "", ...data }) => ({ kind: "plugin" as const, of: kind, label, data }),
    encode: ({ data, label, of }) => ({ ...data, kind: of, label })
  })
))
export type PluginOrigin = typeof PluginOrigin.Type

export const TurnOrigin = Schema.Union([SlackOrigin, OperatorOrigin, PluginOrigin])
export type TurnOrigin = typeof TurnOrigin.Type

/** By what the handler of an origin's turns is found. */
export const originKind = (origin: TurnOrigin): string => origin.kind === "plugin" ? origin.of : origin.kind

/** What the queue carries (as JSON). `text` is decoded (no Slack entities) but neither framed nor neutralised yet. */
export const TurnRequest = Schema.Struct({
  key: TurnKey,
  group: GroupId,
  origin: TurnOrigin,
  text: Schema.String,
  /** One line by its origin, shown above the turn where no person's message stands. No untrusted text. */
  title: Schema.optionalKey(Schema.String),
  files: Schema.Array(TurnFile),
  /** Unix milliseconds at which the bridge accepted the message. */
  acceptedAt: Schema.Int,
  /** W3C trace context of the request that accepted it, so one trace spans Slack event to answer. */
  traceparent: Schema.optionalKey(Schema.String)
})
export type TurnRequest = typeof TurnRequest.Type

/**
 * `received → starting → running → answered → posted → settled`. The other five are ends, each with one visible
 * outcome except `undeliverable`, which is visible in `km status` because Slack refuses the channel.
 */
export const TurnState = Schema.Literals([
  "received",
  "starting",
  "running",
  "answered",
  "posted",
  "settled"
])
export type TurnState = typeof TurnState.Type

/** How a turn ended for the person who asked. */
export const TurnResult = Schema.Literals([
  "answered",
  "failed",
  "cancelled",
  "expired",
  "parked",
  "undeliverable"
])
export type TurnResult = typeof TurnResult.Type

/** Which process runs a turn; pid alone is reused by the kernel, so start time and boot id go with it. */
export const ProcessMark = Schema.Struct({
  pid: Schema.Int,
  /** Field 22 of /proc/{pid}/stat (clock ticks since boot), or "" where there is no /proc. */
  startTime: Schema.String,
  /** /proc/sys/kernel/random/boot_id, or "". */
  bootId: Schema.String
})
export type ProcessMark = typeof ProcessMark.Type

/** What the agent run came to, decided from the `result` lines, never from the exit code. */
export const AgentOutcome = Schema.TaggedUnion({
  /** `text` is the last assistant message, whole. */
  Answered: { text: Schema.String },
  /** `code` is one of `docs/errors.md`; `reason` and `remedy` are sentences for a person. */
  Failed: { code: Schema.String, reason: Schema.String, remedy: Schema.String },
  /** Interrupted on request. */
  Cancelled: { by: Schema.String },
  /** Our own wall clock ended it. */
  TimedOut: { afterMillis: Schema.Int },
  /** The process ended without a `result` line (killed, crashed, power loss). */
  Crashed: { detail: Schema.String },
  /** A resume found no conversation (`num_turns` 0): run once more as a fresh session. */
  SessionLost: {}
})
export type AgentOutcome = typeof AgentOutcome.Type

/** A part of the turn's outcome that is already in the thread, so that settling posts only what is not. */
export const ShownPart = Schema.Struct({
  ts: MessageTs,
  /** SHA-256 hex of the Markdown that the message shows. */
  sha256: Schema.String
})
export type ShownPart = typeof ShownPart.Type

/** One row of the sandbox's ledger. Every change is synced to disk before the effect that it allows. */
export const TurnRow = Schema.Struct({
  key: TurnKey,
  request: TurnRequest,
  state: TurnState,
  /** Set from `answered` on. */
  result: Schema.optionalKey(TurnResult),
  /** Times an agent was started, 0 before the first. */
  attempt: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  session: Schema.optionalKey(SessionId),
  /** True when the run of this attempt resumes an existing session. */
  resumed: Schema.Boolean,
  /**
   * What this attempt tells the agent: the person's message, or to go on with what it was doing when it was interrupted.
   * Absent before the first attempt.
   */
  says: Schema.optionalKey(Schema.Literals(["message", "continue"])),
  /** Attempts that ended without a `result` after the agent may have begun to act; the second one parks the turn. */
  crashes: Schema.optionalKey(Schema.Int),
  /** The conversation that the turn was to continue is gone; this run began a fresh one and the thread is told so. */
  sessionLost: Schema.optionalKey(Schema.Boolean),
  /** Absolute directory of this attempt: stdout, stderr, settings. */
  runDir: Schema.optionalKey(Schema.String),
  process: Schema.optionalKey(ProcessMark),
  outcome: Schema.optionalKey(AgentOutcome),
  /** Messages of the answer or notice that are in the thread, in order. */
  shown: Schema.Array(ShownPart),
  /** A person asked to stop it: who, as shown in the thread. */
  cancelRequestedBy: Schema.optionalKey(Schema.String),
  /** The queue's receipt; renewed by a repeated delivery. */
  receipt: Schema.optionalKey(Schema.String),
  /** Unix milliseconds. */
  receivedAt: Schema.Int,
  startedAt: Schema.optionalKey(Schema.Int),
  finishedAt: Schema.optionalKey(Schema.Int)
})
export type TurnRow = typeof TurnRow.Type
