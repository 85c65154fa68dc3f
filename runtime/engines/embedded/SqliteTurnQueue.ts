/** The queue in tables. A waiting receive costs one look; the writer is asked only when there is something. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { integer, reader, text } from "../../adapters/disk/columns.ts"
import { type Row, Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { GroupId, isLater, SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import {
  checkBody,
  QueueMissing,
  ReceiptExpired,
  SandboxEnding,
  stateAt,
  turnQueueLimits
} from "../../ports/QueueRules.ts"
import {
  type AcceptAnswer,
  type DeadEntry,
  type QueueDepth,
  type QueueEntry,
  type ReceivedEntry,
  TurnQueue
} from "../../ports/TurnQueue.ts"
import { judging } from "./acceptingRows.ts"
import { Doorbell } from "./Doorbell.ts"
import { before } from "./queueAhead.ts"
import { markSeen, turnSeen } from "./SqliteSeen.ts"

const readKey = reader("turn key", TurnKey)
const readSandbox = reader("sandbox id", SandboxId)
const readGroup = reader("group", GroupId)

const entryOf = (row: Row): QueueEntry => ({
  key: readKey(row["key"]),
  group: readGroup(row["grp"]),
  body: text(row, "body")
})

const deadOf = (row: Row): DeadEntry => ({
  ...entryOf(row),
  generation: integer(row, "generation"),
  receiveCount: integer(row, "receive_count"),
  deadAt: integer(row, "dead_at"),
  noticed: integer(row, "noticed") === 1
})

const depthOf = (row: Row): QueueDepth => ({
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

const removeMessage = (tables: Statements, row: Row): boolean => {
  tables.run("DELETE FROM queue_messages WHERE seq = ?", integer(row, "seq"))
  return promote(tables, text(row, "queue"), text(row, "grp"))
}

const addMessage = (
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
const sendMessage = (tables: Statements, queue: SandboxId, entry: QueueEntry, now: number): boolean => {
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

const exists = (tables: Statements, queue: SandboxId): boolean =>
  tables.get("SELECT 1 FROM queues WHERE id = ?", queue) !== undefined

/** `undefined` when there is no queue; else when its next message becomes visible, `Infinity` when it has none. */
const soonest = (tables: Statements, queue: SandboxId): number | undefined => {
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

const take = (
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
const inFlight = (tables: Statements, queue: SandboxId, receipt: string, now: number): Row | undefined =>
  tables.get(
    "SELECT * FROM queue_messages WHERE seq = ? AND queue = ? AND receipt = ? AND visible_at > ?",
    Number.parseInt(receipt, 10) || 0,
    queue,
    receipt,
    now
  )

/** Every message of that key while none of them is in flight, or why there is nothing to change. */
const waiting = (
  tables: Statements,
  queue: SandboxId,
  key: TurnKey,
  now: number
): ReadonlyArray<Row> | "in-flight" | "absent" => {
  const rows = tables.all("SELECT * FROM queue_messages WHERE queue = ? AND key = ?", queue, key)
  if (rows.some((row) => integer(row, "visible_at") > now)) return "in-flight"
  return rows.length === 0 ? "absent" : rows
}

/** The doorbell that says: look again. */
const topic = (queue: SandboxId): string => `queue-${queue}`

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const judgeRow = judging()
  const ring = (queue: SandboxId) => Effect.sync(() => doorbell.topic(topic(queue)).ring())

  /** A change at the present time. */
  const write = <A>(operation: string, change: (tables: Statements, now: number) => A) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => sqlite.write("TurnQueue", operation, (tables) => change(tables, now))
    )
  const read = <A>(operation: string, look: (tables: Statements, now: number) => A) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => sqlite.read("TurnQueue", operation, (tables) => look(tables, now)))

  return TurnQueue.of({
    create: (queue) =>
      Effect.asVoid(write("create", (tables) => tables.run("INSERT OR IGNORE INTO queues (id) VALUES (?)", queue))),
    destroy: (queue) =>
      Effect.andThen(
        write("destroy", (tables) => {
          for (const table of ["queue_messages", "queue_dedupe", "queue_dead"]) {
            tables.run(`DELETE FROM ${table} WHERE queue = ?`, queue)
          }
          tables.run("DELETE FROM queues WHERE id = ?", queue)
        }),
        doorbell.forget(topic(queue))
      ),
    send: Effect.fn("TurnQueue.send")(function*(queue, entry) {
      yield* checkBody("send", entry.body)
      const sent = yield* write(
        "send",
        (tables, now) => exists(tables, queue) ? sendMessage(tables, queue, entry, now) : undefined
      )
      if (sent === undefined) return yield* new QueueMissing({ queue })
      if (sent) yield* ring(queue)
    }),
    accept: Effect.fnUntraced(function*(queue, entry, terms) {
      yield* checkBody("accept", entry.body)
      // Whatever is no answer changes nothing: all checks come before the first change.
      const answer = yield* write("accept", (tables, now): AcceptAnswer | SandboxEnding | QueueMissing => {
        const turn = turnSeen(tables, terms.seen, now)
        if (turn !== undefined) return { _tag: "Repeated", turn }
        const { newest, why } = judgeRow(tables, queue, terms.generation)
        if (why !== undefined) return new SandboxEnding({ sandbox: queue, why })
        if (!exists(tables, queue)) return new QueueMissing({ queue })
        sendMessage(tables, queue, entry, now)
        markSeen(tables, terms.seen, entry.key, now)
        if (terms.ts !== undefined && isLater(terms.ts, newest)) {
          // Nobody who watches rows is told: it concerns the bridge's own catch-up alone.
          tables.run("UPDATE sandboxes SET accepted_ts = ? WHERE id = ?", terms.ts, queue)
        }
        const ahead = before(tables, queue, entry, now)
        return ahead === undefined ? { _tag: "Accepted" } : { _tag: "Accepted", ahead }
      })
      if (answer._tag === "SandboxEnding" || answer._tag === "QueueMissing") return yield* answer
      if (answer._tag === "Accepted") yield* ring(queue)
      return answer
    }),
    receive: Effect.fnUntraced(function*(queue, options) {
      const visibility = Math.min(Duration.toMillis(options.visibility), turnQueueLimits.maxVisibilityMillis)
      const start = yield* Clock.currentTimeMillis
      const until = start + Math.min(Duration.toMillis(options.wait), turnQueueLimits.maxWaitMillis)
      const bell = doorbell.topic(topic(queue))
      return yield* whenRung(bell, until, (now) =>
        Effect.gen(function*() {
          const nextAt = yield* read("receive", (tables) => soonest(tables, queue))
          if (nextAt === undefined) return yield* new QueueMissing({ queue })
          if (nextAt > now) return { found: Option.none(), enough: false, nextAt }
          // None when somebody was quicker, or it went to the dead letters: look again.
          const found = yield* write("receive", (tables, at) => take(tables, queue, at, at + visibility))
          return { found, enough: Option.isSome(found), nextAt }
        }))
    }),
    extend: Effect.fnUntraced(function*(queue, receipt, visibility) {
      const millis = Duration.toMillis(visibility)
      const extended = yield* write("extend", (tables, now) => {
        const row = inFlight(tables, queue, receipt, now)
        if (row === undefined) return false
        const last = integer(row, "received_at") + turnQueueLimits.maxVisibilityMillis
        const visibleAt = Math.min(now + millis, last)
        tables.run("UPDATE queue_messages SET visible_at = ? WHERE seq = ?", visibleAt, integer(row, "seq"))
        return true
      })
      if (!extended) return yield* new ReceiptExpired({ receipt })
      if (millis <= 0) yield* ring(queue)
    }),
    delete: Effect.fn("TurnQueue.delete")(function*(queue, receipt) {
      const deleted = yield* write("delete", (tables, now) => {
        const row = inFlight(tables, queue, receipt, now)
        return row === undefined ? undefined : { next: removeMessage(tables, row) }
      })
      if (deleted === undefined) return yield* new ReceiptExpired({ receipt })
      if (deleted.next) yield* ring(queue)
    }),
    replace: (queue, key, body) =>
      Effect.andThen(
        checkBody("replace", body),
        write("replace", (tables, now) => {
          const rows = waiting(tables, queue, key, now)
          if (typeof rows === "string") return rows
          for (const row of rows) {
            tables.run("UPDATE queue_messages SET body = ? WHERE seq = ?", body, integer(row, "seq"))
          }
          return "replaced" as const
        })
      ),
    withdraw: Effect.fnUntraced(function*(queue, key) {
      const withdrawn = yield* write("withdraw", (tables, now) => {
        const rows = waiting(tables, queue, key, now)
        if (typeof rows === "string") return rows
        for (const row of rows) removeMessage(tables, row)
        return "withdrawn" as const
      })
      if (withdrawn === "withdrawn") yield* ring(queue)
      return withdrawn
    }),
    get: (queue, key) =>
      read("get", (tables, now) => {
        const row = tables.get(
          "SELECT key, grp, body, visible_at FROM queue_messages WHERE queue = ? AND key = ? ORDER BY seq",
          queue,
          key
        )
        return row === undefined
          ? Option.none()
          : Option.some({ ...entryOf(row), state: stateAt(integer(row, "visible_at"), now) })
      }),
    keys: (queue, group) =>
      read("keys", (tables, now) => {
        const rows = group === undefined
          ? tables.all("SELECT key, grp, visible_at FROM queue_messages WHERE queue = ? ORDER BY seq", queue)
          : tables.all(
            "SELECT key, grp, visible_at FROM queue_messages WHERE queue = ? AND grp = ? ORDER BY seq",
            queue,
            group
          )
        return rows.map((row) => ({
          key: readKey(row["key"]),
          group: readGroup(row["grp"]),
          state: stateAt(integer(row, "visible_at"), now)
        }))
      }),
    ahead: (queue, { group, key }) =>
      read("ahead", (tables, now) => Option.fromNullishOr(before(tables, queue, { group, key }, now))),
    depth: (queue) =>
      read("depth", (tables, now) => {
        const row = tables.get(
          `SELECT held - flying AS waiting, flying, dead FROM (
             SELECT coalesce((SELECT held FROM queues WHERE id = ?), 0) AS held,
               (SELECT count(*) FROM queue_messages WHERE queue = ? AND head = 1 AND visible_at > 0 AND visible_at > ?)
                 AS flying,
               (SELECT count(*) FROM queue_dead WHERE queue = ?) AS dead)`,
          queue,
          queue,
          now,
          queue
        ) ?? {}
        return depthOf(row)
      }),
    occupied: read("occupied", (tables, now) =>
      new Map(
        tables.all(
          // From indices alone, past the bodies: only the first of a group is ever in flight.
          `SELECT queue, sum(held) - sum(flying) AS waiting, sum(flying) AS flying, sum(dead) AS dead FROM (
             SELECT id AS queue, held, 0 AS flying, 0 AS dead FROM queues WHERE held > 0
             UNION ALL SELECT queue, 0, count(*), 0 FROM queue_messages
               WHERE head = 1 AND visible_at > 0 AND visible_at > ? GROUP BY queue
             UNION ALL SELECT queue, 0, 0, count(*) FROM queue_dead GROUP BY queue
           ) GROUP BY queue`,
          now
        ).map((row) => [readSandbox(row["queue"]), depthOf(row)])
      )),
    deadLetters: (queue) =>
      read(
        "deadLetters",
        (tables) => tables.all("SELECT * FROM queue_dead WHERE queue = ? ORDER BY rowid", queue).map(deadOf)
      ),
    markNoticed: (queue, key) =>
      Effect.asVoid(
        write("markNoticed", (tables) =>
          tables.run("UPDATE queue_dead SET noticed = 1 WHERE queue = ? AND key = ?", queue, key))
      ),
    redrive: Effect.fnUntraced(function*(queue, key, generation) {
      const found = yield* write("redrive", (tables, now) => {
        const { why } = judgeRow(tables, queue, generation)
        if (why !== undefined) return new SandboxEnding({ sandbox: queue, why })
        const row = tables.get("SELECT * FROM queue_dead WHERE queue = ? AND key = ?", queue, key)
        if (row === undefined) return false
        const dead = deadOf(row)
        tables.run("DELETE FROM queue_dead WHERE queue = ? AND key = ?", queue, key)
        addMessage(tables, queue, dead, now, dead.generation + 1)
        return true
      })
      if (typeof found !== "boolean") return yield* found
      if (found) yield* ring(queue)
      return found
    })
  })
})

export const layer: Layer.Layer<TurnQueue, never, Sqlite | Doorbell> = Layer.effect(TurnQueue, make)
