/** `Seen` by rows: each key for itself, since the first turn of each stays. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TurnKey } from "../../domain/sandbox/Ids.ts"
import { Seen } from "../../ports/Seen.ts"
import type { Purpose } from "./Aws.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader } from "./rows.ts"
import { isSeen, markSeen, seenKey } from "./seenRows.ts"
import { noncesTable } from "./tables.ts"

const readTurn = reader("turn key", TurnKey)

/** The turn that any of these keys belongs to, in the order of the keys. */
export const turnSeen = Effect.fnUntraced(function*(
  dynamo: Dynamo["Service"],
  purpose: Purpose,
  keys: ReadonlyArray<string>,
  now: number
) {
  if (keys.length === 0) return undefined
  const rows = yield* dynamo.getAll(purpose, noncesTable, [...new Set(keys)].map(seenKey))
  const byNonce = new Map(rows.map((row) => [row["nonce"], row]))
  for (const key of keys) {
    const row = byNonce.get(seenKey(key)["nonce"])
    if (isSeen(row, now)) return yield* readTurn(purpose, row["turn"])
  }
  return undefined
})

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  return Seen.of({
    find: Effect.fnUntraced(function*(keys) {
      const now = yield* Clock.currentTimeMillis
      return Option.fromNullishOr(yield* turnSeen(dynamo, { port: "Seen", operation: "find" }, keys, now))
    }),
    mark: Effect.fn("Seen.mark")(function*(keys, turn) {
      const now = yield* Clock.currentTimeMillis
      yield* Effect.forEach(
        new Set(keys),
        (key) => dynamo.change({ port: "Seen", operation: "mark" }, markSeen(key, turn, now)),
        { concurrency: 4, discard: true }
      )
    })
  })
})

export const layer: Layer.Layer<Seen, never, Dynamo> = Layer.effect(Seen, make)
