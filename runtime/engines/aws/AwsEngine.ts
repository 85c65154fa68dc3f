/** The ports that this engine has so far. No process opens it yet: an install that asks for it is refused. */
import * as Layer from "effect/Layer"
import type { Controls } from "../../ports/Controls.ts"
import type { Facts } from "../../ports/Facts.ts"
import type { Idempotency } from "../../ports/Idempotency.ts"
import type { Identities } from "../../ports/Identities.ts"
import type { InstallStore } from "../../ports/InstallStore.ts"
import type { Leases } from "../../ports/Leases.ts"
import type { Objects } from "../../ports/Objects.ts"
import type { Posts } from "../../ports/Posts.ts"
import type { Reports } from "../../ports/Reports.ts"
import type { Sandboxes } from "../../ports/Sandboxes.ts"
import type { Secrets } from "../../ports/Secrets.ts"
import type { Seen } from "../../ports/Seen.ts"
import type { Threads } from "../../ports/Threads.ts"
import type { TurnQueue } from "../../ports/TurnQueue.ts"
import type { TurnRecords } from "../../ports/TurnRecords.ts"
import type { Aws } from "./Aws.ts"
import { Dynamo } from "./Dynamo.ts"
import * as DynamoControls from "./DynamoControls.ts"
import * as DynamoFacts from "./DynamoFacts.ts"
import * as DynamoIdempotency from "./DynamoIdempotency.ts"
import * as DynamoIdentities from "./DynamoIdentities.ts"
import * as DynamoInstallStore from "./DynamoInstallStore.ts"
import * as DynamoLeases from "./DynamoLeases.ts"
import * as DynamoPosts from "./DynamoPosts.ts"
import * as DynamoReports from "./DynamoReports.ts"
import * as DynamoSandboxes from "./DynamoSandboxes.ts"
import * as DynamoSeen from "./DynamoSeen.ts"
import * as DynamoThreads from "./DynamoThreads.ts"
import * as DynamoTurnRecords from "./DynamoTurnRecords.ts"
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
  | Objects
  | Posts
  | Reports
  | Sandboxes
  | Secrets
  | Seen
  | Threads
  | TurnQueue
  | TurnRecords

/** The ports over one account. */
export const layer: Layer.Layer<AwsPorts, never, Aws> = Layer.mergeAll(
  DynamoControls.layer,
  DynamoFacts.layer,
  DynamoIdempotency.layer,
  DynamoIdentities.layer,
  DynamoInstallStore.layer,
  DynamoLeases.layer,
  DynamoPosts.layer,
  DynamoReports.layer,
  DynamoSandboxes.layer,
  DynamoSeen.layer,
  DynamoThreads.layer,
  DynamoTurnRecords.layer,
  S3Objects.layer,
  SqsTurnQueue.layer,
  SsmSecrets.layer
).pipe(Layer.provide(Layer.mergeAll(Dynamo.layer, Tickets.layer)))
