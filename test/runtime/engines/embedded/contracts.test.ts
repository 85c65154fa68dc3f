/** The embedded engine keeps the same contracts as the ports in memory. */
import { preparedStatements } from "../../../support/preparedStatements.ts"
// oxlint-disable-next-line import/first
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { engineMigrations } from "../../../../runtime/adapters/disk/EngineSchema.ts"
import * as SandboxStore from "../../../../runtime/adapters/disk/SandboxStore.ts"
import { Sqlite } from "../../../../runtime/adapters/disk/Sqlite.ts"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileAudit from "../../../../runtime/engines/embedded/FileAudit.ts"
import * as FileInstallStore from "../../../../runtime/engines/embedded/FileInstallStore.ts"
import * as FileSecrets from "../../../../runtime/engines/embedded/FileSecrets.ts"
import { sweepStatements } from "../../../../runtime/engines/embedded/sweeping.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { auditContract } from "../../ports/auditContract.ts"
import { controlsContract } from "../../ports/controlsContract.ts"
import { onTestClock } from "../../ports/Engine.ts"
import { factsContract } from "../../ports/factsContract.ts"
import { idempotencyContract } from "../../ports/idempotencyContract.ts"
import { identitiesContract, OtherProcess } from "../../ports/identitiesContract.ts"
import { installStoreContract } from "../../ports/installStoreContract.ts"
import { leasesContract } from "../../ports/leasesContract.ts"
import { ledgerContract } from "../../ports/ledgerContract.ts"
import { mailContract } from "../../ports/mailContract.ts"
import { mailOutboxContract } from "../../ports/mailOutboxContract.ts"
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
import { notPrepared, scansOf } from "./queryPlans.ts"

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

const twoProcesses = Layer.unwrap(Effect.map(temporaryDirectory, (directory) =>
  Layer.merge(
    EmbeddedEngine.layer(directory),
    OtherProcess.layer.pipe(Layer.provide(Layer.fresh(EmbeddedEngine.layer(directory))))
  )))
const installStore = Layer.unwrap(Effect.map(temporaryDirectory, FileInstallStore.layer))
const journal = Layer.unwrap(Effect.map(
  temporaryDirectory,
  (directory) => FileAudit.layer(directory, "operator").pipe(Layer.provideMerge(FileInstallStore.layer(directory)))
))

describe("embedded: InstallStore", () => installStoreContract(onTestClock(installStore)))
describe("embedded: Audit", () => auditContract(onTestClock(journal)))
describe("embedded: TurnQueue", () => turnQueueContract(onTestClock(engine)))
describe("embedded: Ledger", () => ledgerContract(onTestClock(store)))
describe("embedded: Outbox", () => outboxContract(onTestClock(store)))
describe("embedded: Leases", () => leasesContract(onTestClock(engine)))
describe("embedded: Idempotency", () => idempotencyContract(onTestClock(engine)))
describe("embedded: Threads", () => threadsContract(onTestClock(engine)))
describe("embedded: Controls", () => controlsContract(onTestClock(engine)))
describe("embedded: Facts", () => factsContract(onTestClock(engine)))
describe("embedded: Seen", () => seenContract(onTestClock(engine)))
describe("embedded: Posts", () => postsContract(onTestClock(engine)))
describe("embedded: Identities", () => identitiesContract(onTestClock(twoProcesses)))
describe("embedded: Objects", () => objectsContract(onTestClock(engine)))
describe("embedded: Mail", () => mailContract(onTestClock(engine)))
describe("embedded: MailOutbox", () => mailOutboxContract(onTestClock(engine)))
describe("embedded: Secrets", () => secretsContract(onTestClock(secrets)))
describe("embedded: Reports", () => reportsContract(onTestClock(engine)))
describe("embedded: TurnRecords", () => turnRecordsContract(onTestClock(engine)))
describe("embedded: Scheduler", () => schedulerContract(onTestClock(engine)))
describe("embedded: Sandboxes", () =>
  sandboxesContract(onTestClock(engineAndTables), (id) =>
    Effect.gen(function*() {
      const sqlite = yield* Sqlite
      const row = yield* sqlite.read(
        "Test",
        "attributes",
        (tables) => tables.get("SELECT attributes FROM sandboxes WHERE id = ?", id)
      )
      return yield* readAttributes(row?.["attributes"])
    })))

/** After the contracts, which come by nearly all of the statements. */
describe("embedded: what statements read", () => {
  it("none goes through a whole table without a reason", () => {
    const tried = [...preparedStatements, ...sweepStatements]
    const untried = notPrepared(tried)
    // A text that is put together when it is used has to be used; any other can be asked about as it stands.
    assert.deepStrictEqual(untried.filter((sql) => sql.includes("${")), [])
    assert.isAbove(tried.length, 100)
    assert.deepStrictEqual(scansOf([...tried, ...untried]), [])
  })

  it("an index that is missing is noticed", () => {
    assert.lengthOf(scansOf(["SELECT body FROM queue_messages WHERE grp = ?"]), 1)
    assert.lengthOf(scansOf(["DELETE FROM no_such_table WHERE id = ?"]), 1)
  })
})
