/**
 * Branded identifiers and the two keys everything durable hangs on: the turn key and the idempotency key.
 * A brand costs nothing at run time and makes it a type error to pass a channel where a sandbox is wanted.
 */
import * as Schema from "effect/Schema"
import { sha256Base64Url } from "../text/Digest.ts"

/** One deployment's resource prefix. Default `km`. */
export const InstallName = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9-]{0,19}$/)).pipe(
  Schema.brand("km/InstallName")
)
export type InstallName = typeof InstallName.Type

/**
 * `{prefix}-{hex}`, as the reference makes them (`sb-1a2b3c4d`); made by us with eight hex digits.
 * The literal `operator` is never a sandbox id.
 */
export const SandboxId = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9]{0,11}-[a-z0-9]{1,20}$/)).pipe(
  Schema.brand("km/SandboxId")
)
export type SandboxId = typeof SandboxId.Type

/** A person's name for a sandbox; unique in an install while a sandbox holds it. */
export const Alias = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/)).pipe(Schema.brand("km/Alias"))
export type Alias = typeof Alias.Type

/** Who signs a bridge request: a sandbox, or the operator of the install. */
export const SenderId = Schema.Union([SandboxId, Schema.Literal("operator")])
export type SenderId = typeof SenderId.Type

const teamPattern = /^[TE][A-Z0-9]{2,20}$/
/** Slack's `T…` (or `E…` on Enterprise Grid). */
export const TeamId = Schema.String.check(Schema.isPattern(teamPattern)).pipe(Schema.brand("km/TeamId"))
export type TeamId = typeof TeamId.Type
/** What the schema says, at a hundredth of its cost; so are those below. */
export const isTeamId = (value: unknown): value is TeamId => typeof value === "string" && teamPattern.test(value)

const channelPattern = /^[CGD][A-Z0-9]{2,20}$/
/** Slack's `C…`; `G…` for private channels made before ids were unified; `D…` for direct messages. */
export const ChannelId = Schema.String.check(Schema.isPattern(channelPattern)).pipe(Schema.brand("km/ChannelId"))
export type ChannelId = typeof ChannelId.Type
export const isChannelId = (value: unknown): value is ChannelId =>
  typeof value === "string" && channelPattern.test(value)

const userPattern = /^[UW][A-Z0-9]{2,20}$/
/** Slack's `U…` or `W…`. */
export const UserId = Schema.String.check(Schema.isPattern(userPattern)).pipe(Schema.brand("km/UserId"))
export type UserId = typeof UserId.Type
export const isUserId = (value: unknown): value is UserId => typeof value === "string" && userPattern.test(value)

const tsPattern = /^\d{9,11}\.\d{6}$/
/** Slack's message id within a channel: Unix seconds, a dot, six digits. Compare as strings of equal length only. */
export const MessageTs = Schema.String.check(Schema.isPattern(tsPattern)).pipe(Schema.brand("km/MessageTs"))
export type MessageTs = typeof MessageTs.Type
export const isMessageTs = (value: unknown): value is MessageTs => typeof value === "string" && tsPattern.test(value)

/** Slack's `ts` in order of time; seconds had fewer digits before 2001, and "" is before all. */
export const isLater = (a: string, b: string): boolean => a.length === b.length ? a > b : Number(a) > Number(b)

/** The agent's own conversation id: a lower-case UUID, chosen by us before the first run. */
export const SessionId = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
).pipe(Schema.brand("km/SessionId"))
export type SessionId = typeof SessionId.Type

/** Names one public key of one sender: the first 16 hex digits of the SHA-256 of its 32 raw bytes. */
export const KeyId = Schema.String.check(Schema.isPattern(/^[0-9a-f]{16}$/)).pipe(Schema.brand("km/KeyId"))
export type KeyId = typeof KeyId.Type

/**
 * The queue's dedupe id, the ledger's primary key and the root of every idempotency key of a turn:
 * `{team}:{channel}:{ts}` for Slack, `mail:{hash}` for email; `~n` is appended by a replay.
 * At most 128 characters of SQS's own alphabet (MessageDeduplicationId, AWS SQS API reference).
 */
export const TurnKey = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._:~-]{3,128}$/)).pipe(
  Schema.brand("km/TurnKey")
)
export type TurnKey = typeof TurnKey.Type

/** The key of a turn that a Slack message starts. */
export const slackTurnKey = (team: TeamId, channel: ChannelId, ts: MessageTs): TurnKey =>
  TurnKey.make(`${team}:${channel}:${ts}`)

/** The key of the `n`-th replay (n ≥ 2) of a parked turn; replays of replays share the same root. */
export const replayTurnKey = (key: TurnKey, n: number): TurnKey => TurnKey.make(`${key.replace(/~\d+$/, "")}~${n}`)

/** A FIFO group: messages of one group never overtake each other. `{channel}:{thread ts}` for Slack. */
export const GroupId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._:-]{1,128}$/)).pipe(
  Schema.brand("km/GroupId")
)
export type GroupId = typeof GroupId.Type

/** What the `km-id` header carries: 16 to 64 of the characters `A-Z a-z 0-9 _ -`. */
export const RequestId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{16,64}$/)).pipe(
  Schema.brand("km/RequestId")
)
export type RequestId = typeof RequestId.Type

/**
 * The request id of one effect: the SHA-256 of its readable key, such as `T1:C1:1.000001/answer/0`, in base64url
 * (43 characters). The same effect always has the same id, in every process and after every restart.
 */
export const requestIdOf = (effectKey: string): RequestId => RequestId.make(sha256Base64Url(effectKey))
