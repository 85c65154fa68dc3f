/** One runtime per sandbox: whoever holds the lease receives and posts; the bridge refuses an older epoch. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { SandboxId } from "../domain/Ids.ts"
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

export class Leases extends Context.Service<Leases, {
  /** None while another holder's lease has not expired. The same holder gets its own lease again. */
  readonly acquire: (
    sandbox: SandboxId,
    holder: string,
    ttlMillis: number
  ) => Effect.Effect<Option.Option<Lease>, StoreError>
  /** None when it was lost to another holder. */
  readonly renew: (lease: Lease, ttlMillis: number) => Effect.Effect<Option.Option<Lease>, StoreError>
  readonly release: (lease: Lease) => Effect.Effect<void, StoreError>
  /** The last lease given, expired or not. */
  readonly current: (sandbox: SandboxId) => Effect.Effect<Option.Option<Lease>, StoreError>
  readonly remove: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Leases") {}
