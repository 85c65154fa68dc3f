/** From the lines of a run to its events and its one outcome. Pure: the same lines always mean the same. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SessionId } from "../../domain/sandbox/Ids.ts"
import { withoutHidden } from "../../domain/text/HiddenText.ts"
import { AgentOutcome } from "../../domain/turn/Turn.ts"
import { AgentEvent } from "../../ports/Agent.ts"
import { agentErrors, type ErrorCode } from "./ErrorCodes.ts"
import type { Line, ResultLine } from "./StreamJson.ts"

/** What is known of a run while it runs. */
export interface RunFacts {
  readonly lastResult: Option.Option<ResultLine>
  /** Text blocks of the main agent's last message that had text. */
  readonly lastMessage: { readonly id: string; readonly texts: ReadonlyArray<string> }
  /** Text blocks of the main agent so far. */
  readonly ordinal: number
  /** The last API retry said that no retry can help. */
  readonly hopeless: Option.Option<ErrorCode>
}

export const noFacts: RunFacts = {
  lastResult: Option.none(),
  lastMessage: { id: "", texts: [] },
  ordinal: 0,
  hopeless: Option.none()
}

const isSessionId = Schema.is(SessionId)

/** 401 is retried by the CLI for minutes (measured), although only a person can help. */
const hopelessRetry = (status: number | null, error: string): Option.Option<ErrorCode> =>
  status === 401 || status === 403 || error === "authentication_failed"
    ? Option.some(agentErrors.authentication)
    : status === 402 || error === "billing_error"
    ? Option.some(agentErrors.billing)
    : Option.none()

/** The facts after one more line, and what the line says to those who watch. */
export const step = (facts: RunFacts, line: Line): readonly [RunFacts, ReadonlyArray<AgentEvent>] => {
  switch (line.type) {
    case "system":
      return line.subtype === "init"
        ? [
          facts,
          isSessionId(line.session_id) ? [AgentEvent.Initialized({ session: line.session_id, model: line.model })] : []
        ]
        : [
          { ...facts, hopeless: hopelessRetry(line.error_status, line.error) },
          [AgentEvent.ApiRetry({
            attempt: line.attempt,
            maxRetries: line.max_retries,
            status: line.error_status,
            error: line.error
          })]
        ]
    case "assistant": {
      const parent = line.parent_tool_use_id ?? undefined
      if (parent !== undefined) {
        const of = { parent, agent: line.agent_id ?? parent, type: line.subagent_type ?? "" }
        return [
          facts,
          line.message.content.flatMap((block) =>
            "name" in block ? [AgentEvent.SubagentToolUsed({ id: block.id, ...of })] : []
          )
        ]
      }
      // An API error in the model's mouth is a failure, not text of the turn; the result line reports it.
      if (line.error !== undefined && line.error !== null) return [facts, []]
      const events: Array<AgentEvent> = []
      let { lastMessage, ordinal } = facts
      for (const block of line.message.content) {
        if ("text" in block) {
          if (block.text.trim() === "") continue
          events.push(AgentEvent.Text({ ordinal, text: block.text }))
          ordinal++
          lastMessage = {
            id: line.message.id,
            texts: lastMessage.id === line.message.id ? [...lastMessage.texts, block.text] : [block.text]
          }
        } else if ("name" in block) {
          events.push(AgentEvent.ToolUsed({ id: block.id, name: block.name, input: block.input }))
        }
      }
      return [{ ...facts, lastMessage, ordinal, hopeless: Option.none() }, events]
    }
    case "user": {
      const nested = line.parent_tool_use_id !== undefined && line.parent_tool_use_id !== null
      if (nested || typeof line.message.content === "string") return [facts, []]
      return [
        facts,
        line.message.content.flatMap((block) =>
          "tool_use_id" in block
            ? [AgentEvent.ToolFinished({ id: block.tool_use_id, isError: block.is_error === true })]
            : []
        )
      ]
    }
    case "result":
      return [{ ...facts, lastResult: Option.some(line) }, []]
  }
}

/** Put into a door's refusal, so that the end of the run can be told from another 403. */
export const budgetMarker = "KM-MDL-006"

const failed = (error: ErrorCode, detail: string): AgentOutcome =>
  AgentOutcome.cases.Failed.make({
    code: error.code,
    reason: detail === "" ? error.what : `${error.what}: ${detail}`,
    remedy: error.remedy
  })

const reasonChars = 500

/**
 * One line of agent-side text for a person: without what is not seen, at most 500 characters. A word that the cut goes
 * through is left out: half a token has no shape by which the redactor would know it.
 */
export const oneLine = (text: string): string => {
  const flat = withoutHidden(text).replace(/\s+/g, " ").trim()
  return flat.length > reasonChars ? `${flat.slice(0, reasonChars).replace(/[!-~]{1,500}$/, "")}…` : flat
}

const byStatus = (status: number | null, text: string): ErrorCode => {
  if (text.includes(budgetMarker)) return agentErrors.budget
  if (/credit balance|billing/i.test(text)) return agentErrors.billing
  switch (status) {
    case 401:
    case 403:
      return agentErrors.authentication
    case 402:
      return agentErrors.billing
    case 404:
      return agentErrors.modelNotFound
    case 413:
      return agentErrors.tooLarge
    case 429:
      return agentErrors.rateLimited
    case 400:
    case 422:
      return agentErrors.refused
    case null:
      return agentErrors.modelUnreachable
    default:
      return status >= 500 ? agentErrors.modelUnavailable : agentErrors.other
  }
}

const failureOf = (result: ResultLine): AgentOutcome => {
  const text = oneLine(result.result ?? result.errors?.join("; ") ?? "")
  const reason = result.terminal_reason ?? ""
  if (reason === "prompt_too_long" || reason === "image_error") return failed(agentErrors.tooLarge, text)
  if (reason === "budget_exhausted" || result.subtype === "error_max_budget_usd") {
    return failed(agentErrors.budget, text)
  }
  if (result.subtype === "error_max_turns") return failed(agentErrors.turnLimit, text)
  if (/blocked by hook/i.test(text)) return failed(agentErrors.blocked, text)
  if (/not logged in|invalid api key|please run \/login/i.test(text)) return failed(agentErrors.authentication, text)
  if (/output token maximum|max_output_tokens/i.test(text)) return failed(agentErrors.outputLimit, text)
  if (reason === "api_error" || result.api_error_status !== undefined && result.api_error_status !== null) {
    return failed(byStatus(result.api_error_status ?? null, text), text)
  }
  return failed(agentErrors.other, text === "" ? reason : text)
}

const isLost = (result: ResultLine): boolean =>
  result.num_turns === 0 && result.errors?.some((error) => error.startsWith("No conversation found")) === true

/** Success means exactly this, whatever `subtype` or the exit code say. */
const isSuccess = (result: ResultLine): boolean =>
  !result.is_error && (result.terminal_reason === undefined || result.terminal_reason === null ||
    result.terminal_reason === "completed")

/** What the `result` lines say; none when there is no such line. */
export const outcomeOfResult = (facts: RunFacts): Option.Option<AgentOutcome> =>
  Option.map(facts.lastResult, (result) => {
    if (isSuccess(result)) {
      const text = facts.lastMessage.texts.join("\n\n")
      return AgentOutcome.cases.Answered.make({ text: text === "" ? result.result ?? "" : text })
    }
    if (isLost(result)) return AgentOutcome.cases.SessionLost.make({})
    if (result.terminal_reason?.startsWith("aborted") === true) {
      return Option.match(facts.hopeless, {
        onNone: () => AgentOutcome.cases.Cancelled.make({ by: "a signal" }),
        onSome: (error) => failed(error, "")
      })
    }
    return failureOf(result)
  })

export interface RunEnd {
  /** The last bytes of standard error, as text. */
  readonly stderr: string
  readonly exit: string
}

/** The outcome of a run that ended by itself. */
export const outcomeOf = (facts: RunFacts, end: RunEnd): AgentOutcome =>
  Option.getOrElse(outcomeOfResult(facts), () => {
    if (Option.isSome(facts.hopeless)) return failed(facts.hopeless.value, "")
    // The id has a transcript without a usable conversation (or another run owns it): only a new id helps.
    if (/Session ID \S+ is already in use/.test(end.stderr)) return AgentOutcome.cases.SessionLost.make({})
    const said = oneLine(end.stderr.trim().split("\n").slice(-3).join(" "))
    return AgentOutcome.cases.Crashed.make({
      detail: `the agent ended without a result (${end.exit})${said === "" ? "" : `: ${said}`}`
    })
  })
