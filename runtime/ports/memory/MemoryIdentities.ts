/** Identities in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SignedRevocation } from "../../domain/identity/Certificate.ts"
import { type DirectoryKey, makeDirectoryCopy } from "../Directory.ts"
import { Identities, revocationConflict, tombstoneMillis } from "../Identities.ts"

export interface MemoryIdentitiesState {
  readonly keys: Map<string, DirectoryKey & { readonly retiredAt?: number }>
  readonly revocations: Map<number, SignedRevocation>
}

export const makeMemoryIdentitiesState = (): MemoryIdentitiesState => ({ keys: new Map(), revocations: new Map() })

export const layerOver = (state: MemoryIdentitiesState): Layer.Layer<Identities> =>
  Layer.sync(Identities, () => {
    const { directory, directoryNow, writing } = makeDirectoryCopy(
      Effect.map(Clock.currentTimeMillis, (now) => ({
        keys: [...state.keys.values()].filter(({ retiredAt }) =>
          retiredAt === undefined || retiredAt + tombstoneMillis > now
        ),
        revocations: [...state.revocations].toSorted(([a], [b]) => a - b).map(([, revocation]) => revocation)
      }))
    )
    return Identities.of({
      directory,
      directoryNow,
      put: (subject, purpose, keyId, key) =>
        writing(Effect.sync(() =>
          void state.keys.set(JSON.stringify([subject, purpose, keyId]), { subject, purpose, keyId, key })
        )),
      revoke: (number, revocation) =>
        writing(Effect.suspend(() => {
          const found = state.revocations.get(number)
          if (found !== undefined) {
            return found.revocation === revocation.revocation ? Effect.void : Effect.fail(revocationConflict(number))
          }
          state.revocations.set(number, revocation)
          return Effect.void
        })),
      retire: (subject) =>
        writing(Effect.map(Clock.currentTimeMillis, (now) => {
          for (const [id, row] of state.keys) {
            if (row.subject === subject && row.retiredAt === undefined) {
              state.keys.set(id, { ...row, retiredAt: now })
            }
            if (row.retiredAt !== undefined && row.retiredAt + tombstoneMillis <= now) {
              state.keys.delete(id)
            }
          }
        }))
    })
  })

export const layer: Layer.Layer<Identities> = Layer.suspend(() => layerOver(makeMemoryIdentitiesState()))
