/**
 * Requests that must overtake the queue: a stop while every slot is busy. Embedded: a table and a doorbell; AWS: an
 * attribute that the runtime reads every 2 s while a turn runs. Delivered at least once.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { GroupId, type SandboxId, TurnKey } from "../domain/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** Stops one turn, or whatever runs or waits in a thread, or everything of the sandbox when neither is given. */
export const StopRequest = Schema.Struct({
  id: Schema.String,
  turn: Schema.optionalKey(TurnKey),
  group: Schema.optionalKey(GroupId),
  /** Shown in the thread: a person's name or `operator`. */
  by: Schema.String
})
export type StopRequest = typeof StopRequest.Type

export class Controls extends Context.Service<Controls, {
  readonly send: (sandbox: SandboxId, request: StopRequest) => Effect.Effect<void, StoreError>
  /** Those not yet acknowledged, then new ones as they come. */
  readonly watch: (sandbox: SandboxId) => Stream.Stream<StopRequest, StoreError>
  readonly acknowledge: (sandbox: SandboxId, id: string) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Controls") {}
