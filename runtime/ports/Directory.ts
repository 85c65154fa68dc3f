/** The identity directory as one value, read at one instant, and the copy of it that a process keeps. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Semaphore from "effect/Semaphore"
import type { CertifiedKey, KeyPurpose, SignedRevocation } from "../domain/identity/Certificate.ts"
import type { KeyId, SenderId } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** Of a promise of 60 s for a revoked key, this much is the copy; the rest is for a request that is already judged. */
export const directoryMaxAgeMillis = 30_000

/** What is not in the copy is looked for in the store: for requests of strangers no more often than this. */
export const directoryMissRestMillis = 1_000

/** One row. The store is not trusted: what the certificate says, its validity too, counts only once it was verified. */
export interface DirectoryKey {
  readonly subject: SenderId
  readonly purpose: KeyPurpose
  readonly keyId: KeyId
  readonly key: CertifiedKey
}

export interface DirectoryRows {
  /** In the order in which the keys were first put; also the tombstones of those who went, for 30 days. */
  readonly keys: ReadonlyArray<DirectoryKey>
  /** In order of their numbers; never older than the keys. */
  readonly revocations: ReadonlyArray<SignedRevocation>
}

/** The same value as long as it is the same copy: what was found out about it may be kept beside it. */
export interface Directory {
  /** Unix milliseconds: when reading began. */
  readonly readAt: number
  /** Everybody who has rows, also those who are gone, for 30 days; whoever writes the store decides what stands here. */
  readonly subjects: ReadonlyArray<SenderId>
  /** Current and former keys, in the order in which they were first put. */
  readonly keysOf: (subject: SenderId, purpose: KeyPurpose) => ReadonlyArray<CertifiedKey>
  readonly holds: (subject: SenderId, keyId: KeyId) => boolean
  readonly revocations: ReadonlyArray<SignedRevocation>
}

export const makeDirectory = (readAt: number, { keys, revocations }: DirectoryRows): Directory => {
  const bySubject = Map.groupBy(keys, ({ subject }) => subject)
  return {
    readAt,
    subjects: [...bySubject.keys()],
    keysOf: (subject, purpose) =>
      (bySubject.get(subject) ?? []).filter((row) => row.purpose === purpose).map(({ key }) => key),
    holds: (subject, keyId) => (bySubject.get(subject) ?? []).some((row) => row.keyId === keyId),
    revocations
  }
}

/** As in `Identities`; `writing` is around whatever this process writes. */
export interface DirectoryCopy {
  readonly directory: Effect.Effect<Directory, StoreError>
  readonly directoryNow: Effect.Effect<Directory, StoreError>
  /** Drops the copy when the write is over, also one that failed or was interrupted: it may have been done. */
  readonly writing: <A, E>(write: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

export const makeDirectoryCopy = (rows: Effect.Effect<DirectoryRows, StoreError>): DirectoryCopy => {
  const oneReader = Semaphore.makeUnsafe(1)
  let copy: { readonly directory: Directory; readonly reading: number } | undefined
  let readings = 0
  let writes = 0

  const read = Effect.gen(function*() {
    const reading = ++readings
    const before = writes
    const readAt = yield* Clock.currentTimeMillis
    const directory = makeDirectory(readAt, yield* rows)
    // A write that ended meanwhile may not be in what was read.
    if (writes === before) copy = { directory, reading }
    return directory
  })

  const young = Effect.map(Clock.currentTimeMillis, (now) => {
    const found = copy?.directory
    // A clock that was set back makes no copy immortal.
    return found !== undefined && Math.abs(now - found.readAt) < directoryMaxAgeMillis ? found : undefined
  })

  return {
    directory: Effect.filterOrElse(
      young,
      Predicate.isNotUndefined,
      () => oneReader.withPermit(Effect.filterOrElse(young, Predicate.isNotUndefined, () => read))
    ),
    directoryNow: Effect.suspend(() => {
      // What another began to read after this call is as fresh as what this one would read.
      const asked = readings
      return oneReader.withPermit(
        Effect.suspend(() => copy !== undefined && copy.reading > asked ? Effect.succeed(copy.directory) : read)
      )
    }),
    writing: (write) =>
      Effect.ensuring(
        write,
        Effect.sync(() => {
          writes++
          copy = undefined
        })
      )
  }
}

/**
 * The copy, or the store anew where the copy does not hold what is asked for: a key made a moment ago by another process
 * must not wait out the copy. `atLeast`: the number of revocations that the reader was told of; a copy with fewer is only
 * old, the store with fewer was changed. What is lacking in the answer is not there, or younger than `restMillis`.
 */
export const directoryHolding = Effect.fnUntraced(function*(
  identities: Pick<DirectoryCopy, "directory" | "directoryNow">,
  holds: (directory: Directory) => boolean,
  { atLeast = 0, restMillis = 0 }: { readonly atLeast?: number; readonly restMillis?: number } = {}
) {
  const directory = yield* identities.directory
  if (holds(directory) && directory.revocations.length >= atLeast) return directory
  const now = yield* Clock.currentTimeMillis
  return now - directory.readAt < restMillis ? directory : yield* identities.directoryNow
})
