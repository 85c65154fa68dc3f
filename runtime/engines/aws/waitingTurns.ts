/** Changes of messages that nobody has received, or nobody holds any more: each by one write that only a waiting row takes. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { stateAt } from "../../ports/QueueRules.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { all, type Changes, is } from "./conditions.ts"
import type { Dynamo } from "./Dynamo.ts"
import { stateTable } from "./tables.ts"
import { readTurn, settled, turnKeyOf, whileWaiting } from "./turnRows.ts"

const of = (operation: string) => ({ port: "TurnQueue", operation })

export const makeWaitingTurns = (dynamo: Dynamo["Service"]) => {
  /** What a change of a waiting message came to. */
  const changeWaiting = Effect.fnUntraced(function*<Done extends string>(
    operation: string,
    queue: SandboxId,
    key: TurnKey,
    done: Done,
    changes: (now: number) => Changes
  ): Effect.fn.Return<Done | "in-flight" | "absent", StoreError> {
    const purpose = of(operation)
    const now = yield* Clock.currentTimeMillis
    const changed = yield* dynamo.change(purpose, {
      _tag: "Update",
      table: stateTable,
      key: turnKeyOf(queue, key),
      changes: changes(now),
      when: whileWaiting(now)
    })
    if (changed.done) return done
    if (changed.item === undefined) return "absent"
    const row = yield* readTurn(purpose, changed.item)
    return row.state === "queued" && stateAt(row.visible_at, now) === "in-flight" ? "in-flight" : "absent"
  })

  /** The same, for one that still says what it said. */
  const claim = Effect.fnUntraced(function*(queue: SandboxId, key: TurnKey, body: string) {
    const purpose = of("claim")
    const now = yield* Clock.currentTimeMillis
    const claimed = yield* dynamo.change(purpose, {
      _tag: "Update",
      table: stateTable,
      key: turnKeyOf(queue, key),
      changes: settled(now),
      when: all(whileWaiting(now), is("body", body))
    })
    if (claimed.done) return "claimed"
    const row = claimed.item === undefined ? undefined : yield* readTurn(purpose, claimed.item)
    if (row?.state !== "queued") return "absent"
    return stateAt(row.visible_at, now) === "in-flight" ? "in-flight" : "changed"
  })

  return { changeWaiting, claim }
}
