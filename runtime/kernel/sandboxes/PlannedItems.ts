/**
 * A sandbox's things as a create makes them: each is in the row's inventory before it is made, so that a crash leaves a
 * name to look for.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type InventoryItem, isSameItem, type SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { Sandboxes, withItem } from "../../ports/Sandboxes.ts"

/** The end of the sandbox began, or another life of its id, while it was being made. */
export class Overtaken extends Data.TaggedError("Overtaken") {}

/** Under which a create goes on: the same life, not ending. */
export const aliveAs = ({ generation }: SandboxRow) => ({ generation, ending: false } as const)

export const makePlannedItems = Effect.gen(function*() {
  const sandboxes = yield* Sandboxes
  /** By generation: the rows of creates under way, with everything that they have planned or made. */
  const making = new Map<string, SandboxRow>()

  /**
   * Plans, makes, records; a thing that an interrupted create had made already is not made again. Each write holds for
   * this life of the sandbox and only until its end begins: what was made meanwhile is then the create's to undo.
   */
  const add = Effect.fnUntraced(function*<E>(
    row: SandboxRow,
    kind: InventoryItem["kind"],
    ref: string,
    act: Effect.Effect<Partial<Omit<SandboxRow, "inventory">>, E>
  ) {
    const known = row.inventory.find((other) => isSameItem(other, { kind, ref }))
    if (known?.state === "made") return row
    const planned = { kind, ref, state: "planned" } as const
    if (known === undefined) {
      if (!(yield* sandboxes.addItem(row.id, planned, aliveAs(row)))) return yield* new Overtaken()
      making.set(row.generation, { ...row, inventory: withItem(row.inventory, planned) })
    }
    const changes = yield* act
    const made = { kind, ref, state: "made" } as const
    const next = { ...row, ...changes, inventory: withItem(row.inventory, made) }
    making.set(row.generation, next)
    return (yield* sandboxes.addItem(row.id, made, aliveAs(row), changes)) ? next : yield* new Overtaken()
  })

  return {
    add,
    /** The row with all that its create has planned or made, also where no write of it came through. */
    latest: (begun: SandboxRow): SandboxRow => making.get(begun.generation) ?? begun,
    forget: ({ generation }: SandboxRow): void => void making.delete(generation)
  }
})

export type PlannedItems = Effect.Success<typeof makePlannedItems>
