/** Which session a thread continues, in a table. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { integer, reader } from "../../adapters/disk/columns.ts"
import { type Row, Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { ChannelId, MessageTs, SandboxId, SessionId } from "../../domain/sandbox/Ids.ts"
import { mergeThread, threadRetentionMillis, type ThreadRow, Threads } from "../../ports/Threads.ts"

const readChannel = reader("channel", ChannelId)
const readTs = reader("thread", MessageTs)
const readSandbox = reader("sandbox id", SandboxId)
const readSession = reader("session id", SessionId)

const threadOf = (row: Row): ThreadRow => ({
  channel: readChannel(row["channel"]),
  threadTs: readTs(row["thread_ts"]),
  sandbox: readSandbox(row["sandbox"]),
  createdAt: integer(row, "created_at"),
  lastTurnAt: integer(row, "last_turn_at"),
  ...(row["session"] === null ? {} : { session: readSession(row["session"]) })
})

const find = (tables: Statements, channel: string, threadTs: string): ThreadRow | undefined => {
  const row = tables.get("SELECT * FROM threads WHERE channel = ? AND thread_ts = ?", channel, threadTs)
  return row === undefined ? undefined : threadOf(row)
}

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  /** Rows whose last turn is at or before `last` are expired. */
  const read = <A>(operation: string, look: (tables: Statements, last: number) => A) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => sqlite.read("Threads", operation, (tables) => look(tables, now - threadRetentionMillis))
    )

  return Threads.of({
    put: Effect.fn("Threads.put")(function*(row) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Threads", "put", (tables) => {
        const merged = mergeThread(find(tables, row.channel, row.threadTs), row, now)
        tables.run(
          `INSERT OR REPLACE INTO threads (channel, thread_ts, sandbox, session, created_at, last_turn_at)
           VALUES (?, ?, ?, ?, ?, ?)`,
          merged.channel,
          merged.threadTs,
          merged.sandbox,
          merged.session ?? null,
          merged.createdAt,
          merged.lastTurnAt
        )
      })
    }),
    get: (channel, threadTs) =>
      read("get", (tables, last) =>
        Option.filter(
          Option.fromNullishOr(find(tables, channel, threadTs)),
          ({ lastTurnAt }) => lastTurnAt > last
        )),
    bySession: (session) =>
      read("bySession", (tables, last) => {
        const row = tables.get(
          "SELECT * FROM threads WHERE session = ? AND last_turn_at > ? ORDER BY last_turn_at DESC LIMIT 1",
          session,
          last
        )
        return row === undefined ? Option.none() : Option.some(threadOf(row))
      }),
    count: (sandbox) =>
      read("count", (tables, last) =>
        integer(
          tables.get("SELECT count(*) AS n FROM threads WHERE sandbox = ? AND last_turn_at > ?", sandbox, last) ?? {},
          "n"
        )),
    list: (sandbox, limit) =>
      read("list", (tables, last) =>
        tables.all(
          "SELECT * FROM threads WHERE sandbox = ? AND last_turn_at > ? ORDER BY last_turn_at DESC LIMIT ?",
          sandbox,
          last,
          limit
        ).map(threadOf)),
    forget: (channel, threadTs) =>
      Effect.asVoid(
        sqlite.write("Threads", "forget", (tables) =>
          tables.run("UPDATE threads SET session = NULL WHERE channel = ? AND thread_ts = ?", channel, threadTs))
      ),
    move: (from, to) =>
      sqlite.write("Threads", "move", (tables) => {
        tables.run("UPDATE OR IGNORE threads SET channel = ? WHERE channel = ?", to, from)
        tables.run("DELETE FROM threads WHERE channel = ?", from)
      }),
    removeAll: (sandbox) =>
      Effect.asVoid(
        sqlite.write("Threads", "removeAll", (tables) => tables.run("DELETE FROM threads WHERE sandbox = ?", sandbox))
      )
  })
})

export const layer: Layer.Layer<Threads, never, Sqlite> = Layer.effect(Threads, make)
