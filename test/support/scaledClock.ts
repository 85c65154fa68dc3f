/** A clock that runs faster than the wall's, for what takes hours between parts that really talk to each other. */
import type { Clock } from "effect"
import { Duration, Effect } from "effect"

/** The clock that programs have by themselves, `scale` times as fast; it starts at the wall's time. */
export const scaledClock = (scale: number): Clock.Clock => {
  const wall = Date.now()
  const from = performance.now()
  const millis = () => wall + (performance.now() - from) * scale
  const nanos = () => BigInt(Math.round(millis())) * 1_000_000n
  return {
    currentTimeMillisUnsafe: () => Math.floor(millis()),
    currentTimeMillis: Effect.sync(() => Math.floor(millis())),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.callback<void>((resume) => {
        const real = Duration.toMillis(duration) / scale
        if (!Number.isFinite(real)) return
        const handle = setTimeout(() => resume(Effect.void), real)
        return Effect.sync(() => clearTimeout(handle))
      })
  }
}
