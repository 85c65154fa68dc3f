/**
 * Whether the agent may make a tool call: by the profile's rules, else by asking people. It fails closed: no answer, an
 * error or a runtime that ends means that the call does not run.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { TurnRow } from "../domain/turn/Turn.ts"
import type { Consent, ToolCall } from "./Agent.ts"

export interface ConsentRequest {
  readonly row: TurnRow
  readonly call: ToolCall
  /** Put around the time in which people are asked: the turn's clock stands still and its place is lent to others. */
  readonly waiting: <A, E>(asked: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

export interface PermissionsShape {
  /** Interrupted, its question stays open until `settled`: the same call of a later attempt waits for its answer. */
  readonly consent: (request: ConsentRequest) => Effect.Effect<Consent>
  /** The turn has no agent any more: what is still open is taken back. Returns once that is sure to happen. */
  readonly settled: (row: TurnRow) => Effect.Effect<void>
}

/** Where nobody can be asked, nothing is allowed. */
export const Permissions = Context.Reference<PermissionsShape>("km/runtime/ports/Permissions", {
  defaultValue: () => ({
    consent: () => Effect.succeed({ _tag: "Denied", reason: "Nobody can be asked here, so nothing is allowed." }),
    settled: () => Effect.void
  })
})
