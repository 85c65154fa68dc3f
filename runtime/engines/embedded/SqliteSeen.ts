/** Which gestures have become turns, in a table that is looked up by any of a gesture's keys. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { reader } from "../../adapters/disk/columns.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { TurnKey } from "../../domain/sandbox/Ids.ts"
import { Seen, seenRetentionMillis } from "../../ports/Seen.ts"

const readTurn = reader("turn key", TurnKey)

/** The turn that any of these keys belongs to. */
export const turnSeen = (tables: Statements, keys: ReadonlyArray<string>, now: number): TurnKey | undefined => {
  for (const key of keys) {
    const row = tables.get("SELECT turn FROM seen WHERE key = ? AND expires_at > ?", key, now)
    if (row !== undefined) return readTurn(row["turn"])
  }
  return undefined
}

export const markSeen = (tables: Statements, keys: ReadonlyArray<string>, turn: TurnKey, now: number): void => {
  for (const key of keys) {
    tables.run(
      `INSERT INTO seen (key, turn, expires_at) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET turn = excluded.turn, expires_at = excluded.expires_at WHERE expires_at <= ?`,
      key,
      turn,
      now + seenRetentionMillis,
      now
    )
  }
}

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Seen.of({
    find: Effect.fnUntraced(function*(keys) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.read("Seen", "find", (tables) => Option.fromNullishOr(turnSeen(tables, keys, now)))
    }),
    mark: Effect.fn("Seen.mark")(function*(keys, turn) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Seen", "mark", (tables) => markSeen(tables, keys, turn, now))
    })
  })
})

export const layer: Layer.Layer<Seen, never, Sqlite> = Layer.effect(Seen, make)
