/** Rounds of the control plane over what is waiting, unreadable, half made, or cannot be listed. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { Alias, GroupId, InstallName, SandboxId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { noReport } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { ControlPlane } from "../../../../runtime/kernel/sandboxes/ControlPlane.ts"
import { sendNotices } from "../../../../runtime/kernel/sandboxes/Notices.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { Facts } from "../../../../runtime/ports/Facts.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { World } from "../../../support/ControlWorld.ts"
import { slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const key = TurnKey.make("T0001:C1000:1700000001.000001")
const minute = 60_000

/** A control plane over `world`, with one sandbox that is running. */
const over = <A, E>(world: World, body: Effect.Effect<A, E, ControlPlane | Provisioning | Sandboxes | TurnQueue>) =>
  Effect.gen(function*() {
    yield* (yield* Provisioning).create({
      id,
      install: InstallName.make("km"),
      alias: Alias.make("demo"),
      profile: slackProfile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })
    return yield* body
  }).pipe(Effect.provide(
    ControlPlane.layer.pipe(
      Layer.provideMerge(Provisioning.layer),
      Layer.provideMerge(Teardown.layer),
      Layer.provideMerge(world.layer())
    )
  ))
const round = Effect.flatMap(ControlPlane, (control) => control.round)
const entry = (body: string) => ({ key, group: GroupId.make("C1000:1700000001.000001"), body })

describe("a round of the control plane", () => {
  it.effect("ends no sandbox as idle for which messages wait, or are being worked on", () => {
    const world = new World()
    return over(
      world,
      Effect.gen(function*() {
        const queue = yield* TurnQueue
        yield* queue.send(id, entry("{}"))
        yield* TestClock.adjust(Duration.millis(70 * minute))
        world.reports.reports.set(id, { ...noReport, lastActiveAt: 0, lastSeenAt: 70 * minute })
        yield* round
        assert.isTrue(world.rows.has(id))
        yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.minutes(2) })
        yield* round
        assert.isTrue(world.rows.has(id))
        yield* TestClock.adjust(Duration.minutes(3))
        world.reports.reports.set(id, { ...noReport, lastActiveAt: 0, lastSeenAt: 73 * minute })
        const taken = yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.minutes(2) })
        if (taken._tag === "Some") yield* queue.delete(id, taken.value.receipt)
        yield* round
        assert.isFalse(world.rows.has(id))
      })
    )
  })

  it.effect("looks again before it ends one as idle: what came during the round keeps it", () => {
    const world = new World()
    // What was asked at the beginning of the round knows nothing of the message.
    const before = Layer.effect(
      TurnQueue,
      Effect.map(TurnQueue, (inner) => TurnQueue.of({ ...inner, occupied: Effect.succeed(new Map()) }))
    ).pipe(Layer.provide(world.layer()))
    return Effect.gen(function*() {
      yield* (yield* Provisioning).create({
        id,
        install: InstallName.make("km"),
        alias: undefined,
        profile: slackProfile,
        unconfined: false,
        readyWithin: Duration.seconds(60)
      })
      const queue = yield* TurnQueue
      yield* queue.send(id, entry("{}"))
      yield* TestClock.adjust(Duration.millis(70 * minute))
      world.reports.reports.set(id, { ...noReport, lastActiveAt: 0, lastSeenAt: 70 * minute })
      yield* round
      assert.isTrue(world.rows.has(id))
      const taken = Option.getOrThrow(
        yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.minutes(2) })
      )
      yield* round
      assert.isTrue(world.rows.has(id), "it is being worked on")
      yield* queue.delete(id, taken.receipt)
      yield* round
      assert.isFalse(world.rows.has(id))
    }).pipe(Effect.provide(
      ControlPlane.layer.pipe(
        Layer.provideMerge(Provisioning.layer),
        Layer.provideMerge(Teardown.layer),
        Layer.provideMerge(Layer.merge(world.layer(), before))
      )
    ))
  })

  it.effect("asks the engine nothing for each sandbox that is idle, once its notices are told", () => {
    const world = new World()
    const asked: Array<string> = []
    const counting = Layer.merge(
      Layer.effect(
        Facts,
        Effect.map(
          Facts,
          (inner) =>
            Facts.of({
              ...inner,
              get: (...one) => Effect.andThen(Effect.sync(() => asked.push("fact")), inner.get(...one))
            })
        )
      ),
      Layer.effect(
        Sandboxes,
        Effect.map(
          Sandboxes,
          (inner) =>
            Sandboxes.of({
              ...inner,
              get: (one) => Effect.andThen(Effect.sync(() => asked.push("row")), inner.get(one))
            })
        )
      )
    ).pipe(Layer.provide(world.layer()))
    return Effect.gen(function*() {
      for (const n of [1, 2, 3]) {
        yield* (yield* Provisioning).create({
          id: SandboxId.make(`sb-0000000${n}`),
          install: InstallName.make("km"),
          alias: undefined,
          profile: slackProfile,
          unconfined: false,
          readyWithin: Duration.seconds(60)
        })
      }
      const rounds = Effect.andThen(round, sendNotices)
      yield* rounds
      yield* rounds
      assert.isNotEmpty(asked)
      asked.length = 0
      yield* rounds
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(
      ControlPlane.layer.pipe(
        Layer.provideMerge(Provisioning.layer),
        Layer.provideMerge(Teardown.layer),
        Layer.provideMerge(Layer.merge(world.layer(), counting))
      )
    ))
  })

  it.effect("takes note of a dead message that nobody can read, and says nothing of it", () => {
    const world = new World()
    return over(
      world,
      Effect.gen(function*() {
        const queue = yield* TurnQueue
        yield* queue.send(id, entry("of another version"))
        for (let n = 0; n < 6; n++) yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.zero })
        const before = world.effects.length
        yield* round
        assert.isTrue((yield* queue.deadLetters(id))[0]?.noticed)
        assert.lengthOf(world.effects, before)
      })
    )
  })

  it.effect("that cannot list the sandboxes is no failure: the next one looks again", () => {
    const world = new World()
    const broken = new StoreError({
      port: "Sandboxes",
      operation: "list",
      reason: "Unavailable",
      detail: "",
      cause: undefined
    })
    const unlisted = Layer.effect(
      Sandboxes,
      Effect.map(Sandboxes, (inner) => Sandboxes.of({ ...inner, list: Effect.fail(broken) }))
    ).pipe(Layer.provide(world.layer()))
    return Effect.gen(function*() {
      yield* round
      assert.deepStrictEqual(yield* (yield* ControlPlane).repairChannels("g1"), [])
    }).pipe(Effect.provide(
      ControlPlane.layer.pipe(
        Layer.provideMerge(Provisioning.layer),
        Layer.provideMerge(Teardown.layer),
        Layer.provideMerge(Layer.merge(world.layer(), unlisted))
      )
    ))
  })

  it.effect("gives no channel that the bridge does not make, and takes up a name that people changed", () => {
    const world = new World()
    return over(
      world,
      Effect.gen(function*() {
        const control = yield* ControlPlane
        world.archived.add("C1000")
        world.bridgeDown = true
        assert.deepStrictEqual(yield* control.repairChannels("g1"), [])
        assert.strictEqual(world.rows.get(id)?.channel, "C1000")
        world.bridgeDown = false
        assert.deepStrictEqual((yield* control.repairChannels("g1")).map((row) => row.id), [id])
        const row = world.rows.get(id)
        assert.notStrictEqual(row?.channel, "C1000")
        assert.strictEqual(world.aliasChannels.get(Alias.make("demo")), row?.channel)
        if (row !== undefined) world.rows.set(id, { ...row, channelName: "as it was" })
        assert.deepStrictEqual(yield* control.repairChannels("g2"), [])
        assert.strictEqual(world.rows.get(id)?.channelName, "sb-demo")
        assert.strictEqual(world.rows.get(id)?.channel, row?.channel)
      })
    )
  })

  for (const status of ["creating", "destroying"] as const) {
    it.effect(`repairs no channel of a sandbox that is ${status}: whoever does that sees to it`, () => {
      const world = new World()
      return over(
        world,
        Effect.gen(function*() {
          const row = world.rows.get(id)
          if (row !== undefined) world.rows.set(id, { ...row, status })
          world.archived.add("C1000")
          assert.deepStrictEqual(yield* (yield* ControlPlane).repairChannels("g1"), [])
          assert.strictEqual(world.rows.get(id)?.channel, "C1000")
        })
      )
    })
  }
})
