/** Ledger in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { TurnKey } from "../../domain/sandbox/Ids.ts"
import type { TurnRow } from "../../domain/turn/Turn.ts"
import { isTurnRowExpired, Ledger, ledgerConflict } from "../Ledger.ts"

/** What a ledger in memory holds; built outside the layer so that it can outlive the program that uses it. */
export interface MemoryLedgerState {
  readonly rows: Map<TurnKey, TurnRow>
  readonly facts: Map<string, string>
}

export const makeMemoryLedgerState = (): MemoryLedgerState => ({ rows: new Map(), facts: new Map() })

/** Insertion order breaks ties: the sort is stable. */
const oldestFirst = (rows: ReadonlyArray<TurnRow>): ReadonlyArray<TurnRow> =>
  rows.toSorted((a, b) => a.receivedAt - b.receivedAt)

export const layerOver = (state: MemoryLedgerState): Layer.Layer<Ledger> =>
  Layer.succeed(
    Ledger,
    Ledger.of({
      insert: (row) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          for (const [key, old] of state.rows) if (isTurnRowExpired(old, now)) state.rows.delete(key)
          const found = state.rows.get(row.key)
          if (found !== undefined) return { row: found, inserted: false }
          state.rows.set(row.key, row)
          return { row, inserted: true }
        }),
      get: (key) =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          Option.filter(Option.fromNullishOr(state.rows.get(key)), (row) => !isTurnRowExpired(row, now))),
      update: (from, to) =>
        Effect.suspend(() => {
          const found = state.rows.get(from.key)
          const conflict = ledgerConflict(from, to, found)
          if (conflict !== undefined) {
            return Effect.fail(conflict)
          }
          state.rows.set(to.key, to)
          return Effect.void
        }),
      open: Effect.sync(() =>
        oldestFirst([...state.rows.values()].filter((row) => row.state !== "settled"))
      ),
      recent: (limit) =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          oldestFirst([...state.rows.values()].filter((row) =>
            !isTurnRowExpired(row, now)
          ))
            .toReversed()
            .slice(0, Math.max(0, limit))),
      remember: (key, value) => Effect.sync(() => void state.facts.set(key, value)),
      recall: (key) => Effect.sync(() => Option.fromNullishOr(state.facts.get(key)))
    })
  )

export const layer: Layer.Layer<Ledger> = Layer.suspend(() => layerOver(makeMemoryLedgerState()))
