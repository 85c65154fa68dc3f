/** The turn pipeline as plugins see it. The kernel implements it. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import type { GroupId, TurnKey } from "../domain/sandbox/Ids.ts"
import type { TurnRequest, TurnRow } from "../domain/turn/Turn.ts"
import type { StoreError } from "./StoreError.ts"

/**
 * Whether new messages may be taken. `full`: the ledger's disk has no space; `corrupt`: it cannot be read, a person must
 * look and nothing is changed meanwhile; `stopping`: the runtime drains. `since` is Unix milliseconds and the same for
 * as long as the state lasts, so that one notice can be given per spell.
 */
export interface TurnsHealth {
  readonly state: "ok" | "full" | "unavailable" | "corrupt" | "stopping"
  readonly since: number
  /** One sentence for a person: what is wrong and what to do. Empty when `ok`. */
  readonly detail: string
  /** Turns not settled. */
  readonly open: number
  /** Turns whose agent runs now. */
  readonly running: number
}

export class Turns extends Context.Service<Turns, {
  /**
   * Waits for a free slot (profile's limit of concurrent threads), also while the ledger cannot be written and while
   * the runtime stops. Hold it from before the receive until the turn is settled. Release by closing the scope.
   */
  readonly slot: Effect.Effect<void, never, Scope.Scope>
  /**
   * Writes the row down and runs the turn in the pipeline. `settled`: an earlier delivery is over, delete this one.
   * `open`: it runs or waits already; the receipt is renewed. Returns once the row is durable, not when it has run.
   */
  readonly submit: (
    request: TurnRequest,
    receipt: string | undefined
  ) => Effect.Effect<"accepted" | "open" | "settled", StoreError>
  /**
   * Makes a message part of a turn that has not begun, while its origin is asked for them (`OriginHandler.joining`). Its
   * row is durable before `claim` takes it out of the queue. `late`: it cannot join, and stays where it is. `changed`: its
   * author edited it meanwhile; ask again with what it says now. `gone`: its author took it back.
   */
  readonly join: (
    leader: TurnKey,
    request: TurnRequest,
    claim: Effect.Effect<"claimed" | "changed" | "in-flight" | "absent", StoreError>
  ) => Effect.Effect<"joined" | "changed" | "gone" | "late", StoreError>
  /** Completes when the turn is settled; at once when it is unknown. */
  readonly settled: (key: TurnKey) => Effect.Effect<void>
  /** True when something was there to stop. */
  readonly stop: (
    target: { readonly turn?: TurnKey; readonly group?: GroupId },
    by: string
  ) => Effect.Effect<boolean, StoreError>
  /** Asked before a receive, for readiness and for `km status`. */
  readonly health: Effect.Effect<TurnsHealth>
  /** Every state change from now on, for status and telemetry. */
  readonly changes: Effect.Effect<PubSub.Subscription<TurnRow>, never, Scope.Scope>
}>()("km/runtime/ports/Turns") {}
