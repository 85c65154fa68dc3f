/**
 * Work that must go on for as long as its fiber lives: one round after the other, none of which ends it by a defect. The
 * rooms write no other endless loop, so that a bug in one round costs that round.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * Does the round for ever. One that ends in a defect is logged as an error in the words of `what`, and the next begins
 * `pause` later; a failure, where a round may fail, ends it all, and so does an interruption.
 */
export const unending = <E, R>(
  what: string,
  pause: Duration.Input,
  round: Effect.Effect<unknown, E, R>
): Effect.Effect<never, E, R> =>
  round.pipe(
    Effect.catchDefect((defect) => Effect.andThen(Effect.logError(what, defect), Effect.sleep(pause))),
    Effect.forever
  )
