/**
 * Bridge protocol v2: what a sandbox may ask of the bridge, what it hears back, and the exact text that is signed.
 * `docs/bridge-protocol.md` says the same in words.
 */
import * as Schema from "effect/Schema"
import { GithubHost, RepositoryId } from "../github/Repository.ts"
import { ChannelId, MessageTs, SessionId, TurnKey, UserId } from "../sandbox/Ids.ts"
import { FetchedFile } from "./FetchedFile.ts"
import { QuestionId, QuestionSubject, Withdrawal } from "./Question.ts"

/** Bytes; a larger body is refused before it is parsed. Slack's own limit for one message's text is far below. */
export const maxBridgeBodyBytes = 1024 * 1024

/** Seconds by which `km-timestamp` may differ from the bridge's clock, either way. */
export const maxClockSkewSeconds = 300

/** Lower-case names of the headers of `POST /v2`. */
export const bridgeHeaders = {
  install: "km-install",
  sender: "km-sender",
  key: "km-key",
  epoch: "km-epoch",
  id: "km-id",
  timestamp: "km-timestamp",
  signature: "km-signature"
} as const

/** Every signature we make begins with its own context line, so none can be mistaken for another kind. */
export const bridgeSignatureContext = "km-bridge-v2"

/** The fields under the signature, in order. `bodySha256` is lower-case hex of the raw body. */
export interface SignedRequest {
  readonly install: string
  readonly host: string
  readonly method: string
  readonly path: string
  readonly sender: string
  readonly key: string
  readonly epoch: string
  readonly id: string
  readonly timestamp: string
  readonly bodySha256: string
}

/** The exact text that is signed: ten lines, no trailing newline. */
export const signedText = (request: SignedRequest): string =>
  [
    bridgeSignatureContext,
    request.install,
    request.host,
    `${request.method} ${request.path}`,
    request.sender,
    request.key,
    request.epoch,
    request.id,
    request.timestamp,
    request.bodySha256
  ].join("\n")

const optional = Schema.optionalKey
/** Markdown as the agent writes it; the bridge renders and splits it for Slack. */
const Markdown = Schema.String.check(Schema.isMaxLength(400_000))
/** ⏳: the agent works on this message. What may be left out where the turn ends before its time comes. */
export const workingEmoji = "hourglass_flowing_sand"
const EmojiName = Schema.String.check(Schema.isPattern(/^[a-z0-9_+'-]{1,100}$/))

/** A message of any length: split by the bridge at safe places into parts, each with its own idempotency key. */
export const PostAction = Schema.Struct({
  action: Schema.Literal("post"),
  channel: ChannelId,
  threadTs: optional(MessageTs),
  markdown: Markdown,
  /** Also show it in the channel (`reply_broadcast`). */
  broadcast: optional(Schema.Boolean)
})
export const UpdateAction = Schema.Struct({
  action: Schema.Literal("update"),
  channel: ChannelId,
  ts: MessageTs,
  markdown: Markdown
})
export const ReactAction = Schema.Struct({
  action: Schema.Literal("react"),
  channel: ChannelId,
  ts: MessageTs,
  emoji: EmojiName
})
export const UnreactAction = Schema.Struct({
  action: Schema.Literal("unreact"),
  channel: ChannelId,
  ts: MessageTs,
  emoji: EmojiName
})
/**
 * Sets a live message to its whole text: posts it the first time a `live` id is seen, edits it afterwards, continues
 * it in further messages past about 4,000 characters. Idempotent by nature: `seq` must rise, a lower one is ignored.
 */
export const LiveSetAction = Schema.Struct({
  action: Schema.Literal("live.set"),
  channel: ChannelId,
  threadTs: optional(MessageTs),
  /** Names the live message within the sender: `{turn key}` or `session:{id}:{ordinal}`, hashed by `requestIdOf`. */
  live: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{16,64}$/)),
  seq: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  markdown: Markdown,
  /**
   * It may be shown later, or never when a newer text comes first: the answer does not wait for it once the message is
   * there. Without it the answer comes when the text stands in Slack, and it goes before all that may wait.
   */
  draft: optional(Schema.Boolean)
})
/** Bytes travel through `Objects` under the sender's own prefix; the bridge checks size and digest before sending. */
export const UploadAction = Schema.Struct({
  action: Schema.Literal("upload"),
  channel: ChannelId,
  threadTs: optional(MessageTs),
  object: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._/-]{1,500}$/)),
  filename: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._-]{1,200}$/)),
  title: Schema.String.check(Schema.isMaxLength(200)),
  contentType: Schema.Literals(["application/gzip", "application/json", "text/plain", "application/octet-stream"]),
  size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 * 1024 * 1024 })),
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)),
  /** Id of the file this one replaces: deleted after the new one is in place. */
  replaces: optional(Schema.String)
})
/**
 * Bytes of a file that a person dropped into the sender's channel: the bridge fetches it with its token and stores it as an
 * object of the sender's, which deletes it when it has it. What cannot be had is a result too, and recorded like one.
 */
export const FileGetAction = Schema.Struct({
  action: Schema.Literal("file.get"),
  channel: ChannelId,
  /** The message that shows it. */
  ts: MessageTs,
  file: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9]{2,100}$/))
})
export const PermalinkAction = Schema.Struct({
  action: Schema.Literal("permalink"),
  channel: ChannelId,
  ts: MessageTs
})
export const ThreadPutAction = Schema.Struct({
  action: Schema.Literal("thread.put"),
  channel: ChannelId,
  threadTs: MessageTs,
  session: SessionId
})
export const ThreadLookupAction = Schema.Struct({
  action: Schema.Literal("thread.lookup"),
  /** Exactly one of the two. */
  threadTs: optional(MessageTs),
  session: optional(SessionId)
})
export const UserLookupAction = Schema.Struct({
  action: Schema.Literal("user.lookup"),
  user: UserId
})
/** "I am alive": feeds idle detection and `km status`. */
export const ActivityAction = Schema.Struct({
  action: Schema.Literal("activity"),
  /** Unix milliseconds of the last turn or interactive prompt; 0 when there was none. */
  lastActiveAt: Schema.Int,
  ready: Schema.Boolean,
  /** One line a plugin, as `km status` shows it. */
  plugins: Schema.Array(Schema.Struct({ id: Schema.String, state: Schema.String, detail: Schema.String })),
  confined: Schema.Boolean
})
/** A sandbox's proxy was refused by GitHub: its tokens are to be made anew. At most once a minute for a sandbox. */
export const RepositoryRefreshAction = Schema.Struct({ action: Schema.Literal("repository.refresh") })
/**
 * Shows a question with its buttons and keeps it, so that clicks can be judged. The deadline may be set earlier than asked
 * for: it is before the sandbox's end.
 */
export const AskAction = Schema.Struct({
  action: Schema.Literal("ask"),
  channel: ChannelId,
  threadTs: optional(MessageTs),
  question: QuestionSubject
})
/** Takes an undecided question back; one that is decided stays so, and the answer says how. */
export const AskCloseAction = Schema.Struct({
  action: Schema.Literal("ask.close"),
  /** As they were in `ask`. */
  turn: TurnKey,
  n: QuestionSubject.fields.n,
  why: Withdrawal
})

/** Milliseconds that a pull request is held, at most: longer than GitHub takes over a merge, and all before it. */
export const pullHoldMillis = 120_000
const HeldPull = { host: GithubHost, repository: RepositoryId, pull: Schema.Int.check(Schema.isGreaterThan(0)) }
/** The pull request is mine until I release it, or for `pullHoldMillis`; `in_progress` while it is another's. */
export const PullHoldAction = Schema.Struct({ action: Schema.Literal("pull.hold"), ...HeldPull })
export const PullReleaseAction = Schema.Struct({
  action: Schema.Literal("pull.release"),
  ...HeldPull,
  /** What the hold was answered with. */
  token: Schema.String.check(Schema.isMaxLength(200)),
  /** Nobody holds it for so long yet: what was sent to GitHub may still be on its way. */
  restMillis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: pullHoldMillis }))
})
/** Operators only: creates or finds the sandbox's channel, joins, invites. Never unarchives (bot tokens cannot). */
export const ChannelEnsureAction = Schema.Struct({
  action: Schema.Literal("channel.ensure"),
  sandbox: Schema.String,
  name: Schema.String.check(Schema.isPattern(/^[a-z0-9_-]{1,80}$/)),
  private: Schema.Boolean,
  /** A channel this alias used before; reused while it is not archived, linked from the new one otherwise. */
  previous: optional(ChannelId),
  topic: Schema.String.check(Schema.isMaxLength(250)),
  inviteEmails: Schema.Array(Schema.String)
})
/** Operators only. */
export const ArchiveAction = Schema.Struct({ action: Schema.Literal("archive"), channel: ChannelId })
/** Operators only: proves token, scopes and metadata read-back without leaving a message behind. */
export const TestAction = Schema.Struct({ action: Schema.Literal("test"), channel: optional(ChannelId) })
/** Operators only: what the bridge knows of its own connection to Slack; asks Slack nothing. */
export const StateAction = Schema.Struct({ action: Schema.Literal("state") })
/** Operators only: forgets what the bridge remembers of a destroyed sandbox (posts, lives, thread rows). */
export const PurgeAction = Schema.Struct({ action: Schema.Literal("purge"), sandbox: Schema.String })

export const BridgeAction = Schema.Union([
  PostAction,
  UpdateAction,
  ReactAction,
  UnreactAction,
  LiveSetAction,
  UploadAction,
  FileGetAction,
  PermalinkAction,
  ThreadPutAction,
  ThreadLookupAction,
  UserLookupAction,
  ActivityAction,
  RepositoryRefreshAction,
  AskAction,
  AskCloseAction,
  PullHoldAction,
  PullReleaseAction,
  ChannelEnsureAction,
  ArchiveAction,
  TestAction,
  StateAction,
  PurgeAction
])
export type BridgeAction = typeof BridgeAction.Type
export type ActionName = BridgeAction["action"]

/** One Slack message that an action made or changed. */
export const PostedPart = Schema.Struct({ ts: MessageTs, permalink: optional(Schema.String) })

/** The `User-Agent` of our own challenge to the Events URL, which is not counted as heard from Slack. */
export const ownProbe = "km-slack-status"

/** When Slack was heard, in Unix milliseconds; nothing is kept over a restart but `firstAt`. */
export const HeardState = Schema.Struct({
  /** The bridge's own start. */
  startedAt: Schema.Int,
  /** When something that is proved to be Slack's first came, ever. */
  firstAt: optional(Schema.Int),
  /** The last challenge of the Events URL, and the last event. */
  challengeAt: optional(Schema.Int),
  eventAt: optional(Schema.Int),
  /** The last request or envelope that was refused. */
  refused: optional(Schema.Struct({ at: Schema.Int, code: Schema.String, detail: Schema.String }))
})
export type HeardState = typeof HeardState.Type

/** The union of what actions answer with; each action fills the fields its name suggests. */
export const BridgeResult = Schema.Struct({
  ok: Schema.Literal(true),
  /** post, update, live.set: the messages, in order. */
  parts: optional(Schema.Array(PostedPart)),
  /** upload. `link` is set where the channel refuses files and an expiring link was posted instead. */
  file: optional(
    Schema.Struct({ id: Schema.String, permalink: optional(Schema.String), link: optional(Schema.String) })
  ),
  /** file.get. */
  fetched: optional(FetchedFile),
  permalink: optional(Schema.String),
  /** thread.lookup: absent when unknown. */
  thread: optional(Schema.Struct({ channel: ChannelId, threadTs: MessageTs, session: optional(SessionId) })),
  /** user.lookup. */
  user: optional(Schema.Struct({ id: UserId, name: Schema.String, external: Schema.Boolean })),
  /** ask, ask.close: the question as it is kept. */
  question: optional(Schema.Struct({
    id: QuestionId,
    deadline: Schema.Int,
    state: Schema.Literals(["open", "approved", "denied", "withdrawn"]),
    /** Who decided, as shown to people. */
    by: optional(Schema.String),
    /** Which of the options, from 0. */
    chosen: optional(Schema.Int)
  })),
  /** channel.ensure. */
  channel: optional(Schema.Struct({
    id: ChannelId,
    name: Schema.String,
    created: Schema.Boolean,
    /** Invitations that failed, as sentences. */
    warnings: Schema.Array(Schema.String)
  })),
  /** test: what was proved, as `name: ok|problem` lines. */
  checks: optional(Schema.Array(Schema.Struct({ name: Schema.String, ok: Schema.Boolean, detail: Schema.String }))),
  /** pull.hold: what releases it. */
  hold: optional(Schema.String),
  /** state. */
  heard: optional(HeardState),
  /** True when this is the recorded result of an earlier call with the same id. */
  replayed: optional(Schema.Boolean)
})
export type BridgeResult = typeof BridgeResult.Type

/**
 * Stable wire codes of `POST /v2`. The first group is final for the request, `in_progress` … are retried by the
 * client with the same id, the last group is Slack's final word and settles a turn as `undeliverable`.
 */
export const BridgeErrorCode = Schema.Literals([
  "too_large",
  "bad_request",
  "bad_header",
  "stale_timestamp",
  "unauthenticated",
  "revoked_key",
  "stale_epoch",
  "forbidden",
  "unknown_action",
  "already_done",
  "bad_object",
  "in_progress",
  "rate_limited",
  "unavailable",
  "is_archived",
  "channel_not_found",
  "not_in_channel",
  "token_revoked",
  "thread_gone",
  "creation_forbidden",
  "slack_refused"
])
export type BridgeErrorCode = typeof BridgeErrorCode.Type

export const retryableBridgeCodes: ReadonlySet<BridgeErrorCode> = new Set([
  "in_progress",
  "rate_limited",
  "unavailable"
])
export const undeliverableBridgeCodes: ReadonlySet<BridgeErrorCode> = new Set([
  "is_archived",
  "channel_not_found",
  "not_in_channel",
  "token_revoked",
  "thread_gone",
  "creation_forbidden",
  "slack_refused"
])

export const BridgeFailure = Schema.Struct({
  ok: Schema.Literal(false),
  error: Schema.Struct({
    code: BridgeErrorCode,
    message: Schema.String,
    retryAfterMillis: optional(Schema.Int)
  }),
  /** With `already_done`: what the first request with this id came to. */
  recorded: optional(BridgeResult)
})
export type BridgeFailure = typeof BridgeFailure.Type

export const BridgeAnswer = Schema.Union([BridgeResult, BridgeFailure])
export type BridgeAnswer = typeof BridgeAnswer.Type
