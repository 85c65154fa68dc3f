/**
 * A queue's messages in `{install}-sandbox-state`, the truth of `TurnQueue`. A row is `queued` until it is settled
 * (`done`, kept for as long as its key is known) or `dead`. Only what is queued or dead is in the index, in its order.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { GroupId, type MessageTs, type SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { turnQueueLimits } from "../../ports/QueueRules.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { QueueDepth, QueueEntry } from "../../ports/TurnQueue.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, all, any, type Changes, compare, type Condition, exists, is, startsWith } from "./conditions.ts"
import type { Query, Write } from "./Dynamo.ts"
import { reader, ttlOf } from "./rows.ts"
import { stateTable } from "./tables.ts"

/** The queue itself: there from `create` to `destroy`, and with it everything that is in it. */
export const queueKey = (queue: SandboxId): Attributes => ({ sandbox_id: queue, item: "queue" })

export const queueExists = (queue: SandboxId): Write => ({
  _tag: "Check",
  table: stateTable,
  key: queueKey(queue),
  when: exists("item")
})

const turnPrefix = "turn#"
export const turnKeyOf = (queue: SandboxId, key: TurnKey): Attributes => ({
  sandbox_id: queue,
  item: `${turnPrefix}${key}`
})

/** Neither character is in a group's or a turn's name. */
const livePrefix = "g#"
const deadPrefix = "dead#"
const groupPrefix = (group: GroupId): string => `${livePrefix}${group}#`

/** Within a group by the time of acceptance, then by Slack's `ts`, then by key. */
const orderOf = (group: GroupId, arrival: string, ts: string, key: TurnKey): string =>
  `${groupPrefix(group)}${arrival}#${ts.padStart(18, "0")}#${key}`

const queueIndex = "queue-index"

export const liveOfGroup = (queue: SandboxId, group: GroupId, limit?: number): Query => ({
  table: stateTable,
  index: queueIndex,
  key: [is("sandbox_id", queue), startsWith("queue_order", groupPrefix(group))],
  consistent: true,
  ...(limit === undefined ? {} : { limit })
})

/** Everything of a queue that waits, is in flight or is dead, without the bodies. */
export const indexed = (queue: SandboxId, which: "all" | "live" | "dead"): Query => ({
  table: stateTable,
  index: queueIndex,
  key: [
    is("sandbox_id", queue),
    ...(which === "all" ? [] : [startsWith("queue_order", which === "live" ? livePrefix : deadPrefix)])
  ],
  consistent: true
})

/** As many rows of a queue as are looked at for groups in flight: one page. */
export const firstPage = (queue: SandboxId): Query => ({ ...indexed(queue, "live"), limit: 200 })

export const allTurns = (queue: SandboxId): Query => ({
  table: stateTable,
  key: [is("sandbox_id", queue), startsWith("item", turnPrefix)],
  consistent: true
})

export const everyIndexed = { table: stateTable, index: queueIndex, consistent: true } as const

const Indexed = Schema.Struct({
  sandbox_id: Schema.String,
  turn_key: TurnKey,
  turn_group: GroupId,
  queue_order: Schema.String,
  visible_at: Schema.Finite,
  receive_count: Schema.Int,
  sent_at: Schema.Finite
})
export type IndexedTurn = typeof Indexed.Type

const Turn = Schema.Struct({
  ...Indexed.fields,
  queue_order: Schema.optionalKey(Schema.String),
  state: Schema.Literals(["queued", "dead", "done"]),
  body: Schema.optionalKey(Schema.String),
  generation: Schema.Int,
  known_until: Schema.Finite,
  dead_at: Schema.optionalKey(Schema.Finite),
  noticed: Schema.optionalKey(Schema.Boolean)
})
export type TurnRow = typeof Turn.Type

export const readIndexed = reader("message", Indexed)
export const readTurn = reader("message", Turn)

export const isDead = ({ queue_order }: IndexedTurn): boolean => queue_order.startsWith(deadPrefix)

export const depthOf = (rows: ReadonlyArray<IndexedTurn>, now: number): QueueDepth => {
  const live = rows.filter((row) => !isDead(row))
  const inFlight = live.filter(({ visible_at }) => visible_at > now).length
  return { waiting: live.length - inFlight, inFlight, dead: rows.length - live.length }
}

export const entryOf = (row: TurnRow) => ({ key: row.turn_key, group: row.turn_group, body: row.body ?? "" })

/** Groups with a row in flight, beside this one. */
export const flyingBeside = (rows: ReadonlyArray<IndexedTurn>, group: GroupId, now: number): number =>
  new Set(
    rows.filter(({ turn_group, visible_at }) => visible_at > now && turn_group !== group)
      .map(({ turn_group }) => turn_group)
  ).size

/** Oldest first, over all groups. */
export const byArrival = (a: IndexedTurn, b: IndexedTurn): number => {
  const arrival = ({ queue_order, turn_group }: IndexedTurn) => queue_order.slice(groupPrefix(turn_group).length)
  return arrival(a) < arrival(b) ? -1 : 1
}

export interface Arrival {
  readonly now: number
  readonly number: string
  readonly ts?: MessageTs
}

/** Added, unless its key is there, among the dead, or was sent less than five minutes ago. */
export const addTurn = (queue: SandboxId, entry: QueueEntry, { now, number, ts }: Arrival): Write => ({
  _tag: "Put",
  table: stateTable,
  item: {
    ...turnKeyOf(queue, entry.key),
    turn_key: entry.key,
    turn_group: entry.group,
    queue_order: orderOf(entry.group, number, ts ?? "", entry.key),
    state: "queued",
    body: entry.body,
    generation: 1,
    sent_at: now,
    receive_count: 0,
    visible_at: 0,
    known_until: now + turnQueueLimits.dedupeMillis
  },
  when: any(absent("item"), all(is("state", "done"), compare("known_until", "<=", now)))
})

/** While it waits: what is in flight is its receiver's. */
export const whileWaiting = (now: number): Condition => all(is("state", "queued"), compare("visible_at", "<=", now))

/** While it is in flight under this receipt. */
export const whileHeld = (receipt: string, now: number): Condition =>
  all(is("state", "queued"), is("receipt", receipt), compare("visible_at", ">", now))

/** Nothing is left of it but that its key is known. */
export const settled = (now: number): Changes => ({
  set: { state: "done", ttl_expiry: ttlOf(now + turnQueueLimits.dedupeMillis) },
  remove: ["queue_order", "body"]
})

export const buried = (key: TurnKey, number: string, now: number): Changes => ({
  set: { state: "dead", dead_at: now, noticed: false, queue_order: `${deadPrefix}${number}#${key}` },
  remove: ["receipt"]
})

export const redriven = (row: TurnRow, { now, number }: Arrival): Changes => ({
  set: {
    state: "queued",
    queue_order: orderOf(row.turn_group, number, "", row.turn_key),
    generation: row.generation + 1,
    receive_count: 0,
    sent_at: now,
    visible_at: 0
  },
  remove: ["dead_at", "noticed", "receipt"]
})

export const readEach = (
  purpose: Purpose,
  items: ReadonlyArray<Attributes>
): Effect.Effect<ReadonlyArray<IndexedTurn>, StoreError> => Effect.forEach(items, (item) => readIndexed(purpose, item))
