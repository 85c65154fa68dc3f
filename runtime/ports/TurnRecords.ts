/**
 * Turns that are over, wherever their sandbox lives: what `km status`, `km replay` and schedules read. A record is durable
 * before its ledger row is settled, so a turn is always in one of both.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { SandboxId, TurnKey } from "../domain/sandbox/Ids.ts"
import type { TurnResult } from "../domain/turn/Turn.ts"
import type { TurnRecord } from "../domain/turn/TurnRecord.ts"
import type { StoreError } from "./StoreError.ts"

/** Records are kept 30 days after their turn finished, as ledger rows are, then read as absent. */
export const recordRetentionMillis = 30 * 24 * 3_600_000

/** One turn of one sandbox. */
export interface TurnOf {
  readonly sandbox: SandboxId
  readonly key: TurnKey
}

/** For maps by turn; neither part can hold a space. */
export const turnName = ({ key, sandbox }: TurnOf): string => `${sandbox} ${key}`

export class TurnRecords extends Context.Service<TurnRecords, {
  /** Durable once the effect succeeds. The first record of a key stays: what settles again after a crash is the same turn. */
  readonly put: (sandbox: SandboxId, record: TurnRecord) => Effect.Effect<void, StoreError>
  /**
   * An outcome that could not be delivered stands in its place by now: the record has `result` instead of `undeliverable`,
   * and nothing to show again. Changes no other record, and makes none. Idempotent.
   */
  readonly delivered: (sandbox: SandboxId, key: TurnKey, result: TurnResult) => Effect.Effect<void, StoreError>
  readonly get: (sandbox: SandboxId, key: TurnKey) => Effect.Effect<Option.Option<TurnRecord>, StoreError>
  /** Of these turns those that are over, by `turnName`; one look, however many they are. */
  readonly among: (turns: ReadonlyArray<TurnOf>) => Effect.Effect<ReadonlyMap<string, TurnRecord>, StoreError>
  /** By when they were received, newest first. */
  readonly recent: (sandbox: SandboxId, limit: number) => Effect.Effect<ReadonlyArray<TurnRecord>, StoreError>
  /** Everything of a sandbox that has ended. Idempotent. */
  readonly removeAll: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
  /** An element at once, then whenever something may have been written since, and every 5 s. */
  readonly written: Stream.Stream<void>
}>()("km/runtime/ports/TurnRecords") {
  /** The whole contract in memory, on Effect's clock. */
}
