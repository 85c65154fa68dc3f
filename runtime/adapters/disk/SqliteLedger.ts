/** The sandbox's turns on its own disk: one row per turn, whole as JSON, compared before it is replaced. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TurnRow } from "../../domain/turn/Turn.ts"
import { isTurnRowExpired, Ledger, ledgerConflict, ledgerRetentionMillis } from "../../ports/Ledger.ts"
import { reader, text } from "./columns.ts"
import { type Row, Sqlite, type Statements } from "./Sqlite.ts"

const TurnRowJson = Schema.fromJsonString(TurnRow)
const readTurn = reader("turn", TurnRowJson)
const encodeTurn = Schema.encodeSync(TurnRowJson)

const turnOf = (row: Row): TurnRow => readTurn(row["row"])

const find = (tables: Statements, key: string): TurnRow | undefined => {
  const row = tables.get("SELECT row FROM turns WHERE key = ?", key)
  return row === undefined ? undefined : turnOf(row)
}

/** When a settled row's 30 days begin. */
const finishedAt = (row: TurnRow): number => row.finishedAt ?? row.receivedAt

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const read = <A>(operation: string, look: (tables: Statements, now: number) => A) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => sqlite.read("Ledger", operation, (tables) => look(tables, now)))

  return Ledger.of({
    insert: Effect.fn("Ledger.insert")(function*(row) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.write("Ledger", "insert", (tables) => {
        tables.run("DELETE FROM turns WHERE state = 'settled' AND finished_at <= ?", now - ledgerRetentionMillis)
        const found = find(tables, row.key)
        if (found !== undefined) return { row: found, inserted: false }
        tables.run(
          "INSERT INTO turns (key, state, attempt, received_at, finished_at, row) VALUES (?, ?, ?, ?, ?, ?)",
          row.key,
          row.state,
          row.attempt,
          row.receivedAt,
          finishedAt(row),
          encodeTurn(row)
        )
        return { row, inserted: true }
      })
    }),
    get: (key) =>
      read(
        "get",
        (tables, now) => Option.filter(Option.fromNullishOr(find(tables, key)), (row) => !isTurnRowExpired(row, now))
      ),
    update: Effect.fn("Ledger.update")(function*(from, to) {
      const conflict = yield* sqlite.write("Ledger", "update", (tables) => {
        const wrong = ledgerConflict(from, to, find(tables, from.key))
        if (wrong !== undefined) return wrong
        tables.run(
          "UPDATE turns SET state = ?, attempt = ?, received_at = ?, finished_at = ?, row = ? WHERE key = ?",
          to.state,
          to.attempt,
          to.receivedAt,
          finishedAt(to),
          encodeTurn(to),
          to.key
        )
        return undefined
      })
      if (conflict !== undefined) return yield* conflict
    }),
    open: read(
      "open",
      (tables) => tables.all("SELECT row FROM turns WHERE state <> 'settled' ORDER BY received_at, seq").map(turnOf)
    ),
    recent: (limit) =>
      read(
        "recent",
        (tables, now) =>
          tables.all("SELECT row FROM turns ORDER BY received_at DESC, seq DESC LIMIT ?", Math.max(0, limit))
            .map(turnOf)
            .filter((row) => !isTurnRowExpired(row, now))
      ),
    remember: (key, value) =>
      Effect.asVoid(
        sqlite.write("Ledger", "remember", (tables) =>
          tables.run("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", key, value))
      ),
    recall: (key) =>
      read("recall", (tables) => {
        const row = tables.get("SELECT value FROM facts WHERE key = ?", key)
        return row === undefined ? Option.none() : Option.some(text(row, "value"))
      })
  })
})

export const layer: Layer.Layer<Ledger, never, Sqlite> = Layer.effect(Ledger, make)
