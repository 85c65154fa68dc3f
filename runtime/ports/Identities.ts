/** The directory of certified public keys: written by create, rotate and revoke, readable by every sandbox. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { CertifiedKey, KeyPurpose, SignedRevocation } from "../domain/Certificate.ts"
import type { KeyId, SenderId } from "../domain/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** Readers verify certificates and revocations themselves: the store is not trusted. */
export class Identities extends Context.Service<Identities, {
  /** Adds a key beside the sender's others (history stays). Idempotent per key id. */
  readonly put: (
    subject: SenderId,
    purpose: KeyPurpose,
    keyId: KeyId,
    key: CertifiedKey
  ) => Effect.Effect<void, StoreError>
  readonly keys: (subject: SenderId, purpose: KeyPurpose) => Effect.Effect<ReadonlyArray<CertifiedKey>, StoreError>
  /** Never removed. */
  readonly revoke: (number: number, revocation: SignedRevocation) => Effect.Effect<void, StoreError>
  /** In order of their numbers. */
  readonly revocations: Effect.Effect<ReadonlyArray<SignedRevocation>, StoreError>
  /** Leaves the public halves as tombstones for 30 days, then they are absent. */
  readonly retire: (subject: SenderId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Identities") {}
