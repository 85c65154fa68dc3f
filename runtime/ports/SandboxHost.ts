/** Where sandboxes run. Embedded: processes on this host; AWS: EC2. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SandboxId } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** The host could not bring the sandbox to the wanted state. */
export class HostFailed extends Schema.TaggedError<HostFailed>()("HostFailed", {
  sandbox: Schema.String,
  operation: Schema.Literals(["start", "stop", "destroy"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `could not ${this.operation} ${this.sandbox}: ${this.detail}`
  }
}

export class SandboxHost extends Context.Service<SandboxHost, {
  /** Makes directories if absent and asks for a runtime. Idempotent. */
  readonly start: (id: SandboxId) => Effect.Effect<void, StoreError | HostFailed>
  /** Drains the turn in hand, ends the runtime, keeps everything on disk. Returns when the lease is free. */
  readonly stop: (id: SandboxId) => Effect.Effect<void, StoreError | HostFailed>
  /** As `stop`, then removes the sandbox's directories. Idempotent. */
  readonly destroy: (id: SandboxId) => Effect.Effect<void, StoreError | HostFailed>
  /** Ready: the runtime holds the lease and has polled its queue with success. */
  readonly ready: (id: SandboxId) => Effect.Effect<boolean, StoreError>
}>()("km/runtime/ports/SandboxHost") {}
