/**
 * The CLI's tool by which the agent asks its user (AskUserQuestion): offered only where somebody answers for the user, who
 * puts the answer into the call's own input (measured with 2.1.330). Pure.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { AgentChoice } from "../../ports/Agent.ts"

const toolName = "AskUserQuestion"

const Input = Schema.Struct({
  questions: Schema.Array(Schema.Struct({
    question: Schema.String,
    multiSelect: Schema.optionalKey(Schema.Boolean),
    options: Schema.Array(Schema.Struct({
      label: Schema.NonEmptyString,
      description: Schema.optionalKey(Schema.String)
    }))
  }))
})
const decode = Schema.decodeUnknownOption(Input)

/** What the agent is told where buttons cannot hold its question. */
export const notOnButtons =
  "Here people answer with one button: ask one question at a time, with two to four short options of which one is chosen, " +
  "or ask in the text of your answer."

/** `undefined`: no question to the user. `"unfit"`: one that buttons cannot hold. */
export const choiceOf = (tool: string, input: unknown): AgentChoice | "unfit" | undefined => {
  if (tool !== toolName) return undefined
  const questions = Option.getOrUndefined(decode(input))?.questions ?? []
  const [asked] = questions
  return asked === undefined || questions.length !== 1 || asked.multiSelect === true ||
      asked.options.length < 2 || asked.options.length > 4
    ? "unfit"
    : {
      question: asked.question,
      options: asked.options.map(({ description, label }) => ({ label, description: description ?? "" }))
    }
}

/** The call's input with the answer in it. */
export const answeredInput = (input: unknown, choice: AgentChoice, chosen: number): unknown => ({
  ...(typeof input === "object" ? input : {}),
  answers: { [choice.question]: choice.options[chosen]?.label ?? "" }
})
