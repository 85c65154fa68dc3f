/** The ports in memory keep the same contracts as every engine. */
import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Audit, makeMemoryAuditState } from "../../../runtime/ports/Audit.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { InstallStore, makeMemoryInstallState } from "../../../runtime/ports/InstallStore.ts"
import { Leases } from "../../../runtime/ports/Leases.ts"
import { Ledger } from "../../../runtime/ports/Ledger.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Outbox } from "../../../runtime/ports/Outbox.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { makeMemorySandboxesState, Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Scheduler } from "../../../runtime/ports/Scheduler.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { Seen } from "../../../runtime/ports/Seen.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../../runtime/ports/TurnRecords.ts"
import { auditContract } from "./auditContract.ts"
import { controlsContract } from "./controlsContract.ts"
import { onCoarseClock, onTestClock } from "./Engine.ts"
import { idempotencyContract } from "./idempotencyContract.ts"
import { identitiesContract } from "./identitiesContract.ts"
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

const installStore = Layer.suspend(() => InstallStore.memory(makeMemoryInstallState()))

describe("in memory: InstallStore", () => installStoreContract(installStore))
describe("in memory: Audit", () =>
  auditContract(
    Layer.merge(Layer.suspend(() => Audit.memory(makeMemoryAuditState(), "operator")), installStore)
  ))
describe("in memory: TurnQueue", () => turnQueueContract(onTestClock(TurnQueue.layerMemory)))
describe("in memory, coarse: TurnQueue", () => turnQueueContract(onCoarseClock(TurnQueue.layerMemory)))
describe("in memory: Ledger", () => ledgerContract(Ledger.layerMemory))
describe("in memory: Outbox", () => outboxContract(Outbox.layerMemory))
describe("in memory: Leases", () => leasesContract(Leases.layerMemory))
describe("in memory: Idempotency", () => idempotencyContract(Idempotency.layerMemory))
describe("in memory: Threads", () => threadsContract(Threads.layerMemory))
describe("in memory: Controls", () => controlsContract(Controls.layerMemory))
describe("in memory: Seen", () => seenContract(Seen.layerMemory))
describe("in memory: Posts", () => postsContract(Posts.layerMemory))
describe("in memory: Identities", () => identitiesContract(Identities.layerMemory))
describe("in memory: Objects", () => objectsContract(Objects.layerMemory))
describe("in memory: Secrets", () => secretsContract(Secrets.layerMemory))
describe("in memory: Reports", () => reportsContract(Reports.layerMemory))
describe("in memory: TurnRecords", () => turnRecordsContract(TurnRecords.layerMemory))
describe("in memory: Scheduler", () => schedulerContract(Scheduler.layerMemory))
describe("in memory: Sandboxes", () => {
  const state = makeMemorySandboxesState()
  const emptied = Layer.unwrap(Effect.sync(() => {
    state.rows.clear()
    state.channels.clear()
    state.changed.clear()
    return Sandboxes.memory(state)
  }))
  sandboxesContract(emptied, (id) => Effect.sync(() => ({ ...state.rows.get(id) })))
})
