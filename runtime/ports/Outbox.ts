/** Bridge requests not yet acknowledged, on the sandbox's own disk: they survive a crash and a long outage. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { RequestId } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

export interface OutboxEntry {
  readonly id: RequestId
  /** The exact body bytes as text: a retry sends the same, so that its digest is the same. */
  readonly body: string
  /** Unix milliseconds. */
  readonly createdAt: number
  readonly attempts: number
}

export class Outbox extends Context.Service<Outbox, {
  /** Inserts if absent. Synced. */
  readonly put: (entry: OutboxEntry) => Effect.Effect<void, StoreError>
  readonly tried: (id: RequestId) => Effect.Effect<void, StoreError>
  readonly remove: (id: RequestId) => Effect.Effect<void, StoreError>
  /** Oldest first. */
  readonly pending: Effect.Effect<ReadonlyArray<OutboxEntry>, StoreError>
}>()("km/runtime/ports/Outbox") {}
