/** Who posted what, and how far each live message has come. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { reader } from "../../adapters/disk/columns.ts"
import { Sqlite } from "../../adapters/disk/Sqlite.ts"
import { ChannelId, MessageTs, SenderId } from "../../domain/sandbox/Ids.ts"
import { Posts, postsRetentionMillis } from "../../ports/Posts.ts"

const LiveJson = Schema.fromJsonString(Schema.Struct({
  sender: SenderId,
  live: Schema.String,
  channel: ChannelId,
  seq: Schema.Int,
  parts: Schema.Array(MessageTs),
  hashes: Schema.Array(Schema.String)
}))
const readLive = reader("live message", LiveJson)
const encodeLive = Schema.encodeSync(LiveJson)
const readSender = reader("sender", SenderId)

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Posts.of({
    record: Effect.fnUntraced(function*({ channel, sender, threadTs, ts }) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Posts", "record", (tables) =>
        tables.run(
          "INSERT OR REPLACE INTO posts (channel, ts, sender, thread_ts, expires_at) VALUES (?, ?, ?, ?, ?)",
          channel,
          ts,
          sender,
          threadTs ?? null,
          now + postsRetentionMillis
        ))
    }),
    owner: Effect.fnUntraced(function*(channel, ts) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.read("Posts", "owner", (tables) => {
        const row = tables.get(
          "SELECT sender FROM posts WHERE channel = ? AND ts = ? AND expires_at > ?",
          channel,
          ts,
          now
        )
        return row === undefined ? Option.none() : Option.some(readSender(row["sender"]))
      })
    }),
    live: Effect.fnUntraced(function*(sender, live) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.read("Posts", "live", (tables) => {
        const row = tables.get(
          "SELECT row FROM live_messages WHERE sender = ? AND live = ? AND expires_at > ?",
          sender,
          live,
          now
        )
        return row === undefined ? Option.none() : Option.some(readLive(row["row"]))
      })
    }),
    putLive: Effect.fnUntraced(function*(row) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.write("Posts", "putLive", (tables) =>
        tables.run(
          `INSERT INTO live_messages (sender, live, row, expires_at) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET row = excluded.row, expires_at = excluded.expires_at
           WHERE live_messages.expires_at <= ?
              OR json_extract(live_messages.row, '$.seq') <= json_extract(excluded.row, '$.seq')`,
          row.sender,
          row.live,
          encodeLive(row),
          now + postsRetentionMillis,
          now
        ) > 0)
    }),
    removeAll: (sender) =>
      Effect.asVoid(sqlite.write("Posts", "removeAll", (tables) => {
        tables.run("DELETE FROM posts WHERE sender = ?", sender)
        tables.run("DELETE FROM live_messages WHERE sender = ?", sender)
      }))
  })
})

export const layer: Layer.Layer<Posts, never, Sqlite> = Layer.effect(Posts, make)
