/**
 * What an install remembers of a sandbox beside its row, by key: who of another workspace may write to it, what its channel
 * takes, which notices are due. A fact may outlive its sandbox until whoever keeps it has done with it. What belongs to no
 * sandbox, such as an invitation into the shared channel, is the operator's.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SenderId } from "../domain/sandbox/Ids.ts"
import { StoreError } from "./StoreError.ts"

export interface Fact {
  readonly sandbox: SenderId
  readonly key: string
  readonly value: string
}

/** Bytes of a key and of a value. */
export const maxFactKeyBytes = 300
export const maxFactBytes = 16 * 1024

/** Fails with `TooLarge` where one of them is larger. The rule of every engine. */
export const checkFact = (key: string, value: string): Effect.Effect<void, StoreError> => {
  const fits = Buffer.byteLength(key) <= maxFactKeyBytes && Buffer.byteLength(value) <= maxFactBytes
  return fits ? Effect.void : Effect.fail(
    new StoreError({
      port: "Facts",
      operation: "put",
      reason: "TooLarge",
      detail: `a fact has at most ${maxFactBytes} bytes, its key ${maxFactKeyBytes}`,
      cause: undefined
    })
  )
}

export class Facts extends Context.Service<Facts, {
  readonly get: (sandbox: SenderId, key: string) => Effect.Effect<Option.Option<string>, StoreError>
  /** `TooLarge` above the limits. With `was` only while the value is that one (`undefined`: while there is none). False: it was not, and nothing changed. */
  readonly put: (
    sandbox: SenderId,
    key: string,
    value: string,
    only?: { readonly was: string | undefined }
  ) => Effect.Effect<boolean, StoreError>
  /** Those of one, or of all (the operator too), whose keys begin so; by sandbox and key. */
  readonly list: (prefix: string, sandbox?: SenderId) => Effect.Effect<ReadonlyArray<Fact>, StoreError>
  readonly remove: (sandbox: SenderId, key: string) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Facts") {}

/** Changes one fact in one step, whoever else does; `undefined` from `change` leaves it as it is. */
export const changeFact = Effect.fn("Facts.change")(function*(
  facts: Facts["Service"],
  sandbox: SenderId,
  key: string,
  change: (was: string | undefined) => string | undefined
) {
  for (;;) {
    const was = Option.getOrUndefined(yield* facts.get(sandbox, key))
    const value = change(was)
    if (value === undefined || value === was) return
    if (yield* facts.put(sandbox, key, value, { was })) return
  }
})
