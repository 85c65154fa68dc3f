import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Schema } from "effect"
import * as TestClock from "effect/testing/TestClock"
import {
  Alias,
  ChannelId,
  GroupId,
  InstallName,
  MessageTs,
  SandboxId,
  TeamId,
  UserId
} from "../../../../runtime/domain/sandbox/Ids.ts"
import { slackTurnKey, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../../../runtime/domain/turn/Turn.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { type EndReason, Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { Controls } from "../../../../runtime/ports/Controls.ts"
import { Facts } from "../../../../runtime/ports/Facts.ts"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import { Reports } from "../../../../runtime/ports/Reports.ts"
import { Threads } from "../../../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { World } from "../../../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"
import { claimOf } from "../../ports/schedulerContract.ts"
import { turnRecordOf } from "../../ports/turnRecordsContract.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const channel = ChannelId.make("C1000")
const encode = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

const message = (n: number, inThread = n) => {
  const ts = MessageTs.make(`${1_700_000_000 + n}.000001`)
  const threadTs = MessageTs.make(`${1_700_000_000 + inThread}.000001`)
  const key = slackTurnKey(TeamId.make("T0001"), channel, ts)
  const origin = {
    kind: "slack",
    team: TeamId.make("T0001"),
    channel,
    ts,
    threadTs,
    user: UserId.make("U0001"),
    userName: "u"
  } as const
  const group = GroupId.make(`${channel}:${threadTs}`)
  return { key, group, body: encode({ key, group, origin, text: "hello", files: [], acceptedAt: 0 }) }
}

const onWorld = <A, E>(
  world: World,
  effect: Effect.Effect<A, E, Provisioning | Teardown | TurnQueue | Threads | Leases | Controls | Facts | Reports>
) =>
  effect.pipe(
    Effect.provide(Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provideMerge(world.layer())))
  )

const teardown = (world: World, reason: EndReason = "destroyed") =>
  onWorld(world, Effect.flatMap(Teardown, (service) => service.run(id, reason)))

/** A sandbox that has lived: threads, objects, a lease, a stop nobody took, two waiting messages and a dead one. */
const lived = Effect.fn(function*(profile = slackProfile) {
  const world = new World()
  yield* onWorld(
    world,
    Effect.gen(function*() {
      yield* (yield* Provisioning).create({
        id,
        install: InstallName.make("km"),
        alias: Alias.make("demo"),
        profile,
        unconfined: false,
        readyWithin: Duration.seconds(60)
      })
      const queue = yield* TurnQueue
      const visibility = Duration.zero
      yield* queue.send(id, message(1))
      for (let n = 0; n < 6; n++) yield* queue.receive(id, { wait: Duration.zero, visibility })
      yield* queue.send(id, message(2))
      yield* queue.send(id, message(3))
      assert.deepStrictEqual(yield* queue.depth(id), { waiting: 2, inFlight: 0, dead: 1 })
      const ts = MessageTs.make("1700000002.000001")
      yield* (yield* Threads).put({ channel, threadTs: ts, sandbox: id, createdAt: 0, lastTurnAt: 0 })
      yield* (yield* Leases).acquire(id, "runtime-1")
      yield* (yield* Controls).send(id, { kind: "stop", id: "stop-1", by: "operator" })
      yield* (yield* Facts).put(id, "guest/U0002", "{}")
      yield* (yield* Reports).put(id, { lastSeenAt: 1 })
    })
  )
  world.objects.set(id, new Set(["session.jsonl.gz"]))
  const over = turnRecordOf(1)
  world.records.records.set(id, new Map([[over.key, over]]))
  for (const [n, turn] of [[1, over.key], [2, TurnKey.make("at:nightly:2")]] as const) {
    const run = claimOf(n, { state: "waiting", target: id, turn })
    world.schedules.runs.set(run.id, run)
  }
  return world
})

/** What Slack was asked to do, without the channel that create made. */
const said = (world: World) =>
  world.effects.filter(({ action }) => action.action !== "channel.ensure").map(({ action, key }) =>
    action.action === "post"
      ? `post ${action.threadTs ?? "channel"} ${action.markdown.slice(0, 24)}`
      : `${action.action} ${key}`
  )

/** How the runs ended that waited for its turns: one was over, one never will be. */
const waits = (world: World) =>
  [...world.schedules.runs.values()].map((run) => `${run.id} ${run.outcome ?? run.state} ${run.code ?? run.detail}`)
const resumedByEnd = "nightly:2 failed KM-SCH-028"

const farewell = [
  "post 1700000002.000001 **Not run.** The sandbox",
  "react T0001:C1000:1700000002.000001/teardown/1",
  "post 1700000003.000001 **Not run.** The sandbox",
  "react T0001:C1000:1700000003.000001/teardown/1",
  "post 1700000001.000001 **Not run.** The sandbox",
  "react T0001:C1000:1700000001.000001/teardown/1",
  "post channel Sandbox `demo` was destr"
]

describe("Teardown", () => {
  it.effect("leaves nothing behind, and every message that waited is answered before its channel closes", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      yield* teardown(world)
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      assert.deepStrictEqual(said(world).slice(0, 7), farewell)
      assert.deepStrictEqual(said(world).slice(7).map((line) => line.split(" ")[0]), ["archive", "purge"])
      assert.strictEqual(world.aliasChannels.get(Alias.make("demo")), channel)
      assert.isTrue(world.retired.has(id))
      assert.deepStrictEqual(waits(world), ["nightly:1 succeeded all green", resumedByEnd])
    }))

  it.effect("a dead message that was told of before is not told of again", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      yield* onWorld(world, Effect.flatMap(TurnQueue, (queue) => queue.markNoticed(id, message(1).key)))
      yield* teardown(world)
      assert.deepStrictEqual(said(world).slice(0, 5), [...farewell.slice(0, 4), ...farewell.slice(6)])
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
    }))

  it.effect("a thread is told once of all that waited and died in it, wherever a crash falls between", () =>
    Effect.gen(function*() {
      const crowded = Effect.fnUntraced(function*() {
        const world = yield* lived()
        yield* onWorld(
          world,
          Effect.gen(function*() {
            const queue = yield* TurnQueue
            for (let n = 0; n < 6; n++) {
              if (n === 0) yield* queue.send(id, message(8, 1))
              yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.zero })
            }
            for (const n of [9, 10]) yield* queue.send(id, message(n, 1))
          })
        )
        return world
      })
      const threadTs = "1700000001.000001"
      const inThread = (world: World) =>
        world.effects.flatMap((effect) =>
          effect.action.action === "post" && effect.action.threadTs === threadTs ? [effect.key] : []
        )
      const counted = yield* crowded()
      counted.crashing(0, "before")
      yield* teardown(counted)
      const calls = counted.calls
      assert.lengthOf(inThread(counted), 1)
      const marked = counted.effects.flatMap(({ action }) => action.action === "react" ? [String(action.ts)] : [])
      assert.includeMembers(marked, ["1700000001.000001", "1700000009.000001", "1700000010.000001"])
      for (let at = 1; at <= calls; at++) {
        const world = yield* crowded()
        world.crashing(at, "after")
        yield* Effect.exit(teardown(world))
        world.crashing(0, "before")
        yield* teardown(world)
        assert.deepStrictEqual(inThread(world), inThread(counted), `call ${at}`)
      }
    }))

  it.effect("a crash at any call is continued, and nothing is said twice", () =>
    Effect.gen(function*() {
      const counted = yield* lived()
      counted.crashing(0, "before")
      yield* teardown(counted)
      const calls = counted.calls
      assert.isAbove(calls, 30)
      const gone = new World().snapshot()
      for (let at = 1; at <= calls; at++) {
        for (const phase of ["before", "after"] as const) {
          const world = yield* lived()
          world.crashing(at, phase)
          yield* Effect.exit(teardown(world))
          world.crashing(0, "before")
          yield* teardown(world)
          assert.deepStrictEqual(world.snapshot(), gone, `call ${at} ${phase}`)
          assert.deepStrictEqual(said(world).toSorted(), said(counted).toSorted(), `call ${at} ${phase}`)
          assert.deepStrictEqual(waits(world), ["nightly:1 succeeded all green", resumedByEnd], `call ${at} ${phase}`)
        }
      }
    }))

  it.effect("time to live and idleness are the same teardown with another sentence", () =>
    Effect.gen(function*() {
      for (const [reason, sentence] of [["ttl", "end of its time to live"], ["idle", "was idle for longer"]] as const) {
        const world = yield* lived()
        yield* teardown(world, reason)
        assert.deepStrictEqual(world.snapshot(), new World().snapshot())
        const last = world.effects.findLast(({ action }) => action.action === "post")
        assert.include(last?.action.action === "post" ? last.action.markdown : "", sentence)
      }
    }))

  it.effect("the reason that began a teardown is the one that is said, whoever ends it", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      world.crashing(6, "after")
      yield* Effect.exit(teardown(world, "ttl"))
      world.crashing(0, "before")
      yield* teardown(world, "destroyed")
      const last = world.effects.findLast(({ action }) => action.action === "post")
      assert.include(last?.action.action === "post" ? last.action.markdown : "", "time to live")
    }))

  it.effect("a channel that Slack has closed already is no obstacle", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      world.archived.add(channel)
      yield* teardown(world)
      assert.deepStrictEqual(world.snapshot().rows, [])
    }))

  it.effect("with the bridge down it stops with the runtime gone, keeps the rest listed, and continues later", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      world.bridgeDown = true
      const failure = yield* Effect.flip(teardown(world))
      assert.deepInclude(failure, { code: "KM-CLI-107", step: "channel" })
      const row = world.rows.get(id)
      assert.strictEqual(row?.status, "destroying")
      assert.deepStrictEqual(world.snapshot().runtimes, [])
      assert.includeMembers(row?.inventory.map(({ kind }) => kind) ?? [], ["channel", "queue", "secret"])
      world.bridgeDown = false
      yield* teardown(world)
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      assert.deepStrictEqual(said(world).slice(0, 7), farewell)
    }))

  it.effect("keeps the channel open when the profile says so", () =>
    Effect.gen(function*() {
      const world = yield* lived(profileWith({ ...slackProfile.spec.cli, slackArchiveOnDestroy: false }))
      yield* teardown(world)
      assert.deepStrictEqual(world.snapshot(), { ...new World().snapshot(), openChannels: ["C1000"] })
    }))

  it.effect("a sandbox that is not there is gone", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* teardown(world)
      assert.deepStrictEqual(world.effects, [])
    }))

  it.effect("256 waiting messages are named in one place, within two minutes, each once, though it is run again", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      yield* onWorld(
        world,
        Effect.gen(function*() {
          const queue = yield* TurnQueue
          for (let n = 10; n < 263; n++) yield* queue.send(id, message(n))
        })
      )
      const began = yield* Clock.currentTimeMillis
      yield* teardown(world)
      assert.isBelow((yield* Clock.currentTimeMillis) - began, 120_000)
      yield* teardown(world)
      const named = world.effects.flatMap(({ action }) =>
        action.action === "post" && action.threadTs === undefined
          ? action.markdown.match(/^- u, .*: hello$/gm) ?? []
          : []
      )
      assert.lengthOf(named, 256)
      assert.isAtMost(world.effects.filter(({ action }) => action.action === "post").length, 6)
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
    }))

  it.effect("marks that Slack does not take cost an end ten seconds, however many messages wait", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      world.marksHang = true
      yield* onWorld(
        world,
        Effect.gen(function*() {
          for (let n = 10; n < 110; n++) yield* (yield* TurnQueue).send(id, message(n))
        })
      )
      const ending = yield* Effect.forkChild(teardown(world), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(ending)
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
    }))

  it.effect("several messages of one thread get one note and a mark each", () =>
    Effect.gen(function*() {
      const world = yield* lived()
      const { body, group } = message(2)
      yield* onWorld(
        world,
        Effect.gen(function*() {
          const later = message(4)
          const ts = "1700000004.000001"
          const reply = body.replaceAll("\"ts\":\"1700000002.000001\"", `"ts":"${ts}"`)
          yield* (yield* TurnQueue).send(id, { key: later.key, group, body: reply })
        })
      )
      yield* teardown(world)
      assert.deepStrictEqual(said(world).slice(0, 3), [
        "post 1700000002.000001 **Not run.** The sandbox",
        "react T0001:C1000:1700000002.000001/teardown/1",
        "react T0001:C1000:1700000004.000001/teardown/1"
      ])
    }))
})
