/** Outbox in memory: the whole contract, for tests and for commands, of whose requests nothing outlives them. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { RequestId } from "../../domain/sandbox/Ids.ts"
import { Outbox, type OutboxEntry } from "../Outbox.ts"

export interface MemoryOutboxState {
  /** In the order in which they were put. */
  readonly entries: Map<RequestId, OutboxEntry>
}

export const makeMemoryOutboxState = (): MemoryOutboxState => ({ entries: new Map() })

export const layerOver = (state: MemoryOutboxState): Layer.Layer<Outbox> =>
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

export const layer: Layer.Layer<Outbox> = Layer.suspend(() => layerOver(makeMemoryOutboxState()))
