/** All shared tables of an install on one machine: one file, one writer and one doorbell per process. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { EngineRefused } from "../../adapters/disk/EngineErrors.ts"
import { engineMigrations } from "../../adapters/disk/EngineSchema.ts"
import { ownMemory } from "../../adapters/disk/ownMemory.ts"
import { Sqlite } from "../../adapters/disk/Sqlite.ts"
import { openStateDirectory } from "../../adapters/disk/StateDirectory.ts"
import type { Controls } from "../../ports/Controls.ts"
import type { Facts } from "../../ports/Facts.ts"
import type { Idempotency } from "../../ports/Idempotency.ts"
import type { Identities } from "../../ports/Identities.ts"
import type { Leases } from "../../ports/Leases.ts"
import type { Mailbox, Mailer, MailOutbox } from "../../ports/Mail.ts"
import type { Objects } from "../../ports/Objects.ts"
import type { Posts } from "../../ports/Posts.ts"
import type { Reports } from "../../ports/Reports.ts"
import type { Sandboxes } from "../../ports/Sandboxes.ts"
import type { Scheduler } from "../../ports/Scheduler.ts"
import type { Seen } from "../../ports/Seen.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Threads } from "../../ports/Threads.ts"
import type { TurnQueue } from "../../ports/TurnQueue.ts"
import type { TurnRecords } from "../../ports/TurnRecords.ts"
import { unending } from "../../ports/Unending.ts"
import * as FileObjects from "./FileObjects.ts"
import { sharedTables } from "./sharedTables.ts"
import * as SqliteControls from "./SqliteControls.ts"
import * as SqliteFacts from "./SqliteFacts.ts"
import * as SqliteIdempotency from "./SqliteIdempotency.ts"
import * as SqliteIdentities from "./SqliteIdentities.ts"
import * as SqliteLeases from "./SqliteLeases.ts"
import * as SqliteMailbox from "./SqliteMailbox.ts"
import * as SqliteMailOutbox from "./SqliteMailOutbox.ts"
import * as SqlitePosts from "./SqlitePosts.ts"
import * as SqliteReports from "./SqliteReports.ts"
import * as SqliteSandboxes from "./SqliteSandboxes.ts"
import * as SqliteScheduler from "./SqliteScheduler.ts"
import * as SqliteSeen from "./SqliteSeen.ts"
import * as SqliteThreads from "./SqliteThreads.ts"
import * as SqliteTurnQueue from "./SqliteTurnQueue.ts"
import * as SqliteTurnRecords from "./SqliteTurnRecords.ts"
import { sweep } from "./sweeping.ts"

/** Everything but the secrets, which are given out by prefix (`FileSecrets`). */
export type EnginePorts =
  | Controls
  | Facts
  | Idempotency
  | Identities
  | Leases
  | Mailbox
  | Mailer
  | MailOutbox
  | Objects
  | Posts
  | Reports
  | Sandboxes
  | Scheduler
  | Seen
  | Threads
  | TurnQueue
  | TurnRecords

export interface EngineOptions {
  /** See `SqliteOptions.check`; commands that run for a moment set it to false. */
  readonly check?: boolean
  /** See `SqliteOptions.maxPages`. */
  readonly maxPages?: number
}

/** Expiry is checked on every read; this only frees the space. */
const sweepEvery = Duration.hours(1)

const sweeper = Layer.effectDiscard(Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const sweepNow = Effect.flatMap(Clock.currentTimeMillis, (now) => sweep(sqlite, now)).pipe(
    Effect.catch((error) => Effect.logWarning("expired rows could not be removed; it is tried again", error))
  )
  yield* Effect.forkScoped(
    unending("removing expired rows ended in a defect; it is tried again", 0, Effect.delay(sweepNow, sweepEvery))
  )
}))

/**
 * Opens (or creates) the state directory and its `engine.db`. Refuses a place that others can read (KM-ENG codes). May
 * be built in several processes at once. Build it once per process: each one has a writer and a directory watcher.
 */
export const layer = (
  stateDirectory: string,
  options: EngineOptions = {}
): Layer.Layer<EnginePorts, StoreError | EngineRefused> =>
  ownMemory(Layer.unwrap(Effect.map(openStateDirectory(stateDirectory), (paths) => {
    const shared = sharedTables(paths.bells, { ...options, file: paths.database, migrations: engineMigrations })
    return Layer.mergeAll(
      SqliteControls.layer,
      SqliteFacts.layer,
      SqliteIdempotency.layer,
      SqliteIdentities.layer,
      SqliteLeases.layer,
      SqliteMailbox.layer(paths.mail),
      SqliteMailOutbox.layer(paths.mail),
      SqlitePosts.layer,
      SqliteReports.layer,
      SqliteSandboxes.layer,
      SqliteScheduler.layer,
      SqliteSeen.layer,
      SqliteThreads.layer,
      SqliteTurnQueue.layer,
      SqliteTurnRecords.layer,
      FileObjects.layer(paths.objects),
      sweeper
    ).pipe(Layer.provide(shared))
  })))
