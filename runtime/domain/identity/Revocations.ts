/**
 * The certifier's signed, numbered statements that take keys back or end them: what they say, once it is proven that
 * none is missing. The store that holds them is not trusted.
 */
import * as Result from "effect/Result"
import type { InstallName, KeyId, SenderId } from "../sandbox/Ids.ts"
import { type SignedRevocation, verifyRevocation } from "./Certificate.ts"

/** A decimal number in the secrets: the bridge never accepts fewer revocations than this. Raised by every new one. */
export const bridgePinPath = "bridge/directory-pin"

export interface Revocations {
  /** The highest number; whoever reads them remembers it and never accepts less. */
  readonly highest: number
  /** Taken back: nothing that the key signed counts, whenever. */
  readonly isRevoked: (subject: SenderId, keyId: KeyId) => boolean
  /** Unix seconds, exclusive, where the key was replaced by another. */
  readonly endOf: (subject: SenderId, keyId: KeyId) => number | undefined
}

export interface RevocationFault {
  readonly reason: "bad-signature" | "missing-revocation" | "rolled-back"
  readonly detail: string
}

/**
 * Checks every signature and that the numbers run from 1 without a gap up to at least `atLeast`, the highest number
 * seen before: one that was removed, also at the end, is noticed.
 */
export const checkRevocations = (
  certifierPublicKey: Uint8Array,
  install: InstallName,
  signed: ReadonlyArray<SignedRevocation>,
  atLeast: number
): Result.Result<Revocations, RevocationFault> => {
  const revoked = new Set<string>()
  const ends = new Map<string, number>()
  let highest = 0
  for (const row of signed) {
    const revocation = verifyRevocation(certifierPublicKey, row)
    if (revocation === undefined || revocation.install !== install) {
      const detail = `the revocation after number ${highest} is not the certifier's`
      return Result.fail({ reason: "bad-signature", detail })
    }
    const { keyId, number, subject, until } = revocation
    if (number !== highest + 1) {
      return Result.fail({ reason: "missing-revocation", detail: `revocation ${highest + 1} is missing` })
    }
    highest = number
    const key = `${subject} ${keyId}`
    if (until === undefined) revoked.add(key)
    else ends.set(key, Math.min(until, ends.get(key) ?? until))
  }
  if (highest < atLeast) {
    const detail = `revocation ${atLeast} was there before, now the last is ${highest}`
    return Result.fail({ reason: "rolled-back", detail })
  }
  return Result.succeed({
    highest,
    isRevoked: (subject, keyId) => revoked.has(`${subject} ${keyId}`),
    endOf: (subject, keyId) => ends.get(`${subject} ${keyId}`)
  })
}
