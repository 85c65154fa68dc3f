/** The memory of what was verified before: a signature says who wrote a message, only memory says that it came once. */
import * as Effect from "effect/Effect"
import type { SenderId } from "../../../runtime/domain/sandbox/Ids.ts"

/** One verified copy. */
export interface SeenEntry {
  readonly sender: SenderId
  readonly nonce: string
  readonly manifestSha256: string
  /**
   * The transport's own name of this delivery. A crashed reader gets the same delivery again and must not take it for a
   * repetition.
   */
  readonly delivery: string
  /** Unix seconds until which the entry is kept: a day after the message expires. */
  readonly keepUntilSeconds: number
}

/** `first`: not seen, or the same delivery as before. `duplicate`: the same copy again. `replayed`: another one. */
export type SeenAnswer = "first" | "duplicate" | "replayed"

/** Given by the caller. The answer is durable before it is returned, and one of two callers at a time is first. */
export interface SeenMail<E> {
  readonly record: (entry: SeenEntry) => Effect.Effect<SeenAnswer, E>
}

/** Seconds that an entry outlives its message. */
export const seenGraceSeconds = 24 * 3600

/** What a store answers when (sender, nonce) is recorded as `known`. */
export const answerFor = (known: SeenEntry | undefined, entry: SeenEntry): SeenAnswer => {
  if (known === undefined) return "first"
  if (known.manifestSha256 !== entry.manifestSha256) return "replayed"
  return known.delivery === entry.delivery ? "first" : "duplicate"
}

/** In memory, never forgetting: for tests and one-off readers. */
export const makeSeenMemory = (): SeenMail<never> => {
  const entries = new Map<string, SeenEntry>()
  return {
    record: (entry) =>
      Effect.sync(() => {
        const key = JSON.stringify([entry.sender, entry.nonce])
        const known = entries.get(key)
        if (known === undefined) entries.set(key, entry)
        return answerFor(known, entry)
      })
  }
}
