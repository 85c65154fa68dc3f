/** All ports of an install on AWS, opened by any of its processes. Loaded by those alone whose install asks for this engine. */
import * as Layer from "effect/Layer"
import type { AwsPlace } from "../../domain/install/AwsPlace.ts"
import type { InstallName } from "../../domain/sandbox/Ids.ts"
import type { Audit, AuditWriter } from "../../ports/Audit.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { Aws } from "./Aws.ts"
import * as AwsEngine from "./AwsEngine.ts"
import { Bells } from "./Bells.ts"
import { makeAccount } from "./makeAccount.ts"

export interface AwsUse {
  readonly install: InstallName
  readonly place: AwsPlace
  /** Directory by which processes of this machine wake each other. */
  readonly bells: string
  /** Whose chain of the audit it writes. */
  readonly writer: AuditWriter
  /** Makes tables and bucket where they are missing. */
  readonly make: boolean
}

/** An emulator asks for no secret; and nothing of this machine's own is looked for, least of all an instance's metadata. */
const atEmulator = { accessKeyId: "emulated", secretAccessKey: "emulated" }

export const openAws = (
  { bells, install, make, place: { accountId, endpoint, region }, writer }: AwsUse
): Layer.Layer<AwsEngine.AwsPorts | Audit, StoreError> =>
  AwsEngine.layerWith(writer, Bells.layerShared(bells)).pipe(
    Layer.provide(make ? Layer.effectDiscard(makeAccount) : Layer.empty),
    Layer.provide(Aws.layer({
      install,
      region,
      accountId,
      ...(endpoint === undefined ? {} : { endpoint, credentials: atEmulator })
    }))
  )
