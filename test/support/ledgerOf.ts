/** A sandbox's turns as its ledger has them, read beside the runtime that writes it. */
import { Effect } from "effect"
import * as SandboxStore from "../../runtime/adapters/disk/SandboxStore.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"

/** Newest first. */
export const ledgerOf = (state: string, id: SandboxId): Effect.Effect<ReadonlyArray<TurnRow>> =>
  Effect.flatMap(Ledger, (ledger) => ledger.recent(1_000)).pipe(
    Effect.provide(SandboxStore.layer(statePaths(state).sandbox(id).directory)),
    Effect.orDie
  )
