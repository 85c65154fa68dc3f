/** One row per sandbox. Updates are attribute by attribute, so that no writer drops what another one wrote. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { Alias, ChannelId, SandboxId } from "../domain/Ids.ts"
import type { SandboxRow } from "../domain/Sandbox.ts"
import type { StoreError } from "./StoreError.ts"

/** Another living sandbox holds this id or alias. */
export class SandboxConflict extends Schema.TaggedError<SandboxConflict>()("SandboxConflict", {
  what: Schema.Literals(["id", "alias"]),
  value: Schema.String
}) {
  override get message(): string {
    return `the ${this.what} ${this.value} is taken by another sandbox; choose another one or destroy that sandbox`
  }
}

export class Sandboxes extends Context.Service<Sandboxes, {
  /** Takes id and alias in one step (guard row), or neither. */
  readonly insert: (row: SandboxRow) => Effect.Effect<void, StoreError | SandboxConflict>
  readonly get: (id: SandboxId) => Effect.Effect<Option.Option<SandboxRow>, StoreError>
  /** Only the named attributes change; attributes that we do not know stay. No effect on a missing row. */
  readonly update: (id: SandboxId, changes: Partial<SandboxRow>) => Effect.Effect<void, StoreError>
  /** Frees the alias too. Idempotent. */
  readonly remove: (id: SandboxId) => Effect.Effect<void, StoreError>
  /** Index reads: may lag behind a write by up to a minute on a distributed engine. */
  readonly byChannel: (channel: ChannelId) => Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  readonly byAlias: (alias: Alias) => Effect.Effect<Option.Option<SandboxRow>, StoreError>
  readonly list: Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /** Emits the ids whose row may have changed; at least every 5 s nothing is missed (an id may come twice). */
  readonly changes: Stream.Stream<SandboxId, StoreError>
  /** The channel that an alias used last, kept after its sandbox is gone. */
  readonly channelOfAlias: (alias: Alias) => Effect.Effect<Option.Option<ChannelId>, StoreError>
  readonly rememberChannel: (alias: Alias, channel: ChannelId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Sandboxes") {}
