/** The queue in tables. A waiting receive costs one look; the writer is asked only when there is something. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { integer, text } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { isLater, type SandboxId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import {
  checkBody,
  QueueMissing,
  ReceiptExpired,
  SandboxEnding,
  stateAt,
  turnQueueLimits
} from "../../ports/QueueRules.ts"
import { type AcceptAnswer, TurnQueue } from "../../ports/TurnQueue.ts"
import { judging } from "./acceptingRows.ts"
import { before } from "./queueAhead.ts"
import {
  addMessage,
  deadOf,
  depthOf,
  entryOf,
  exists,
  inFlight,
  readGroup,
  readKey,
  readSandbox,
  removeMessage,
  sendMessage,
  soonest,
  take,
  waiting
} from "./queueRows.ts"
import { markSeen, turnSeen } from "./SqliteSeen.ts"

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
    behind: (queue, group) =>
      read("behind", (tables, now) =>
        Option.map(
          Option.fromNullishOr(tables.get(
            `SELECT key, grp, body FROM queue_messages WHERE queue = ? AND grp = ? AND visible_at <= ?
               ORDER BY seq LIMIT 1`,
            queue,
            group,
            now
          )),
          entryOf
        )),
    claim: Effect.fnUntraced(function*(queue, key, body) {
      const claimed = yield* write("claim", (tables, now) => {
        const rows = waiting(tables, queue, key, now)
        if (typeof rows === "string") return rows
        if (rows.some((row) => text(row, "body") !== body)) return "changed" as const
        for (const row of rows) removeMessage(tables, row)
        return "claimed" as const
      })
      if (claimed === "claimed") yield* ring(queue)
      return claimed
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
