/** Lets other fibers run until something is so: for tests in virtual time, where sleeping would prove nothing. */
import { Effect } from "effect"

/** Fails after 20,000 turns of the scheduler, which is far more than any chain of our fibers needs. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    let turns = 0
    return Effect.yieldNow.pipe(
      Effect.repeat({ until: () => holds() || ++turns > 20_000 }),
      Effect.andThen(Effect.suspend(() => holds() ? Effect.void : Effect.die(new Error(`never came: ${what}`))))
    )
  })

/** Lets every fiber that can run come to rest, so that "nothing more happens" can be asserted. */
export const atRest: Effect.Effect<void> = Effect.asVoid(Effect.repeat(Effect.yieldNow, { times: 500 }))
