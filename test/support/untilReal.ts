/** Waiting for what other processes do: looks again and again, in real time, until a fact is there. */
import { Effect } from "effect"

const look = Effect.callback<void>((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 50)
  return Effect.sync(() => clearTimeout(timer))
})

/** Longer than any work of ours takes on a machine that is ten times too busy; shorter than a test may take. */
const patience = "5 minutes"

/**
 * The first answer that is neither `undefined` nor `false`. A defect that names `what` once `died` completes, with a
 * sentence on who has died and how, or when the patience is over.
 */
export const untilReal = <A>(
  what: string,
  ask: Effect.Effect<A | undefined | false>,
  died: Effect.Effect<string> = Effect.never
): Effect.Effect<Exclude<A, undefined | false>> =>
  Effect.gen(function*() {
    while (true) {
      const found = yield* ask
      if (found !== undefined && found !== false) return found as Exclude<A, undefined | false>
      yield* look
    }
  }).pipe(
    Effect.raceFirst(Effect.flatMap(died, (how) => Effect.die(new Error(`${what}: never, since ${how}`)))),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.die(new Error(`waited ${patience} in vain: ${what}`))
    })
  )
