/**
 * A week of the whole control plane over one install: rounds, notices and schedules as one process, which is killed in the
 * middle of a call again and again. What it is for happens all the same, and happens once.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Layer, Option, Random } from "effect"
import { TestClock } from "effect/testing"
import type { Install } from "../../../../runtime/domain/install/Install.ts"
import { GroupId, InstallName, SandboxId, TeamId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { noReport } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { type Schedule, ScheduleName, When } from "../../../../runtime/domain/schedule/Schedule.ts"
import { ScheduledAction } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import { ControlPlane } from "../../../../runtime/kernel/sandboxes/ControlPlane.ts"
import { notices } from "../../../../runtime/kernel/sandboxes/Notices.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { makeSandboxActions } from "../../../../runtime/kernel/sandboxes/SandboxActions.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { ScheduleRunner } from "../../../../runtime/kernel/schedules/ScheduleRunner.ts"
import { ActionRunners } from "../../../../runtime/ports/ActionRunner.ts"
import { turnQueueLimits } from "../../../../runtime/ports/QueueRules.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../../../runtime/ports/TurnRecords.ts"
import { World } from "../../../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"
import { scheduleOf } from "../../ports/schedulerContract.ts"
import { turnRecordOf } from "../../ports/turnRecordsContract.ts"

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const week = 7 * day
/** Between two lives of the process; what runtimes do, they do then. */
const stepMillis = 20 * minute
/** How long one of them lasts that is not killed in the middle of a call: five rounds. */
const lifeMillis = 50_000

const install: Install = {
  version: 1,
  install: InstallName.make("km"),
  certifierPublicKey: "",
  bridgeUrl: "http://127.0.0.1:0",
  bridgeHost: "bridge.test",
  slackApiUrl: "http://127.0.0.1:0/api/",
  teamId: TeamId.make("T0001"),
  local: true
}

const [short, idle, working, doomed] = ["sb-0000000a", "sb-0000000b", "sb-0000000c", "sb-0000000d"].map((id) =>
  SandboxId.make(id)
) as [SandboxId, SandboxId, SandboxId, SandboxId]

const chatting = profileWith({ ...slackProfile.spec.cli, notifySlackInboundEnabled: true })
const living = (lifecycle: Partial<typeof chatting.spec.lifecycle>) => ({
  ...chatting,
  spec: { ...chatting.spec, lifecycle: { ...chatting.spec.lifecycle, ttl: "0", idleTimeout: "0", ...lifecycle } }
})

const layerOf = (world: World) =>
  Layer.mergeAll(
    ControlPlane.layer,
    ScheduleRunner.layer.pipe(Layer.provide(Layer.effect(
      ActionRunners,
      Effect.map(
        makeSandboxActions({
          install,
          creates: true,
          readProfile: () => Effect.succeed(living({ ttl: "1h" }))
        }),
        (runner) => [runner]
      )
    )))
  ).pipe(
    Layer.provideMerge(Provisioning.layer),
    Layer.provideMerge(Teardown.layer),
    Layer.provideMerge(world.layer())
  )

/** What `km-control` runs, until it is killed. */
const life = (world: World) =>
  Effect.gen(function*() {
    const { run } = yield* ControlPlane
    const schedules = yield* ScheduleRunner
    yield* Effect.all([run, notices, schedules.run], { concurrency: "unbounded", discard: true })
  }).pipe(Effect.provide(layerOf(world), { local: true }))

const schedule = (world: World, name: string, changes: Partial<Schedule>) => {
  const made = scheduleOf({ name: ScheduleName.make(name), said: name, zone: "UTC", ...changes })
  world.schedules.schedules.set(made.name, made)
}

const deadKey = TurnKey.make("T0001:C1000:1700000001.000001")

describe("a week of the control plane", () => {
  it.effect.each(["one", "two"])("with kills in the middle of its calls (%s)", (seed) => {
    const world = new World()
    return Effect.gen(function*() {
      const inWorld = <A, E>(body: Effect.Effect<A, E, Provisioning | TurnQueue | TurnRecords>) =>
        Effect.provide(body, layerOf(world), { local: true })
      const profiles = [living({ ttl: "3d" }), living({ idleTimeout: "2h" }), living({}), living({})]
      for (const [n, id] of [short, idle, working, doomed].entries()) {
        yield* inWorld(Effect.flatMap(Provisioning, (provisioning) =>
          provisioning.create({
            id,
            install: install.install,
            alias: undefined,
            profile: profiles[n] ?? chatting,
            unconfined: false,
            readyWithin: Duration.seconds(60)
          })))
      }
      schedule(world, "hourly", {
        when: When.cases.Rate.make({ every: 1, unit: "hour" }),
        step: { action: ScheduledAction.cases.AgentRun.make({ target: working, prompt: "look around" }) },
        nextAt: hour
      })
      schedule(world, "end", {
        when: When.cases.Rate.make({ every: 30, unit: "day" }),
        step: { action: ScheduledAction.cases.Destroy.make({ target: doomed }) },
        nextAt: 2 * day
      })
      // Its last one is gone before the week is over.
      schedule(world, "fresh", {
        when: When.cases.Rate.make({ every: 3, unit: "hour" }),
        step: {
          action: ScheduledAction.cases.Create.make({ profile: "/profiles/demo.yaml", unconfined: false })
        },
        nextAt: day
      })
      // One message that dies: given out until the queue gives it up.
      yield* inWorld(Effect.gen(function*() {
        const queue = yield* TurnQueue
        yield* queue.send(working, { key: deadKey, group: GroupId.make("C1000:1700000001.000001"), body: "{}" })
        for (let n = 0; n <= turnQueueLimits.maxReceives; n++) {
          yield* queue.receive(working, { wait: Duration.zero, visibility: Duration.millis(1) })
          yield* TestClock.adjust("2 millis")
        }
      }))

      let kills = 0
      const turns: Array<TurnKey> = []
      const ended = new Map<SandboxId, number>()
      const seen = new Set<SandboxId>(world.rows.keys())
      for (let now = 0; now <= week + 2 * hour; now += stepMillis) {
        const killed = Deferred.makeUnsafe<void>()
        if (kills < 150 && (yield* Random.nextBetween(0, 1)) < 0.3) {
          const kill = Effect.andThen(Deferred.succeed(killed, undefined), Effect.never)
          world.interrupting(1 + (yield* Random.nextIntBetween(0, 60)), kill)
        }
        const process = yield* Effect.forkChild(life(world), { startImmediately: true })
        yield* TestClock.adjust(Duration.millis(lifeMillis))
        if (Deferred.isDoneUnsafe(killed)) kills += 1
        world.interrupting(0, Effect.void)
        // Where it was killed it is stuck, and does nothing more.
        process.interruptUnsafe()
        yield* TestClock.adjust(Duration.millis(stepMillis - lifeMillis))
        for (const id of world.rows.keys()) seen.add(id)
        for (const id of seen) if (!world.rows.has(id) && !ended.has(id)) ended.set(id, now + stepMillis)
        // The runtimes: alive, one of them active until the second day, and one does what it is asked.
        for (const id of world.rows.keys()) {
          const lastActiveAt = id === idle ? Math.min(now, 30 * hour) : now
          world.reports.reports.set(id, { ...noReport, ready: true, lastSeenAt: now + stepMillis, lastActiveAt })
        }
        yield* inWorld(Effect.gen(function*() {
          const queue = yield* TurnQueue
          const taken = yield* queue.receive(working, { wait: Duration.zero, visibility: Duration.minutes(2) })
          if (Option.isNone(taken)) return
          turns.push(taken.value.key)
          yield* (yield* TurnRecords).put(working, turnRecordOf(1, { key: taken.value.key, finishedAt: now }))
          yield* queue.delete(working, taken.value.receipt)
        }))
      }

      assert.isAtLeast(kills, 50)
      // Each end at its time, soon, and whole.
      const within = (id: SandboxId, due: number) => {
        const at = ended.get(id)
        assert.isTrue(at !== undefined && at >= due && at <= due + 90 * minute, `${id} ended at ${at}, due at ${due}`)
      }
      within(short, 3 * day)
      within(idle, 32 * hour)
      within(doomed, 2 * day)
      const made = [...seen].filter((id) => ![short, idle, working, doomed].includes(id))
      const created = [...world.schedules.runs.values()].filter((run) => run.schedule === "fresh")
      assert.lengthOf(created.filter(({ outcome }) => outcome === "succeeded"), created.length)
      assert.lengthOf(made, created.length, "a sandbox for each firing")
      assert.isAtLeast(made.length, 40)
      assert.deepStrictEqual([...world.rows.keys()], [working])
      const left = world.snapshot()
      for (const ids of [left.directories, left.runtimes, left.queues]) assert.deepStrictEqual(ids, [working])
      assert.lengthOf(left.openChannels, 1)
      // Each firing once: the hours of the week, none of them twice.
      assert.strictEqual(new Set(turns).size, turns.length, "no turn twice")
      const runs = [...world.schedules.runs.values()].filter((run) => run.schedule === "hourly")
      assert.isAtLeast(turns.length, 7 * 24 - 30)
      assert.isAtMost(turns.length, 7 * 24 + 2)
      for (const run of runs) assert.include(["succeeded", "skipped", undefined], run.outcome, run.detail)
      // What was told, was told once.
      const posts = world.effects.flatMap(({ action }) => action.action === "post" ? [action.markdown] : [])
      assert.lengthOf(posts.filter((text) => text.includes("Parked")), 0, "a body that is no request is not told")
      assert.lengthOf(
        [...world.queue.queues.get(working)?.dead.values() ?? []].filter(({ noticed }) => noticed),
        1
      )
      const letters = [...world.letters.values()].map(({ subject }) => subject)
      for (const id of [short, idle, doomed, ...made]) {
        assert.lengthOf(letters.filter((subject) => subject === `Sandbox ${id} was created`), 1, id)
        assert.lengthOf(
          letters.filter((subject) => subject.startsWith(`Sandbox ${id} `) && /expired|idle|destroyed/.test(subject)),
          1,
          letters.join("\n")
        )
      }
    }).pipe(Random.withSeed(seed))
  }, 180_000)
})
