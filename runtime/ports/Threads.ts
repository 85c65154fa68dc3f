/** Which agent session a Slack thread continues. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChannelId, MessageTs, SandboxId, SessionId } from "../domain/sandbox/Ids.ts"
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

/** 30 days after the last turn. */
export const threadRetentionMillis = 30 * 24 * 3_600_000

/**
 * The row to store when `row` is put over `found`: the session stays when the new row has none, and a living row of
 * another sandbox is left alone. The rule of every engine.
 */
export const mergeThread = (found: ThreadRow | undefined, row: ThreadRow, now: number): ThreadRow => {
  if (found === undefined || found.lastTurnAt + threadRetentionMillis <= now) return row
  if (found.sandbox !== row.sandbox) return found
  const session = row.session ?? found.session
  return { ...found, lastTurnAt: row.lastTurnAt, ...(session === undefined ? {} : { session }) }
}

/** Rows are kept 30 days after `lastTurnAt`; an expired row reads as absent. */
export class Threads extends Context.Service<Threads, {
  /**
   * Inserts, or updates `session` (if given) and `lastTurnAt` of a row of the same sandbox; `createdAt` stays. A row
   * of another sandbox is left as it is.
   */
  readonly put: (row: ThreadRow) => Effect.Effect<void, StoreError>
  readonly get: (channel: ChannelId, threadTs: MessageTs) => Effect.Effect<Option.Option<ThreadRow>, StoreError>
  /** The newest row of that session. */
  readonly bySession: (session: SessionId) => Effect.Effect<Option.Option<ThreadRow>, StoreError>
  readonly count: (sandbox: SandboxId) => Effect.Effect<number, StoreError>
  /** Those with the newest last turn first, at most `limit`. */
  readonly list: (sandbox: SandboxId, limit: number) => Effect.Effect<ReadonlyArray<ThreadRow>, StoreError>
  /** The thread has no session any more; the row stays. No effect on a thread that is not there. */
  readonly forget: (channel: ChannelId, threadTs: MessageTs) => Effect.Effect<void, StoreError>
  /** Slack has given the channel another id: every row of `from` is one of `to`. One step; repeated, it changes nothing. */
  readonly move: (from: ChannelId, to: ChannelId) => Effect.Effect<void, StoreError>
  readonly removeAll: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Threads") {}
