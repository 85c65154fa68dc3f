/** The queue's messages as rows: what each change of them is. Every one runs inside a transaction of the engine's. */
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { integer, reader, text } from "../../adapters/disk/columns.ts"
import type { Row, Statements } from "../../adapters/disk/Sqlite.ts"
import { GroupId, SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { turnQueueLimits } from "../../ports/QueueRules.ts"
import type { DeadEntry, QueueDepth, QueueEntry, ReceivedEntry } from "../../ports/TurnQueue.ts"

export const readKey = reader("turn key", TurnKey)
export const readSandbox = reader("sandbox id", SandboxId)
export const readGroup = reader("group", GroupId)

export const entryOf = (row: Row): QueueEntry => ({
  key: readKey(row["key"]),
  group: readGroup(row["grp"]),
  body: text(row, "body")
})

export const deadOf = (row: Row): DeadEntry => ({
  ...entryOf(row),
  generation: integer(row, "generation"),
  receiveCount: integer(row, "receive_count"),
  deadAt: integer(row, "dead_at"),
  noticed: integer(row, "noticed") === 1
})

export const depthOf = (row: Row): QueueDepth => ({
  waiting: integer(row, "waiting"),
  inFlight: integer(row, "flying"),
  dead: integer(row, "dead")
})

/** Makes the next message of the group the one that may be received. True when there is one. */
const promote = (tables: Statements, queue: string, group: string): boolean =>
  tables.run(
    "UPDATE queue_messages SET head = 1 WHERE seq = (SELECT min(seq) FROM queue_messages WHERE queue = ? AND grp = ?)",
    queue,
    group
  ) > 0

export const removeMessage = (tables: Statements, row: Row): boolean => {
  tables.run("DELETE FROM queue_messages WHERE seq = ?", integer(row, "seq"))
  return promote(tables, text(row, "queue"), text(row, "grp"))
}

export const addMessage = (
  tables: Statements,
  queue: SandboxId,
  { body, group, key }: QueueEntry,
  now: number,
  generation = 1
): void =>
  void tables.run(
    `INSERT INTO queue_messages (queue, key, grp, body, sent_at, generation, head) VALUES (?, ?, ?, ?, ?, ?,
       NOT EXISTS (SELECT 1 FROM queue_messages WHERE queue = ? AND grp = ?))`,
    queue,
    key,
    group,
    body,
    now,
    generation,
    queue,
    group
  )

/** True when it is new: not sent lately, not there and not among the dead. */
export const sendMessage = (tables: Statements, queue: SandboxId, entry: QueueEntry, now: number): boolean => {
  // What has expired is swept by the hour, not here; until then a row of it is taken over.
  const fresh = tables.run(
    `INSERT INTO queue_dedupe (queue, key, until)
     SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM queue_messages WHERE queue = ? AND key = ?)
       AND NOT EXISTS (SELECT 1 FROM queue_dead WHERE queue = ? AND key = ?)
     ON CONFLICT DO UPDATE SET until = excluded.until WHERE until <= ?`,
    queue,
    entry.key,
    now + turnQueueLimits.dedupeMillis,
    queue,
    entry.key,
    queue,
    entry.key,
    now
  ) > 0
  if (fresh) addMessage(tables, queue, entry, now)
  return fresh
}

export const exists = (tables: Statements, queue: SandboxId): boolean =>
  tables.get("SELECT 1 FROM queues WHERE id = ?", queue) !== undefined

/** `undefined` when there is no queue; else when its next message becomes visible, `Infinity` when it has none. */
export const soonest = (tables: Statements, queue: SandboxId): number | undefined => {
  // Messages that nobody has received are visible at 0; of the others the first one counts.
  const row = tables.get(
    `SELECT EXISTS (SELECT 1 FROM queue_messages WHERE queue = queues.id AND head = 1 AND visible_at = 0 LIMIT 1) AS fresh,
       (SELECT min(visible_at) FROM queue_messages WHERE queue = queues.id AND head = 1 AND visible_at > 0) AS at
     FROM queues WHERE id = ?`,
    queue
  )
  if (row === undefined) return undefined
  if (integer(row, "fresh") === 1) return 0
  return row["at"] === null ? Number.POSITIVE_INFINITY : integer(row, "at")
}

export const take = (
  tables: Statements,
  queue: SandboxId,
  now: number,
  visibleAt: number
): Option.Option<ReceivedEntry> => {
  for (;;) {
    const row = tables.get(
      "SELECT * FROM queue_messages WHERE queue = ? AND head = 1 AND visible_at <= ? ORDER BY seq LIMIT 1",
      queue,
      now
    )
    if (row === undefined) return Option.none()
    const count = integer(row, "receive_count")
    if (count >= turnQueueLimits.maxReceives) {
      tables.run(
        `INSERT OR REPLACE INTO queue_dead (queue, key, grp, body, generation, receive_count, dead_at, noticed)
         VALUES (?, ?, ?, ?, ?, ?, ?, 0)`,
        queue,
        text(row, "key"),
        text(row, "grp"),
        text(row, "body"),
        integer(row, "generation"),
        count,
        now
      )
      removeMessage(tables, row)
      continue
    }
    const seq = integer(row, "seq")
    const receipt = `${seq}.${randomUUID()}`
    tables.run(
      "UPDATE queue_messages SET receive_count = ?, receipt = ?, received_at = ?, visible_at = ? WHERE seq = ?",
      count + 1,
      receipt,
      now,
      visibleAt,
      seq
    )
    return Option.some({ ...entryOf(row), receipt, receiveCount: count + 1, sentAt: integer(row, "sent_at") })
  }
}

/** The message in flight under this receipt; the number before the dot only finds it. */
export const inFlight = (tables: Statements, queue: SandboxId, receipt: string, now: number): Row | undefined =>
  tables.get(
    "SELECT * FROM queue_messages WHERE seq = ? AND queue = ? AND receipt = ? AND visible_at > ?",
    Number.parseInt(receipt, 10) || 0,
    queue,
    receipt,
    now
  )

/** Every message of that key while none of them is in flight, or why there is nothing to change. */
export const waiting = (
  tables: Statements,
  queue: SandboxId,
  key: TurnKey,
  now: number
): ReadonlyArray<Row> | "in-flight" | "absent" => {
  const rows = tables.all("SELECT * FROM queue_messages WHERE queue = ? AND key = ?", queue, key)
  if (rows.some((row) => integer(row, "visible_at") > now)) return "in-flight"
  return rows.length === 0 ? "absent" : rows
}
