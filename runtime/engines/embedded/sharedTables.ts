/** The doorbell of an install whose tables are one file: what is heard late is asked of the file. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { integer } from "../../adapters/disk/columns.ts"
import { Doorbell, lookAgainEvery } from "../../adapters/disk/Doorbell.ts"
import type { EngineRefused } from "../../adapters/disk/EngineErrors.ts"
import { Sqlite, type SqliteOptions } from "../../adapters/disk/Sqlite.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { unending } from "../../ports/Unending.ts"

/**
 * While anybody waits in this process, asks once per 5 s for all of them whether another one has written what is waited
 * for; only then do they look. What this process writes it rings for by itself.
 */
const lookAgain: Layer.Layer<never, never, Sqlite | Doorbell> = Layer.effectDiscard(Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  // Who cannot be told by the store whether there is anything new looks, and meets the store's trouble itself.
  const version = sqlite.read("Doorbell", "lookAgain", (tables) => {
    const row = tables.get("SELECT data_version, (SELECT number FROM revision) AS number FROM pragma_data_version") ??
      {}
    // The first changes with any commit of another process, the second with what somebody may wait for, whoever wrote it.
    return { others: integer(row, "data_version"), revision: integer(row, "number") }
  }).pipe(Effect.orElseSucceed(() => undefined))
  let last = yield* version
  const look = Effect.gen(function*() {
    const now = yield* version
    const same = now !== undefined && (now.others === last?.others || now.revision === last?.revision)
    if (!same) yield* doorbell.ringAll
    last = now
  })
  const next = Effect.all([doorbell.awaited, Effect.sleep(lookAgainEvery), look], { discard: true })
  yield* Effect.forkScoped(unending("looking for changes ended in a defect; it goes on", lookAgainEvery, next))
}))

/** A file of tables that processes share, and the doorbell in `bells` by which they tell each other what is new in it. */
export const sharedTables = (
  bells: string,
  options: SqliteOptions
): Layer.Layer<Sqlite | Doorbell, StoreError | EngineRefused> =>
  lookAgain.pipe(Layer.provideMerge(Layer.merge(Sqlite.layer(options), Doorbell.layer(bells))))
