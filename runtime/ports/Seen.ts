/** Which Slack gestures have become turns: one gesture can arrive as two events and as many deliveries. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { TurnKey } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** 30 days (docs/architecture.md). */
export const seenRetentionMillis = 30 * 24 * 3_600_000

export interface MemorySeenState {
  readonly rows: Map<string, { readonly turn: TurnKey; readonly expiresAt: number }>
}
export const makeMemorySeenState = (): MemorySeenState => ({ rows: new Map() })

/** Rows live 30 days. */
export class Seen extends Context.Service<Seen, {
  /** The turn that any of these keys (`turn:…`, `event:…`, `client:…`) already belongs to. */
  readonly find: (keys: ReadonlyArray<string>) => Effect.Effect<Option.Option<TurnKey>, StoreError>
  /** Idempotent; the first turn of a key stays. */
  readonly mark: (keys: ReadonlyArray<string>, turn: TurnKey) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Seen") {
  static readonly memory = (state: MemorySeenState): Layer.Layer<Seen> =>
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

  static readonly layerMemory: Layer.Layer<Seen> = Layer.suspend(() => Seen.memory(makeMemorySeenState()))
}
