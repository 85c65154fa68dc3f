/** How long an attempt of a turn may still take: its time stands still while people are asked, within a bound. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type Bell, makeBell, whenRung } from "../../ports/Bell.ts"

/** Of a whole attempt, waiting included: SQS holds a message 12 h at most (docs/architecture.md). */
export const longestAttemptMillis = 11 * 3_600_000

export interface TurnClock {
  /** Calls that wait for people now. */
  waiting: number
  /** Since when at least one waits, Unix milliseconds. */
  since: number
  /** Milliseconds that stood still before. */
  stoodMillis: number
  readonly bell: Bell
}

export const makeTurnClock = (): TurnClock => ({ waiting: 0, since: 0, stoodMillis: 0, bell: makeBell() })

/** Milliseconds that stood still up to `now`. */
export const stood = (clock: TurnClock, now: number): number =>
  clock.stoodMillis + (clock.waiting > 0 ? now - clock.since : 0)

/** The clock stands still for as long as the effect takes. */
export const standingStill = <A, E, R>(clock: TurnClock, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (clock.waiting === 0) clock.since = now
      clock.waiting += 1
      clock.bell.ring()
    }),
    () => effect,
    () =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        clock.waiting -= 1
        if (clock.waiting === 0) clock.stoodMillis += now - clock.since
        clock.bell.ring()
      })
  )

/** Completes when `limitMillis` have passed from now on, without what stood still; with the limit that was reached. */
export const runOut = Effect.fnUntraced(function*(clock: TurnClock, limitMillis: number) {
  const startedAt = yield* Clock.currentTimeMillis
  const before = stood(clock, startedAt)
  return yield* whenRung(clock.bell, Infinity, (now) =>
    Effect.sync(() => {
      const passed = now - startedAt
      const left = limitMillis - (passed - (stood(clock, now) - before))
      const isLongest = passed >= longestAttemptMillis
      return {
        found: isLongest ? Math.max(longestAttemptMillis, limitMillis) : limitMillis,
        enough: isLongest || left <= 0,
        nextAt: now + Math.min(clock.waiting > 0 ? Infinity : left, longestAttemptMillis - passed)
      }
    }))
})
