/**
 * The directory of certified public keys: written by create, rotate and revoke, readable by every sandbox. It is read as one
 * value, of which a process keeps a copy for 30 s.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { CertifiedKey, KeyPurpose, SignedRevocation } from "../domain/identity/Certificate.ts"
import type { KeyId, SenderId } from "../domain/sandbox/Ids.ts"
import { type Directory, type DirectoryKey, makeDirectoryCopy } from "./Directory.ts"
import { StoreError } from "./StoreError.ts"

/** Public halves of a destroyed sandbox stay this long, so that mail in flight still verifies (docs/architecture.md). */
export const tombstoneMillis = 30 * 24 * 3_600_000

/** Two operators revoked at the same time: the second must take the next number, or its revocation would be lost. */
export const revocationConflict = (number: number): StoreError =>
  new StoreError({
    port: "Identities",
    operation: "revoke",
    reason: "Unavailable",
    detail: `revocation ${number} exists with other content; read the revocations again and take the next number`,
    cause: undefined
  })

export interface MemoryIdentitiesState {
  readonly keys: Map<string, DirectoryKey & { readonly retiredAt?: number }>
  readonly revocations: Map<number, SignedRevocation>
}
export const makeMemoryIdentitiesState = (): MemoryIdentitiesState => ({ keys: new Map(), revocations: new Map() })

/** Readers verify certificates and revocations themselves: the store is not trusted. */
export class Identities extends Context.Service<Identities, {
  /** Adds a key beside the sender's others (history stays), or renews the certificate of the same key id. */
  readonly put: (
    subject: SenderId,
    purpose: KeyPurpose,
    keyId: KeyId,
    key: CertifiedKey
  ) => Effect.Effect<void, StoreError>
  /** At most 30 s old; what this process wrote is in it. Readers that decide for themselves alone take this one. */
  readonly directory: Effect.Effect<Directory, StoreError>
  /** As the store has it now: for whoever writes by what was read. The copy is renewed with it. */
  readonly directoryNow: Effect.Effect<Directory, StoreError>
  /** Never removed. `Unavailable` when the number is taken by another revocation. */
  readonly revoke: (number: number, revocation: SignedRevocation) => Effect.Effect<void, StoreError>
  /** Leaves the public halves as tombstones for 30 days, then they are absent; the next `retire` removes them. */
  readonly retire: (subject: SenderId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Identities") {
  /** Each layer of one state is as another process's view of one store. */
  static readonly memory = (state: MemoryIdentitiesState): Layer.Layer<Identities> =>
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

  static readonly layerMemory: Layer.Layer<Identities> = Layer.suspend(() =>
    Identities.memory(makeMemoryIdentitiesState())
  )
}
