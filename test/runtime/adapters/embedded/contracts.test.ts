/** The embedded engine keeps the same contracts as the ports in memory. */
import { describe } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as EmbeddedEngine from "../../../../runtime/adapters/embedded/EmbeddedEngine.ts"
import { engineMigrations } from "../../../../runtime/adapters/embedded/EngineSchema.ts"
import * as FileAudit from "../../../../runtime/adapters/embedded/FileAudit.ts"
import * as FileInstallStore from "../../../../runtime/adapters/embedded/FileInstallStore.ts"
import * as FileSecrets from "../../../../runtime/adapters/embedded/FileSecrets.ts"
import * as SandboxStore from "../../../../runtime/adapters/embedded/SandboxStore.ts"
import { Sqlite } from "../../../../runtime/adapters/embedded/Sqlite.ts"
import { statePaths } from "../../../../runtime/adapters/embedded/StateDirectory.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { auditContract } from "../../ports/auditContract.ts"
import { controlsContract } from "../../ports/controlsContract.ts"
import { onTestClock } from "../../ports/Engine.ts"
import { idempotencyContract } from "../../ports/idempotencyContract.ts"
import { identitiesContract } from "../../ports/identitiesContract.ts"
import { installStoreContract } from "../../ports/installStoreContract.ts"
import { leasesContract } from "../../ports/leasesContract.ts"
import { ledgerContract } from "../../ports/ledgerContract.ts"
import { mailContract } from "../../ports/mailContract.ts"
import { objectsContract } from "../../ports/objectsContract.ts"
import { outboxContract } from "../../ports/outboxContract.ts"
import { reportsContract } from "../../ports/reportsContract.ts"
import { sandboxesContract } from "../../ports/sandboxesContract.ts"
import { schedulerContract } from "../../ports/schedulerContract.ts"
import { secretsContract } from "../../ports/secretsContract.ts"
import { postsContract, seenContract } from "../../ports/seenAndPostsContract.ts"
import { threadsContract } from "../../ports/threadsContract.ts"
import { turnQueueContract } from "../../ports/turnQueueContract.ts"
import { turnRecordsContract } from "../../ports/turnRecordsContract.ts"

const engine = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => EmbeddedEngine.layer(directory)))
const store = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => SandboxStore.layer(directory)))
const secrets = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => FileSecrets.layer(directory)))

/** The engine with a second connection beside it, to read what is really stored. */
const engineAndTables = Layer.unwrap(
  Effect.map(
    temporaryDirectory,
    (directory) =>
      Sqlite.layer({ file: statePaths(directory).database, migrations: engineMigrations }).pipe(
        Layer.provideMerge(EmbeddedEngine.layer(directory))
      )
  )
)
const readAttributes = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

const installStore = Layer.unwrap(Effect.map(temporaryDirectory, FileInstallStore.layer))
const journal = Layer.unwrap(Effect.map(
  temporaryDirectory,
  (directory) => FileAudit.layer(directory, "operator").pipe(Layer.provideMerge(FileInstallStore.layer(directory)))
))

describe("embedded: InstallStore", () => installStoreContract(installStore))
describe("embedded: Audit", () => auditContract(journal))
describe("embedded: TurnQueue", () => turnQueueContract(onTestClock(engine)))
describe("embedded: Ledger", () => ledgerContract(store))
describe("embedded: Outbox", () => outboxContract(store))
describe("embedded: Leases", () => leasesContract(engine))
describe("embedded: Idempotency", () => idempotencyContract(engine))
describe("embedded: Threads", () => threadsContract(engine))
describe("embedded: Controls", () => controlsContract(engine))
describe("embedded: Seen", () => seenContract(engine))
describe("embedded: Posts", () => postsContract(engine))
describe("embedded: Identities", () => identitiesContract(engine))
describe("embedded: Objects", () => objectsContract(engine))
describe("embedded: Mail", () => mailContract(onTestClock(engine)))
describe("embedded: Secrets", () => secretsContract(secrets))
describe("embedded: Reports", () => reportsContract(engine))
describe("embedded: TurnRecords", () => turnRecordsContract(engine))
describe("embedded: Scheduler", () => schedulerContract(engine))
describe("embedded: Sandboxes", () =>
  sandboxesContract(engineAndTables, (id) =>
    Effect.gen(function*() {
      const sqlite = yield* Sqlite
      const row = yield* sqlite.read(
        "Test",
        "attributes",
        (tables) => tables.get("SELECT attributes FROM sandboxes WHERE id = ?", id)
      )
      return yield* readAttributes(row?.["attributes"])
    })))
