/** The AWS engine keeps the same contracts as the ports in memory, on moto. */
import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Aws } from "../../runtime/engines/aws/Aws.ts"
import * as AwsEngine from "../../runtime/engines/aws/AwsEngine.ts"
import { Dynamo } from "../../runtime/engines/aws/Dynamo.ts"
import { sandboxesTable } from "../../runtime/engines/aws/tables.ts"
import type { Audit } from "../../runtime/ports/Audit.ts"
import { auditContract } from "../runtime/ports/auditContract.ts"
import { controlsContract } from "../runtime/ports/controlsContract.ts"
import { factsContract } from "../runtime/ports/factsContract.ts"
import { idempotencyContract } from "../runtime/ports/idempotencyContract.ts"
import { identitiesContract, OtherProcess } from "../runtime/ports/identitiesContract.ts"
import { installStoreContract } from "../runtime/ports/installStoreContract.ts"
import { leasesContract } from "../runtime/ports/leasesContract.ts"
import { mailContract } from "../runtime/ports/mailContract.ts"
import { mailOutboxContract } from "../runtime/ports/mailOutboxContract.ts"
import { objectsContract } from "../runtime/ports/objectsContract.ts"
import { reportsContract } from "../runtime/ports/reportsContract.ts"
import { sandboxesContract } from "../runtime/ports/sandboxesContract.ts"
import { schedulerContract } from "../runtime/ports/schedulerContract.ts"
import { secretsContract } from "../runtime/ports/secretsContract.ts"
import { postsContract, seenContract } from "../runtime/ports/seenAndPostsContract.ts"
import { threadsContract } from "../runtime/ports/threadsContract.ts"
import { turnQueueContract } from "../runtime/ports/turnQueueContract.ts"
import { turnRecordsContract } from "../runtime/ports/turnRecordsContract.ts"
import { onMoto } from "./SteeredAws.ts"

/** With the tables beside it, to read what is really stored. */
const engineAndTables: Layer.Layer<AwsEngine.AwsPorts | Audit | Dynamo, never, Aws> = Layer.merge(
  AwsEngine.layer,
  Dynamo.layer
)

const twoProcesses = Layer.merge(
  AwsEngine.layer,
  OtherProcess.layer.pipe(Layer.provide(Layer.fresh(AwsEngine.layer)))
)

describe("aws: Audit", () => auditContract(onMoto(AwsEngine.layer)))
describe("aws: Mail", () => mailContract(onMoto(AwsEngine.layer)))
describe("aws: MailOutbox", () => mailOutboxContract(onMoto(AwsEngine.layer)))
describe("aws: Scheduler", () => schedulerContract(onMoto(AwsEngine.layer)))
describe("aws: Identities", () => identitiesContract(onMoto(twoProcesses)))
describe("aws: InstallStore", () => installStoreContract(onMoto(AwsEngine.layer)))
describe("aws: Objects", () => objectsContract(onMoto(AwsEngine.layer)))
describe("aws: Secrets", () => secretsContract(onMoto(AwsEngine.layer)))
describe("aws: TurnQueue", () => turnQueueContract(onMoto(AwsEngine.layer)))
describe("aws: Controls", () => controlsContract(onMoto(AwsEngine.layer)))
describe("aws: Facts", () => factsContract(onMoto(AwsEngine.layer)))
describe("aws: Idempotency", () => idempotencyContract(onMoto(AwsEngine.layer)))
describe("aws: Leases", () => leasesContract(onMoto(AwsEngine.layer)))
describe("aws: Posts", () => postsContract(onMoto(AwsEngine.layer)))
describe("aws: Reports", () => reportsContract(onMoto(AwsEngine.layer)))
describe("aws: Threads", () => threadsContract(onMoto(AwsEngine.layer)))
describe("aws: TurnRecords", () => turnRecordsContract(onMoto(AwsEngine.layer)))
describe("aws: Seen", () => seenContract(onMoto(AwsEngine.layer)))
describe("aws: Sandboxes", () =>
  sandboxesContract(onMoto(engineAndTables), (id) =>
    Effect.gen(function*() {
      const dynamo = yield* Dynamo
      const purpose = { port: "Test", operation: "attributes" }
      return (yield* dynamo.get(purpose, sandboxesTable, { sandbox_id: id })) ?? {}
    })))
