/** A substrate as one folder: sandboxes that are always as one wants them, since they are nowhere. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxHost } from "../../../../../runtime/ports/SandboxHost.ts"

export const layer = (_state: string): Layer.Layer<SandboxHost> =>
  Layer.succeed(SandboxHost)(SandboxHost.of({
    start: () => Effect.void,
    stop: () => Effect.void,
    destroy: () => Effect.void,
    ready: () => Effect.succeed(true)
  }))
