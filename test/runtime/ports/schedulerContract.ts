/** What every scheduler must do: fire at least once, claim once, keep runs through crashes, and forget old ones. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import {
  runIdOf,
  type Schedule,
  ScheduleName,
  type ScheduleRun,
  When
} from "../../../runtime/domain/schedule/Schedule.ts"
import { ScheduledAction } from "../../../runtime/domain/schedule/ScheduleAction.ts"
import { type Firing, keptRuns, Scheduler, ScheduleTaken } from "../../../runtime/ports/Scheduler.ts"
import { type Engine, timeOf } from "./Engine.ts"

const nightly = ScheduleName.make("nightly")
const step = { action: ScheduledAction.cases.Destroy.make({ target: "demo" }) }

export const scheduleOf = (changes: Partial<Schedule> = {}): Schedule => ({
  name: nightly,
  when: When.cases.Rate.make({ every: 1, unit: "minute" }),
  zone: "Europe/Berlin",
  said: "every minute 🕘",
  step: { ...step, onSuccess: step },
  overlap: "skip",
  state: "active",
  createdAt: 0,
  nextAt: 60_000,
  ...changes
})

export const claimOf = (instant: number, changes: Partial<ScheduleRun> = {}): ScheduleRun => ({
  id: runIdOf(nightly, instant),
  schedule: nightly,
  instant,
  manual: false,
  missed: 0,
  step,
  state: "claimed",
  attempts: 0,
  claimedAt: instant,
  ...changes
})

const firings = (scheduler: Scheduler["Service"], count: number) =>
  Effect.forkChild(Stream.runCollect(Stream.take(scheduler.firings, count)), { startImmediately: true })

export const schedulerContract = <LE>(engine: Engine<Scheduler, LE>): void => {
  const { almost, exact, passTime, over, settle, until } = timeOf(engine)
  const late = exact ? Effect.void : passTime("60 seconds")
  const test = <E>(name: string, body: (scheduler: Scheduler["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Scheduler, body), engine.layer))

  test("a schedule is read back as it was written, and its name is taken", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      const taken = yield* Effect.flip(scheduler.add(scheduleOf({ said: "other" })))
      assert.instanceOf(taken, ScheduleTaken)
      assert.deepStrictEqual(yield* scheduler.get(nightly), Option.some(scheduleOf()))
      assert.deepStrictEqual(yield* scheduler.get(ScheduleName.make("none")), Option.none())
      const hourly = scheduleOf({ name: ScheduleName.make("hourly") })
      yield* scheduler.add(hourly)
      assert.deepStrictEqual(yield* scheduler.list, [hourly, scheduleOf()])
    }))

  test("the name of a schedule that ended is free, and its history stays", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      yield* scheduler.claim(claimOf(5, { state: "ended", outcome: "succeeded", endedAt: 5 }))
      yield* scheduler.change(nightly, ["active"], { state: "paused", nextAt: undefined, note: "" })
      assert.instanceOf(yield* Effect.flip(scheduler.add(scheduleOf())), ScheduleTaken)
      yield* scheduler.change(nightly, ["paused"], { state: "cancelled", nextAt: undefined, note: "" })
      yield* scheduler.add(scheduleOf({ said: "again" }))
      assert.strictEqual(Option.getOrThrow(yield* scheduler.get(nightly)).said, "again")
      assert.lengthOf(yield* scheduler.history(nightly, 10), 1)
    }))

  test("fires at its instant and not before, again until it is claimed, and then at the next", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      const seen: Array<Firing> = []
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(scheduler.firings, (firing) =>
          Effect.gen(function*() {
            seen.push(firing)
            // The first delivery is lost: nothing was claimed.
            if (seen.length === 1) return
            yield* scheduler.claim(claimOf(firing.instant), { from: firing.instant, nextAt: firing.instant + 60_000 })
          })),
        { startImmediately: true }
      )
      yield* almost("60 seconds")
      assert.deepStrictEqual(seen, [])
      yield* over
      yield* until(() => seen.length >= 2)
      yield* passTime("60 seconds")
      yield* until(() => seen.length >= 3)
      const instants = seen.map(({ instant }) => instant)
      // EventBridge Scheduler may fire late, up to a minute, and twice; never early.
      if (exact) assert.deepStrictEqual(instants, [60_000, 60_000, 120_000])
      else assert.deepStrictEqual([...new Set(instants)].slice(0, 2), [60_000, 120_000])
      yield* Fiber.interrupt(fiber)
    }))

  test("of many claims of one instant one is first, and the schedule moves once", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      const claims = yield* Effect.all(
        Array.from({ length: 8 }, () => scheduler.claim(claimOf(60_000), { from: 60_000, nextAt: 120_000 })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(claims.filter(Boolean).length, 1)
      assert.strictEqual(Option.getOrThrow(yield* scheduler.get(nightly)).nextAt, 120_000)
      // A delivery that comes late moves nothing back.
      assert.isFalse(yield* scheduler.claim(claimOf(60_000), { from: 60_000, nextAt: 90_000 }))
      assert.strictEqual(Option.getOrThrow(yield* scheduler.get(nightly)).nextAt, 120_000)
    }))

  test("a claim without a next instant finishes the schedule", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      yield* scheduler.claim(claimOf(60_000), { from: 60_000, nextAt: undefined })
      const { nextAt, state } = Option.getOrThrow(yield* scheduler.get(nightly))
      assert.deepStrictEqual([state, nextAt], ["finished", undefined])
    }))

  test("a request fires out of turn, once, and leaves the schedule's own instants alone", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      const fiber = yield* firings(scheduler, 1)
      yield* scheduler.request(nightly, 777)
      yield* settle
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ schedule: nightly, instant: 777, manual: true }])
      assert.isTrue(yield* scheduler.claim(claimOf(777, { manual: true })))
      yield* scheduler.request(nightly, 777)
      assert.strictEqual(Option.getOrThrow(yield* scheduler.get(nightly)).nextAt, 60_000)
      const next = yield* firings(scheduler, 1)
      yield* passTime("60 seconds")
      yield* late
      assert.deepStrictEqual(yield* Fiber.join(next), [{ schedule: nightly, instant: 60_000, manual: false }])
    }))

  test("a change needs the state it expects; a paused schedule does not fire", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      const pause = { state: "paused", nextAt: undefined, note: "paused by the operator" } as const
      assert.isFalse(yield* scheduler.change(nightly, ["paused"], pause))
      assert.isTrue(yield* scheduler.change(nightly, ["active"], pause))
      const { nextAt: _, ...rest } = scheduleOf()
      assert.deepStrictEqual(yield* scheduler.get(nightly), Option.some({ ...rest, state: "paused", note: pause.note }))
      const fiber = yield* firings(scheduler, 1)
      yield* passTime("10 minutes")
      assert.isUndefined(fiber.pollUnsafe())
      yield* scheduler.change(nightly, ["paused"], { state: "active", nextAt: 660_000, note: "resumed" })
      yield* passTime("1 minutes")
      yield* late
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ schedule: nightly, instant: 660_000, manual: false }])
    }))

  test("progress is kept, an end is written once, and the step after it is claimed with it", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.add(scheduleOf())
      yield* scheduler.claim(claimOf(60_000))
      yield* scheduler.claim(claimOf(120_000))
      const acting = claimOf(60_000, { state: "acting", attempts: 1 })
      yield* scheduler.save(acting)
      assert.deepStrictEqual(yield* scheduler.open, [acting, claimOf(120_000)])
      const ended = { ...acting, state: "ended", outcome: "succeeded", endedAt: 61_000 } as const
      const next = claimOf(60_000, { id: `${acting.id}+s` })
      assert.isTrue(yield* scheduler.finish(ended, next))
      assert.isFalse(yield* scheduler.finish({ ...ended, outcome: "failed" }, claimOf(60_000, { id: "other" })))
      yield* scheduler.save(acting)
      assert.deepStrictEqual(yield* scheduler.open, [claimOf(120_000), next])
      assert.deepStrictEqual(yield* scheduler.history(nightly, 2), [next, claimOf(120_000)])
      assert.deepStrictEqual((yield* scheduler.history(nightly, 9)).at(-1), ended)
    }))

  test("the newest ended runs are kept, open ones always", (scheduler) =>
    Effect.gen(function*() {
      yield* scheduler.claim(claimOf(1))
      for (let n = 2; n <= keptRuns + 5; n++) {
        yield* scheduler.claim(claimOf(n, { state: "ended", outcome: "skipped" }))
      }
      const history = yield* scheduler.history(nightly, 1_000)
      assert.strictEqual(history.length, keptRuns + 1)
      assert.deepStrictEqual([history[0]?.instant, history.at(-1)?.instant, history.at(-2)?.instant], [205, 1, 6])
      assert.deepStrictEqual(yield* scheduler.open, [claimOf(1)])
    }))
}
