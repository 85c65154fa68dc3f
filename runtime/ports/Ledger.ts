/** The sandbox's own record of its turns, on its own disk in every engine. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { TurnKey } from "../domain/Ids.ts"
import type { TurnRow } from "../domain/Turn.ts"
import type { StoreError } from "./StoreError.ts"

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
}>()("km/runtime/ports/Ledger") {}
