/** How a person names a sandbox: its id, its alias, or a prefix that fits only one. */
import * as Effect from "effect/Effect"
import type { SandboxRow } from "../runtime/domain/sandbox/Sandbox.ts"
import { Sandboxes } from "../runtime/ports/Sandboxes.ts"
import { kmError } from "./KmError.ts"
import { talk } from "./Output.ts"
import { firstCreate } from "./Programs.ts"

/**
 * The row that `reference` names: an id or alias as a whole, else the only one that an id or alias begins with. Anything
 * but the id itself is noted on standard error.
 */
export const resolve = Effect.fn("Reference.resolve")(function*(reference: string) {
  const sandboxes = yield* Sandboxes
  const rows = yield* sandboxes.list
  const found = pick(rows, reference)
  if (found.length === 0) {
    const { nearest } = yield* Effect.promise(() => import("../runtime/domain/profile/ProfileDecode.ts"))
    const near = nearest(reference, rows.flatMap(namesOf))
    return yield* kmError(
      "KM-CLI-002",
      `no sandbox is called ${JSON.stringify(reference)}`,
      near === undefined ? "there are no sandboxes" : `the nearest is ${near}`,
      rows.length === 0 ? firstCreate() : "km list"
    )
  }
  const [row] = found
  if (row === undefined || found.length > 1) {
    return yield* kmError(
      "KM-CLI-003",
      `${JSON.stringify(reference)} fits ${found.length} sandboxes`,
      found.map(labelOf).join(", ")
    )
  }
  if (reference !== row.id) yield* talk(`${reference} is ${labelOf(row)}`)
  return row
})

const namesOf = (row: SandboxRow): ReadonlyArray<string> => row.alias === undefined ? [row.id] : [row.id, row.alias]

/** `sb-1a2b3c4d (demo)`, or the id alone. */
export const labelOf = (row: SandboxRow): string => row.alias === undefined ? row.id : `${row.id} (${row.alias})`

/** Whole ids first, then whole aliases, then prefixes of either; a row that fits twice counts once. */
export const pick = (rows: ReadonlyArray<SandboxRow>, reference: string): ReadonlyArray<SandboxRow> => {
  if (reference === "") return []
  const id = rows.filter((row) => row.id === reference)
  if (id.length > 0) return id
  const alias = rows.filter((row) => row.alias === reference)
  if (alias.length > 0) return alias
  return rows.filter((row) => namesOf(row).some((name) => name.startsWith(reference)))
}
