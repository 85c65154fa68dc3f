/** The sandbox's own record of its turns, on its own disk in every engine. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { TurnKey } from "../domain/sandbox/Ids.ts"
import type { TurnRow } from "../domain/turn/Turn.ts"
import type { StoreError } from "./StoreError.ts"

/** Settled rows are kept 30 days after they finished (docs/architecture.md), then read as absent; open rows never expire. */
export const ledgerRetentionMillis = 30 * 24 * 3_600_000

/** True when the row is settled and its 30 days are over. */
export const isTurnRowExpired = (row: TurnRow, now: number): boolean =>
  row.state === "settled" && (row.finishedAt ?? row.receivedAt) + ledgerRetentionMillis <= now

/** The row is not in the state the change was decided on: another fiber moved it. A bug or a lost lease. */
export class LedgerConflict extends Schema.TaggedError<LedgerConflict>()("LedgerConflict", {
  key: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `turn ${this.key} is ${this.found}, not ${this.expected}; the change was not made`
  }
}

export class Ledger extends Context.Service<Ledger, {
  /** Inserts if absent; the row as it then is. Synced. */
  readonly insert: (row: TurnRow) => Effect.Effect<{ readonly row: TurnRow; readonly inserted: boolean }, StoreError>
  readonly get: (key: TurnKey) => Effect.Effect<Option.Option<TurnRow>, StoreError>
  /** Compare (state and attempt) and set the whole row. Synced before it succeeds. */
  readonly update: (from: TurnRow, to: TurnRow) => Effect.Effect<void, StoreError | LedgerConflict>
  /** Rows not settled, oldest first. */
  readonly open: Effect.Effect<ReadonlyArray<TurnRow>, StoreError>
  /** The newest rows, newest first. */
  readonly recent: (limit: number) => Effect.Effect<ReadonlyArray<TurnRow>, StoreError>
  /** Facts that plugins keep per turn or session, such as upload file ids. Synced. */
  readonly remember: (key: string, value: string) => Effect.Effect<void, StoreError>
  readonly recall: (key: string) => Effect.Effect<Option.Option<string>, StoreError>
}>()("km/runtime/ports/Ledger") {
  /** Keeps its rows in `state`: a second layer over the same state sees what a crashed program had made durable. */
}

const describe = (row: TurnRow): string => `${row.state}(${row.attempt})`

/** Why `found` may not become `to`, or undefined when it is what the change was decided on. */
export const ledgerConflict = (
  from: TurnRow,
  to: TurnRow,
  found: TurnRow | undefined
): LedgerConflict | undefined =>
  found !== undefined && found.state === from.state && found.attempt === from.attempt && to.key === from.key
    ? undefined
    : new LedgerConflict({
      key: from.key,
      expected: describe(from),
      found: found === undefined ? "absent" : describe(found)
    })
