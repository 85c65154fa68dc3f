/**
 * What runtimes say of themselves, an item per sandbox. A sandbox writes no row of its own: what it may do is decided by
 * what it cannot change.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { SandboxId } from "../domain/sandbox/Ids.ts"
import { noReport, type ReportedSandbox, type SandboxReport, type SandboxRow } from "../domain/sandbox/Sandbox.ts"
import type { StoreError } from "./StoreError.ts"

export class Reports extends Context.Service<Reports, {
  /** Only the named parts change; the rest stays as it was reported before. */
  readonly put: (id: SandboxId, report: Partial<SandboxReport>) => Effect.Effect<void, StoreError>
  /** `noReport` for a sandbox that has said nothing yet. */
  readonly get: (id: SandboxId) => Effect.Effect<SandboxReport, StoreError>
  /** Of these sandboxes; those that have said nothing are left out. */
  readonly of: (ids: ReadonlyArray<SandboxId>) => Effect.Effect<ReadonlyMap<SandboxId, SandboxReport>, StoreError>
  /** Idempotent. */
  readonly remove: (id: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Reports") {}

/** Rows beside what their runtimes say, in the order of the rows. */
export const reported = Effect.fnUntraced(function*(rows: ReadonlyArray<SandboxRow>) {
  const reports = yield* (yield* Reports).of(rows.map(({ id }) => id))
  return rows.map((row): ReportedSandbox => ({ ...row, ...reports.get(row.id) ?? noReport }))
})

/** One row beside what its runtime says. */
export const withReport = Effect.fnUntraced(function*(row: SandboxRow) {
  const report = yield* (yield* Reports).get(row.id)
  return { ...row, ...report } satisfies ReportedSandbox
})
