/**
 * One Web API call, and what a method is made of.
 */
import type * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type { Channel } from "./Channels.ts"
import type { Json } from "./Json.ts"
import type { Tier } from "./RateTiers.ts"
import type { Caller } from "./TokenTable.ts"
import type { EmulatorFailure, SlackRefusal } from "./WorkspaceError.ts"

/** A call that has passed the token table, the limits and the faults. */
export interface Call {
  readonly method: string
  readonly caller: Caller
  /** The arguments, whatever encoding they came in; not yet checked. */
  readonly args: Json
  /** Opens when the answer has been handed to the caller; events of the call wait for it. */
  readonly answered: Deferred.Deferred<void>
}

/** A Web API method: its limits, the scopes it accepts (any of them), and what it does. */
export interface Method {
  readonly tier: Tier
  readonly scopes: ReadonlyArray<string>
  /** Takes an app-level token, and from the `Authorization` header alone; all others take none. */
  readonly appLevel?: true
  readonly run: (call: Call) => Effect.Effect<Json, SlackRefusal | EmulatorFailure>
}

/** Queues an event for the app; only for channels where its bot is a member, unless it concerns no channel. */
export type Emit = (call: Pick<Call, "answered">, channel: Channel | undefined, event: Json) => void
