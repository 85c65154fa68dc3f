/** The ports in memory keep the same contracts as every engine. */
import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as MemoryAudit from "../../../runtime/ports/memory/MemoryAudit.ts"
import { makeMemoryAuditState } from "../../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryControls from "../../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryFacts from "../../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryIdempotency from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemoryIdentities from "../../../runtime/ports/memory/MemoryIdentities.ts"
import { makeMemoryIdentitiesState } from "../../../runtime/ports/memory/MemoryIdentities.ts"
import * as MemoryInstallStore from "../../../runtime/ports/memory/MemoryInstallStore.ts"
import { makeMemoryInstallState } from "../../../runtime/ports/memory/MemoryInstallStore.ts"
import * as MemoryLeases from "../../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryLedger from "../../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryObjects from "../../../runtime/ports/memory/MemoryObjects.ts"
import * as MemoryOutbox from "../../../runtime/ports/memory/MemoryOutbox.ts"
import * as MemoryPosts from "../../../runtime/ports/memory/MemoryPosts.ts"
import * as MemoryReports from "../../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemoryScheduler from "../../../runtime/ports/memory/MemoryScheduler.ts"
import * as MemorySecrets from "../../../runtime/ports/memory/MemorySecrets.ts"
import * as MemorySeen from "../../../runtime/ports/memory/MemorySeen.ts"
import { makeMemorySeenState } from "../../../runtime/ports/memory/MemorySeen.ts"
import * as MemoryThreads from "../../../runtime/ports/memory/MemoryThreads.ts"
import * as MemoryTurnQueue from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import * as MemoryTurnRecords from "../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { auditContract } from "./auditContract.ts"
import { controlsContract } from "./controlsContract.ts"
import { onCoarseClock, onTestClock } from "./Engine.ts"
import { factsContract } from "./factsContract.ts"
import { idempotencyContract } from "./idempotencyContract.ts"
import { identitiesContract, OtherProcess } from "./identitiesContract.ts"
import { installStoreContract } from "./installStoreContract.ts"
import { leasesContract } from "./leasesContract.ts"
import { ledgerContract } from "./ledgerContract.ts"
import { objectsContract } from "./objectsContract.ts"
import { outboxContract } from "./outboxContract.ts"
import { reportsContract } from "./reportsContract.ts"
import { sandboxesContract } from "./sandboxesContract.ts"
import { schedulerContract } from "./schedulerContract.ts"
import { secretsContract } from "./secretsContract.ts"
import { postsContract, seenContract } from "./seenAndPostsContract.ts"
import { threadsContract } from "./threadsContract.ts"
import { turnQueueContract } from "./turnQueueContract.ts"
import { turnRecordsContract } from "./turnRecordsContract.ts"

const identities = Layer.suspend(() => {
  const state = makeMemoryIdentitiesState()
  const other = OtherProcess.layer.pipe(Layer.provide(Layer.fresh(MemoryIdentities.layerOver(state))))
  return Layer.merge(MemoryIdentities.layerOver(state), other)
})
const queueWithRows = Layer.suspend(() => {
  const sandboxes = makeMemorySandboxesState()
  const seen = makeMemorySeenState()
  return Layer.mergeAll(
    MemorySandboxes.layerOver(sandboxes),
    MemorySeen.layerOver(seen),
    MemoryTurnQueue.layerOver(makeMemoryTurnQueueState({ rows: sandboxes.rows, seen }))
  )
})
const installStore = Layer.suspend(() => MemoryInstallStore.layerOver(makeMemoryInstallState()))

for (const [name, on] of [["in memory", onTestClock], ["in memory, coarse", onCoarseClock]] as const) {
  describe(`${name}: InstallStore`, () => installStoreContract(on(installStore)))
  describe(`${name}: Audit`, () =>
    auditContract(
      on(Layer.merge(Layer.suspend(() => MemoryAudit.layerOver(makeMemoryAuditState(), "operator")), installStore))
    ))
  describe(`${name}: TurnQueue`, () => turnQueueContract(on(queueWithRows)))
  describe(`${name}: Ledger`, () => ledgerContract(on(MemoryLedger.layer)))
  describe(`${name}: Outbox`, () => outboxContract(on(MemoryOutbox.layer)))
  describe(`${name}: Leases`, () => leasesContract(on(MemoryLeases.layer)))
  describe(`${name}: Idempotency`, () => idempotencyContract(on(MemoryIdempotency.layer)))
  describe(`${name}: Threads`, () => threadsContract(on(MemoryThreads.layer)))
  describe(`${name}: Controls`, () => controlsContract(on(MemoryControls.layer)))
  describe(`${name}: Seen`, () => seenContract(on(MemorySeen.layer)))
  describe(`${name}: Posts`, () => postsContract(on(MemoryPosts.layer)))
  describe(`${name}: Identities`, () => identitiesContract(on(identities)))
  describe(`${name}: Objects`, () => objectsContract(on(MemoryObjects.layer)))
  describe(`${name}: Secrets`, () => secretsContract(on(MemorySecrets.layer)))
  describe(`${name}: Facts`, () => factsContract(on(MemoryFacts.layer)))
  describe(`${name}: Reports`, () => reportsContract(on(MemoryReports.layer)))
  describe(`${name}: TurnRecords`, () => turnRecordsContract(on(MemoryTurnRecords.layer)))
  describe(`${name}: Scheduler`, () => schedulerContract(on(MemoryScheduler.layer)))
  describe(`${name}: Sandboxes`, () => {
    const state = makeMemorySandboxesState()
    const emptied = Layer.unwrap(Effect.sync(() => {
      state.rows.clear()
      state.channels.clear()
      state.changed.clear()
      return MemorySandboxes.layerOver(state)
    }))
    sandboxesContract(on(emptied), (id) => Effect.sync(() => ({ ...state.rows.get(id) })))
  })
}
