/**
 * Which session a thread continues, in the reference's table with an index by sandbox beside its own. What an index names is read
 * again by its key.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelId, MessageTs, SandboxId, SessionId } from "../../domain/sandbox/Ids.ts"
import { mergeThread, threadRetentionMillis, type ThreadRow, Threads } from "../../ports/Threads.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, all, is } from "./conditions.ts"
import { Dynamo, type Query, type Write } from "./Dynamo.ts"
import { reader, ttlOf } from "./rows.ts"
import { threadsTable } from "./tables.ts"

const readStored = reader(
  "thread",
  Schema.Struct({
    channel_id: ChannelId,
    thread_ts: MessageTs,
    sandbox_id: SandboxId,
    claude_session_id: Schema.optionalKey(SessionId),
    created_at: Schema.Finite,
    last_turn_at: Schema.Finite
  })
)

const of = (operation: string): Purpose => ({ port: "Threads", operation })

const keyOf = (channel: unknown, threadTs: unknown): Attributes => ({ channel_id: channel, thread_ts: threadTs })
const keyOfItem = (item: Attributes): Attributes => keyOf(item["channel_id"], item["thread_ts"])

const itemOf = ({ channel, createdAt, lastTurnAt, sandbox, session, threadTs }: ThreadRow): Attributes => ({
  ...keyOf(channel, threadTs),
  sandbox_id: sandbox,
  claude_session_id: session,
  created_at: createdAt,
  last_turn_at: lastTurnAt,
  ttl_expiry: ttlOf(lastTurnAt + threadRetentionMillis)
})

const rowOf = Effect.fnUntraced(function*(purpose: Purpose, item: Attributes) {
  const stored = yield* readStored(purpose, item)
  const { channel_id, claude_session_id, created_at, last_turn_at, sandbox_id, thread_ts } = stored
  return {
    channel: channel_id,
    threadTs: thread_ts,
    sandbox: sandbox_id,
    createdAt: created_at,
    lastTurnAt: last_turn_at,
    ...(claude_session_id === undefined ? {} : { session: claude_session_id })
  } satisfies ThreadRow
})

const isLiving = ({ lastTurnAt }: ThreadRow, now: number): boolean => lastTurnAt + threadRetentionMillis > now

/** While the row is as it was seen. */
const asSeen = (item: Attributes | undefined) =>
  item === undefined
    ? absent("channel_id")
    : all(is("sandbox_id", item["sandbox_id"]), is("last_turn_at", item["last_turn_at"]))

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo

  /** What an index names, as it is at its key now, if it still lives. */
  const named = Effect.fnUntraced(function*(operation: string, index: string, key: ReturnType<typeof is>) {
    const query: Query = { table: threadsTable, index, key: [key], consistent: false }
    const hits = yield* dynamo.query(of(operation), query)
    const items = yield* dynamo.getAll(of(operation), threadsTable, hits.map(keyOfItem))
    const now = yield* Clock.currentTimeMillis
    const rows = yield* Effect.forEach(items, (item) => rowOf(of(operation), item))
    return rows.filter((row) => isLiving(row, now)).toSorted((a, b) => b.lastTurnAt - a.lastTurnAt)
  })
  const ofSandbox = Effect.fnUntraced(function*(operation: string, sandbox: SandboxId) {
    const rows = yield* named(operation, "sandbox-index", is("sandbox_id", sandbox))
    return rows.filter((row) => row.sandbox === sandbox)
  })

  return Threads.of({
    put: Effect.fn("Threads.put")(function*(row) {
      const purpose = of("put")
      for (;;) {
        const item = yield* dynamo.get(purpose, threadsTable, keyOf(row.channel, row.threadTs))
        const found = item === undefined ? undefined : yield* rowOf(purpose, item)
        const merged = mergeThread(found, row, yield* Clock.currentTimeMillis)
        if (merged === found) return
        const { done } = yield* dynamo.change(purpose, {
          _tag: "Put",
          table: threadsTable,
          item: { ...item, ...itemOf(merged) },
          when: asSeen(item)
        })
        // Else another turn of the thread was quicker: merged again with what is there now.
        if (done) return
      }
    }),
    get: Effect.fnUntraced(function*(channel, threadTs) {
      const item = yield* dynamo.get(of("get"), threadsTable, keyOf(channel, threadTs))
      const row = item === undefined ? undefined : yield* rowOf(of("get"), item)
      const now = yield* Clock.currentTimeMillis
      return row !== undefined && isLiving(row, now) ? Option.some(row) : Option.none()
    }),
    bySession: Effect.fnUntraced(function*(session) {
      const rows = yield* named("bySession", "session-index", is("claude_session_id", session))
      return Option.fromNullishOr(rows.find((row) => row.session === session))
    }),
    count: (sandbox) => Effect.map(ofSandbox("count", sandbox), (rows) => rows.length),
    list: (sandbox, limit) => Effect.map(ofSandbox("list", sandbox), (rows) => rows.slice(0, Math.max(0, limit))),
    forget: Effect.fnUntraced(function*(channel, threadTs) {
      const purpose = of("forget")
      for (;;) {
        const item = yield* dynamo.get(purpose, threadsTable, keyOf(channel, threadTs))
        if (item === undefined) return
        const { claude_session_id: _, ...others } = item
        const { done } = yield* dynamo.change(purpose, {
          _tag: "Put",
          table: threadsTable,
          item: others,
          when: asSeen(item)
        })
        if (done) return
      }
    }),
    move: Effect.fn("Threads.move")(function*(from, to) {
      const purpose = of("move")
      const items = yield* dynamo.query(purpose, {
        table: threadsTable,
        key: [is("channel_id", from)],
        consistent: true
      })
      // Each row in one step; a move that ends between two of them is finished by the next one.
      yield* Effect.forEach(items, (item) => {
        const gone: Write = { _tag: "Delete", table: threadsTable, key: keyOfItem(item) }
        const there: Write = {
          _tag: "Put",
          table: threadsTable,
          item: { ...item, channel_id: to },
          when: absent("channel_id")
        }
        return Effect.flatMap(dynamo.transact(purpose, [there, gone]), ({ done }) =>
          // Somebody wrote under the new id before: that row stays.
          done ? Effect.void : Effect.asVoid(dynamo.change(purpose, gone)))
      }, { discard: true })
    }),
    removeAll: Effect.fnUntraced(function*(sandbox) {
      const purpose = of("removeAll")
      const hits = yield* dynamo.query(purpose, {
        table: threadsTable,
        index: "sandbox-index",
        key: [is("sandbox_id", sandbox)],
        consistent: false
      })
      // The index may name what is another sandbox's by now.
      yield* Effect.forEach(
        hits,
        (hit) =>
          dynamo.change(purpose, {
            _tag: "Delete",
            table: threadsTable,
            key: keyOfItem(hit),
            when: is("sandbox_id", sandbox)
          }),
        { concurrency: 8, discard: true }
      )
    })
  })
})

export const layer: Layer.Layer<Threads, never, Dynamo> = Layer.effect(Threads, make)
