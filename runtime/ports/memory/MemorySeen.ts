/** Seen in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { TurnKey } from "../../domain/sandbox/Ids.ts"
import { Seen, seenRetentionMillis } from "../Seen.ts"

export interface MemorySeenState {
  readonly rows: Map<string, { readonly turn: TurnKey; readonly expiresAt: number }>
}

export const makeMemorySeenState = (): MemorySeenState => ({ rows: new Map() })

export const layerOver = (state: MemorySeenState): Layer.Layer<Seen> =>
  Layer.succeed(
    Seen,
    Seen.of({
      find: (keys) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const found = keys.map((key) => state.rows.get(key)).find((row) => row !== undefined && row.expiresAt > now)
          return Option.map(Option.fromNullishOr(found), ({ turn }) => turn)
        }),
      mark: (keys, turn) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          for (const key of keys) {
            const row = state.rows.get(key)
            if (row === undefined || row.expiresAt <= now) {
              state.rows.set(key, { turn, expiresAt: now + seenRetentionMillis })
            }
          }
        })
    })
  )

export const layer: Layer.Layer<Seen> = Layer.suspend(() => layerOver(makeMemorySeenState()))
