/** What is sent and not delivered, and what waits for a relay, as far as it is one owner's. */
import * as Effect from "effect/Effect"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Purpose } from "./Aws.ts"
import { any, exists, is, startsWith } from "./conditions.ts"
import type { Dynamo } from "./Dynamo.ts"
import { outboxPartition, readOutgoing, spoolPartition, spoolPrefix } from "./mailRows.ts"
import { keysOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

/** Nothing of the owner, and nothing for it, is delivered any more once this is done. */
export const removeMailUnderWay = Effect.fnUntraced(function*(
  dynamo: Dynamo["Service"],
  purpose: Purpose,
  owner: SenderId
): Effect.fn.Return<void, StoreError> {
  const sent = yield* dynamo.query(purpose, {
    table: stateTable,
    key: [is("sandbox_id", outboxPartition), startsWith("item", "out#")],
    filter: any(exists(["to", owner]), is(["outside", "owner"], owner)),
    consistent: true
  })
  for (const found of sent) {
    const row = yield* readOutgoing(purpose, found)
    // Who is just delivering it has lost its lease.
    yield* dynamo.change(purpose, {
      _tag: "Update",
      table: stateTable,
      key: { sandbox_id: outboxPartition, item: row.item },
      changes: {
        set: { visible_at: 0 },
        remove: ["receipt", ...(row.outside?.owner === owner ? ["outside"] : [])],
        removeKeys: [["to", owner]]
      },
      when: exists("item")
    })
  }
  for (const state of ["wait", "done"]) {
    const spooled = yield* dynamo.query(purpose, {
      table: stateTable,
      key: [is("sandbox_id", spoolPartition), startsWith("item", `${state}#${spoolPrefix(owner)}`)],
      consistent: true
    })
    yield* dynamo.deleteAll(purpose, stateTable, keysOf(spooled))
  }
})
