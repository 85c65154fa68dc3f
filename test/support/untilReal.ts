/** Waiting for what other processes do: looks again and again, in real time, until a fact is there. */
import { Effect } from "effect"

const look = Effect.callback<void>((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 50)
  return Effect.sync(() => clearTimeout(timer))
})

/** The first answer that is neither `undefined` nor `false`; after 60 s a defect that names `what`. */
export const untilReal = <A>(
  what: string,
  ask: Effect.Effect<A | undefined | false>
): Effect.Effect<Exclude<A, undefined | false>> =>
  Effect.gen(function*() {
    while (true) {
      const found = yield* ask
      if (found !== undefined && found !== false) return found as Exclude<A, undefined | false>
      yield* look
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`waited 60 s in vain: ${what}`))
    })
  )
