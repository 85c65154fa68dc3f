/** First writer wins: how an outside effect happens once although it is asked for many times. */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { StoreError } from "./StoreError.ts"

/** What `begin` finds. */
export type Begin = Data.TaggedEnum<{
  /** Ours to do; finish with `complete` or `abandon`. */
  Fresh: { readonly token: string }
  /** An earlier holder's lease ran out after it may have acted: look before acting, then finish with this token. */
  Uncertain: { readonly token: string; readonly bodyHash: string; readonly startedAt: number }
  /** Somebody holds the lease. */
  Pending: { readonly bodyHash: string; readonly retryAfterMillis: number }
  Done: { readonly bodyHash: string; readonly result: string }
}>
export const Begin = Data.taggedEnum<Begin>()

/** Expiry is checked on read: an expired record is absent, whether or not a sweeper has removed it. */
export class Idempotency extends Context.Service<Idempotency, {
  readonly begin: (
    scope: string,
    key: string,
    bodyHash: string,
    leaseMillis: number
  ) => Effect.Effect<Begin, StoreError>
  /** Stores the result until `ttlMillis` from now. No effect when the token no longer holds the record. */
  readonly complete: (
    scope: string,
    key: string,
    token: string,
    result: string,
    ttlMillis: number
  ) => Effect.Effect<void, StoreError>
  /** Nothing happened: forget the record, so that the next `begin` is `Fresh`. */
  readonly abandon: (scope: string, key: string, token: string) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Idempotency") {}
