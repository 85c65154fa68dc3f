/** `accept` as one transaction: the message, its keys, the channel's newest `ts`, and the rows on which all of it depends. */
import * as Effect from "effect/Effect"
import { isLater, type SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { QueueMissing, SandboxEnding, whyNotAccepting } from "../../ports/QueueRules.ts"
import { StoreError } from "../../ports/StoreError.ts"
import type { AcceptTerms, QueueEntry } from "../../ports/TurnQueue.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, all, any, compare } from "./conditions.ts"
import type { Dynamo, Write } from "./Dynamo.ts"
import { turnSeen } from "./DynamoSeen.ts"
import { reader } from "./rows.ts"
import { conditionOf, judgedRow } from "./sandboxRows.ts"
import { isSeen, markSeen } from "./seenRows.ts"
import { sandboxesTable } from "./tables.ts"
import { addTurn, type Arrival, queueExists } from "./turnRows.ts"

const readTurn = reader("turn key", TurnKey)

/** `Known`: the queue has or had the message already; the rest was written. */
export type Accepted =
  | { readonly _tag: "Added" | "Known" }
  | { readonly _tag: "Repeated"; readonly turn: TurnKey }

const purpose: Purpose = { port: "TurnQueue", operation: "accept" }

const rowKey = (sandbox: SandboxId): Attributes => ({ sandbox_id: sandbox })

/** That the row takes messages, as a look, or as a change of its newest `ts`. */
const judgement = (queue: SandboxId, { generation, ts }: AcceptTerms, forward: boolean): Write => {
  const takes = conditionOf({ generation, ending: false })
  const row = { table: sandboxesTable, key: rowKey(queue) }
  return ts === undefined || !forward
    ? { ...row, _tag: "Check", when: takes }
    : {
      ...row,
      _tag: "Update",
      changes: { set: { last_accepted_ts: ts } },
      // As text: of one length since 2001. What is not later by its text is looked at by `isLater` below.
      when: all(takes, any(absent("last_accepted_ts"), compare("last_accepted_ts", "<", ts)))
    }
}

export const acceptTurn = Effect.fnUntraced(function*(
  dynamo: Dynamo["Service"],
  queue: SandboxId,
  entry: QueueEntry,
  terms: AcceptTerms,
  arrival: Arrival
): Effect.fn.Return<Accepted, StoreError | SandboxEnding | QueueMissing> {
  const seen = [...new Set(terms.seen)]
  // A message that is late, or known to the queue, is taken without its `ts`, or without its entry: what a condition said
  // stays so. Each round leaves out one thing more, so there are three at most, and one more for a row that changed meanwhile.
  let forward = true
  let fresh = true
  for (let round = 0; round < 4; round++) {
    const writes: ReadonlyArray<Write> = [
      judgement(queue, terms, forward),
      queueExists(queue),
      ...seen.map((key) => markSeen(key, entry.key, arrival.now)),
      ...(fresh ? [addTurn(queue, entry, arrival)] : [])
    ]
    const answer = yield* dynamo.transact(purpose, writes)
    if (answer.done) return { _tag: fresh ? "Added" : "Known" }
    const [row, there, ...rest] = answer.writes
    const before = rest.slice(0, seen.length).find(({ failed, item }) => failed && isSeen(item, arrival.now))
    if (before !== undefined) return { _tag: "Repeated", turn: yield* readTurn(purpose, before.item?.["turn"]) }
    if (row?.failed === true) {
      const judged = row.item === undefined ? undefined : yield* judgedRow(purpose, row.item)
      const why = whyNotAccepting(judged, terms.generation)
      if (why !== undefined) {
        // A service may name one failure of several: what was accepted before the end is repeated, not refused.
        const turn = yield* turnSeen(dynamo, purpose, seen, arrival.now)
        return turn === undefined ? yield* new SandboxEnding({ sandbox: queue, why }) : { _tag: "Repeated", turn }
      }
      forward = terms.ts !== undefined && isLater(terms.ts, judged?.newest ?? "") && forward && round === 0
      continue
    }
    if (there?.failed === true) {
      const turn = yield* turnSeen(dynamo, purpose, seen, arrival.now)
      return turn === undefined ? yield* new QueueMissing({ queue }) : { _tag: "Repeated", turn }
    }
    fresh = false
  }
  return yield* new StoreError({
    ...purpose,
    reason: "Unavailable",
    detail: "the rows changed again and again meanwhile",
    cause: undefined
  })
})
