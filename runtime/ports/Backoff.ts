/** How long everything here waits after failures in a row: each time twice as long, up to a longest. */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"

/** Both in milliseconds, both above 0. */
export interface Backoff {
  readonly firstMillis: number
  readonly longestMillis: number
}

/** Milliseconds to wait after the `failures`th failure in a row, counted from 1. */
export const pauseAfter = ({ firstMillis, longestMillis }: Backoff, failures: number): number =>
  Math.min(longestMillis, firstMillis * 2 ** Math.min(Math.max(0, failures - 1), 40))

/** The same pauses for `Effect.retry`, without an end. */
export const backoffSchedule = ({ firstMillis, longestMillis }: Backoff) =>
  Schedule.min([Schedule.exponential(Duration.millis(firstMillis)), Schedule.spaced(Duration.millis(longestMillis))])
