/** One row per sandbox. Updates are attribute by attribute, so that no writer drops what another one wrote. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Alias, ChannelId, SandboxId } from "../domain/Ids.ts"
import type { SandboxRow } from "../domain/Sandbox.ts"
import { type Bell, makeBell } from "./Bell.ts"
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

/**
 * What an update changes: `id` and `alias` never (they are taken and freed with the row), an attribute given as
 * `undefined` is removed. `row` is the row as it then is. The rule of every engine.
 */
export const changedAttributes = (
  row: SandboxRow,
  changes: Partial<SandboxRow>
): { readonly row: SandboxRow; readonly set: ReadonlyArray<string>; readonly unset: ReadonlyArray<string> } => {
  const entries = Object.entries(changes).filter(([name]) => name !== "id" && name !== "alias")
  const set = entries.filter(([, value]) => value !== undefined)
  const unset = entries.filter(([, value]) => value === undefined).map(([name]) => name)
  const changed: SandboxRow = { ...row, ...Object.fromEntries(set) }
  for (const name of unset) Reflect.deleteProperty(changed, name)
  return { row: changed, set: set.map(([name]) => name), unset }
}

export interface MemorySandboxesState {
  /** Rows keep attributes that the type does not know. */
  readonly rows: Map<SandboxId, SandboxRow>
  readonly channels: Map<Alias, ChannelId>
  /** Ids in the order of their last change. */
  readonly changed: Set<SandboxId>
  readonly bell: Bell
}
export const makeMemorySandboxesState = (): MemorySandboxesState => ({
  rows: new Map(),
  channels: new Map(),
  changed: new Set(),
  bell: makeBell()
})

export class Sandboxes extends Context.Service<Sandboxes, {
  /** Takes id and alias in one step (guard row), or neither. */
  readonly insert: (row: SandboxRow) => Effect.Effect<void, StoreError | SandboxConflict>
  readonly get: (id: SandboxId) => Effect.Effect<Option.Option<SandboxRow>, StoreError>
  /**
   * Only the named attributes change; attributes that we do not know stay. One given as `undefined` is removed; `id` and
   * `alias` never change. No effect on a missing row.
   */
  readonly update: (id: SandboxId, changes: Partial<SandboxRow>) => Effect.Effect<void, StoreError>
  /** Frees the alias too. Idempotent. */
  readonly remove: (id: SandboxId) => Effect.Effect<void, StoreError>
  /** Index reads: may lag behind a write by up to a minute on a distributed engine. */
  readonly byChannel: (channel: ChannelId) => Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /** The sandbox with this id, else the one with this alias: read at its key, never behind. An id wins over an alias. */
  readonly named: (text: string) => Effect.Effect<Option.Option<SandboxRow>, StoreError>
  readonly list: Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /** Emits every id once, then those whose row may have changed; at least every 5 s nothing is missed (an id may come twice). */
  readonly changes: Stream.Stream<SandboxId, StoreError>
  /** The channel that an alias used last, kept after its sandbox is gone. */
  readonly channelOfAlias: (alias: Alias) => Effect.Effect<Option.Option<ChannelId>, StoreError>
  readonly rememberChannel: (alias: Alias, channel: ChannelId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Sandboxes") {
  static readonly memory = (state: MemorySandboxesState): Layer.Layer<Sandboxes> => {
    const changed = (id: SandboxId) => {
      state.changed.delete(id)
      state.changed.add(id)
      state.bell.ring()
    }
    const select = (keep: (row: SandboxRow) => boolean) =>
      Effect.sync(() => [...state.rows.values()].filter(keep).toSorted((a, b) => a.id < b.id ? -1 : 1))
    return Layer.succeed(
      Sandboxes,
      Sandboxes.of({
        insert: (row) =>
          Effect.suspend(() => {
            const { alias, id } = row
            if (state.rows.has(id)) return Effect.fail(new SandboxConflict({ what: "id", value: id }))
            if (alias !== undefined && [...state.rows.values()].some((other) => other.alias === alias)) {
              return Effect.fail(new SandboxConflict({ what: "alias", value: alias }))
            }
            state.rows.set(id, row)
            changed(id)
            return Effect.void
          }),
        get: (id) => Effect.sync(() => Option.fromNullishOr(state.rows.get(id))),
        update: (id, changes) =>
          Effect.sync(() => {
            const row = state.rows.get(id)
            if (row === undefined) return
            state.rows.set(id, changedAttributes(row, changes).row)
            changed(id)
          }),
        remove: (id) => Effect.sync(() => state.rows.delete(id) ? changed(id) : undefined),
        byChannel: (channel) => select((row) => row.channel === channel),
        named: (text) =>
          Effect.map(
            select((row) => row.id === text || row.alias === text),
            (rows) => Option.fromNullishOr(rows.find(({ id }) => id === text) ?? rows[0])
          ),
        list: select(() => true),
        changes: Stream.suspend(() => {
          let rung = -1
          const next = Effect.suspend(() =>
            Effect.map(state.bell.wait(rung, Duration.infinity), () => {
              rung = state.bell.count()
              return [...state.changed]
            })
          )
          return Stream.fromIterableEffectRepeat(next)
        }),
        channelOfAlias: (alias) => Effect.sync(() => Option.fromNullishOr(state.channels.get(alias))),
        rememberChannel: (alias, channel) => Effect.sync(() => void state.channels.set(alias, channel))
      })
    )
  }

  static readonly layerMemory: Layer.Layer<Sandboxes> = Layer.suspend(() =>
    Sandboxes.memory(makeMemorySandboxesState())
  )
}
