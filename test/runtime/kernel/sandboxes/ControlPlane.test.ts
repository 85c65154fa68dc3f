import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Alias,
  ChannelId,
  GroupId,
  InstallName,
  MessageTs,
  SandboxId,
  slackTurnKey,
  TeamId,
  UserId
} from "../../../../runtime/domain/sandbox/Ids.ts"
import {
  noReport,
  type ReportedSandbox,
  type SandboxReport,
  type SandboxRow
} from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { TurnRequest } from "../../../../runtime/domain/turn/Turn.ts"
import type { NoticeMail } from "../../../../runtime/kernel/mail/NoticeMail.ts"
import { ControlPlane, endOf, freshMillis } from "../../../../runtime/kernel/sandboxes/ControlPlane.ts"
import { sendNotices } from "../../../../runtime/kernel/sandboxes/Notices.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import type { Bridge } from "../../../../runtime/ports/Bridge.ts"
import type { Facts } from "../../../../runtime/ports/Facts.ts"
import type { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { World } from "../../../support/ControlWorld.ts"
import { slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const minute = 60_000
const hour = 60 * minute

const layerOf = (world: World, control = ControlPlane.layer) =>
  control.pipe(
    Layer.provideMerge(Provisioning.layer),
    Layer.provideMerge(Teardown.layer),
    Layer.provideMerge(world.layer())
  )

/** A running sandbox whose runtime reports now and then, with one control plane over all rounds. */
const withSandbox = <A, E>(
  body: (
    world: World
  ) => Effect.Effect<A, E, ControlPlane | Bridge | Facts | NoticeMail | Sandboxes | TurnQueue | Teardown>,
  control = ControlPlane.layer
) =>
  Effect.suspend(() => {
    const world = new World()
    return Effect.gen(function*() {
      yield* (yield* Provisioning).create({
        id,
        install: InstallName.make("km"),
        alias: Alias.make("demo"),
        profile: slackProfile,
        unconfined: false,
        readyWithin: Duration.seconds(60)
      })
      return yield* body(world)
    }).pipe(Effect.provide(layerOf(world, control)))
  })

const change = (world: World, changes: Partial<SandboxRow>) => {
  const row = world.rows.get(id)
  if (row !== undefined) world.rows.set(id, { ...row, ...changes })
}

const report = (world: World, changes: Partial<SandboxReport>) =>
  world.reports.reports.set(id, { ...world.reports.reports.get(id) ?? noReport, ...changes })

const round = Effect.andThen(Effect.flatMap(ControlPlane, (control) => control.round), sendNotices)

/** What is said in the channel after its creation. */
const posts = (world: World) =>
  world.effects.flatMap(({ action }) =>
    action.action === "post" && !action.markdown.includes("was created from profile") ? [action.markdown] : []
  )

describe("ControlPlane", () => {
  it.effect("a sandbox ends when its time to live is over, not a moment before, and is warned once", () =>
    withSandbox((world) =>
      Effect.gen(function*() {
        report(world, { lastActiveAt: 8 * hour })
        yield* TestClock.adjust(Duration.millis(8 * hour - 15 * minute - 1))
        yield* round
        assert.deepStrictEqual(posts(world), [])
        yield* TestClock.adjust(Duration.millis(1))
        yield* round
        yield* TestClock.adjust(Duration.millis(15 * minute - 1))
        yield* round
        assert.deepStrictEqual(posts(world), [
          "Sandbox `demo` reaches the end of its time to live in 15 minutes and is then destroyed. " +
          "To keep it: `km extend demo --by 1h`"
        ])
        assert.isTrue(world.rows.has(id))
        yield* TestClock.adjust(Duration.millis(1))
        yield* round
        assert.deepStrictEqual(world.snapshot(), new World().snapshot())
        assert.include(posts(world).at(-1), "end of its time to live")
      })
    ))

  it.effect("an idle sandbox ends, one that is not heard of does not", () =>
    withSandbox((world) =>
      Effect.gen(function*() {
        report(world, { lastActiveAt: 10 * minute })
        yield* TestClock.adjust(Duration.millis(70 * minute))
        yield* round
        assert.isTrue(world.rows.has(id), "silence is not idleness")
        report(world, { lastSeenAt: 70 * minute })
        yield* round
        assert.deepStrictEqual(world.snapshot(), new World().snapshot())
        assert.include(posts(world).at(-1), "idle for longer")
      })
    ))

  it("idleness is counted from the last turn or the creation, and fails safe", () => {
    const row: ReportedSandbox = {
      ...noReport,
      id,
      install: InstallName.make("km"),
      profile: slackProfile,
      desired: "running",
      status: "running",
      unconfined: false,
      createdAt: 0,
      generation: "1",
      inventory: [],
      lastActiveAt: 5 * minute,
      lastSeenAt: hour
    }
    assert.isUndefined(endOf(row, 65 * minute - 1, 0))
    assert.isUndefined(endOf({ ...row, lastSeenAt: 65 * minute - freshMillis - 1 }, 65 * minute, 0))
    assert.strictEqual(endOf({ ...row, lastSeenAt: 65 * minute - freshMillis }, 65 * minute, 0), "idle")
    assert.isUndefined(endOf({ ...row, lastSeenAt: 65 * minute }, 65 * minute, 1))
    assert.isUndefined(endOf({ ...row, lastSeenAt: 65 * minute, status: "stopped" }, 65 * minute, 0))
    assert.strictEqual(endOf({ ...row, expiresAt: 65 * minute, status: "starting" }, 65 * minute, 3), "ttl")
  })

  it.effect("an unfinished teardown is continued in the second round that sees it", () =>
    withSandbox((world) =>
      Effect.gen(function*() {
        world.bridgeDown = true
        yield* Effect.flip(Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed")))
        world.bridgeDown = false
        yield* round
        assert.isTrue(world.rows.has(id), "whoever began it may still be at it")
        yield* round
        assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      })
    ))

  for (const renews of [true, false]) {
    it.effect(`a certificate near its end is ${renews ? "renewed" : "left alone where the certifier is out of reach"}`, () =>
      withSandbox(
        (world) =>
          Effect.gen(function*() {
            change(world, { expiresAt: Number.MAX_SAFE_INTEGER })
            const known = () => JSON.stringify([...world.identities].map(([name, keys]) => [name, [...keys]]))
            const before = known()
            yield* TestClock.adjust(Duration.days(25))
            yield* round
            assert.strictEqual(world.rows.get(id)?.status, "running")
            assert.strictEqual(known() !== before, renews)
          }),
        renews ? ControlPlane.layer : ControlPlane.layerWithoutRenewal
      ))
  }

  it.effect("a message that died in the queue is announced in its thread once", () =>
    withSandbox((world) =>
      Effect.gen(function*() {
        const channel = ChannelId.make("C1000")
        const ts = MessageTs.make("1700000001.000001")
        const key = slackTurnKey(TeamId.make("T0001"), channel, ts)
        const group = GroupId.make(`${channel}:${ts}`)
        const request: TurnRequest = {
          key,
          group,
          origin: {
            kind: "slack",
            team: TeamId.make("T0001"),
            channel,
            ts,
            threadTs: ts,
            user: UserId.make("U0001"),
            userName: "u"
          },
          text: "hello",
          files: [],
          acceptedAt: 0
        }
        const queue = yield* TurnQueue
        const body = yield* Schema.encodeEffect(Schema.fromJsonString(TurnRequest))(request)
        yield* queue.send(id, { key, group, body })
        for (let n = 0; n < 6; n++) yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.zero })
        world.bridgeDown = true
        yield* round
        assert.isFalse((yield* queue.deadLetters(id))[0]?.noticed)
        world.bridgeDown = false
        yield* round
        yield* round
        assert.deepStrictEqual(posts(world), [
          `**Parked.** This message was given to the runtime 5 times and its turn never started. Run \`km replay ${key}\` to try again. (KM-TRN-021)`
        ])
        assert.isTrue((yield* queue.deadLetters(id))[0]?.noticed)
        assert.deepStrictEqual(
          world.effects.filter((effect) => !effect.key.includes("/notice/")).slice(-2).map(({ action, key: of }) =>
            `${of} ${action.action}`
          ),
          [
            `${key}/dead/0 post`,
            `${key}/dead/1 react`
          ]
        )
        // Another death after a redrive is told of as well, though it reads the same.
        const generation = world.rows.get(id)?.generation ?? ""
        assert.isTrue(yield* queue.redrive(id, key, generation))
        for (let n = 0; n < 6; n++) yield* queue.receive(id, { wait: Duration.zero, visibility: Duration.zero })
        yield* round
        assert.lengthOf(posts(world), 2)
      })
    ))

  it.effect("a channel that is gone is replaced once per life of the workspace, and the new one says so", () =>
    withSandbox((world) =>
      Effect.gen(function*() {
        world.archived.add("C1000")
        const control = yield* ControlPlane
        assert.deepStrictEqual((yield* control.repairChannels("g1")).map((row) => row.id), [id])
        assert.strictEqual(world.rows.get(id)?.channel, "C1001")
        assert.strictEqual(world.aliasChannels.get(Alias.make("demo")), "C1001")
        assert.deepStrictEqual(yield* control.repairChannels("g1"), [])
        assert.lengthOf(posts(world), 1)
        assert.include(posts(world)[0], "this is the new channel of `demo`")
      })
    ))

  it.effect("a channel that lives is found again at every start, under the name that it has now", () =>
    withSandbox((world) =>
      Effect.gen(function*() {
        const control = yield* ControlPlane
        change(world, { channelName: "sb-before" })
        for (const start of ["g1", "g2", "g3"]) assert.deepStrictEqual(yield* control.repairChannels(start), [])
        assert.deepStrictEqual([...world.channels.keys()], ["C1000"])
        assert.strictEqual(world.rows.get(id)?.channel, "C1000")
        assert.strictEqual(world.rows.get(id)?.channelName, "sb-demo")
        assert.lengthOf(posts(world), 0)
        // Archived for good: one new channel, which the next start finds.
        world.archived.add("C1000")
        assert.lengthOf(yield* control.repairChannels("g4"), 1)
        assert.lengthOf(yield* control.repairChannels("g5"), 0)
        assert.deepStrictEqual([...world.channels.keys()], ["C1000", "C1001"])
      })
    ))
})
