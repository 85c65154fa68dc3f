/**
 * A sandbox's row in `{install}-sandboxes`: the reference's names where it has the attribute, ours in the same spelling where
 * it has not, and what neither knows untouched. The inventory is two maps, so that its items come and go singly.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type InventoryItem, SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { changedAttributes, type RowCondition } from "../../ports/Sandboxes.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, all, any, type Changes, compare, type Condition, exists, is } from "./conditions.ts"
import { reader } from "./rows.ts"

/** Where the spelling is not simply ours with underscores. */
const renamed: Readonly<Record<string, string>> = { id: "sandbox_id", channel: "slack_channel_id" }

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const stored = new Map(Object.keys(SandboxRow.fields).map((name) => [name, renamed[name] ?? snake(name)]))
const known = new Map([...stored].map(([ours, theirs]) => [theirs, ours]))

/** The attribute's name in the table. */
export const storedName = (name: string): string => stored.get(name) ?? name

const inventoryStates = "inventory"
const inventoryOrder = "inventory_order"

export const itemKey = ({ kind, ref }: Pick<InventoryItem, "kind" | "ref">): string => `${kind}#${ref}`

const Inventory = Schema.Record(Schema.String, Schema.String)
const Order = Schema.Record(Schema.String, Schema.String)
const readStates = reader("inventory", Inventory)
const readOrder = reader("inventory", Order)
const readRow = reader("sandbox", SandboxRow)
const encodeRow = Schema.encodeSync(SandboxRow)

const encoded = (row: SandboxRow): Attributes => {
  const { inventory: _inventory, ...rest } = { ...row, ...encodeRow(row) }
  return rest
}

/** All of a new row. `arrival` sorts the items that it begins with. */
export const itemOf = (row: SandboxRow, arrival: () => string): Attributes => ({
  ...Object.fromEntries(Object.entries(encoded(row)).map(([name, value]) => [storedName(name), value])),
  [inventoryStates]: Object.fromEntries(row.inventory.map((item) => [itemKey(item), item.state])),
  [inventoryOrder]: Object.fromEntries(row.inventory.map((item) => [itemKey(item), arrival()]))
})

export const rowOf = Effect.fnUntraced(function*(
  purpose: Purpose,
  item: Attributes
): Effect.fn.Return<SandboxRow, StoreError> {
  const states = yield* readStates(purpose, item[inventoryStates] ?? {})
  const order = yield* readOrder(purpose, item[inventoryOrder] ?? {})
  const keys = Object.keys(states).toSorted((a, b) => (order[a] ?? "") < (order[b] ?? "") ? -1 : 1)
  const inventory = keys.map((key) => {
    const at = key.indexOf("#")
    return { kind: key.slice(0, at), ref: key.slice(at + 1), state: states[key] }
  })
  const ours = Object.entries(item).flatMap(([name, value]) => {
    const own = known.get(name)
    return own === undefined ? [] : [[own, value] as const]
  })
  return yield* readRow(purpose, { ...Object.fromEntries(ours), inventory })
})

/** What an update sets and removes, by the rule of every engine. */
export const changesOf = (changes: Partial<SandboxRow>): Changes => {
  const { set, unset } = changedAttributes({} as SandboxRow, changes)
  const values: Record<string, unknown> = {}
  for (const name of set) values[storedName(name)] = encodedValue(name, changes)
  return { set: values, remove: unset.map(storedName) }
}

/** One attribute as the row's schema encodes it. */
const encodedValue = (name: string, changes: Partial<SandboxRow>): unknown => {
  const field: Schema.Top | undefined = Object.hasOwn(SandboxRow.fields, name)
    ? SandboxRow.fields[name as keyof typeof SandboxRow.fields]
    : undefined
  const value: unknown = changes[name as keyof SandboxRow]
  return field === undefined ? value : Schema.encodeUnknownSync(field as Schema.Codec<unknown, unknown>)(value)
}

/** Sets the state of an item and leaves its place; a new one comes last. */
export const itemChanges = (item: InventoryItem, arrival: string): Pick<Changes, "setKeys" | "setKeysOnce"> => ({
  setKeys: [[inventoryStates, itemKey(item), item.state]],
  setKeysOnce: [[inventoryOrder, itemKey(item), arrival]]
})

export const itemRemoval = (item: Pick<InventoryItem, "kind" | "ref">): Changes => ({
  removeKeys: [[inventoryStates, itemKey(item)], [inventoryOrder, itemKey(item)]]
})

export const notEnding: Condition = all(compare("status", "<>", "destroying"), compare("desired", "<>", "destroyed"))

const ofGeneration = (generation: string): Condition =>
  generation === "" ? any(is("generation", ""), absent("generation")) : is("generation", generation)

/** `holds` of the port, as a condition. */
export const conditionOf = ({ ending, expiresAt, generation }: RowCondition): Condition =>
  all(
    exists("sandbox_id"),
    ...(generation === undefined ? [] : [ofGeneration(generation)]),
    ...(ending === undefined ? [] : [notEnding]),
    ...(expiresAt === undefined ? [] : [is("expires_at", expiresAt)])
  )

/** What decides whether a sandbox takes messages. */
export interface JudgedRow extends Pick<SandboxRow, "desired" | "generation" | "status"> {
  /** "" when nothing was accepted yet. */
  readonly newest: string
}

const { fields } = SandboxRow
const readJudged = reader(
  "sandbox",
  Schema.Struct({
    desired: fields.desired,
    generation: fields.generation,
    status: fields.status,
    last_accepted_ts: fields.lastAcceptedTs
  })
)

export const judgedRow = (purpose: Purpose, item: Attributes): Effect.Effect<JudgedRow, StoreError> =>
  Effect.map(readJudged(purpose, item), ({ last_accepted_ts, ...row }) => ({ ...row, newest: last_accepted_ts ?? "" }))
