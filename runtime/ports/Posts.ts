/** What the bridge posted for whom: a sandbox edits only its own messages, and a live message knows its parts. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ChannelId, MessageTs, SenderId } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

export interface LiveRow {
  readonly sender: SenderId
  readonly live: string
  readonly channel: ChannelId
  /** Highest `seq` that was shown. */
  readonly seq: number
  readonly parts: ReadonlyArray<MessageTs>
  /** SHA-256 hex of what each part shows, so that unchanged parts are not sent again. */
  readonly hashes: ReadonlyArray<string>
}

/** 30 days (docs/architecture.md). */
export const postsRetentionMillis = 30 * 24 * 3_600_000

export interface MemoryPostsState {
  readonly posts: Map<string, { readonly sender: SenderId; readonly expiresAt: number }>
  readonly live: Map<string, { readonly row: LiveRow; readonly expiresAt: number }>
}
export const makeMemoryPostsState = (): MemoryPostsState => ({ posts: new Map(), live: new Map() })

const idOf = (first: string, second: string): string => JSON.stringify([first, second])

const living = <A extends { readonly expiresAt: number }>(found: A | undefined): Effect.Effect<Option.Option<A>> =>
  Effect.map(
    Clock.currentTimeMillis,
    (now) => Option.filter(Option.fromNullishOr(found), ({ expiresAt }) => expiresAt > now)
  )

/** Rows live 30 days. */
export class Posts extends Context.Service<Posts, {
  readonly record: (
    post: {
      readonly sender: SenderId
      readonly channel: ChannelId
      readonly ts: MessageTs
      readonly threadTs?: MessageTs
    }
  ) => Effect.Effect<void, StoreError>
  readonly owner: (channel: ChannelId, ts: MessageTs) => Effect.Effect<Option.Option<SenderId>, StoreError>
  readonly live: (sender: SenderId, live: string) => Effect.Effect<Option.Option<LiveRow>, StoreError>
  /** Forward only: a row with a lower `seq` than the stored one changes nothing. False then. */
  readonly putLive: (row: LiveRow) => Effect.Effect<boolean, StoreError>
  readonly removeAll: (sender: SenderId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Posts") {
  static readonly memory = (state: MemoryPostsState): Layer.Layer<Posts> => {
    const expiry = Effect.map(Clock.currentTimeMillis, (now) => now + postsRetentionMillis)
    return Layer.succeed(
      Posts,
      Posts.of({
        record: ({ channel, sender, ts }) =>
          Effect.map(expiry, (expiresAt) => void state.posts.set(idOf(channel, ts), { sender, expiresAt })),
        owner: (channel, ts) =>
          Effect.suspend(() =>
            Effect.map(living(state.posts.get(idOf(channel, ts))), Option.map(({ sender }) => sender))
          ),
        live: (sender, live) =>
          Effect.suspend(() => Effect.map(living(state.live.get(idOf(sender, live))), Option.map(({ row }) => row))),
        putLive: (row) =>
          Effect.gen(function*() {
            const now = yield* Clock.currentTimeMillis
            const found = state.live.get(idOf(row.sender, row.live))
            if (found !== undefined && found.expiresAt > now && found.row.seq > row.seq) return false
            state.live.set(idOf(row.sender, row.live), { row, expiresAt: now + postsRetentionMillis })
            return true
          }),
        removeAll: (sender) =>
          Effect.sync(() => {
            for (const [id, post] of state.posts) if (post.sender === sender) state.posts.delete(id)
            for (const [id, { row }] of state.live) if (row.sender === sender) state.live.delete(id)
          })
      })
    )
  }

  static readonly layerMemory: Layer.Layer<Posts> = Layer.suspend(() => Posts.memory(makeMemoryPostsState()))
}
