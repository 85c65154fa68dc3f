/**
 * Faults on purpose: what a test orders to go wrong, for which method, channel or event, and how often.
 */
import * as Schema from "effect/Schema"
import { slackId } from "./Identifiers.ts"

/**
 * What a Web API call suffers. `drop-before`: the connection is closed and nothing happens. `drop-after`: the action
 * happens and the connection is closed without an answer. `hang-after`: the action happens and no answer ever comes.
 * `rate-limit`: 429 with Retry-After, nothing happens. `server-error`: 500 before anything happens. `refuse`: Slack's
 * own error code, nothing happens. `delay`: the call waits before it is handled. `unshared`: `files.info` says nowhere
 * where the file stands, as for a moment after it was shared (github.com/slackapi/bolt-js/issues/2115).
 *
 * Of `download`: `sign-in`: 200 with a page, as for a token that is none (github.com/preset-io/agor/issues/1883).
 * `redirect`: to that address. `no-end`: the connection breaks after the first half of the bytes.
 */
export const ApiFault = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("delay"), millis: Schema.Finite }),
  Schema.Struct({ kind: Schema.Literal("drop-before") }),
  Schema.Struct({ kind: Schema.Literal("drop-after") }),
  Schema.Struct({ kind: Schema.Literal("hang-after") }),
  Schema.Struct({ kind: Schema.Literal("rate-limit"), retryAfterSeconds: Schema.Int }),
  Schema.Struct({ kind: Schema.Literal("server-error") }),
  Schema.Struct({ kind: Schema.Literal("refuse"), error: Schema.NonEmptyString }),
  Schema.Struct({ kind: Schema.Literal("unshared") }),
  Schema.Struct({ kind: Schema.Literal("sign-in") }),
  Schema.Struct({ kind: Schema.Literal("redirect"), to: Schema.NonEmptyString }),
  Schema.Struct({ kind: Schema.Literal("no-end") })
])
export type ApiFault = typeof ApiFault.Type

/**
 * What an event suffers. `duplicate`: `copies` identical deliveries at the same time. `hold-back`: it is sent only
 * after `behind` later events have been sent, so it arrives out of order. `ignore-answers`: the answers to its first
 * `count` attempts are taken for failures of this reason, so that Slack's retries follow though all were answered.
 */
export const EventFault = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("delay"), millis: Schema.Finite }),
  Schema.Struct({ kind: Schema.Literal("drop") }),
  Schema.Struct({ kind: Schema.Literal("duplicate"), copies: Schema.Int.check(Schema.isGreaterThan(1)) }),
  Schema.Struct({ kind: Schema.Literal("hold-back"), behind: Schema.Int.check(Schema.isGreaterThan(0)) }),
  Schema.Struct({
    kind: Schema.Literal("ignore-answers"),
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
    reason: Schema.Literals(["http_timeout", "http_error", "connection_failed"])
  })
])
export type EventFault = typeof EventFault.Type

/**
 * One rule. `method` and `event` may be `*`; `event` is the inner type, or `type/subtype` (`message/file_share`).
 * `times` is how often it applies, 1 by default, 0 until it is cleared. Rules are tried oldest first, one per call.
 */
export const FaultRule = Schema.Union([
  Schema.Struct({
    method: Schema.NonEmptyString,
    channel: Schema.optionalKey(Schema.NonEmptyString),
    times: Schema.optionalKey(Schema.Int),
    fault: ApiFault
  }),
  Schema.Struct({
    event: Schema.NonEmptyString,
    channel: Schema.optionalKey(Schema.NonEmptyString),
    times: Schema.optionalKey(Schema.Int),
    fault: EventFault
  })
])
export type FaultRule = typeof FaultRule.Type

/** A rule in force, and how often it has applied. */
export interface ActiveFault {
  readonly id: string
  readonly rule: FaultRule
  /** Infinity when the rule holds until it is cleared. */
  remaining: number
  hits: number
}

/** The rules in force. */
export class Faults {
  readonly #active: Array<ActiveFault> = []

  add(rule: FaultRule): string {
    const id = slackId("Fault", 6)
    const times = rule.times ?? 1
    this.#active.push({ id, rule, remaining: times === 0 ? Number.POSITIVE_INFINITY : times, hits: 0 })
    return id
  }

  /** Removes one rule, or all. Returns how many went. */
  clear(id?: string): number {
    const before = this.#active.length
    const kept = id === undefined ? [] : this.#active.filter((fault) => fault.id !== id)
    this.#active.splice(0, before, ...kept)
    return before - kept.length
  }

  /** All rules given since the last clearing, used up or not. */
  list(): ReadonlyArray<ActiveFault> {
    return this.#active
  }

  #use(fault: ActiveFault): void {
    fault.remaining -= 1
    fault.hits += 1
  }

  /** The fault for a call, counted as used. */
  forCall(method: string, channel: string | undefined): ApiFault | undefined {
    for (const fault of this.#active) {
      const { rule } = fault
      if (fault.remaining < 1 || !("method" in rule)) continue
      if (rule.method !== "*" && rule.method !== method) continue
      if (rule.channel !== undefined && rule.channel !== channel) continue
      this.#use(fault)
      return rule.fault
    }
    return undefined
  }

  /** The fault for an event, counted as used. */
  forEvent(type: string, subtype: string | undefined, channel: string | undefined): EventFault | undefined {
    for (const fault of this.#active) {
      const { rule } = fault
      if (fault.remaining < 1 || !("event" in rule)) continue
      if (rule.event !== "*" && rule.event !== type && rule.event !== `${type}/${subtype ?? ""}`) continue
      if (rule.channel !== undefined && rule.channel !== channel) continue
      this.#use(fault)
      return rule.fault
    }
    return undefined
  }
}
