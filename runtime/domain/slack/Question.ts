/**
 * A question to people whether the agent may do something: what is kept of it, and what a click on its buttons comes to.
 * Pure: the bridge writes down what this decides, by one conditional write, before anybody is told.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { maxQuorum } from "../profile/PermissionRules.ts"
import { ChannelId, MessageTs, SandboxId, SessionId, TeamId, TurnKey, UserId } from "../sandbox/Ids.ts"

const optional = Schema.optionalKey

/** Lower-case hex of a SHA-256. */
const Sha256 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

/** Names a question among those of its sandbox. It opens nothing: every click is judged by what is kept under it. */
export const QuestionId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/)).pipe(
  Schema.brand("km/QuestionId")
)
export type QuestionId = typeof QuestionId.Type

/** Characters of what people are shown of a call: a section of a message holds 3,000 (docs.slack.dev, section block). */
export const maxShownCharacters = 2_800
/** The same in bytes of JSON, so that a record fits where facts are kept (16 KiB). */
export const maxShownBytes = 9_000

/** What is asked about, and of whom. All of it is bound by the decision. */
export const QuestionSubject = Schema.Struct({
  turn: TurnKey,
  /** Of the turn, from 1. */
  n: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
  session: SessionId,
  tool: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(200)),
  /** Of the tool's name and its whole input: what was shown may be cut, this is not. */
  callSha256: Sha256,
  /** The input for people, without secrets and hidden characters; shown as it is, never as markup. */
  shown: Schema.String.check(Schema.isMaxLength(maxShownCharacters)),
  /** Answers of which one is chosen, in place of Approve. */
  options: optional(
    Schema.Array(Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(75))).check(
      Schema.isMinLength(1),
      Schema.isMaxLength(4)
    )
  ),
  /** How many must approve. One who denies is enough. */
  quorum: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxQuorum })),
  /** The only people who may decide; absent: whoever may drive the agent. Operators always may. */
  deciders: optional(Schema.Array(UserId).check(Schema.isMaxLength(20))),
  /** Unix milliseconds, exclusive: a click from then on decides nothing. */
  deadline: Schema.Int
})
export type QuestionSubject = typeof QuestionSubject.Type

/** Why a question was taken back undecided. */
export const Withdrawal = Schema.Literals(["expired", "stopped", "over"])
export type Withdrawal = typeof Withdrawal.Type

const Voice = Schema.Struct({ user: UserId, name: Schema.String, at: Schema.Int })

/** `deciding`: decided, and not yet in the journal; `decided`: the agent was told. Each comes once. */
export const QuestionRecord = Schema.Struct({
  id: QuestionId,
  sandbox: SandboxId,
  /** Of the sandbox's row: a later life of the same id is another sandbox. */
  generation: Schema.String,
  subject: QuestionSubject,
  channel: ChannelId,
  threadTs: optional(MessageTs),
  /** The message that shows it; absent until Slack has said so. */
  ts: optional(MessageTs),
  askedAt: Schema.Int,
  state: Schema.Literals(["open", "deciding", "decided", "withdrawn"]),
  verdict: optional(Schema.Literals(["approved", "denied"])),
  /** Which of the options, from 0. */
  chosen: optional(Schema.Int),
  why: optional(Withdrawal),
  /** Those who approved, in their order. */
  approvals: Schema.Array(Voice),
  /** Who denied. */
  denial: optional(Voice),
  /** What was last to be shown; higher than `shownRevision` while Slack does not show it yet. */
  revision: Schema.Int,
  shownRevision: Schema.Int
})
export type QuestionRecord = typeof QuestionRecord.Type

const RecordJson = Schema.fromJsonString(QuestionRecord)
export const decodeQuestion = Schema.decodeUnknownOption(RecordJson)
export const encodeQuestion = Schema.encodeSync(RecordJson)

/** Under which an install remembers a question of a sandbox. */
export const questionFact = (id: QuestionId): string => `question:${id}`
export const questionFacts = "question:"

/** The value of a button: the names under which its question is looked up, and nothing that decides. */
export const buttonValue = (record: Pick<QuestionRecord, "id" | "sandbox">): string => `${record.sandbox}/${record.id}`

const isSandbox = Schema.is(SandboxId)
const isQuestion = Schema.is(QuestionId)

export const parseButtonValue = (
  value: string
): Option.Option<{ readonly sandbox: SandboxId; readonly id: QuestionId }> => {
  const [sandbox, id, ...rest] = value.split("/")
  return rest.length === 0 && isSandbox(sandbox) && isQuestion(id) ? Option.some({ sandbox, id }) : Option.none()
}

/** `action_id` of the two buttons. */
export const approveAction = "km_question_approve"
export const denyAction = "km_question_deny"
/** Of the buttons of options, by their numbers. */
export const optionActions: ReadonlyArray<string> = [0, 1, 2, 3].map((option) => `km_question_option_${option}`)

/** A click as proved by Slack's signature or socket; nothing else in it is believed. */
export interface Click {
  readonly team: TeamId
  readonly user: UserId
  readonly channel: ChannelId
  readonly message: MessageTs
  readonly choice: "approve" | "deny"
  /** The number of the option whose button it was; an approval without one is of a question without options. */
  readonly option?: number
  /** What the button carried. */
  readonly value: string
}

/** What the judge must know beside the record. */
export interface ClickContext {
  /** Unix milliseconds. */
  readonly now: number
  /** The person as shown to others. */
  readonly name: string
  /** Whether this person may drive the sandbox's agent, or operates the install. */
  readonly mayDrive: boolean
  readonly isOperator: boolean
  /** Of the sandbox's row; undefined where there is none, or it is ending. */
  readonly generation: string | undefined
  /** Whether the channel of the click is the record's, also where Slack has given it another id since. */
  readonly sameChannel: boolean
}

/** Why a click changes nothing; each is told to who clicked. */
export type ClickRefusal =
  | "unknown"
  | "gone"
  | "elsewhere"
  | "unready"
  | "expired"
  | "withdrawn"
  | "decided"
  | "not_yours"
  | "again"

export type ClickVerdict =
  | { readonly _tag: "Refused"; readonly why: ClickRefusal }
  | { readonly _tag: "Counted"; readonly record: QuestionRecord }

const refused = (why: ClickRefusal): ClickVerdict => ({ _tag: "Refused", why })

const mayDecide = (record: QuestionRecord, click: Click, context: ClickContext): boolean =>
  context.isOperator ||
  (record.subject.deciders === undefined ? context.mayDrive : record.subject.deciders.includes(click.user))

/**
 * What a click comes to: the checks in the order of docs/slack-notifications.md. What is `Counted` holds only once it has
 * taken the place of exactly this record.
 */
export const judgeClick = (record: QuestionRecord, click: Click, context: ClickContext): ClickVerdict => {
  const { now } = context
  if (context.generation === undefined || context.generation !== record.generation) return refused("gone")
  if (record.ts === undefined) return refused("unready")
  // A click elsewhere learns nothing of the question, not even that it is over.
  if (record.ts !== click.message || !context.sameChannel) return refused("elsewhere")
  if (record.state === "withdrawn") return refused(record.why === "expired" ? "expired" : "withdrawn")
  if (record.state !== "open") return refused("decided")
  if (now >= record.subject.deadline) return refused("expired")
  if (!mayDecide(record, click, context)) return refused("not_yours")
  const voice = { user: click.user, name: context.name, at: now }
  const revision = record.revision + 1
  if (click.choice === "deny") {
    return {
      _tag: "Counted",
      record: { ...record, state: "deciding", verdict: "denied", denial: voice, revision }
    }
  }
  const { options } = record.subject
  // A button that this question never had.
  if (options === undefined ? click.option !== undefined : options[click.option ?? -1] === undefined) {
    return refused("elsewhere")
  }
  if (record.approvals.some(({ user }) => user === click.user)) return refused("again")
  const approvals = [...record.approvals, voice]
  return {
    _tag: "Counted",
    record: approvals.length >= record.subject.quorum
      ? {
        ...record,
        state: "deciding",
        verdict: "approved",
        ...(click.option === undefined ? {} : { chosen: click.option }),
        approvals,
        revision
      }
      : { ...record, approvals, revision }
  }
}

/** The question taken back; as it is where it was decided or taken back before. */
export const withdraw = (record: QuestionRecord, why: Withdrawal): QuestionRecord =>
  record.state === "open" ? { ...record, state: "withdrawn", why, revision: record.revision + 1 } : record

/** Who decided, as others may read it: the last one who approved, or who denied. */
export const deciderOf = (record: QuestionRecord): typeof Voice.Type | undefined =>
  record.denial ?? record.approvals.at(-1)
