/**
 * The directory of certified public keys: written by create, rotate and revoke, readable by every sandbox. It is read as one
 * value, of which a process keeps a copy for 30 s.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { CertifiedKey, KeyPurpose, SignedRevocation } from "../domain/identity/Certificate.ts"
import type { KeyId, SenderId } from "../domain/sandbox/Ids.ts"
import { type Directory } from "./Directory.ts"
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
}
