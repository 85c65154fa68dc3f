/**
 * Which refs of ours may be on GitHub: noted before a push may make one, forgotten when it is known to be gone. A process
 * that is killed leaves its notes to the next one, and a push that GitHub had in full may make its ref minutes after that.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { PinnedRepository } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { type Backoff, pauseAfter } from "../../../runtime/ports/Backoff.ts"

/** What came of deleting one. `absent`: GitHub does not have it now. */
export type Removal = "deleted" | "absent" | "refused"

/** GitHub takes no longer over the objects of a push. */
export const lateMillis = 15 * 60_000

export interface StagedRef {
  /** GitHub's number of the repository. */
  readonly repository: number
  /** Below the sandbox's own prefix: 16 hexadecimal digits. */
  readonly name: string
}

export interface StagedRefs {
  readonly begin: (ref: StagedRef) => void
  /** Its push is over. `isKnown`: GitHub said what came of it, so that it makes no ref any more. */
  readonly end: (ref: StagedRef, removal: Removal, isKnown: boolean) => void
  /** Noted, and of no push that is under way; with when it was noted, Unix milliseconds. */
  readonly left: () => ReadonlyArray<StagedRef & { readonly since: number }>
  /** Of a ref that was found on GitHub, too. */
  readonly note: (ref: StagedRef) => void
  readonly forget: (ref: StagedRef) => void
  /** Completes when something is left by a push that ends. */
  readonly somethingLeft: Effect.Effect<void>
}

const fileOf = ({ name, repository }: StagedRef): string => `${repository}-${name}`

/** The directory is made when missing; a note is an empty file. */
export const stagedRefs = (directory: string): StagedRefs => {
  Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const live = new Set<string>()
  const latch = Latch.makeUnsafe(false)
  const note = (ref: StagedRef) => Fs.closeSync(Fs.openSync(Path.join(directory, fileOf(ref)), "a", 0o600))
  const forget = (ref: StagedRef) => Fs.rmSync(Path.join(directory, fileOf(ref)), { force: true })
  return {
    begin: (ref) => {
      live.add(fileOf(ref))
      note(ref)
    },
    end: (ref, removal, isKnown) => {
      live.delete(fileOf(ref))
      if (removal === "deleted" || removal === "absent" && isKnown) return forget(ref)
      latch.openUnsafe()
    },
    left: () =>
      Fs.readdirSync(directory).flatMap((file) => {
        const [, repository, name] = /^(\d{1,16})-([0-9a-f]{16})$/.exec(file) ?? []
        if (repository === undefined || name === undefined || live.has(file)) return []
        const since = Fs.statSync(Path.join(directory, file), { throwIfNoEntry: false })?.mtimeMs
        return since === undefined ? [] : [{ repository: Number(repository), name, since }]
      }),
    note,
    forget,
    somethingLeft: Effect.andThen(latch.await, latch.close)
  }
}

/** Between two tries at what GitHub refused, and at what may still come: 2 s, twice that, five minutes at most. */
const betweenTries: Backoff = { firstMillis: 2_000, longestMillis: 300_000 }

export interface Sweep {
  readonly staged: StagedRefs
  readonly now: () => number
  /** Notes what of ours is on GitHub. Fails where that cannot be known. */
  readonly look: Effect.Effect<void, { readonly message: string }>
  readonly repository: (id: number) => Effect.Effect<PinnedRepository | undefined, { readonly message: string }>
  readonly remove: (repository: PinnedRepository, name: string) => Effect.Effect<Removal>
}

/** Deletes what is left until there is nothing any more, and waits for more of it; never ends. */
export const sweepStaged = ({ look, now, remove, repository, staged }: Sweep): Effect.Effect<never> => {
  const removeOne = Effect.fnUntraced(function*(one: StagedRef & { readonly since: number }) {
    const where = yield* repository(one.repository)
    const removal = where === undefined ? "absent" : yield* remove(where, one.name)
    if (removal === "deleted" || removal === "absent" && now() - one.since >= lateMillis) staged.forget(one)
  })
  const round = Effect.suspend(() => Effect.forEach(staged.left(), removeOne, { discard: true }))
  return Effect.gen(function*() {
    let isLooked = false
    for (let tries = 1;; tries++) {
      isLooked ||= yield* Effect.as(look, true).pipe(
        Effect.catch((error) =>
          Effect.as(Effect.logDebug("refs of ours could not be looked for", error.message), false)
        )
      )
      yield* round.pipe(
        Effect.catch((error) => Effect.logDebug("refs of ours could not be deleted yet", error.message))
      )
      if (isLooked && staged.left().length === 0) {
        yield* staged.somethingLeft
        tries = 0
      } else yield* Effect.sleep(pauseAfter(betweenTries, tries))
    }
  })
}
