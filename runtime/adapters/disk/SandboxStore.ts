/** What a sandbox keeps on its own disk in every engine: the ledger of its turns and the outbox to the bridge. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Ledger } from "../../ports/Ledger.ts"
import type { Outbox } from "../../ports/Outbox.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { EngineRefused } from "./EngineErrors.ts"
import { sandboxMigrations } from "./EngineSchema.ts"
import { ownMemory } from "./ownMemory.ts"
import { Sqlite } from "./Sqlite.ts"
import * as SqliteLedger from "./SqliteLedger.ts"
import * as SqliteOutbox from "./SqliteOutbox.ts"
import { openSandboxDirectory } from "./StateDirectory.ts"

/**
 * `directory` is the sandbox's own, `sandboxes/{id}`; it is created when missing and refused when others can enter it.
 * `ledger.db` lies directly in it, out of the agent's reach.
 */
export const layer = (
  directory: string,
  options: { readonly check?: boolean; readonly maxPages?: number } = {}
): Layer.Layer<Ledger | Outbox, StoreError | EngineRefused> =>
  ownMemory(Layer.unwrap(Effect.map(openSandboxDirectory(directory), (paths) =>
    Layer.provide(
      Layer.merge(SqliteLedger.layer, SqliteOutbox.layer),
      Sqlite.layer({ ...options, file: paths.ledger, migrations: sandboxMigrations })
    ))))
