/** What stands between the SDK and the emulator when a network and a service are to be as bad as they are allowed to be. */
import { Effect } from "effect"
import type { AwsAround, AwsRequest } from "../../runtime/engines/aws/Aws.ts"
import { AwsFailure } from "../../runtime/engines/aws/AwsFailures.ts"

/** A process that ended here: nothing of it goes on, and nobody is told. */
export class Crash extends Error {
  override readonly name = "Crash"
}

export const failure = (name: string, rest: object = {}): AwsFailure =>
  new AwsFailure({ cause: Object.assign(new Error(`injected ${name}`), { name, ...rest }) })
const throttled = failure("ThrottlingException", { $metadata: { httpStatusCode: 400 } })
const lost = failure("TimeoutError")

/** Same numbers for the same seed (mulberry32). */
export const numbers = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export interface FaultRates {
  /** The service refuses for the moment; nothing was done. */
  readonly throttled: number
  /** The request never came there. */
  readonly lostBefore: number
  /** It was done, and its answer was lost. */
  readonly lostAfter: number
  /** It comes there twice; what is told is the second answer. */
  readonly doubled: number
  /** An index that may lag tells what it told the last time. */
  readonly stale: number
}

/** Counts what it does, so that a campaign can say that it met each. */
export const makeFaults = (random: () => number, rates: FaultRates) => {
  const met: Record<keyof FaultRates, number> = { throttled: 0, lostBefore: 0, lostAfter: 0, doubled: 0, stale: 0 }
  const told = new Map<string, unknown>()
  let on = true
  const around: AwsAround = <A>(request: AwsRequest, send: Effect.Effect<A, AwsFailure>) =>
    Effect.suspend((): Effect.Effect<A, AwsFailure> => {
      if (!on) return send
      const lags = "ConsistentRead" in request.input && request.input.ConsistentRead === false
      const question = lags ? JSON.stringify(request.input) : ""
      const answered = lags ? Effect.tap(send, (answer) => Effect.sync(() => void told.set(question, answer))) : send
      let drawn = random()
      for (const kind of ["throttled", "lostBefore", "lostAfter", "doubled", "stale"] as const) {
        drawn -= rates[kind]
        if (drawn >= 0 || (kind === "stale" && !told.has(question))) continue
        met[kind]++
        switch (kind) {
          case "throttled":
            return Effect.fail(throttled)
          case "lostBefore":
            return Effect.fail(lost)
          case "lostAfter":
            return Effect.andThen(answered, Effect.fail(lost))
          case "doubled":
            return Effect.andThen(Effect.ignore(answered), answered)
          case "stale":
            return Effect.succeed(told.get(question) as A)
        }
      }
      return answered
    })
  return { around, met, stop: (stopped: boolean) => Effect.sync(() => void (on = !stopped)) }
}

/** Ends the process at one of its requests, before or behind the effect. */
export const makeCrash = () => {
  let left = Infinity
  let when: "before" | "after" = "before"
  let reached = 0
  const around: AwsAround = (_request, send) =>
    Effect.suspend(() => {
      reached++
      if (left-- !== 0) return send
      const crash = Effect.die(new Crash())
      return when === "before" ? crash : Effect.andThen(Effect.exit(send), crash)
    })
  return {
    around,
    /** The next request but so many is the last one of the process. */
    at: (call: number, side: "before" | "after") =>
      Effect.sync(() => {
        left = call
        when = side
        reached = 0
      }),
    off: Effect.sync(() => void (left = Infinity)),
    /** How many requests there were since. */
    reached: () => reached
  }
}
