/**
 * Frees the disk of old runs: what an agent wrote to its standard output is kept for 30 days and as long as its turn is in
 * the ledger.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as path from "node:path"
import { Ledger, ledgerRetentionMillis } from "../../ports/Ledger.ts"
import { unending } from "../../ports/Unending.ts"
import { turnOfDirectory } from "./RunDirectory.ts"

/** A turn lives 30 days; to look once a day is often enough. */
const sweepEvery = "1 day"

/** Now and then once a day, for ever. A run that cannot be removed is tried again the next day. */
export const sweepRuns = Effect.fnUntraced(function*(runs: string) {
  const files = yield* FileSystem.FileSystem
  const ledger = yield* Ledger

  const sweepOne = Effect.fnUntraced(
    function*(name: string) {
      const key = turnOfDirectory(name)
      if (Option.isNone(key)) return
      const place = path.join(runs, name)
      // Its age as well: a ledger that was moved away knows no turn, and must not take the runs with it.
      const { mtime } = yield* files.stat(place)
      const age = (yield* Clock.currentTimeMillis) - Option.match(mtime, { onNone: () => Infinity, onSome: Number })
      if (!(age > ledgerRetentionMillis)) return
      const row = yield* ledger.get(key.value)
      if (Option.isNone(row)) yield* files.remove(place, { recursive: true })
    },
    Effect.matchEffect({
      onFailure: (error) => Effect.logDebug("an old run was not removed", error.message),
      onSuccess: () => Effect.void
    })
  )

  const sweep = files.readDirectory(runs).pipe(
    Effect.flatMap((names) => Effect.forEach(names, sweepOne, { discard: true })),
    // No directory yet: no runs.
    Effect.catch((error) => Effect.logDebug("old runs were not looked for", error.message))
  )
  return yield* unending(
    "removing old runs ended in a defect; it is tried again",
    sweepEvery,
    Effect.andThen(sweep, Effect.sleep(sweepEvery))
  )
})
