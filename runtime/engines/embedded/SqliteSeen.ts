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

/** One statement for some keys: a gesture has three at most, what is asked for more is asked in parts. */
const atOnce = 4
const parts = function*(keys: ReadonlyArray<string>): Generator<ReadonlyArray<string>> {
  for (let at = 0; at < keys.length; at += atOnce) yield keys.slice(at, at + atOnce)
}
/** By the number of keys: statements are kept by their text. */
const findTexts = Array.from(
  { length: atOnce + 1 },
  (_, count) => `SELECT key, turn FROM seen WHERE key IN (${Array(count).fill("?").join(", ")}) AND expires_at > ?`
)
const markTexts = Array.from(
  { length: atOnce + 1 },
  (_, count) =>
    `INSERT INTO seen (key, turn, expires_at) VALUES ${Array(count).fill("(?, ?, ?)").join(", ")}
   ON CONFLICT DO UPDATE SET turn = excluded.turn, expires_at = excluded.expires_at WHERE expires_at <= ?`
)

/** The turn that any of these keys belongs to; the first of them counts. */
export const turnSeen = (tables: Statements, keys: ReadonlyArray<string>, now: number): TurnKey | undefined => {
  for (const some of parts(keys)) {
    const rows = tables.all(findTexts[some.length] ?? "", ...some, now)
    if (rows.length === 0) continue
    const first = some.find((key) => rows.some((row) => row["key"] === key))
    return readTurn(rows.find((row) => row["key"] === first)?.["turn"])
  }
  return undefined
}

export const markSeen = (tables: Statements, keys: ReadonlyArray<string>, turn: TurnKey, now: number): void => {
  for (const some of parts(keys)) {
    const rows = some.flatMap((key) => [key, turn, now + seenRetentionMillis])
    tables.run(markTexts[some.length] ?? "", ...rows, now)
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
