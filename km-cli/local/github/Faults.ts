/** Bad days of GitHub, by rule: what to answer instead, or not to answer at all. */
import * as Effect from "effect/Effect"
import { type Answer, problem } from "./Answer.ts"

export interface FaultRule {
  /** Tested on `METHOD /path`, the path below the API's root. */
  readonly matches: RegExp
  /** How often; for ever unless given. */
  readonly times?: number
  /**
   * `hang` never answers, `drop` closes the connection, a number is a status with GitHub's usual body. `rate-limit` is the
   * 403 of the secondary limit with `retry-after: 60`. Source: docs.github.com, "Rate limits for the REST API".
   */
  readonly how: "hang" | "drop" | "rate-limit" | number
}

const answers: Readonly<Record<number, string>> = {
  401: "Bad credentials",
  403: "Resource not accessible by integration",
  404: "Not Found",
  500: "Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable"
}

export class Faults {
  #rules: Array<FaultRule & { left: number }> = []
  readonly calls: Array<string> = []

  add(rule: FaultRule): void {
    this.#rules.push({ ...rule, left: rule.times ?? Infinity })
  }

  clear(): void {
    this.#rules = []
  }

  /** Notes the call, and says what happens to it instead of its answer. */
  before(call: string): Effect.Effect<Answer | "hang" | "drop" | undefined> {
    return Effect.sync(() => {
      this.calls.push(call)
      const rule = this.#rules.find(({ left, matches }) => left > 0 && matches.test(call))
      if (rule === undefined) return undefined
      rule.left -= 1
      if (rule.how === "hang" || rule.how === "drop") return rule.how
      if (rule.how === "rate-limit") {
        const limited = problem(
          403,
          "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        )
        return { ...limited, headers: { ...limited.headers, "retry-after": "60" } }
      }
      return problem(rule.how, answers[rule.how] ?? "Error")
    })
  }
}
