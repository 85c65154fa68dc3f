/** What the bridge posted for whom: a sandbox edits only its own messages, and a live message knows its parts. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
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
}>()("km/runtime/ports/Posts") {}
