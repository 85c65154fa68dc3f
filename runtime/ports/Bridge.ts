/** The bridge as a plugin sees it: actions in, results out; signing, retries and the outbox are the adapter's. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
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

export class Bridge extends Context.Service<Bridge, {
  /** Waits for the answer; for a durable call that may be long, and interrupting the wait does not withdraw it. */
  readonly call: (call: BridgeCall) => Effect.Effect<BridgeResult, BridgeRefused>
}>()("km/runtime/ports/Bridge") {}
