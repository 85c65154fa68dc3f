/** A wake-up inside one process, for ports that wait: counted, so that a ring between a look and a wait is not lost. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** A waiting reader looks anyway after this long (docs/architecture.md). */
const lookAgain = Duration.seconds(5)

export interface Bell {
  /** Rises with each ring. Read it before looking at what the bell announces. */
  readonly count: () => number
  readonly ring: () => void
  /** Completes once the bell has rung since `count` was read, or after `longest`, whichever is first. */
  readonly wait: (count: number, longest: Duration.Duration) => Effect.Effect<void>
}

/** Numbers that only rise. */
export const counter = (): () => number => {
  let last = 0
  return () => ++last
}

/**
 * Waiters that are interrupted leave nothing behind, so a bell may outlive the program that waits on it. Bells that share
 * `tick` may take each other's place: to who counted the one before, the next has rung.
 */
export const makeBell = (tick: () => number = counter()): Bell => {
  const waiters = new Set<() => void>()
  let rung = tick()
  return {
    count: () => rung,
    ring: () => {
      rung = tick()
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

/** One look at what a bell announces. */
export interface Look<A> {
  readonly found: A
  /** There is something: nobody waits any longer. */
  readonly enough: boolean
  /** Unix milliseconds at which there may be more although nothing rings; `Infinity` when only a ring can help. */
  readonly nextAt: number
}

/**
 * Looks, and again at each ring and at `nextAt`, until there is enough or `until` (Unix milliseconds) has come; gives what
 * the last look found. A ring between a look and the wait behind it is not lost.
 */
export const whenRung = <A, E, R>(
  bell: Bell,
  until: number,
  look: (now: number) => Effect.Effect<Look<A>, E, R>
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    for (;;) {
      const rung = bell.count()
      const now = yield* Clock.currentTimeMillis
      const { enough, found, nextAt } = yield* look(now)
      if (enough || now >= until) return found
      if (nextAt <= now) continue
      const next = Math.min(nextAt, until)
      // By the clock as it is behind the look, which may have taken a while.
      const passed = yield* Clock.currentTimeMillis
      yield* bell.wait(rung, Number.isFinite(next) ? Duration.millis(Math.max(0, next - passed)) : Duration.infinity)
      // Nothing was rung for and nothing comes due: a last look would find what this one found.
      if (bell.count() === rung && nextAt > until) return found
    }
  })
