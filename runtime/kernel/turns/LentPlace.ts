/** A turn that waits for people lends its place to others, and takes one again before it goes on. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Job } from "./TurnJob.ts"

/**
 * The places (`semaphores`, one permit each, taken again in this order) are free while at least one call of the job waits.
 * A call that is given up meanwhile waits for nothing: what it owes is taken from who ends next, in `scope`.
 */
export const lending = (semaphores: ReadonlyArray<Semaphore.Semaphore>, scope: Scope.Scope) => {
  /** Calls of each job that wait now. */
  const waiting = new Map<Job, number>()

  const lend = (job: Job) =>
    Effect.suspend(() => {
      const count = waiting.get(job) ?? 0
      waiting.set(job, count + 1)
      return count > 0 ? Effect.void : Effect.forEach(semaphores, Semaphore.release(1), { discard: true })
    })

  /** True for the last one that waits: the places have to be taken again. */
  const isLast = (job: Job): boolean => {
    const count = (waiting.get(job) ?? 1) - 1
    if (count > 0) waiting.set(job, count)
    else waiting.delete(job)
    return count <= 0
  }

  return <A, E>(job: Job, asked: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        yield* lend(job)
        const owed = new Set(semaphores)
        const giveUp = Effect.suspend(() =>
          Effect.forEach([...owed], (semaphore) => Effect.forkIn(Semaphore.take(semaphore, 1), scope), {
            discard: true
          })
        )
        const value = yield* restore(asked).pipe(
          Effect.onError(() => isLast(job) ? giveUp : Effect.void)
        )
        if (!isLast(job)) return value
        for (const semaphore of semaphores) {
          yield* restore(Effect.asVoid(Semaphore.take(semaphore, 1))).pipe(Effect.onInterrupt(() => giveUp))
          owed.delete(semaphore)
        }
        return value
      })
    )
}
