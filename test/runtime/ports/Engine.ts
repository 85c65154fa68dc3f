/** What a suite of a port is given: an engine's layer, how its time passes, and how exactly. See docs/engines.md. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Layer } from "effect"
import * as TestClock from "effect/testing/TestClock"

export interface Engine<Services, LE = never> {
  /** Built afresh for every test; what it stores is empty. */
  readonly layer: Layer.Layer<Services, LE>
  /** Returns when the engine's own clock and the test's have gone on by this long. */
  readonly passTime: (duration: Duration.Input) => Effect.Effect<void>
  /**
   * Whether a deadline holds to the millisecond, and a change is seen everywhere at once. An engine over a network
   * says no: SQS counts in whole seconds, and a request itself takes time.
   */
  readonly exact: boolean
}

/** An engine that reads its time from Effect's clock: in memory and embedded. */
export const onTestClock = <Services, LE>(layer: Layer.Layer<Services, LE>): Engine<Services, LE> => ({
  layer,
  passTime: TestClock.adjust,
  exact: true
})

/** The same engine, with time that passes as roughly as over a network: no sentence but a marked one may need more. */
export const onCoarseClock = <Services, LE>(layer: Layer.Layer<Services, LE>): Engine<Services, LE> => ({
  layer,
  passTime: (duration) => TestClock.adjust(Duration.sum(Duration.fromInputUnsafe(duration), coarseError)),
  exact: false
})

/** How much longer than asked a coarse clock passes. */
const coarseError = Duration.millis(100)

/** How near to a deadline an engine that is not exact is asked: SQS rounds to a second, at both ends. */
const margin = Duration.seconds(2)

/** Longer than any engine polls for changes, or lets an index lag. */
const lag = Duration.seconds(5)

export interface EngineTime extends Pick<Engine<never>, "exact" | "passTime"> {
  /** Goes on until shortly before `duration` is over: what ends then has not ended. */
  readonly almost: (duration: Duration.Input) => Effect.Effect<void>
  /** Goes on from there until shortly after: what ends then has ended. */
  readonly over: Effect.Effect<void>
  /** Until a change can be read everywhere: at once, or after an index or a poll has caught up. */
  readonly settle: Effect.Effect<void>
  /** Until `done`: what is awaited comes without time, or with a poll. */
  readonly until: (done: () => boolean) => Effect.Effect<void>
  /** Compares instants or spans, in milliseconds. */
  readonly near: (actual: number | undefined, expected: number) => void
}

export const timeOf = ({ exact, passTime }: Pick<Engine<never>, "exact" | "passTime">): EngineTime => {
  const grain = exact ? Duration.millis(1) : margin
  const settle = exact ? Effect.void : passTime(lag)
  return {
    exact,
    passTime,
    settle,
    until: Effect.fnUntraced(function*(done) {
      while (!done()) {
        yield* settle
        // A store's writer answers on Node's own loop, which no test clock moves.
        yield* Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
      }
    }),
    almost: (duration) => passTime(Duration.subtract(Duration.fromInputUnsafe(duration), grain)),
    over: passTime(exact ? grain : Duration.times(grain, 2)),
    near: (actual, expected) => {
      if (exact) assert.strictEqual(actual, expected)
      else assert.approximately(actual ?? Number.NaN, expected, Duration.toMillis(margin))
    }
  }
}
