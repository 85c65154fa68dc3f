/** Hook calls of the sandbox's agent processes, decoded and capped, in order of arrival. Telemetry: never a decision. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import type { SessionId } from "../domain/sandbox/Ids.ts"
import type { HookEvent } from "../domain/turn/HookEvent.ts"

export interface ReceivedHook {
  readonly event: HookEvent
  /** Unix milliseconds. */
  readonly at: number
  /** The dispatched turn's own token was used; false for interactive sessions. */
  readonly dispatched: boolean
}

export class HookEvents extends Context.Service<HookEvents, {
  /** Subscribe before the agent starts: what was published earlier is missed. */
  readonly subscribe: Effect.Effect<PubSub.Subscription<ReceivedHook>, never, Scope.Scope>
  /**
   * A token for one agent process, valid for that session's events only and gone with the scope. The URL's host is
   * loopback inside the agent's own view. `byPerson`: for an interactive session, which may become others; it speaks for all
   * but those of dispatched turns.
   */
  readonly issue: (
    session: SessionId,
    byPerson?: boolean
  ) => Effect.Effect<{ readonly token: string }, never, Scope.Scope>
}>()("km/runtime/ports/HookEvents") {}
