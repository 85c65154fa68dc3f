/** What the embedded engine adds to the contract: ended schedules are forgotten in time, and nothing else is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ScheduleName } from "../../../../runtime/domain/schedule/Schedule.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { endedScheduleMillis, Scheduler } from "../../../../runtime/ports/Scheduler.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { claimOf, scheduleOf } from "../../ports/schedulerContract.ts"

const engine = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => EmbeddedEngine.layer(directory)))
const end = { state: "cancelled", nextAt: undefined, note: "" } as const

describe("embedded: Scheduler", () => {
  it.effect("ended schedules are forgotten 30 days after their last run, living ones never", () =>
    Effect.gen(function*() {
      const scheduler = yield* Scheduler
      const names = ["busy", "living", "old", "recent"].map((name) => ScheduleName.make(name))
      for (const name of names) {
        yield* scheduler.add(scheduleOf({ name, nextAt: 400 * 86_400_000 }))
        if (name !== "living") yield* scheduler.change(name, ["active"], end)
      }
      const [busy, , old, recent] = names
      if (busy === undefined || old === undefined || recent === undefined) return
      yield* scheduler.claim(claimOf(1, { id: "busy:1", schedule: busy }))
      const ended = { state: "ended", outcome: "succeeded" } as const
      yield* scheduler.claim(claimOf(1, { id: "old:1", schedule: old, ...ended, endedAt: 1 }))
      yield* scheduler.claim(claimOf(2, { id: "recent:2", schedule: recent, ...ended, endedAt: 20 * 86_400_000 }))
      yield* TestClock.adjust(endedScheduleMillis + 3_600_000)
      // The sweeper sleeps again only once its transaction is done, so it is given another hour until it has swept.
      let left = yield* scheduler.list
      let runs = yield* scheduler.history(old, 10)
      // A schedule and its runs go in steps of their own.
      for (let tries = 0; tries < 1_000 && (left.length === names.length || runs.length > 0); tries++) {
        yield* TestClock.adjust("1 hour")
        yield* Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
        left = yield* scheduler.list
        runs = yield* scheduler.history(old, 10)
      }
      assert.deepStrictEqual(left.map(({ name }) => String(name)), ["busy", "living", "recent"])
      assert.lengthOf(runs, 0)
      assert.lengthOf(yield* scheduler.history(recent, 10), 1)
      assert.lengthOf(yield* scheduler.open, 1)
    }).pipe(Effect.provide(engine)))
})
