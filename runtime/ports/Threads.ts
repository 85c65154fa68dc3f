/** Which agent session a Slack thread continues. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ChannelId, MessageTs, SandboxId, SessionId } from "../domain/Ids.ts"
import type { StoreError } from "./StoreError.ts"

export interface ThreadRow {
  readonly channel: ChannelId
  readonly threadTs: MessageTs
  readonly sandbox: SandboxId
  /** Absent until the first turn of the thread has an agent session. */
  readonly session?: SessionId
  /** Unix milliseconds. */
  readonly createdAt: number
  readonly lastTurnAt: number
}

/** Rows are kept 30 days after `lastTurnAt`; an expired row reads as absent. */
export class Threads extends Context.Service<Threads, {
  /** Inserts, or updates `session` and `lastTurnAt` of a row of the same sandbox; `createdAt` stays. */
  readonly put: (row: ThreadRow) => Effect.Effect<void, StoreError>
  readonly get: (channel: ChannelId, threadTs: MessageTs) => Effect.Effect<Option.Option<ThreadRow>, StoreError>
  readonly bySession: (session: SessionId) => Effect.Effect<Option.Option<ThreadRow>, StoreError>
  readonly count: (sandbox: SandboxId) => Effect.Effect<number, StoreError>
  readonly removeAll: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Threads") {}
