/** One runtime per sandbox: whoever holds the lease receives and posts; the bridge refuses an older epoch. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
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

export interface MemoryLeasesState {
  readonly leases: Map<SandboxId, Lease>
}
export const makeMemoryLeasesState = (): MemoryLeasesState => ({ leases: new Map() })

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

/** True when nobody else has been given the lease since. */
export const holdsLease = (found: Lease | undefined, lease: Lease): boolean =>
  found !== undefined && found.holder === lease.holder && found.epoch === lease.epoch

/** As the embedded engine has it. */
const memoryTiming: LeaseTiming = { lengthMillis: 30_000, renewEveryMillis: 10_000 }

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
}>()("km/runtime/ports/Leases") {
  static readonly memory = (state: MemoryLeasesState): Layer.Layer<Leases> =>
    Layer.succeed(
      Leases,
      Leases.of({
        timing: memoryTiming,
        acquire: (sandbox, holder) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            const granted = grantLease(state.leases.get(sandbox), sandbox, holder, now, memoryTiming.lengthMillis)
            if (Option.isSome(granted)) state.leases.set(sandbox, granted.value)
            return granted
          }),
        renew: (lease) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            if (!holdsLease(state.leases.get(lease.sandbox), lease)) return Option.none()
            const renewed = { ...lease, expiresAt: now + memoryTiming.lengthMillis }
            state.leases.set(lease.sandbox, renewed)
            return Option.some(renewed)
          }),
        release: (lease) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            if (holdsLease(state.leases.get(lease.sandbox), lease)) {
              state.leases.set(lease.sandbox, { ...lease, expiresAt: now })
            }
          }),
        current: (sandbox) => Effect.sync(() => Option.fromNullishOr(state.leases.get(sandbox))),
        remove: (sandbox) => Effect.sync(() => void state.leases.delete(sandbox))
      })
    )

  static readonly layerMemory: Layer.Layer<Leases> = Layer.suspend(() => Leases.memory(makeMemoryLeasesState()))
}
