/**
 * Frees what has expired, in steps that each hold the writer for a few milliseconds: others' changes come in between. A
 * step is one short transaction, so a process that ends in the middle has done what it has done.
 */
import * as Effect from "effect/Effect"
import { integer } from "../../adapters/disk/columns.ts"
import type { Row, Sqlite, Statements } from "../../adapters/disk/Sqlite.ts"
import { noticePrefix } from "../../domain/sandbox/Notice.ts"
import { tombstoneMillis } from "../../ports/Identities.ts"
import { endedScheduleMillis } from "../../ports/Scheduler.ts"
import { threadRetentionMillis } from "../../ports/Threads.ts"
import { recordRetentionMillis } from "../../ports/TurnRecords.ts"
import { keptMillis } from "./mailTables.ts"

/** Rows that one step removes, some ten microseconds each. */
const stepRows = 200
/** Rows that one look passes, outside the writer; it stops the event loop for a millisecond or two. */
const lookRows = 1_000

type Cut = string | number

/** The expired rows that an index finds by their age. The number of those removed; fewer than `stepRows` are the last. */
interface Indexed {
  readonly cut: (now: number) => number
  readonly remove: ReadonlyArray<string>
}

const expired = (table: string, keys: string, column: string, olderBy = 0): Indexed => ({
  cut: (now) => now - olderBy,
  remove: [
    `DELETE FROM ${table} WHERE (${keys}) IN
       (SELECT ${keys} FROM ${table} WHERE ${column} <= ? ORDER BY ${column} LIMIT ${stepRows})`
  ]
})

/** The last statement of each counts: what goes with a row goes before it, in the same step. */
const byIndex: ReadonlyArray<Indexed> = [
  expired("idempotency", "scope, key", "expires_at"),
  expired("posts", "channel, ts", "expires_at"),
  expired("live_messages", "sender, live", "expires_at"),
  expired("mail_seen", "owner, sender, nonce", "keep_until"),
  expired("mail_notes", "owner, key", "keep_until"),
  expired("threads", "channel, thread_ts", "last_turn_at", threadRetentionMillis),
  expired("turn_records", "seq", "finished_at", recordRetentionMillis),
  expired("identities", "rowid", "retired_at", tombstoneMillis),
  {
    cut: (now) => now - keptMillis,
    remove: [
      `DELETE FROM mail_out_to WHERE (owner, id) IN
         (SELECT owner, id FROM mail_out WHERE done_at <= ? ORDER BY done_at, rowid LIMIT ${stepRows})`,
      `DELETE FROM mail_out WHERE rowid IN
         (SELECT rowid FROM mail_out WHERE done_at <= ? ORDER BY done_at, rowid LIMIT ${stepRows})`
    ]
  }
]

/** Rows whose age no index holds: a look goes along the table, and removes by key what is over. */
interface Along {
  /** From a key on: `key` columns, and `over`. Parameters: those of `from`, then `cut`'s. */
  readonly look: string
  readonly keys: ReadonlyArray<string>
  readonly from: ReadonlyArray<Cut>
  readonly cut: (now: number) => ReadonlyArray<number>
  /** Once more by what makes it over: it may have been renewed since the look. Parameters: key, then `cut`'s. */
  readonly remove: string
}

const scheduleOver = `json_extract(row, '$.state') NOT IN ('active', 'paused') AND json_extract(row, '$.createdAt') <= ?
  AND NOT EXISTS (SELECT 1 FROM schedule_runs r WHERE r.schedule = schedules.name
                  AND (r.open = 1 OR json_extract(r.row, '$.endedAt') > ?))`
const runOver = "open = 0 AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.name = schedule_runs.schedule)"
/** Written by who still worked for a sandbox while it was destroyed. Notices outlive theirs until they are told. */
const ownerless = (table: string): string => `NOT EXISTS (SELECT 1 FROM sandboxes s WHERE s.id = ${table}.sandbox)`
const factOver = `${ownerless("sandbox_facts")} AND sandbox <> 'operator' AND key NOT GLOB '${noticePrefix}*'`
const ended = (now: number) => [now - endedScheduleMillis, now - endedScheduleMillis]

const along: ReadonlyArray<Along> = [
  {
    look: `SELECT key, expires_at <= ? AS over FROM seen WHERE key > ? ORDER BY key LIMIT ${lookRows}`,
    keys: ["key"],
    from: [""],
    cut: (now) => [now],
    remove: "DELETE FROM seen WHERE key = ? AND expires_at <= ?"
  },
  {
    look: `SELECT queue, key, until <= ? AS over FROM queue_dedupe WHERE (queue, key) > (?, ?)
           ORDER BY queue, key LIMIT ${lookRows}`,
    keys: ["queue", "key"],
    from: ["", ""],
    cut: (now) => [now],
    remove: "DELETE FROM queue_dedupe WHERE queue = ? AND key = ? AND until <= ?"
  },
  {
    look: `SELECT name, ${scheduleOver} AS over FROM schedules WHERE name > ? ORDER BY name LIMIT 50`,
    keys: ["name"],
    from: [""],
    cut: ended,
    remove: `DELETE FROM schedules WHERE name = ? AND ${scheduleOver}`
  },
  {
    look: `SELECT seq, ${runOver} AS over FROM schedule_runs WHERE seq > ? ORDER BY seq LIMIT ${lookRows}`,
    keys: ["seq"],
    from: [-1],
    cut: () => [],
    remove: `DELETE FROM schedule_runs WHERE seq = ? AND ${runOver}`
  },
  {
    look: `SELECT seq, ${ownerless("controls")} AS over FROM controls WHERE seq > ? ORDER BY seq LIMIT ${lookRows}`,
    keys: ["seq"],
    from: [-1],
    cut: () => [],
    remove: `DELETE FROM controls WHERE seq = ? AND ${ownerless("controls")}`
  },
  {
    look: `SELECT sandbox, key, ${factOver} AS over FROM sandbox_facts WHERE (sandbox, key) > (?, ?)
           ORDER BY sandbox, key LIMIT ${lookRows}`,
    keys: ["sandbox", "key"],
    from: ["", ""],
    cut: () => [],
    remove: `DELETE FROM sandbox_facts WHERE sandbox = ? AND key = ? AND ${factOver}`
  }
]

/** Their texts, for whoever looks at what they read. */
export const sweepStatements: ReadonlyArray<string> = [
  ...byIndex.flatMap(({ remove }) => remove),
  ...along.flatMap(({ look, remove }) => [look, remove])
]

type Store = Sqlite["Service"]
const write = <A>(sqlite: Store, change: (tables: Statements) => A) => sqlite.write("Sqlite", "sweep", change)

const sweepIndexed = Effect.fnUntraced(function*(sqlite: Store, { cut, remove }: Indexed, now: number) {
  for (;;) {
    const removed = yield* write(sqlite, (tables) => remove.map((sql) => tables.run(sql, cut(now))).at(-1) ?? 0)
    if (removed < stepRows) return
    yield* Effect.yieldNow
  }
})

const keyOf = (row: Row, keys: ReadonlyArray<string>): ReadonlyArray<Cut> =>
  keys.map((name) => {
    const value = row[name]
    return typeof value === "string" ? value : integer(row, name)
  })

const sweepAlong = Effect.fnUntraced(function*(sqlite: Store, { cut, from, keys, look, remove }: Along, now: number) {
  for (let at: ReadonlyArray<Cut> | undefined = from; at !== undefined;) {
    const after: ReadonlyArray<Cut> = at
    const rows = yield* sqlite.read("Sqlite", "sweep", (tables) => tables.all(look, ...cut(now), ...after))
    const over = rows.filter((row) => row["over"] === 1).map((row) => keyOf(row, keys))
    for (let n = 0; n < over.length; n += stepRows) {
      yield* write(sqlite, (tables) => {
        for (const key of over.slice(n, n + stepRows)) tables.run(remove, ...key, ...cut(now))
      })
    }
    const last = rows.at(-1)
    at = last === undefined ? undefined : keyOf(last, keys)
    yield* Effect.yieldNow
  }
})

/** Everything that is over at `now` (Unix milliseconds). Expiry is checked on every read; this only frees the space. */
export const sweep = Effect.fnUntraced(function*(sqlite: Store, now: number) {
  for (const table of byIndex) yield* sweepIndexed(sqlite, table, now)
  for (const table of along) yield* sweepAlong(sqlite, table, now)
})
