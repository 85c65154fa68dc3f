/** All ports of this engine. */
import * as Layer from "effect/Layer"
import type { Audit, AuditWriter } from "../../ports/Audit.ts"
import type { Controls } from "../../ports/Controls.ts"
import type { Facts } from "../../ports/Facts.ts"
import type { Idempotency } from "../../ports/Idempotency.ts"
import type { Identities } from "../../ports/Identities.ts"
import type { InstallStore } from "../../ports/InstallStore.ts"
import type { Leases } from "../../ports/Leases.ts"
import type { Mailbox, Mailer, MailOutbox } from "../../ports/Mail.ts"
import type { MailSpool } from "../../ports/MailSpool.ts"
import type { Objects } from "../../ports/Objects.ts"
import type { Posts } from "../../ports/Posts.ts"
import type { Reports } from "../../ports/Reports.ts"
import type { Sandboxes } from "../../ports/Sandboxes.ts"
import type { Scheduler } from "../../ports/Scheduler.ts"
import type { Secrets } from "../../ports/Secrets.ts"
import type { Seen } from "../../ports/Seen.ts"
import type { Threads } from "../../ports/Threads.ts"
import type { TurnQueue } from "../../ports/TurnQueue.ts"
import type { TurnRecords } from "../../ports/TurnRecords.ts"
import type { Aws } from "./Aws.ts"
import { Bells } from "./Bells.ts"
import { Bucket } from "./Bucket.ts"
import { Dynamo } from "./Dynamo.ts"
import * as DynamoControls from "./DynamoControls.ts"
import * as DynamoFacts from "./DynamoFacts.ts"
import * as DynamoIdempotency from "./DynamoIdempotency.ts"
import * as DynamoIdentities from "./DynamoIdentities.ts"
import * as DynamoInstallStore from "./DynamoInstallStore.ts"
import * as DynamoLeases from "./DynamoLeases.ts"
import * as DynamoMailbox from "./DynamoMailbox.ts"
import * as DynamoMailOutbox from "./DynamoMailOutbox.ts"
import * as DynamoMailSpool from "./DynamoMailSpool.ts"
import * as DynamoPosts from "./DynamoPosts.ts"
import * as DynamoReports from "./DynamoReports.ts"
import * as DynamoSandboxes from "./DynamoSandboxes.ts"
import * as DynamoScheduler from "./DynamoScheduler.ts"
import * as DynamoSeen from "./DynamoSeen.ts"
import * as DynamoThreads from "./DynamoThreads.ts"
import * as DynamoTurnRecords from "./DynamoTurnRecords.ts"
import * as S3Audit from "./S3Audit.ts"
import * as S3Objects from "./S3Objects.ts"
import * as SqsTurnQueue from "./SqsTurnQueue.ts"
import * as SsmSecrets from "./SsmSecrets.ts"
import { Tickets } from "./Tickets.ts"

export type AwsPorts =
  | Controls
  | Facts
  | Idempotency
  | Identities
  | InstallStore
  | Leases
  | Mailbox
  | Mailer
  | MailOutbox
  | MailSpool
  | Objects
  | Posts
  | Reports
  | Sandboxes
  | Scheduler
  | Secrets
  | Seen
  | Threads
  | TurnQueue
  | TurnRecords

const ports = Layer.mergeAll(
  DynamoControls.layer,
  DynamoFacts.layer,
  DynamoIdempotency.layer,
  DynamoIdentities.layer,
  DynamoInstallStore.layer,
  DynamoLeases.layer,
  DynamoMailbox.layer,
  DynamoMailOutbox.layer,
  DynamoMailSpool.layer,
  DynamoPosts.layer,
  DynamoReports.layer,
  DynamoSandboxes.layer,
  DynamoScheduler.layer,
  DynamoSeen.layer,
  DynamoThreads.layer,
  DynamoTurnRecords.layer,
  S3Objects.layer,
  SqsTurnQueue.layer,
  SsmSecrets.layer
)

const services = Layer.mergeAll(Bucket.layer, Dynamo.layer, Tickets.layer)

/** The ports over one account, with the audit, of which each process writes a chain of its own. */
export const layerWith = (
  writer: AuditWriter,
  bells: Layer.Layer<Bells>
): Layer.Layer<AwsPorts | Audit, never, Aws> =>
  S3Audit.layer(writer).pipe(Layer.provideMerge(ports), Layer.provide(Layer.merge(services, bells)))

/** Of one process that is alone. */
export const layer: Layer.Layer<AwsPorts | Audit, never, Aws> = layerWith("operator", Bells.layer)
