/** Runs that are ended before their time, and what they then come to. */
import { AgentOutcome } from "../../domain/turn/Turn.ts"
import { agentErrors } from "./ErrorCodes.ts"
import { outcomeOf, type RunFacts } from "./Outcome.ts"

/** Why a run is being ended before its time. */
export type Ending =
  | { readonly kind: "cancelled"; readonly by: string }
  | { readonly kind: "timed-out"; readonly afterMillis: number }
  | { readonly kind: "hopeless" }
  | { readonly kind: "too-large" }

export const endedBy = (ending: Ending, facts: RunFacts, end: Parameters<typeof outcomeOf>[1]): AgentOutcome => {
  switch (ending.kind) {
    case "cancelled":
      return AgentOutcome.cases.Cancelled.make({ by: ending.by })
    case "timed-out":
      return AgentOutcome.cases.TimedOut.make({ afterMillis: ending.afterMillis })
    case "hopeless":
      return outcomeOf(facts, end)
    case "too-large": {
      const { code, remedy, what } = agentErrors.outputTooLarge
      return AgentOutcome.cases.Failed.make({ code, reason: what, remedy })
    }
  }
}
