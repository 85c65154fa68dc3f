/** Which Slack gestures have become turns: one gesture can arrive as two events and as many deliveries. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { TurnKey } from "../domain/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** Rows live 30 days. */
export class Seen extends Context.Service<Seen, {
  /** The turn that any of these keys (`turn:…`, `event:…`, `client:…`) already belongs to. */
  readonly find: (keys: ReadonlyArray<string>) => Effect.Effect<Option.Option<TurnKey>, StoreError>
  /** Idempotent; the first turn of a key stays. */
  readonly mark: (keys: ReadonlyArray<string>, turn: TurnKey) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Seen") {}
