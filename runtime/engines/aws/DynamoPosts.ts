/** What the bridge posted for whom, by message; a live message by its sender. Owners' rows end by themselves. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelId, MessageTs, SenderId } from "../../domain/sandbox/Ids.ts"
import { Posts, postsRetentionMillis } from "../../ports/Posts.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, any, compare } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader, ttlOf } from "./rows.ts"
import { itemOf, itemsOf, keysOf } from "./stateItems.ts"
import { postsTable, stateTable } from "./tables.ts"

const readOwner = reader("post", SenderId)
const readLive = reader(
  "live message",
  Schema.Struct({
    sandbox_id: SenderId,
    live: Schema.String,
    channel: ChannelId,
    seq: Schema.Int,
    parts: Schema.Array(MessageTs),
    hashes: Schema.Array(Schema.String)
  })
)

const of = (operation: string): Purpose => ({ port: "Posts", operation })

const isCurrent = (item: Attributes | undefined, now: number): item is Attributes =>
  item !== undefined && typeof item["expires_at"] === "number" && item["expires_at"] > now

const ends = (now: number): Attributes => ({
  expires_at: now + postsRetentionMillis,
  ttl_expiry: ttlOf(now + postsRetentionMillis)
})

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  return Posts.of({
    record: Effect.fnUntraced(function*({ channel, sender, threadTs, ts }) {
      const now = yield* Clock.currentTimeMillis
      const item = { channel_id: channel, slack_ts: ts, sandbox_id: sender, thread_ts: threadTs, ...ends(now) }
      yield* dynamo.change(of("record"), { _tag: "Put", table: postsTable, item })
    }),
    owner: Effect.fnUntraced(function*(channel, ts) {
      const item = yield* dynamo.get(of("owner"), postsTable, { channel_id: channel, slack_ts: ts })
      return isCurrent(item, yield* Clock.currentTimeMillis)
        ? Option.some(yield* readOwner(of("owner"), item["sandbox_id"]))
        : Option.none()
    }),
    live: Effect.fnUntraced(function*(sender, live) {
      const item = yield* dynamo.get(of("live"), stateTable, itemOf(sender, "live", live))
      if (!isCurrent(item, yield* Clock.currentTimeMillis)) return Option.none()
      const { sandbox_id, ...row } = yield* readLive(of("live"), item)
      return Option.some({ sender: sandbox_id, ...row })
    }),
    putLive: Effect.fnUntraced(function*({ sender, ...row }) {
      const now = yield* Clock.currentTimeMillis
      const { done } = yield* dynamo.change(of("putLive"), {
        _tag: "Put",
        table: stateTable,
        item: { ...itemOf(sender, "live", row.live), ...row, ...ends(now) },
        when: any(absent("item"), compare("seq", "<=", row.seq), compare("expires_at", "<=", now))
      })
      return done
    }),
    removeAll: Effect.fnUntraced(function*(sender) {
      const items = yield* dynamo.query(of("removeAll"), itemsOf(sender, "live"))
      yield* dynamo.deleteAll(of("removeAll"), stateTable, keysOf(items))
    })
  })
})

export const layer: Layer.Layer<Posts, never, Dynamo> = Layer.effect(Posts, make)
