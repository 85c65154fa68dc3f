/** Items of one sandbox in `{install}-sandbox-state`, by kind and name. */
import type { Attributes } from "./attributes.ts"
import { is, startsWith } from "./conditions.ts"
import type { Query } from "./Dynamo.ts"
import { stateTable } from "./tables.ts"

export type ItemKind = "control" | "fact" | "lease" | "live" | "record" | "report"

/** `owner` is a sandbox or the operator. */
export const itemOf = (owner: string, kind: ItemKind, name = ""): Attributes => ({
  sandbox_id: owner,
  item: name === "" ? kind : `${kind}#${name}`
})

/** All items of a kind whose names begin so, by name. */
export const itemsOf = (owner: string, kind: ItemKind, prefix = ""): Query => ({
  table: stateTable,
  key: [is("sandbox_id", owner), startsWith("item", `${kind}#${prefix}`)],
  consistent: true
})

export const keysOf = (items: ReadonlyArray<Attributes>): ReadonlyArray<Attributes> =>
  items.map(({ item, sandbox_id }) => ({ sandbox_id, item }))
