/** The ports in memory keep the same contracts as every engine. */
import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Audit, makeMemoryAuditState } from "../../../runtime/ports/Audit.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import { Facts } from "../../../runtime/ports/Facts.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Identities, makeMemoryIdentitiesState } from "../../../runtime/ports/Identities.ts"
import { InstallStore, makeMemoryInstallState } from "../../../runtime/ports/InstallStore.ts"
import { Leases } from "../../../runtime/ports/Leases.ts"
import { Ledger } from "../../../runtime/ports/Ledger.ts"
import { makeMemoryTurnQueueState } from "../../../runtime/ports/MemoryTurnQueue.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Outbox } from "../../../runtime/ports/Outbox.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { makeMemorySandboxesState, Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Scheduler } from "../../../runtime/ports/Scheduler.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { makeMemorySeenState, Seen } from "../../../runtime/ports/Seen.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../../runtime/ports/TurnRecords.ts"
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
  const other = OtherProcess.layer.pipe(Layer.provide(Layer.fresh(Identities.memory(state))))
  return Layer.merge(Identities.memory(state), other)
})
const queueWithRows = Layer.suspend(() => {
  const sandboxes = makeMemorySandboxesState()
  const seen = makeMemorySeenState()
  return Layer.mergeAll(
    Sandboxes.memory(sandboxes),
    Seen.memory(seen),
    TurnQueue.memory(makeMemoryTurnQueueState({ rows: sandboxes.rows, seen }))
  )
})
const installStore = Layer.suspend(() => InstallStore.memory(makeMemoryInstallState()))

for (const [name, on] of [["in memory", onTestClock], ["in memory, coarse", onCoarseClock]] as const) {
  describe(`${name}: InstallStore`, () => installStoreContract(on(installStore)))
  describe(`${name}: Audit`, () =>
    auditContract(on(Layer.merge(Layer.suspend(() => Audit.memory(makeMemoryAuditState(), "operator")), installStore))))
  describe(`${name}: TurnQueue`, () => turnQueueContract(on(queueWithRows)))
  describe(`${name}: Ledger`, () => ledgerContract(on(Ledger.layerMemory)))
  describe(`${name}: Outbox`, () => outboxContract(on(Outbox.layerMemory)))
  describe(`${name}: Leases`, () => leasesContract(on(Leases.layerMemory)))
  describe(`${name}: Idempotency`, () => idempotencyContract(on(Idempotency.layerMemory)))
  describe(`${name}: Threads`, () => threadsContract(on(Threads.layerMemory)))
  describe(`${name}: Controls`, () => controlsContract(on(Controls.layerMemory)))
  describe(`${name}: Seen`, () => seenContract(on(Seen.layerMemory)))
  describe(`${name}: Posts`, () => postsContract(on(Posts.layerMemory)))
  describe(`${name}: Identities`, () => identitiesContract(on(identities)))
  describe(`${name}: Objects`, () => objectsContract(on(Objects.layerMemory)))
  describe(`${name}: Secrets`, () => secretsContract(on(Secrets.layerMemory)))
  describe(`${name}: Facts`, () => factsContract(on(Facts.layerMemory)))
  describe(`${name}: Reports`, () => reportsContract(on(Reports.layerMemory)))
  describe(`${name}: TurnRecords`, () => turnRecordsContract(on(TurnRecords.layerMemory)))
  describe(`${name}: Scheduler`, () => schedulerContract(on(Scheduler.layerMemory)))
  describe(`${name}: Sandboxes`, () => {
    const state = makeMemorySandboxesState()
    const emptied = Layer.unwrap(Effect.sync(() => {
      state.rows.clear()
      state.channels.clear()
      state.changed.clear()
      return Sandboxes.memory(state)
    }))
    sandboxesContract(on(emptied), (id) => Effect.sync(() => ({ ...state.rows.get(id) })))
  })
}
