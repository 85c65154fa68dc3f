/** Which Slack gestures have become turns: one gesture can arrive as two events and as many deliveries. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { TurnKey } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** 30 days (docs/architecture.md). */
export const seenRetentionMillis = 30 * 24 * 3_600_000

/** Rows live 30 days. */
export class Seen extends Context.Service<Seen, {
  /** The turn that any of these keys (`turn:…`, `event:…`, `client:…`) already belongs to. */
  readonly find: (keys: ReadonlyArray<string>) => Effect.Effect<Option.Option<TurnKey>, StoreError>
  /** Idempotent; the first turn of a key stays. */
  readonly mark: (keys: ReadonlyArray<string>, turn: TurnKey) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Seen") {}
