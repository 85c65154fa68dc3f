/** Secrets by path (`slack/bot-token`, `sandbox/{id}/signing-key`), as SSM names them under `/{prefix}/`. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { StoreError } from "./StoreError.ts"

export class Secrets extends Context.Service<Secrets, {
  readonly get: (path: string) => Effect.Effect<Option.Option<Redacted.Redacted<string>>, StoreError>
  /** Returns the version written, from 1. Older versions stay readable by `km` only. */
  readonly put: (path: string, value: Redacted.Redacted<string>) => Effect.Effect<number, StoreError>
  readonly delete: (path: string) => Effect.Effect<void, StoreError>
  /** Paths below a prefix, never values. */
  readonly list: (prefix: string) => Effect.Effect<ReadonlyArray<string>, StoreError>
}>()("km/runtime/ports/Secrets") {}
