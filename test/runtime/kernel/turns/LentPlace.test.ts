import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Semaphore } from "effect"
import { lending } from "../../../../runtime/kernel/turns/LentPlace.ts"
import { makeJob } from "../../../../runtime/kernel/turns/TurnJob.ts"
import { receivedRow } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { slackRequest } from "../../../support/turnRows.ts"

/** Two places of one permit each, both held by the job. */
const scene = Effect.gen(function*() {
  const slots = yield* Semaphore.make(1)
  const agents = yield* Semaphore.make(1)
  const scope = yield* Effect.scope
  const job = makeJob(receivedRow(slackRequest(1), undefined, 0))
  yield* Semaphore.take(slots, 1)
  yield* Semaphore.take(agents, 1)
  return { slots, agents, job, lent: lending([slots, agents], scope) }
})

const free = (semaphore: Semaphore.Semaphore) =>
  Effect.tap(Semaphore.takeIfAvailable(semaphore, 1), (taken) => taken ? Semaphore.release(semaphore, 1) : Effect.void)

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

describe("a place that is lent", () => {
  it.effect("is free while one waits, and taken again before it goes on", () =>
    Effect.gen(function*() {
      const { agents, job, lent, slots } = yield* scene
      const answer = yield* Deferred.make<string>()
      const waiting = yield* Effect.forkChild(lent(job, Deferred.await(answer)), { startImmediately: true })
      assert.isTrue((yield* free(slots)) && (yield* free(agents)))
      // Another turn has it when the answer comes.
      yield* Semaphore.take(slots, 1)
      yield* Deferred.succeed(answer, "yes")
      yield* settle
      assert.isUndefined(waiting.pollUnsafe())
      yield* Semaphore.release(slots, 1)
      assert.strictEqual(yield* Fiber.join(waiting), "yes")
      assert.isFalse((yield* free(slots)) || (yield* free(agents)))
    }).pipe(Effect.scoped))

  it.effect("is lent once by two calls of one turn", () =>
    Effect.gen(function*() {
      const { agents, job, lent, slots } = yield* scene
      const answers = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
      const fibers = yield* Effect.forEach(answers, (answer) =>
        Effect.forkChild(lent(job, Deferred.await(answer)), { startImmediately: true }))
      yield* Deferred.succeed(answers[0], undefined)
      yield* settle
      assert.isTrue(yield* free(agents))
      yield* Deferred.succeed(answers[1], undefined)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.isFalse((yield* free(slots)) || (yield* free(agents)))
    }).pipe(Effect.scoped))

  it.effect("of a call that is given up is owed: who stopped waits for nobody, and the limit holds", () =>
    Effect.gen(function*() {
      const { agents, job, lent, slots } = yield* scene
      const waiting = yield* Effect.forkChild(lent(job, Effect.never), { startImmediately: true })
      // Others have taken the places meanwhile.
      yield* Semaphore.take(slots, 1)
      yield* Semaphore.take(agents, 1)
      const exit = yield* Effect.andThen(Fiber.interrupt(waiting), Fiber.await(waiting))
      assert.isTrue(Exit.isFailure(exit))
      // The stopped turn gives back what it held at its beginning; that is what it owes.
      yield* Semaphore.release(slots, 1)
      yield* Semaphore.release(agents, 1)
      yield* settle
      assert.isFalse((yield* free(slots)) || (yield* free(agents)))
      yield* Semaphore.release(slots, 1)
      yield* Semaphore.release(agents, 1)
      assert.isTrue((yield* free(slots)) && (yield* free(agents)))
    }).pipe(Effect.scoped))
})
