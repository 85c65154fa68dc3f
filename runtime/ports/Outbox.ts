/** Bridge requests not yet acknowledged, on the sandbox's own disk: they survive a crash and a long outage. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
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

export interface MemoryOutboxState {
  /** In the order in which they were put. */
  readonly entries: Map<RequestId, OutboxEntry>
}
export const makeMemoryOutboxState = (): MemoryOutboxState => ({ entries: new Map() })

export class Outbox extends Context.Service<Outbox, {
  /** Inserts if absent. Synced. */
  readonly put: (entry: OutboxEntry) => Effect.Effect<void, StoreError>
  readonly tried: (id: RequestId) => Effect.Effect<void, StoreError>
  readonly remove: (id: RequestId) => Effect.Effect<void, StoreError>
  /** Oldest first. */
  readonly pending: Effect.Effect<ReadonlyArray<OutboxEntry>, StoreError>
}>()("km/runtime/ports/Outbox") {
  static readonly memory = (state: MemoryOutboxState): Layer.Layer<Outbox> =>
    Layer.succeed(
      Outbox,
      Outbox.of({
        put: (entry) =>
          Effect.sync(() => {
            if (!state.entries.has(entry.id)) state.entries.set(entry.id, entry)
          }),
        tried: (id) =>
          Effect.sync(() => {
            const entry = state.entries.get(id)
            if (entry !== undefined) state.entries.set(id, { ...entry, attempts: entry.attempts + 1 })
          }),
        remove: (id) => Effect.sync(() => void state.entries.delete(id)),
        pending: Effect.sync(() => [...state.entries.values()].toSorted((a, b) => a.createdAt - b.createdAt))
      })
    )

  static readonly layerMemory: Layer.Layer<Outbox> = Layer.suspend(() => Outbox.memory(makeMemoryOutboxState()))
}
