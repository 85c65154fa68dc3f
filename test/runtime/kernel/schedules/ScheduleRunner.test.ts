/** Firing to outcome, with the process killed at every call of a port and in the middle of every action. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Alias, GroupId, InstallName, SandboxId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { type Schedule, ScheduleName, type ScheduleRun, When } from "../../../../runtime/domain/schedule/Schedule.ts"
import {
  type ActionKind,
  ScheduledAction,
  type ScheduleStep
} from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import type { TurnRecord } from "../../../../runtime/domain/turn/TurnRecord.ts"
import { ScheduleRunner } from "../../../../runtime/kernel/schedules/ScheduleRunner.ts"
import {
  afterEndOf,
  endSchedulesOf,
  meaningOf,
  wholeNames
} from "../../../../runtime/kernel/schedules/ScheduleTargets.ts"
import { actionable, endWaitingRunsOf } from "../../../../runtime/kernel/schedules/WaitingRuns.ts"
import {
  ActionFailed,
  type ActionRequest,
  ActionRunners,
  type ActionStarted
} from "../../../../runtime/ports/ActionRunner.ts"
import { Audit, type AuditRecord } from "../../../../runtime/ports/Audit.ts"
import * as MemoryAudit from "../../../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryReports from "../../../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemoryScheduler from "../../../../runtime/ports/memory/MemoryScheduler.ts"
import { makeMemorySchedulerState } from "../../../../runtime/ports/memory/MemoryScheduler.ts"
import * as MemoryTurnQueue from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import * as MemoryTurnRecords from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { makeMemoryTurnRecordsState } from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { Scheduler } from "../../../../runtime/ports/Scheduler.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { TurnRecords } from "../../../../runtime/ports/TurnRecords.ts"
import { slackProfile } from "../../../support/profiles.ts"
import { claimOf, scheduleOf } from "../../ports/schedulerContract.ts"
import { turnRecordOf } from "../../ports/turnRecordsContract.ts"

const minute = 60_000
const name = ScheduleName.make("nightly")
const agentRun = (target: string, prompt: string) => ScheduledAction.cases.AgentRun.make({ target, prompt })
const extend = (target: string) => ScheduledAction.cases.Extend.make({ target, by: "1h" })

const rowOf = (id: string, alias?: string): SandboxRow => ({
  id: SandboxId.make(id),
  install: InstallName.make("km"),
  ...(alias === undefined ? {} : { alias: Alias.make(alias) }),
  profile: slackProfile,
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: []
})

const turnOfRun = (run: string) => TurnKey.make(`at:${run.replaceAll("+", ".")}`)

const ids = (runs: ReadonlyArray<ScheduleRun>, queued: boolean) => actionable(runs, () => queued).map(({ id }) => id)

/** Everything that outlives a process, and switches for what goes wrong in it. */
class Stage {
  readonly schedules = makeMemorySchedulerState()
  readonly sandboxes = makeMemorySandboxesState()
  /** What really happened in the world, by run: what is asked for again under the same id changes nothing. */
  readonly effects = new Map<string, ActionRequest>()
  /** Every beginning of an action. */
  readonly begun: Array<ActionRequest> = []
  /** What was written down, and how many actions had begun before. */
  readonly journal: Array<AuditRecord & { readonly after: number }> = []
  /** How many records are refused before one is taken. */
  auditFailures = 0
  /** Of what happens in the world, each time, whatever the id. */
  readonly happened: Array<string> = []
  /** Failures that the next beginnings meet, in order. */
  readonly failures: Array<ActionFailed> = []
  /** Actions that wait for a turn. */
  readonly waits = new Set<ActionKind>()
  readonly records = makeMemoryTurnRecordsState()
  readonly queue = makeMemoryTurnQueueState()
  readonly resumeFailures: Array<ActionFailed> = []
  resumed = 0
  takesMillis = 0
  calls = 0
  crashAt = 0
  crashed = Deferred.makeUnsafe<void>()
  kinds: ReadonlyArray<ActionKind> = ["AgentRun", "Extend", "Destroy"]

  constructor(...rows: ReadonlyArray<SandboxRow>) {
    for (const row of rows) this.sandboxes.rows.set(row.id, row)
  }

  /** A place where the process may be killed: it says so and does nothing more. */
  readonly place: Effect.Effect<void> = Effect.suspend(() => {
    this.calls += 1
    return this.calls === this.crashAt
      ? Effect.andThen(Deferred.succeed(this.crashed, undefined), Effect.never)
      : Effect.void
  })

  private around<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.place.pipe(Effect.andThen(effect), Effect.tap(() => this.place))
  }

  private readonly audited = Layer.effect(
    Audit,
    Effect.map(Audit, (audit) =>
      Audit.of({
        ...audit,
        record: (entry) =>
          this.around(Effect.suspend(() => {
            if (this.auditFailures > 0) {
              this.auditFailures -= 1
              const why = { reason: "Full", detail: "the test's disk", cause: undefined } as const
              return Effect.fail(new StoreError({ port: "Audit", operation: "record", ...why }))
            }
            this.journal.push({ ...entry, after: this.begun.length })
            return Effect.void
          }))
      }))
  ).pipe(Layer.provide(MemoryAudit.layer))

  layer() {
    const runner = {
      kinds: this.kinds,
      start: (request: ActionRequest) =>
        Effect.gen({ self: this }, function*() {
          yield* this.place
          this.begun.push(request)
          yield* Effect.sleep(this.takesMillis)
          const failure = this.failures.shift()
          if (failure !== undefined) return yield* failure
          // Only what is not idempotent happens again under the same id.
          if (!this.effects.has(request.id) || request.action._tag === "Extend") this.happened.push(request.id)
          this.effects.set(request.id, request)
          yield* this.place
          return this.waits.has(request.action._tag)
            ? { _tag: "Waiting", turn: turnOfRun(request.id) } as const
            : { _tag: "Done", detail: "done" } as const
        }),
      resume: (_request: ActionRequest, record: TurnRecord) =>
        this.place.pipe(
          Effect.andThen(Effect.suspend(() => {
            this.resumed += 1
            const failure = this.resumeFailures.shift()
            return failure === undefined
              ? Effect.succeed({ detail: record.text, turn: record.key })
              : Effect.fail(failure)
          })),
          Effect.tap(() => this.place)
        )
    }
    const guarded = Layer.effect(
      Scheduler,
      Effect.map(Scheduler, (scheduler) =>
        Scheduler.of({
          ...scheduler,
          claim: (run, advance) => this.around(scheduler.claim(run, advance)),
          save: (run) => this.around(scheduler.save(run)),
          finish: (run, next) => this.around(scheduler.finish(run, next)),
          open: this.around(scheduler.open)
        }))
    ).pipe(Layer.provide(MemoryScheduler.layerOver(this.schedules)))
    const recorded = Layer.effect(
      TurnRecords,
      Effect.map(
        TurnRecords,
        (records) => TurnRecords.of({ ...records, among: (turns) => this.around(records.among(turns)) })
      )
    ).pipe(Layer.provide(MemoryTurnRecords.layerOver(this.records)))
    return ScheduleRunner.layer.pipe(
      Layer.provideMerge(Layer.mergeAll(
        guarded,
        recorded,
        MemoryTurnQueue.layerOver(this.queue),
        MemorySandboxes.layerOver(this.sandboxes),
        MemoryReports.layer,
        this.audited,
        Layer.succeed(ActionRunners, [runner])
      ))
    )
  }

  add(changes: Partial<Schedule>) {
    const schedule = scheduleOf({ name, overlap: "skip", step: { action: agentRun("demo", "go") }, ...changes })
    this.schedules.schedules.set(schedule.name, schedule)
    this.schedules.bell.ring()
  }

  /** The turn that a run waits for is over, or was so already. */
  record(run: string, changes: Partial<TurnRecord> = {}, sandbox: SandboxId = demo.id) {
    const own = this.records.records.get(sandbox) ?? new Map<TurnKey, TurnRecord>()
    const key = turnOfRun(run)
    this.records.records.set(sandbox, own.set(key, turnRecordOf(1, { key, text: "done", ...changes })))
    this.records.bell.ring()
  }

  /** Newest first. */
  runs(): ReadonlyArray<ScheduleRun> {
    return [...this.schedules.runs.values()].toReversed()
  }
}

const start = (stage: Stage) =>
  Effect.forkChild(
    Effect.provide(Effect.flatMap(ScheduleRunner, ({ run }) => run), stage.layer(), { local: true }),
    { startImmediately: true }
  )

/** A process for as long as `body` runs. */
const during = <A, E, R>(stage: Stage, body: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* start(stage)
    const result = yield* body
    yield* Fiber.interrupt(fiber)
    return result
  })

const demo = rowOf("sb-00000001", "demo")
const once = (at: number) => ({ when: When.cases.Once.make({ at }), nextAt: at })

const passing = () => new ActionFailed({ code: "KM-SCH-022", reason: "busy", passing: true })

const mailTo = (...to: readonly [string, ...ReadonlyArray<string>]) =>
  ScheduledAction.cases.EmailSend.make({
    to,
    cc: [],
    bcc: ["copy@example.org"],
    subject: "s",
    body: "b",
    encrypt: false
  })

/** How the first run ended; what follows a failure has run after it. */
const endOf = (stage: Stage, millis: number) =>
  Effect.map(during(stage, TestClock.adjust(millis)), () => {
    const [after, first] = stage.runs()
    assert.deepStrictEqual([after?.id, after?.state], ["nightly:60000+f", "ended"])
    return `${first?.code} ${first?.detail}`
  })

const waitingFor = (instant: number, target: SandboxId) =>
  claimOf(instant, {
    state: "waiting",
    target,
    turn: turnOfRun(`nightly:${instant}`),
    step: { action: agentRun("demo", "go"), onFailure: { action: mailTo("ada") } }
  })

describe("ScheduleRunner", () => {
  it.effect("runs at the instant, on what the reference means then, and writes down how it ended", () =>
    Effect.gen(function*() {
      const stage = new Stage(rowOf("sb-0000000a", "demo"))
      stage.add({})
      yield* during(
        stage,
        Effect.gen(function*() {
          yield* TestClock.adjust(minute - 1)
          assert.deepStrictEqual(stage.begun, [])
          // Another sandbox has the alias by now.
          stage.sandboxes.rows.clear()
          stage.sandboxes.rows.set(demo.id, demo)
          yield* TestClock.adjust(1)
        })
      )
      assert.deepStrictEqual(stage.begun.map(({ id, target }) => [id, target]), [["nightly:60000", demo.id]])
      const [run] = stage.runs()
      assert.deepStrictEqual([run?.state, run?.outcome, run?.detail, run?.endedAt], [
        "ended",
        "succeeded",
        "done",
        minute
      ])
      assert.strictEqual(stage.schedules.schedules.get(name)?.nextAt, 2 * minute)
    }))

  const pipeline: ScheduleStep = {
    action: agentRun("demo", "smoke tests"),
    onSuccess: { action: agentRun("demo", "deploy"), onFailure: { action: agentRun("demo", "roll back") } },
    onFailure: { action: agentRun("demo", "say that it failed") }
  }

  it.effect("follows success and failure, each step once", () =>
    Effect.gen(function*() {
      const good = new Stage(demo)
      good.add({ step: pipeline, ...once(minute) })
      yield* during(good, TestClock.adjust(minute))
      assert.deepStrictEqual([...good.effects.keys()], ["nightly:60000", "nightly:60000+s"])
      assert.deepStrictEqual(good.begun.map(({ after }) => after), [
        undefined,
        { id: "nightly:60000", action: "agent run demo \"smoke tests\"", outcome: "succeeded", detail: "done" }
      ])
      assert.strictEqual(good.schedules.schedules.get(name)?.state, "finished")

      const bad = new Stage(demo)
      bad.add({ step: pipeline, ...once(2 * minute) })
      bad.failures.push(new ActionFailed({ code: "KM-SCH-025", reason: "red", passing: false }))
      yield* during(bad, TestClock.adjust(minute))
      assert.deepStrictEqual([...bad.effects.keys()], ["nightly:120000+f"])
      assert.deepInclude(bad.begun.at(-1)?.after, { outcome: "failed", code: "KM-SCH-025", detail: "red" })
      const first = bad.runs().at(-1)
      assert.deepStrictEqual([first?.outcome, first?.code, first?.detail], ["failed", "KM-SCH-025", "red"])
    }))

  it.effect("killed at any point, the pipeline of idempotent steps happens once and to its end", () =>
    Effect.gen(function*() {
      let points = 0
      for (let at = 1;; at++) {
        const stage = new Stage(demo)
        stage.add({ step: pipeline, createdAt: 0, nextAt: minute })
        stage.crashAt = at
        const fiber = yield* start(stage)
        yield* TestClock.setTime(minute)
        const reached = yield* Deferred.isDone(stage.crashed)
        yield* Fiber.interrupt(fiber)
        if (!reached) break
        points += 1
        stage.crashAt = 0
        // Dead for a while, but back before the next instant.
        yield* during(stage, TestClock.setTime(minute + 30_000))
        assert.deepStrictEqual(stage.happened, ["nightly:60000", "nightly:60000+s"], `killed at ${at}`)
        assert.deepStrictEqual(
          stage.runs().map(({ outcome }) => outcome),
          ["succeeded", "succeeded"],
          `killed at ${at}`
        )
        yield* TestClock.setTime(0)
      }
      assert.isAbove(points, 15)
    }))

  it.effect("killed at any point, what must not be repeated is not, and the record says when nobody knows", () =>
    Effect.gen(function*() {
      const outcomes = new Set<string>()
      for (let at = 1;; at++) {
        const stage = new Stage(demo)
        stage.add({
          step: { action: extend("demo"), onFailure: { action: agentRun("demo", "tell") } },
          ...once(minute)
        })
        stage.crashAt = at
        const fiber = yield* start(stage)
        yield* TestClock.setTime(minute)
        const reached = yield* Deferred.isDone(stage.crashed)
        yield* Fiber.interrupt(fiber)
        if (!reached) break
        stage.crashAt = 0
        yield* during(stage, TestClock.setTime(5 * minute))
        const first = stage.runs().at(-1)
        const times = stage.happened.filter((id) => id === "nightly:60000").length
        assert.isAtMost(times, 1, `killed at ${at}`)
        assert.isTrue(first?.outcome === "succeeded" ? times === 1 : first?.outcome === "unknown", `killed at ${at}`)
        assert.strictEqual(stage.effects.has("nightly:60000+f"), first?.outcome === "unknown", `killed at ${at}`)
        outcomes.add(`${first?.outcome}/${times}`)
        yield* TestClock.setTime(0)
      }
      assert.deepStrictEqual([...outcomes].toSorted(), ["succeeded/1", "unknown/0", "unknown/1"])
    }))

  it.effect("killed between any two steps of a wait, each turn is asked for once and its record resumes the run", () =>
    Effect.gen(function*() {
      let points = 0
      for (let at = 1;; at++) {
        const stage = new Stage(demo)
        stage.waits.add("AgentRun")
        stage.add({ step: pipeline, createdAt: 0, nextAt: minute })
        stage.crashAt = at
        // Both turns end while nobody, or somebody, looks.
        const turns = Effect.gen(function*() {
          stage.record("nightly:60000")
          yield* TestClock.adjust(1_000)
          stage.record("nightly:60000+s")
          yield* TestClock.adjust(1_000)
        })
        const fiber = yield* start(stage)
        yield* TestClock.setTime(minute)
        yield* turns
        const reached = yield* Deferred.isDone(stage.crashed)
        yield* Fiber.interrupt(fiber)
        if (!reached) break
        points += 1
        stage.crashAt = 0
        yield* during(stage, TestClock.adjust(20_000))
        assert.deepStrictEqual(stage.happened, ["nightly:60000", "nightly:60000+s"], `killed at ${at}`)
        assert.deepStrictEqual(
          stage.runs().map(({ detail, outcome, turn }) => [outcome, detail, turn]),
          [
            ["succeeded", "done", "at:nightly:60000.s"],
            ["succeeded", "done", "at:nightly:60000"]
          ],
          `killed at ${at}`
        )
        yield* TestClock.setTime(0)
      }
      assert.isAbove(points, 20)
    }))

  it.effect("waits as data: a restart hours later goes on, and nothing is begun again", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.waits.add("AgentRun")
      stage.add({ step: pipeline, ...once(minute) })
      yield* during(stage, TestClock.adjust(minute))
      const waiting = stage.runs()[0]
      assert.deepStrictEqual([waiting?.state, waiting?.turn, waiting?.waitsUntil], [
        "waiting",
        "at:nightly:60000",
        minute + 24 * 60 * minute
      ])
      yield* TestClock.adjust("11 hours")
      // Over while no process ran.
      stage.record("nightly:60000")
      stage.waits.clear()
      yield* during(stage, TestClock.adjust(1))
      assert.deepStrictEqual(stage.begun.map(({ id }) => id), ["nightly:60000", "nightly:60000+s"])
      assert.deepStrictEqual(stage.runs().map(({ outcome }) => outcome), ["succeeded", "succeeded"])
    }))

  it.effect("a turn that has not ended after 24 hours ends the wait, also of a run that says not how long", () =>
    Effect.gen(function*() {
      for (const saysWhen of [true, false]) {
        yield* TestClock.setTime(0)
        const stage = new Stage(demo)
        stage.waits.add("AgentRun")
        stage.add(once(minute))
        yield* during(stage, TestClock.adjust(minute))
        const waiting = stage.runs()[0]
        if (waiting === undefined) return assert.fail("it waits")
        const { waitsUntil: _, ...older } = waiting
        if (!saysWhen) stage.schedules.runs.set(waiting.id, older)
        yield* TestClock.adjust(24 * 60 * minute - 2 * minute)
        yield* during(stage, TestClock.adjust(minute))
        assert.strictEqual(stage.runs()[0]?.state, "waiting")
        yield* during(stage, TestClock.adjust(2 * minute))
        assert.deepInclude(stage.runs()[0], {
          outcome: "failed",
          code: "KM-SCH-025",
          detail: "turn at:nightly:60000 has not ended after 24 hours"
        })
      }
    }))

  it.effect("a run that waits is in the way of the next firing, before and after a restart", () =>
    Effect.gen(function*() {
      const skipping = new Stage(demo)
      skipping.waits.add("AgentRun")
      skipping.add({})
      yield* during(skipping, TestClock.adjust(1.5 * minute))
      yield* during(skipping, TestClock.adjust(minute))
      assert.deepStrictEqual(skipping.runs().map(({ outcome, state }) => outcome ?? state), ["skipped", "waiting"])
      skipping.record("nightly:60000")
      yield* during(skipping, TestClock.adjust(minute))
      assert.deepStrictEqual(skipping.runs().map(({ outcome, state }) => outcome ?? state), [
        "waiting",
        "skipped",
        "succeeded"
      ])

      yield* TestClock.setTime(0)
      const queueing = new Stage(demo)
      queueing.waits.add("AgentRun")
      queueing.add({ overlap: "queue", step: pipeline })
      yield* during(queueing, TestClock.adjust(2.5 * minute))
      // Its next step is claimed after the firing that waits, and goes before it.
      queueing.record("nightly:60000")
      yield* during(queueing, TestClock.adjust(1))
      assert.deepStrictEqual(queueing.begun.map(({ id }) => id), ["nightly:60000", "nightly:60000+s"])
      queueing.record("nightly:60000+s")
      yield* during(queueing, TestClock.adjust(1))
      assert.deepStrictEqual(queueing.begun.map(({ id }) => id), ["nightly:60000", "nightly:60000+s", "nightly:120000"])

      yield* TestClock.setTime(0)
      const beside = new Stage(demo)
      beside.waits.add("AgentRun")
      beside.add({ overlap: "allow" })
      yield* during(beside, TestClock.adjust(3 * minute))
      assert.strictEqual(beside.begun.length, 3)
    }))

  it.effect("trouble that passes leaves a run waiting; a turn that ended badly fails it", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.waits.add("AgentRun")
      stage.add(once(minute))
      stage.resumeFailures.push(passing(), new ActionFailed({ code: "KM-SCH-025", reason: "red", passing: false }))
      yield* during(
        stage,
        Effect.gen(function*() {
          yield* TestClock.adjust(minute)
          stage.record("nightly:60000")
          yield* TestClock.adjust(10_000)
        })
      )
      assert.deepInclude(stage.runs()[0], { outcome: "failed", code: "KM-SCH-025", detail: "red", attempts: 1 })
      assert.strictEqual(stage.resumed, 2)
    }))

  it.effect("a turn that never starts, a sandbox that goes, and a day without an end are ends too", () =>
    Effect.gen(function*() {
      const waiting = Effect.gen(function*() {
        yield* TestClock.setTime(0)
        const stage = new Stage(demo)
        stage.queue.queues.set(demo.id, { messages: [], dedupe: new Map(), dead: new Map() })
        stage.waits.add("AgentRun")
        stage.add({ ...once(minute), step: { action: agentRun("demo", "go"), onFailure: { action: mailTo("ada") } } })
        yield* during(stage, TestClock.setTime(minute))
        return stage
      })
      const turn = "at:nightly:60000"
      assert.strictEqual(
        yield* endOf(yield* waiting, 25 * 60 * minute),
        `KM-SCH-025 turn ${turn} has not ended after 24 hours`
      )
      const gone = yield* waiting
      gone.sandboxes.rows.clear()
      assert.match(yield* endOf(gone, minute), /^KM-SCH-028 sandbox destroyed: /)
      const dead = yield* waiting
      dead.queue.queues.get(demo.id)?.dead.set(TurnKey.make(turn), {
        key: TurnKey.make(turn),
        group: GroupId.make("g"),
        body: "",
        generation: 1,
        receiveCount: 5,
        deadAt: 0,
        noticed: false
      })
      assert.strictEqual(yield* endOf(dead, minute), `KM-SCH-025 turn ${turn} never started`)
    }))

  it.effect("the end of a sandbox resumes what waits for it, by its record where there is one", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      const other = SandboxId.make("sb-00000002")
      for (
        const run of [waitingFor(1, demo.id), waitingFor(2, demo.id), waitingFor(3, other), waitingFor(4, demo.id)]
      ) {
        stage.schedules.runs.set(run.id, run)
      }
      stage.record("nightly:2")
      stage.record("nightly:4", { result: "cancelled", answered: false, endedWithSandbox: true, text: "Stopped" })
      yield* Effect.gen(function*() {
        const end = endWaitingRunsOf(yield* Scheduler, yield* TurnRecords, demo.id)
        yield* end
        yield* end
      }).pipe(
        Effect.provide(
          Layer.merge(MemoryScheduler.layerOver(stage.schedules), MemoryTurnRecords.layerOver(stage.records))
        )
      )
      const found = [...stage.schedules.runs.values()].map((
        { code, id, outcome, state }
      ) => [id, outcome ?? state, code])
      assert.deepStrictEqual(found, [
        ["nightly:1", "failed", "KM-SCH-028"],
        ["nightly:2", "succeeded", undefined],
        ["nightly:3", "waiting", undefined],
        ["nightly:4", "failed", "KM-SCH-028"],
        ["nightly:1+f", "claimed", undefined],
        ["nightly:4+f", "claimed", undefined]
      ])
      // What another process left is taken up by the one that runs schedules.
      yield* during(stage, TestClock.adjust(1))
      assert.strictEqual(stage.schedules.runs.get("nightly:1+f")?.state, "ended")
    }))

  it("of queued firings one goes to its last step before the next begins; others are in nobody's way", () => {
    const open = [
      claimOf(1, { state: "waiting" }),
      claimOf(2),
      { ...claimOf(1), id: "nightly:1+s", after: { id: "nightly:1", action: "x", outcome: "succeeded" as const } }
    ]
    assert.deepStrictEqual(ids(open, true), ["nightly:1+s"])
    assert.deepStrictEqual(ids(open, false), ["nightly:2", "nightly:1+s"])
    assert.deepStrictEqual(ids(open.slice(0, 2), true), [])
    assert.deepStrictEqual(ids(open.slice(1, 2), true), ["nightly:2"])
    assert.deepStrictEqual(ids([claimOf(2), claimOf(3)], true), ["nightly:2"])
    assert.deepStrictEqual(ids([claimOf(2), claimOf(3, { state: "acting" })], true), ["nightly:3"])
  })

  it.effect("makes up once for what it missed", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({ when: When.cases.Rate.make({ every: 1, unit: "hour" }), nextAt: 60 * minute })
      yield* TestClock.setTime(330 * minute)
      yield* during(stage, TestClock.adjust(1))
      assert.deepStrictEqual(stage.runs().map(({ id, missed }) => [id, missed]), [[`nightly:${300 * minute}`, 4]])
      assert.strictEqual(stage.schedules.schedules.get(name)?.nextAt, 360 * minute)

      const late = new Stage(demo)
      late.add(once(5))
      yield* during(late, TestClock.adjust(1))
      assert.deepStrictEqual(late.runs().map(({ id, outcome }) => [id, outcome]), [["nightly:5", "succeeded"]])
    }))

  it.effect("by default leaves out what would overlap, and says so", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({})
      stage.takesMillis = 2.5 * minute
      yield* during(stage, TestClock.adjust(4 * minute))
      assert.deepStrictEqual(stage.runs().toReversed().map(({ code, outcome }) => [outcome, code]), [
        ["succeeded", undefined],
        ["skipped", "KM-SCH-024"],
        ["skipped", "KM-SCH-024"],
        [undefined, undefined]
      ])
    }))

  it.effect("queues one after the other, or lets them run beside each other", () =>
    Effect.gen(function*() {
      const queued = new Stage(demo)
      queued.add({ overlap: "queue" })
      queued.takesMillis = 1.5 * minute
      yield* during(queued, TestClock.adjust(3 * minute))
      assert.deepStrictEqual(queued.begun.map(({ id }) => id), ["nightly:60000", "nightly:120000"])
      assert.deepStrictEqual(queued.runs().map(({ state }) => state), ["claimed", "acting", "ended"])

      yield* TestClock.setTime(0)
      const beside = new Stage(demo)
      beside.add({ overlap: "allow" })
      beside.takesMillis = 10 * minute
      yield* during(beside, TestClock.adjust(3 * minute))
      assert.strictEqual(beside.begun.length, 3)
    }))

  it.effect("an overlap survives a restart: what is open is still in the way", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({})
      stage.takesMillis = 10 * minute
      yield* during(stage, TestClock.adjust(1.5 * minute))
      yield* during(stage, TestClock.adjust(1 * minute))
      assert.deepStrictEqual(stage.runs().map(({ outcome }) => outcome), ["skipped", undefined])
    }))

  it.effect("tries again what failed in passing, not more often than it should, and only what may be repeated", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add(once(minute))
      stage.failures.push(passing(), passing())
      yield* during(stage, TestClock.adjust(2 * minute))
      assert.deepStrictEqual(stage.runs().map(({ attempts, outcome }) => [attempts, outcome]), [[3, "succeeded"]])

      const hopeless = new Stage(demo)
      hopeless.add(once(minute))
      hopeless.failures.push(...Array.from({ length: 20 }, passing))
      yield* during(hopeless, TestClock.adjust(10 * minute))
      assert.deepStrictEqual(hopeless.runs().map(({ attempts, outcome }) => [attempts, outcome]), [[5, "failed"]])

      const never = new Stage(demo)
      never.add({ ...once(minute), step: { action: extend("demo") } })
      never.failures.push(passing())
      yield* during(never, TestClock.adjust(10 * minute))
      assert.deepStrictEqual(never.runs().map(({ attempts, outcome }) => [attempts, outcome]), [[1, "failed"]])
    }))

  it.effect("says what an action came to: its turn, its reason, or that it crashed", () =>
    Effect.gen(function*() {
      const gone = new Stage()
      gone.add(once(minute))
      yield* during(gone, TestClock.adjust(2 * minute))
      assert.strictEqual(gone.runs()[0]?.detail, "no sandbox is called demo")
      const several = new Stage(rowOf("sb-0000000a"), rowOf("sb-0000000b"))
      several.add({ ...once(minute), step: { action: agentRun("sb-", "go") } })
      yield* during(several, TestClock.adjust(2 * minute))
      assert.strictEqual(several.runs()[0]?.detail, "sb- fits 2 sandboxes: sb-0000000a, sb-0000000b")
      const unable = new Stage(demo)
      unable.kinds = []
      unable.add(once(minute))
      yield* during(unable, TestClock.adjust(2 * minute))
      assert.strictEqual(unable.runs()[0]?.detail, "nothing here can do agent run")
      const answering = (said: Effect.Effect<ActionStarted, ActionFailed>) =>
        Effect.gen(function*() {
          const stage = new Stage(demo)
          stage.add(once(minute))
          const runner = { kinds: stage.kinds, start: () => said, resume: () => Effect.die("unused") }
          const layer = ScheduleRunner.layer.pipe(
            Layer.provide(Layer.mergeAll(
              MemoryScheduler.layerOver(stage.schedules),
              MemorySandboxes.layerOver(stage.sandboxes),
              MemoryTurnQueue.layerOver(stage.queue),
              MemoryTurnRecords.layerOver(stage.records),
              MemoryAudit.layer,
              Layer.succeed(ActionRunners, [runner])
            ))
          )
          const fiber = yield* Effect.forkChild(
            Effect.provide(Effect.flatMap(ScheduleRunner, (service) => service.run), layer, { local: true }),
            { startImmediately: true }
          )
          yield* TestClock.setTime(2 * minute)
          yield* Fiber.interrupt(fiber)
          return stage.runs()[0]
        })
      const turn = TurnKey.make("at:nightly:60000")
      assert.deepInclude(yield* answering(Effect.succeed({ _tag: "Done", detail: "green", turn })), {
        outcome: "succeeded",
        detail: "green",
        turn,
        target: demo.id
      })
      assert.notProperty(yield* answering(Effect.succeed({ _tag: "Done", detail: "green" })), "turn")
      assert.deepInclude(yield* answering(Effect.die("bug")), {
        outcome: "failed",
        code: "KM-SCH-022",
        detail: "the action crashed; the log says where"
      })
    }))

  it.effect("what was begun by a process that is gone, and must not be repeated, is said to be unknown", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({ ...once(minute), step: { action: extend("demo") } })
      stage.takesMillis = 10 * minute
      yield* during(stage, TestClock.setTime(minute))
      yield* during(stage, TestClock.setTime(2 * minute))
      assert.deepInclude(stage.runs()[0], { outcome: "unknown", code: "KM-SCH-023", endedAt: minute })
      assert.include(stage.runs()[0]?.detail, "it may or may not have happened")
      assert.lengthOf(stage.begun, 1)
    }))

  it.effect("a schedule that is not busy any more fires again", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({})
      stage.takesMillis = 0.5 * minute
      yield* during(stage, TestClock.adjust(3.75 * minute))
      assert.deepStrictEqual(stage.runs().map(({ outcome }) => outcome), ["succeeded", "succeeded", "succeeded"])
    }))

  it.effect("a sandbox that is gone, a name that fits several and a kind that nobody can do fail with their codes", () =>
    Effect.gen(function*() {
      const codeOf = (stage: Stage) =>
        Effect.map(during(stage, TestClock.adjust(2 * minute)), () => stage.runs().map(({ code }) => code))
      const gone = new Stage()
      gone.add(once(minute))
      assert.deepStrictEqual(yield* codeOf(gone), ["KM-SCH-021"])
      const several = new Stage(rowOf("sb-0000000a"), rowOf("sb-0000000b"))
      several.add({ ...once(minute), step: { action: agentRun("sb-", "go") } })
      assert.deepStrictEqual(yield* codeOf(several), ["KM-SCH-021"])
      assert.deepStrictEqual(several.begun, [])
      const unable = new Stage(demo)
      unable.kinds = []
      unable.add(once(minute))
      assert.deepStrictEqual(yield* codeOf(unable), ["KM-SCH-020"])
    }))

  it.effect("runs out of turn when asked, without moving the schedule; paused and cancelled ones do not fire", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({ when: When.cases.Rate.make({ every: 1, unit: "day" }), nextAt: 1_440 * minute })
      yield* during(
        stage,
        Effect.gen(function*() {
          const scheduler = yield* Scheduler
          yield* TestClock.adjust(10)
          yield* scheduler.request(name, 10)
          yield* TestClock.adjust(10)
          yield* scheduler.change(name, ["active"], { state: "paused", nextAt: undefined, note: "" })
          yield* TestClock.adjust(3_000 * minute)
        }).pipe(Effect.provide(MemoryScheduler.layerOver(stage.schedules)))
      )
      assert.deepStrictEqual(stage.runs().map(({ id, manual }) => [id, manual]), [["nightly:10", true]])
    }))

  it.effect("a run that finds its sandbox gone says when and why it went", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({ ...once(minute), step: { action: agentRun("demo", "go") } })
      const scheduler = yield* Effect.provide(Scheduler, MemoryScheduler.layerOver(stage.schedules))
      yield* endSchedulesOf(scheduler, demo.id, demo.alias, "ttl")
      stage.sandboxes.rows.clear()
      yield* during(stage, TestClock.adjust(2 * minute))
      const [run] = stage.runs()
      assert.deepStrictEqual([run?.outcome, run?.code], ["failed", "KM-SCH-021"])
      assert.include(
        run?.detail ?? "",
        `no sandbox is called demo: demo (${demo.id}) reached the end of its time to live`
      )
    }))

  it.effect("the end of a sandbox ends the schedules of its id and marks those of its alias", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.add({ name: ScheduleName.make("by-id"), step: { action: agentRun(demo.id, "go") } })
      stage.add({ name: ScheduleName.make("by-alias") })
      stage.add({ name: ScheduleName.make("other"), step: { action: agentRun("prod", "go") } })
      const scheduler = yield* Effect.provide(Scheduler, MemoryScheduler.layerOver(stage.schedules))
      assert.strictEqual(yield* endSchedulesOf(scheduler, demo.id, demo.alias), 1)
      assert.strictEqual(yield* endSchedulesOf(scheduler, demo.id, demo.alias), 0)
      const found = (yield* scheduler.list).map((schedule) =>
        `${schedule.name} ${schedule.state} ${schedule.nextAt} ${schedule.note ?? ""}`
      )
      assert.deepStrictEqual(found, [
        "by-alias active 60000 demo (sb-00000001) was destroyed; it fails until another sandbox has the alias",
        "by-id orphaned undefined sb-00000001 was destroyed",
        "other active 60000 "
      ])
      assert.strictEqual(afterEndOf(scheduleOf({ state: "cancelled" }), demo.id, demo.alias), "keep")
    }))

  it("a mail that is written to a sandbox is of that sandbox, and so is a later step", () => {
    const fate = (step: ScheduleStep) => afterEndOf(scheduleOf({ step }), demo.id, demo.alias)
    const other = agentRun("sb-00000002", "go")
    assert.deepStrictEqual(
      [
        { action: mailTo("prod", demo.id) },
        { action: mailTo(`${demo.id}@km.invalid`) },
        { action: mailTo("prod", "Demo") },
        { action: other, onSuccess: { action: other, onFailure: { action: mailTo(demo.id) } } },
        { action: other, onFailure: { action: agentRun("demo", "go") } },
        { action: mailTo("prod", "operator"), onSuccess: { action: other } }
      ].map(fate),
      ["end", "end", "alias", "step", "step", "keep"]
    )
  })

  it("a beginning becomes the id when it is planned; a whole name, an address and the operator stay", () => {
    const rows = [demo, rowOf("sb-00000002"), rowOf("op-00000003", "operations")]
    const step = wholeNames(rows, {
      action: agentRun("de", "go"),
      onSuccess: { action: mailTo("demo", "sb-00000002", "oper", "operator", "de@km.invalid", "sb-", "who") }
    })
    assert.deepStrictEqual([step.action, step.onSuccess?.action], [
      agentRun(demo.id, "go"),
      mailTo("demo", "sb-00000002", "op-00000003", "operator", "de@km.invalid", "sb-", "who")
    ])
  })

  it("a whole name wins over a prefix, and what is being destroyed has none", () => {
    const rows = [rowOf("sb-00000001", "sb-0000000a"), rowOf("sb-0000000a"), {
      ...rowOf("sb-00000002", "old"),
      status: "destroying" as const
    }]
    const id = (reference: string) => {
      const meaning = meaningOf(rows, reference)
      return meaning._tag === "One" ? meaning.row.id : meaning._tag
    }
    assert.deepStrictEqual(["sb-0000000a", "sb-00000001", "sb-0", "old", "x"].map(id), [
      "sb-0000000a",
      "sb-00000001",
      "Several",
      "None",
      "None"
    ])
  })

  it.effect("is in the journal before it has an effect, with the schedule as its rule; what is not, does not happen", () =>
    Effect.gen(function*() {
      const stage = new Stage(demo)
      stage.auditFailures = 1
      stage.add({ ...once(minute), step: { action: extend("demo") } })
      yield* during(stage, TestClock.adjust(2 * minute))
      const act = { actor: "control-plane", action: "sandbox.extend", subject: demo.id, rule: name }
      assert.deepStrictEqual(stage.journal, [])
      assert.deepStrictEqual(stage.begun, [])
      assert.deepInclude(stage.runs()[0], { outcome: "failed", code: "KM-SCH-022" })
      // What may be repeated is tried again once the journal takes it.
      yield* TestClock.setTime(0)
      const repeated = new Stage(demo)
      repeated.auditFailures = 1
      repeated.add(once(minute))
      yield* during(repeated, TestClock.adjust(10 * minute))
      assert.lengthOf(repeated.begun, 1)
      assert.deepInclude(repeated.runs()[0], { outcome: "succeeded", attempts: 2 })
      const later = new Stage(demo)
      later.add({ ...once(minute), step: { action: extend("demo") } })
      yield* during(later, TestClock.adjust(2 * minute))
      assert.deepStrictEqual(later.journal, [
        { ...act, verdict: "allowed", detail: `run ${later.runs()[0]?.id}`, after: 0 }
      ])
      // An end also frees the disk that may be full.
      const full = new Stage(demo)
      full.auditFailures = 1
      full.add({ ...once(minute), step: { action: ScheduledAction.cases.Destroy.make({ target: "demo" }) } })
      yield* during(full, TestClock.adjust(2 * minute))
      assert.lengthOf(full.begun, 1)
    }))
})
