/** Bytes too large for a request: session uploads, attachments. Names are paths under the sender's own prefix. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { SandboxId } from "../domain/Ids.ts"
import type { StoreError } from "./StoreError.ts"

export class ObjectMissing extends Schema.TaggedError<ObjectMissing>()("ObjectMissing", { name: Schema.String }) {
  override get message(): string {
    return `there is no object ${this.name}`
  }
}

export class Objects extends Context.Service<Objects, {
  /** Streams to a temporary name, then renames: a reader sees all or nothing. Returns size and SHA-256 hex. */
  readonly put: (
    owner: SandboxId,
    name: string,
    bytes: Stream.Stream<Uint8Array, StoreError>
  ) => Effect.Effect<{ readonly size: number; readonly sha256: string }, StoreError>
  readonly get: (owner: SandboxId, name: string) => Stream.Stream<Uint8Array, StoreError | ObjectMissing>
  readonly list: (owner: SandboxId) => Effect.Effect<ReadonlyArray<string>, StoreError>
  readonly delete: (owner: SandboxId, name: string) => Effect.Effect<void, StoreError>
  readonly deleteAll: (owner: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Objects") {}
