/** One runtime per sandbox: whoever holds the lease receives and posts; the bridge refuses an older epoch. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SandboxId } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

export interface Lease {
  readonly sandbox: SandboxId
  /** Unique per runtime process start. */
  readonly holder: string
  /** Rises by one with every new holder; never reused. */
  readonly epoch: number
  /** Unix milliseconds. */
  readonly expiresAt: number
}

/**
 * How long a lease holds, and how often it is renewed, in milliseconds: the engine's, because each renewal may cost money.
 */
export interface LeaseTiming {
  readonly lengthMillis: number
  readonly renewEveryMillis: number
}

/** The lease that `holder` gets now, or none while another one's has not expired. The rule of every engine. */
export const grantLease = (
  found: Lease | undefined,
  sandbox: SandboxId,
  holder: string,
  now: number,
  ttlMillis: number
): Option.Option<Lease> => {
  if (found === undefined) return Option.some({ sandbox, holder, epoch: 1, expiresAt: now + ttlMillis })
  if (found.holder === holder) return Option.some({ ...found, expiresAt: now + ttlMillis })
  return found.expiresAt > now
    ? Option.none()
    : Option.some({ sandbox, holder, epoch: found.epoch + 1, expiresAt: now + ttlMillis })
}

export class Leases extends Context.Service<Leases, {
  readonly timing: LeaseTiming
  /**
   * None while another holder's lease has not expired. The same holder gets its own lease again. Times are the engine's
   * clock's.
   */
  readonly acquire: (
    sandbox: SandboxId,
    holder: string
  ) => Effect.Effect<Option.Option<Lease>, StoreError>
  /** None when it was lost to another holder. */
  readonly renew: (lease: Lease) => Effect.Effect<Option.Option<Lease>, StoreError>
  readonly release: (lease: Lease) => Effect.Effect<void, StoreError>
  /** The last lease given, expired or not. */
  readonly current: (sandbox: SandboxId) => Effect.Effect<Option.Option<Lease>, StoreError>
  readonly remove: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Leases") {}
