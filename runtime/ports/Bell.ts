/** A wake-up inside one process, for ports that wait: counted, so that a ring between a look and a wait is not lost. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** A waiting reader looks anyway after this long (docs/architecture.md). */
const lookAgain = Duration.seconds(5)

export interface Bell {
  /** How often it has rung. Read it before looking at what the bell announces. */
  readonly count: () => number
  readonly ring: () => void
  /** Completes once the bell has rung more than `count` times, or after `longest`, whichever is first. */
  readonly wait: (count: number, longest: Duration.Duration) => Effect.Effect<void>
}

/** Waiters that are interrupted leave nothing behind, so a bell may outlive the program that waits on it. */
export const makeBell = (): Bell => {
  const waiters = new Set<() => void>()
  let rung = 0
  return {
    count: () => rung,
    ring: () => {
      rung++
      const woken = [...waiters]
      waiters.clear()
      for (const wake of woken) wake()
    },
    wait: (count, longest) => {
      const ring = Effect.callback<void>((resume) => {
        const wake = () => resume(Effect.void)
        if (rung > count) return wake()
        waiters.add(wake)
        return Effect.sync(() => void waiters.delete(wake))
      })
      return Duration.isFinite(longest)
        ? Effect.timeoutOrElse(ring, { duration: longest, orElse: () => Effect.void })
        : ring
    }
  }
}

/** At once, then at every ring, and every 5 s without one. */
export const ringsOf = (bell: Bell): Stream.Stream<void> =>
  Stream.suspend(() => {
    let seen: number | undefined
    return Stream.fromEffectRepeat(Effect.suspend(() => {
      const before = seen
      const wait = before === undefined ? Effect.void : bell.wait(before, lookAgain)
      return Effect.andThen(wait, Effect.sync(() => void (seen = bell.count())))
    }))
  })
