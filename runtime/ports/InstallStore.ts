/** The settings of an install, and the heads of its audit: small things that every process agrees on. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ChainHead } from "../domain/install/Audit.ts"
import type { Install } from "../domain/install/Install.ts"
import { StoreError } from "./StoreError.ts"

/** There is no install here yet: `km up` makes one. */
export class InstallMissing extends Schema.TaggedError<InstallMissing>()("InstallMissing", {
  /** The state directory or the parameter's path. */
  where: Schema.String
}) {
  override get message(): string {
    return `there is no install in ${this.where}; run km up`
  }
}

export class InstallStore extends Context.Service<InstallStore, {
  readonly get: Effect.Effect<Install, StoreError | InstallMissing>
  /** Replaces the settings in one step; durable once it succeeds. */
  readonly put: (install: Install) => Effect.Effect<void, StoreError>
  /**
   * Where the chains of the audit end, as their writers said last. `verify` compares them with the chains: whoever cuts
   * a chain off would have to change them too.
   */
  readonly heads: Effect.Effect<ReadonlyArray<ChainHead>, StoreError>
  /** Never back: a shorter head than the one that is there is refused as `Denied`. */
  readonly putHead: (head: ChainHead) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/InstallStore") {}

/** Why a head may not replace the one that is there. The rule of every engine. */
export const headRefused = (found: ChainHead | undefined, head: ChainHead): StoreError | undefined =>
  found === undefined || head.length > found.length || head.length === found.length && head.hash === found.hash
    ? undefined
    : new StoreError({
      port: "InstallStore",
      operation: "putHead",
      reason: "Denied",
      detail: `the audit's chain ${head.chain} had ${found.length} links and now has ${head.length}`,
      cause: undefined
    })
