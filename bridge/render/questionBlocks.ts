/**
 * A question as Slack shows it. What the agent wrote stands in `plain_text` alone, where nothing is markup, a mention or
 * a link (docs.slack.dev/reference/block-kit/composition-objects/text-object); `mrkdwn` holds words of ours.
 */
import {
  approveAction,
  buttonValue,
  deciderOf,
  denyAction,
  optionActions,
  type QuestionRecord,
  type Withdrawal
} from "../../runtime/domain/slack/Question.ts"
import { foreignLine, foreignText } from "../../runtime/domain/text/ForeignText.ts"
import { utcMinute } from "../../runtime/domain/text/PromptText.ts"

export interface QuestionMessage {
  /** For notifications: nothing of the agent's. */
  readonly text: string
  readonly blocks: ReadonlyArray<Readonly<Record<string, unknown>>>
}

const plain = (text: string) => ({ type: "plain_text", text, emoji: false })
const context = (...elements: ReadonlyArray<Readonly<Record<string, unknown>>>) => ({ type: "context", elements })
const ours = (text: string) => ({ type: "mrkdwn", text, verbatim: true })

/** Characters on a button: 75 (docs.slack.dev/reference/block-kit/block-elements/button-element). */
const labelOf = (option: string): string => foreignLine(option, 75) || "…"

/** Characters of a name in a sentence. */
const nameCharacters = 80
const nameOf = (name: string): string => foreignLine(name, nameCharacters)

const button = (record: QuestionRecord, action: string, label: string, style?: "primary" | "danger") => ({
  type: "button",
  action_id: action,
  text: plain(label),
  ...(style === undefined ? {} : { style }),
  value: buttonValue(record)
})

const withdrawn: Readonly<Record<Withdrawal, string>> = {
  expired: "⌛ Nobody decided in time. Denied.",
  stopped: "🛑 Taken back: the turn was stopped. Nothing was run.",
  over: "🛑 Taken back: the agent does not wait for it any longer. Nothing was run."
}

const whoMay = ({ subject }: QuestionRecord): string => {
  const who = subject.deciders === undefined
    ? "Whoever may drive the agent decides"
    : subject.deciders.length === 0
    ? "Only operators decide"
    : `${subject.deciders.map((user) => `<@${user}>`).join(", ")} decide`
  return subject.quorum === 1 ? who : `${who}; ${subject.quorum} must approve`
}

/** How it stands, below the call: the buttons while it is open. */
const standing = (record: QuestionRecord): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  const voice = deciderOf(record)
  if (record.state === "withdrawn") return [{ type: "section", text: plain(withdrawn[record.why ?? "over"]) }]
  if (record.state !== "open" && voice !== undefined) {
    const option = record.chosen === undefined ? undefined : record.subject.options?.[record.chosen]
    if (option !== undefined) {
      return [{
        type: "section",
        text: plain(`✅ ${nameOf(voice.name)} answered: ${labelOf(option)} (${utcMinute(voice.at)}).`)
      }]
    }
    const names = record.verdict === "approved"
      ? record.approvals.map(({ name }) => nameOf(name))
      : [nameOf(voice.name)]
    return [{
      type: "section",
      text: plain(
        `${record.verdict === "approved" ? "✅ Approved" : "🚫 Denied"} by ${names.join(", ")}, ${utcMinute(voice.at)}.`
      )
    }]
  }
  const soFar = record.approvals.map(({ name }) => nameOf(name))
  return [
    context(
      ours(`${whoMay(record)}. Without an answer until ${utcMinute(record.subject.deadline)} it is denied.`),
      ...(soFar.length === 0
        ? []
        : [plain(`✅ ${soFar.length} of ${record.subject.quorum} approved: ${soFar.join(", ")}`)])
    ),
    {
      type: "actions",
      elements: [
        ...(record.subject.options === undefined
          ? [button(record, approveAction, "Approve", "primary")]
          : record.subject.options.map((option, n) => button(record, optionActions[n] ?? "", labelOf(option)))),
        button(record, denyAction, record.subject.options === undefined ? "Deny" : "No answer", "danger")
      ]
    }
  ]
}

/** `block_id`s are other ones at each revision, as Slack wants it of edited messages. */
export const questionMessage = (record: QuestionRecord): QuestionMessage => {
  const { callSha256, n, options, shown, tool } = record.subject
  const blocks = [
    {
      type: "section",
      text: plain(
        options === undefined ? `🔐 The agent asks: may it use ${foreignLine(tool, 100)}?` : "💬 The agent asks:"
      )
    },
    { type: "section", text: plain(foreignText(shown).trim() === "" ? "(no input)" : foreignText(shown)) },
    context(ours(`Question ${n} of this turn, call \`${callSha256.slice(0, 12)}\`.`)),
    ...standing(record)
  ]
  return {
    text: record.state === "open" ? "The agent asks for permission." : "The agent's question is answered.",
    blocks: blocks.map((block, index) => ({ ...block, block_id: `km_question_${record.revision}_${index}` }))
  }
}
