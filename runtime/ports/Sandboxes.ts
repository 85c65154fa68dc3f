/** One row per sandbox. Updates are attribute by attribute, so that no writer drops what another one wrote. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Alias, ChannelId, SandboxId } from "../domain/sandbox/Ids.ts"
import { type InventoryItem, isEnding, isSameItem, type SandboxRow } from "../domain/sandbox/Sandbox.ts"
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

const fixed: ReadonlySet<string> = new Set(["id", "alias", "inventory"])

/**
 * What an update changes: `id` and `alias` never (they are taken and freed with the row), nor the inventory (whose items
 * come and go singly); an attribute given as `undefined` is removed. `row` is the row as it then is. The rule of every engine.
 */
export const changedAttributes = (
  row: SandboxRow,
  changes: Partial<SandboxRow>
): { readonly row: SandboxRow; readonly set: ReadonlyArray<string>; readonly unset: ReadonlyArray<string> } => {
  const entries = Object.entries(changes).filter(([name]) => !fixed.has(name))
  const set = entries.filter(([, value]) => value !== undefined)
  const unset = entries.filter(([, value]) => value === undefined).map(([name]) => name)
  const changed: SandboxRow = { ...row, ...Object.fromEntries(set) }
  for (const name of unset) Reflect.deleteProperty(changed, name)
  return { row: changed, set: set.map(([name]) => name), unset }
}

/** When a change may be made: decided on the row as it then is, in one step with the change. */
export interface RowCondition {
  /** Only to this life of the id. */
  readonly generation?: string
  /** Only while its end has not begun. */
  readonly ending?: false
  /** Only while its end is still planned for this time: what was counted from it is not lost to another who counts. */
  readonly expiresAt?: number
}

/** Whether the row is as a change expects it. The rule of every engine. */
export const holds = (row: SandboxRow, { ending, expiresAt, generation }: RowCondition): boolean =>
  (generation === undefined || row.generation === generation) &&
  (ending === undefined || !isEnding(row)) &&
  (expiresAt === undefined || row.expiresAt === expiresAt)

/** The inventory with the item in its present state, at its old place or at the end. */
export const withItem = (
  inventory: ReadonlyArray<InventoryItem>,
  item: InventoryItem
): ReadonlyArray<InventoryItem> =>
  inventory.some((other) => isSameItem(other, item))
    ? inventory.map((other) => isSameItem(other, item) ? item : other)
    : [...inventory, item]

export class Sandboxes extends Context.Service<Sandboxes, {
  /** Takes id and alias in one step (guard row), or neither. */
  readonly insert: (row: SandboxRow) => Effect.Effect<void, StoreError | SandboxConflict>
  readonly get: (id: SandboxId) => Effect.Effect<Option.Option<SandboxRow>, StoreError>
  /**
   * Only the named attributes change; attributes that we do not know stay. One given as `undefined` is removed; `id`,
   * `alias` and `inventory` never change. False, and no effect, on a missing row or one for which `while` does not hold.
   */
  readonly update: (
    id: SandboxId,
    changes: Partial<Omit<SandboxRow, "inventory">>,
    whileRow?: RowCondition
  ) => Effect.Effect<boolean, StoreError>
  /**
   * Adds one item, or sets the state of the one that is there; two writers of different items keep both. False as for
   * `update`. With `changes`, those attributes in the same step.
   */
  readonly addItem: (
    id: SandboxId,
    item: InventoryItem,
    whileRow?: RowCondition,
    changes?: Partial<Omit<SandboxRow, "inventory">>
  ) => Effect.Effect<boolean, StoreError>
  /** Idempotent; no effect on a missing row. */
  readonly removeItem: (id: SandboxId, item: Pick<InventoryItem, "kind" | "ref">) => Effect.Effect<void, StoreError>
  /** Frees the alias too. Idempotent. */
  readonly remove: (id: SandboxId) => Effect.Effect<void, StoreError>
  /** Index reads: may lag behind a write by up to a minute on a distributed engine. */
  readonly byChannel: (channel: ChannelId) => Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /**
   * The same, perhaps as it was a second ago; what this process has changed is in it. For whoever asks with each message
   * and has what counts decided where the message is stored.
   */
  readonly byChannelLately: (channel: ChannelId) => Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /** The sandbox with this id, else the one with this alias: read at its key, never behind. An id wins over an alias. */
  readonly named: (text: string) => Effect.Effect<Option.Option<SandboxRow>, StoreError>
  /** Rows made at or after this instant (Unix milliseconds), which an index may not show yet. Never behind. */
  readonly youngerThan: (since: number) => Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /** Every row, sorted by id. Reads all of them: for the control plane and for people. */
  readonly list: Effect.Effect<ReadonlyArray<SandboxRow>, StoreError>
  /** One row, now and whenever it may have changed; the same one may come twice. As late as `changes` may be. */
  readonly watch: (id: SandboxId) => Stream.Stream<Option.Option<SandboxRow>, StoreError>
  /**
   * Emits every id once, then those whose row may have changed, within `lagMillis` (an id may come twice). For whoever
   * looks after all sandboxes: the control plane, and a runtime that serves them all.
   */
  readonly lagMillis: number
  readonly changes: Stream.Stream<SandboxId, StoreError>
  /** The channel that an alias used last, kept after its sandbox is gone. */
  readonly channelOfAlias: (alias: Alias) => Effect.Effect<Option.Option<ChannelId>, StoreError>
  readonly rememberChannel: (alias: Alias, channel: ChannelId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Sandboxes") {}
