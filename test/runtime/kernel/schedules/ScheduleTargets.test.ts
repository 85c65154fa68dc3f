/** What the end of a sandbox means for the schedules that name it, by whatever name, and what their notes say. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Alias, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { ScheduleName } from "../../../../runtime/domain/schedule/Schedule.ts"
import { ScheduledAction, type ScheduleStep } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import {
  afterEndOf,
  endSchedulesOf,
  meaningOf,
  referenceOf
} from "../../../../runtime/kernel/schedules/ScheduleTargets.ts"
import * as MemoryScheduler from "../../../../runtime/ports/memory/MemoryScheduler.ts"
import { makeMemorySchedulerState } from "../../../../runtime/ports/memory/MemoryScheduler.ts"
import { Scheduler } from "../../../../runtime/ports/Scheduler.ts"
import { sandboxRow } from "../../ports/sandboxesContract.ts"
import { scheduleOf } from "../../ports/schedulerContract.ts"

const id = SandboxId.make("sb-00000001")
const alias = Alias.make("demo")
const stop = (target: string): ScheduleStep => ({ action: ScheduledAction.cases.Stop.make({ target }) })
const create: ScheduleStep = {
  action: ScheduledAction.cases.Create.make({ profile: "/p.yaml", unconfined: false })
}

describe("the end of a sandbox", () => {
  it("ends what is of its id, marks what is of its alias, and says where a later step names it", () => {
    const fate = (step: ScheduleStep) => afterEndOf(scheduleOf({ step }), id, alias)
    const withoutAlias = (step: ScheduleStep) => afterEndOf(scheduleOf({ step }), id, undefined)
    assert.strictEqual(fate(stop(id)), "end")
    assert.strictEqual(fate(stop("demo")), "alias")
    assert.strictEqual(withoutAlias(stop("demo")), "keep")
    assert.strictEqual(fate(stop("other")), "keep")
    assert.strictEqual(fate({ ...create, onSuccess: stop(id) }), "step")
    assert.strictEqual(fate({ ...create, onFailure: stop("demo") }), "step")
    assert.strictEqual(withoutAlias({ ...create, onFailure: stop("demo") }), "keep")
    assert.strictEqual(fate(create), "keep")
    for (const state of ["active", "paused"] as const) {
      assert.strictEqual(afterEndOf(scheduleOf({ step: stop(id), state }), id, alias), "end")
    }
    for (const state of ["finished", "cancelled", "orphaned"] as const) {
      assert.strictEqual(afterEndOf(scheduleOf({ step: stop(id), state }), id, alias), "keep")
    }
  })

  it.effect("is told in a note, with what ended it", () =>
    Effect.gen(function*() {
      const ways = [
        [undefined, "was destroyed"],
        ["destroyed", "was destroyed"],
        ["create-failed", "was destroyed"],
        ["ttl", "reached the end of its time to live and was destroyed"],
        ["idle", "was idle for too long and was destroyed"]
      ] as const
      for (const [why, how] of ways) {
        const state = makeMemorySchedulerState()
        const put = (name: string, step: ScheduleStep, more: object = {}) =>
          state.schedules.set(
            ScheduleName.make(name),
            scheduleOf({ name: ScheduleName.make(name), step, nextAt: 60_000, ...more })
          )
        put("of-alias", stop("demo"), { state: "paused" })
        put("of-id", stop(id))
        put("of-step", { ...create, onSuccess: stop("demo") })
        put("other", stop("other"))
        yield* Effect.gen(function*() {
          const scheduler = yield* Scheduler
          const ended = why === undefined
            ? yield* endSchedulesOf(scheduler, id, alias)
            : yield* endSchedulesOf(scheduler, id, alias, why)
          assert.strictEqual(ended, 1)
          assert.deepStrictEqual(
            (yield* scheduler.list).map(({ name, nextAt, note, state: is }) => [name, is, nextAt, note]),
            [
              ["of-alias", "paused", 60_000, `demo (${id}) ${how}; it fails until another sandbox has the alias`],
              ["of-id", "orphaned", undefined, `${id} ${how}`],
              ["of-step", "active", 60_000, `${id} ${how}; the step that names it or its alias fails`],
              ["other", "active", 60_000, undefined]
            ]
          )
        }).pipe(Effect.provide(MemoryScheduler.layerOver(state)))
      }
    }))

  it.effect("without an alias speaks of the id alone", () =>
    Effect.gen(function*() {
      const state = makeMemorySchedulerState()
      const name = ScheduleName.make("later")
      state.schedules.set(name, scheduleOf({ name, step: { ...create, onSuccess: stop(id) } }))
      yield* Effect.gen(function*() {
        const scheduler = yield* Scheduler
        assert.strictEqual(yield* endSchedulesOf(scheduler, id, undefined), 0)
        const [found] = yield* scheduler.list
        assert.strictEqual(found?.note, `${id} was destroyed; the step that names it fails`)
      }).pipe(Effect.provide(MemoryScheduler.layerOver(state)))
    }))
})

describe("a reference", () => {
  const rows = [
    sandboxRow(id, { alias: Alias.make("demo"), status: "running" }),
    sandboxRow(SandboxId.make("sb-00000002"), { alias: Alias.make("demo-two"), status: "running" }),
    sandboxRow(SandboxId.make("sb-00000003"), { alias: Alias.make("gone"), status: "destroying" })
  ]
  const meaning = (reference: string): ReadonlyArray<string> => {
    const found = meaningOf(rows, reference)
    return found._tag === "One" ? [found.row.id] : found._tag === "Several" ? found.ids : []
  }

  it("is a whole name before it is the beginning of one, of those that live", () => {
    assert.deepStrictEqual(meaning("demo"), [id])
    assert.deepStrictEqual(meaning("sb-00000001"), [id])
    assert.deepStrictEqual(meaning("demo-"), ["sb-00000002"])
    assert.deepStrictEqual(meaning("sb-00000002"), ["sb-00000002"])
    assert.deepStrictEqual(meaning("sb-"), ["sb-00000001", "sb-00000002"])
    assert.deepStrictEqual(meaning("dem"), ["sb-00000001", "sb-00000002"])
    for (const reference of ["gone", "sb-00000003", "nobody", "emo"]) assert.deepStrictEqual(meaning(reference), [])
  })

  it("is what an action names, and nothing for one that names none", () => {
    assert.strictEqual(referenceOf(stop("demo").action), "demo")
    assert.strictEqual(referenceOf(create.action), "nothing")
  })
})
