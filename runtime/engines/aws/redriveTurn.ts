/** A dead message's way back, while its sandbox takes messages. */
import * as Effect from "effect/Effect"
import type { GroupId, SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { SandboxEnding, whyNotAccepting } from "../../ports/QueueRules.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Purpose } from "./Aws.ts"
import { is } from "./conditions.ts"
import type { Dynamo } from "./Dynamo.ts"
import { conditionOf, judgedRow } from "./sandboxRows.ts"
import { sandboxesTable, stateTable } from "./tables.ts"
import { type Arrival, readTurn, redriven, turnKeyOf } from "./turnRows.ts"

const purpose: Purpose = { port: "TurnQueue", operation: "redrive" }

/** The group that needs a ticket now; nothing when the message is not among the dead. */
export const redriveTurn = Effect.fnUntraced(function*(
  dynamo: Dynamo["Service"],
  queue: SandboxId,
  key: TurnKey,
  generation: string,
  arrival: Arrival
): Effect.fn.Return<GroupId | undefined, StoreError | SandboxEnding> {
  const sandbox = { sandbox_id: queue }
  const item = yield* dynamo.get(purpose, sandboxesTable, sandbox)
  const why = whyNotAccepting(item === undefined ? undefined : yield* judgedRow(purpose, item), generation)
  if (why !== undefined) return yield* new SandboxEnding({ sandbox: queue, why })
  const found = yield* dynamo.get(purpose, stateTable, turnKeyOf(queue, key))
  const row = found === undefined ? undefined : yield* readTurn(purpose, found)
  if (row?.state !== "dead") return undefined
  const answer = yield* dynamo.transact(purpose, [
    { _tag: "Check", table: sandboxesTable, key: sandbox, when: conditionOf({ generation, ending: false }) },
    {
      _tag: "Update",
      table: stateTable,
      key: turnKeyOf(queue, key),
      changes: redriven(row, arrival),
      when: is("state", "dead")
    }
  ])
  if (answer.done) return row.turn_group
  const [judged] = answer.writes
  if (judged?.failed !== true) return undefined
  const now = judged.item === undefined ? undefined : yield* judgedRow(purpose, judged.item)
  return yield* new SandboxEnding({ sandbox: queue, why: whyNotAccepting(now, generation) ?? "ending" })
})
