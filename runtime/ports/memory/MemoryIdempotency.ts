/** Idempotency in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { beginIdempotent, Idempotency, type IdempotencyRecord, idOf } from "../Idempotency.ts"

export interface MemoryIdempotencyState {
  readonly records: Map<string, IdempotencyRecord>
  /** Numbers the tokens, so that runs are alike. */
  tokens: number
}

export const makeMemoryIdempotencyState = (): MemoryIdempotencyState => ({ records: new Map(), tokens: 0 })

export const layerOver = (state: MemoryIdempotencyState): Layer.Layer<Idempotency> => {
  const held = (id: string, token: string) => {
    const record = state.records.get(id)
    return record !== undefined && record.token === token && record.result === undefined ? record : undefined
  }
  return Layer.succeed(
    Idempotency,
    Idempotency.of({
      begin: (scope, key, bodyHash, leaseMillis) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const id = idOf(scope, key)
          const token = `token-${++state.tokens}`
          const { begin, record } = beginIdempotent(state.records.get(id), { bodyHash, token, now, leaseMillis })
          if (record !== undefined) state.records.set(id, record)
          return begin
        }),
      complete: (scope, key, token, result, ttlMillis) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const id = idOf(scope, key)
          const record = held(id, token)
          if (record !== undefined) state.records.set(id, { ...record, result, expiresAt: now + ttlMillis })
        }),
      release: (scope, key, token, restMillis) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const id = idOf(scope, key)
          const record = held(id, token)
          if (record === undefined) return
          state.records.set(id, { ...record, leaseUntil: Math.min(record.leaseUntil, now + restMillis) })
        }),
      extend: (scope, key, token, leaseMillis) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const id = idOf(scope, key)
          const record = held(id, token)
          if (record === undefined) return false
          state.records.set(id, { ...record, leaseUntil: now + leaseMillis })
          return true
        }),
      abandon: (scope, key, token) =>
        Effect.sync(() => {
          const id = idOf(scope, key)
          if (held(id, token) !== undefined) state.records.delete(id)
        })
    })
  )
}

export const layer: Layer.Layer<Idempotency> = Layer.suspend(() => layerOver(makeMemoryIdempotencyState()))
