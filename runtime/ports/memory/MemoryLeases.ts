/** Leases in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { grantLease, type Lease, Leases, type LeaseTiming } from "../Leases.ts"

export interface MemoryLeasesState {
  readonly leases: Map<SandboxId, Lease>
}

export const makeMemoryLeasesState = (): MemoryLeasesState => ({ leases: new Map() })

/** True when nobody else has been given the lease since. */
export const holdsLease = (found: Lease | undefined, lease: Lease): boolean =>
  found !== undefined && found.holder === lease.holder && found.epoch === lease.epoch

/** As the embedded engine has it. */
const memoryTiming: LeaseTiming = { lengthMillis: 30_000, renewEveryMillis: 10_000 }

export const layerOver = (state: MemoryLeasesState): Layer.Layer<Leases> =>
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

export const layer: Layer.Layer<Leases> = Layer.suspend(() => layerOver(makeMemoryLeasesState()))
