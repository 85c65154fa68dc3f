/** First writer wins: how an outside effect happens once although it is asked for many times. */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
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

/** A record that was never finished is forgotten this long after it began: as long as results live (docs/architecture.md). */
export const idempotencyPendingMillis = 15 * 24 * 3_600_000

export interface IdempotencyRecord {
  readonly bodyHash: string
  readonly token: string
  readonly startedAt: number
  /** While no result is there: until when the token's holder may be working. Unix milliseconds. */
  readonly leaseUntil: number
  readonly result?: string
  /** Unix milliseconds, exclusive. */
  readonly expiresAt: number
}

/** What a caller finds at `now`, and the record to store, if it becomes the holder. The rule of every engine. */
export const beginIdempotent = (
  found: IdempotencyRecord | undefined,
  options: {
    readonly bodyHash: string
    readonly token: string
    readonly now: number
    readonly leaseMillis: number
  }
): { readonly begin: Begin; readonly record?: IdempotencyRecord } => {
  const { bodyHash, leaseMillis, now, token } = options
  const leaseUntil = now + leaseMillis
  if (found === undefined || found.expiresAt <= now) {
    const record = { bodyHash, token, startedAt: now, leaseUntil, expiresAt: now + idempotencyPendingMillis }
    return { begin: Begin.Fresh({ token }), record }
  }
  if (found.result !== undefined) return { begin: Begin.Done({ bodyHash: found.bodyHash, result: found.result }) }
  if (found.leaseUntil > now) {
    return { begin: Begin.Pending({ bodyHash: found.bodyHash, retryAfterMillis: found.leaseUntil - now }) }
  }
  return {
    begin: Begin.Uncertain({ token, bodyHash: found.bodyHash, startedAt: found.startedAt }),
    record: { ...found, token, leaseUntil }
  }
}

export const idOf = (scope: string, key: string): string => JSON.stringify([scope, key])

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
  /**
   * The holder has ended and does not know whether it acted: from `restMillis` on the next `begin` is `Uncertain`, however
   * long the lease was. No effect when the token no longer holds the record.
   */
  readonly release: (
    scope: string,
    key: string,
    token: string,
    restMillis: number
  ) => Effect.Effect<void, StoreError>
  /** The holder goes on: nobody else acts for `leaseMillis` from now. False when the token no longer holds the record. */
  readonly extend: (
    scope: string,
    key: string,
    token: string,
    leaseMillis: number
  ) => Effect.Effect<boolean, StoreError>
  /** Nothing happened: forget the record, so that the next `begin` is `Fresh`. */
  readonly abandon: (scope: string, key: string, token: string) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Idempotency") {}
