/** Rows as they are read back: anything else than what was written is a damaged row, not a value to carry on with. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { StoreError } from "../../ports/StoreError.ts"
import type { Purpose } from "./Aws.ts"

/** Fails as `Corrupt`; its text names the kind of row and never a value. */
export const reader = <A>(what: string, schema: Schema.Codec<A, unknown>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (purpose: Purpose, value: unknown): Effect.Effect<A, StoreError> =>
    Effect.mapError(
      decode(value),
      (cause) =>
        new StoreError({ ...purpose, reason: "Corrupt", detail: `a stored ${what} cannot be understood`, cause })
    )
}

/** Unix seconds, as TTL attributes have them: the sweeper may come any time after, and nothing relies on it. */
export const ttlOf = (millis: number): number => Math.ceil(millis / 1000)

/**
 * Numbers arrivals so that they sort as text: by the millisecond, and within one by this process's own count. Two processes
 * may give the same number; who sorts by it adds what tells them apart.
 */
export const makeArrivals = (): (now: number) => string => {
  let last = 0
  let count = 0
  return (now) => {
    const millis = Math.floor(now)
    if (millis > last) {
      last = millis
      count = 0
    } else count++
    return `${String(last).padStart(15, "0")}.${String(count).padStart(6, "0")}`
  }
}
