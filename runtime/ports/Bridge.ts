/** The bridge as a plugin sees it: actions in, results out; signing, retries and the outbox are the adapter's. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { BridgeAction, BridgeResult } from "../domain/slack/BridgeProtocol.ts"
import { BridgeErrorCode } from "../domain/slack/BridgeProtocol.ts"

/**
 * A final refusal, or the end of the retries that `BridgeCall.patience` allows. `undeliverable` codes mean that Slack
 * itself has refused for good (archived channel, revoked token).
 */
export class BridgeRefused extends Schema.TaggedError<BridgeRefused>()("BridgeRefused", {
  action: Schema.String,
  code: BridgeErrorCode,
  detail: Schema.String
}) {
  override get message(): string {
    return `the bridge refused ${this.action}: ${this.code} (${this.detail})`
  }
}

export interface BridgeCall {
  /** Readable idempotency key such as `{turn key}/answer/0`; hashed into `km-id` by `requestIdOf`. */
  readonly key: string
  readonly action: BridgeAction
  /**
   * `durable` (default): written to the outbox first, retried until acknowledged, however long the bridge is down.
   * `besteffort`: tried once, for what the next call replaces anyway (`live.set`, reactions of a progress kind).
   */
  readonly patience?: "durable" | "besteffort"
}

/** What a call comes to. Waiting for it is not what makes it happen, and giving the wait up withdraws nothing. */
export type BridgeWait = Effect.Effect<BridgeResult, BridgeRefused>

export class Bridge extends Context.Service<Bridge, {
  /** Waits for the answer; for a durable call that may be long, and interrupting the wait does not withdraw it. */
  readonly call: (call: BridgeCall) => Effect.Effect<BridgeResult, BridgeRefused>
  /**
   * Calls of one moment in one request, as far as the bridge takes them at once: carried out in this order, each with its
   * own key and patience, and a wait for each. Absent where each goes by itself; use `together`.
   */
  readonly callTogether?: (calls: ReadonlyArray<BridgeCall>) => Effect.Effect<ReadonlyArray<BridgeWait>>
}>()("km/runtime/ports/Bridge") {}

/** `callTogether`; where there is none, each call is made when it is waited for. Wait for all of them, in their order. */
export const together = (
  bridge: Bridge["Service"],
  calls: ReadonlyArray<BridgeCall>
): Effect.Effect<ReadonlyArray<BridgeWait>> => bridge.callTogether?.(calls) ?? Effect.succeed(calls.map(bridge.call))
