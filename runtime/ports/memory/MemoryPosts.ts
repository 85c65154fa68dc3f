/** Posts in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { type LiveRow, Posts, postsRetentionMillis } from "../Posts.ts"

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

export const layerOver = (state: MemoryPostsState): Layer.Layer<Posts> => {
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

export const layer: Layer.Layer<Posts> = Layer.suspend(() => layerOver(makeMemoryPostsState()))
