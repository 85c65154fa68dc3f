/** A sandbox is destroyed while people write: each message is refused with the reason, or has its outcome. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Option } from "effect"
import { Acceptance } from "../../bridge/events/Acceptance.ts"
import type { IncomingMessage } from "../../bridge/events/Incoming.ts"
import { Marks } from "../../bridge/events/Marks.ts"
import { Notes } from "../../bridge/events/Notes.ts"
import { Outsiders } from "../../bridge/events/Outsiders.ts"
import { Progress } from "../../bridge/events/Progress.ts"
import { Refusals } from "../../bridge/events/Refusals.ts"
import { Words } from "../../bridge/events/Words.ts"
import { BotIdentity } from "../../bridge/slack/BotIdentity.ts"
import {
  ChannelId,
  InstallName,
  MessageTs,
  SandboxId,
  slackTurnKey,
  TeamId,
  UserId
} from "../../runtime/domain/sandbox/Ids.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import * as MemorySeen from "../../runtime/ports/memory/MemorySeen.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { World } from "../support/ControlWorld.ts"
import { slackProfile } from "../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const channel = ChannelId.make("C1000")
const team = TeamId.make("T0001")

const message = (n: number): IncomingMessage => ({
  team,
  channel,
  ts: MessageTs.make(`${1_800_000_000 + n}.000001`),
  user: UserId.make("U0001"),
  text: "hello",
  files: [],
  mention: false,
  externalPossible: false,
  gestures: [`client:${n}`]
})

/** The bridge and the control plane over one set of ports, and what people were shown. */
class Place {
  readonly world = new World()
  readonly marks: Array<string> = []
  readonly notes: Array<string> = []

  private layer() {
    const shown = Layer.mergeAll(
      Layer.mock(BotIdentity, { known: () => undefined, knownName: () => undefined, learn: () => Effect.void }),
      Layer.mock(Marks, { set: ({ emoji, ts }) => void this.marks.push(`${ts} ${emoji}`) }),
      Layer.mock(Outsiders, { mayDrive: () => Effect.succeed(false) }),
      Layer.mock(Notes, {
        put: (_key, place, text) => Effect.sync(() => void this.notes.push(`${place.threadTs} ${text}`))
      })
    )
    return Acceptance.layer.pipe(
      Layer.provideMerge(Layer.mock(Words, { stored: () => Effect.void })),
      Layer.provideMerge(Layer.merge(Refusals.layer, Layer.provide(Progress.layer, Errands.layerMemory))),
      Layer.provideMerge(Provisioning.layer),
      Layer.provideMerge(Teardown.layer),
      Layer.provideMerge(Layer.mergeAll(this.world.layer(), MemorySeen.layerOver(this.world.queue.seen), shown))
    )
  }

  /** Each in a process of its own. */
  run<A, E>(effect: Effect.Effect<A, E, Acceptance | Provisioning | Teardown | TurnQueue>) {
    return Effect.scoped(Effect.provide(effect, this.layer()))
  }

  readonly create = Effect.suspend(() =>
    this.run(Effect.flatMap(Provisioning, (provisioning) =>
      provisioning.create({
        id,
        install: InstallName.make("km"),
        alias: undefined,
        profile: slackProfile,
        unconfined: false,
        readyWithin: Duration.seconds(60)
      })))
  )
  readonly destroy = Effect.suspend(() =>
    this.run(Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed")))
  )

  write(n: number) {
    return this.run(Effect.flatMap(Acceptance, (acceptance) => acceptance.take(message(n), undefined)))
  }

  /** What its author sees under a message in the end; more than one line would contradict itself. */
  fateOf(n: number): string {
    const { ts } = message(n)
    const refused = this.marks.includes(`${ts} no_entry_sign`)
    const reason = this.notes.some((note) => note.startsWith(ts) && note.includes("KM-SLK-013"))
    const taken = this.marks.includes(`${ts} eyes`)
    const outcome = this.world.effects.some(({ action }) =>
      action.action === "post" && action.threadTs === ts && action.markdown.startsWith("**Not run.**")
    )
    return [refused && "🚫", reason && "reason", taken && "👀", outcome && "outcome"].filter((part) => part !== false)
      .join(
        " "
      )
  }
}

/**
 * A message that is being taken stops right before its `takes`-th call of a port, the teardown begins and stops right
 * before its `ends`-th, the message goes on to its end, then the teardown. Undefined when either makes fewer calls.
 */
const interleaved = Effect.fnUntraced(function*(takes: number, ends: number) {
  const place = new Place()
  yield* place.create
  const reached = yield* Deferred.make<boolean>()
  const go = yield* Deferred.make<void>()
  place.world.interrupting(takes, Effect.andThen(Deferred.succeed(reached, true), Deferred.await(go)))
  const taking = yield* Effect.forkChild(Effect.ensuring(place.write(1), Deferred.succeed(reached, false)))
  if (!(yield* Deferred.await(reached))) return undefined
  let met = false
  const goOn = Effect.suspend(() => {
    met = true
    return Effect.andThen(Deferred.succeed(go, undefined), Effect.asVoid(Effect.orDie(Fiber.join(taking))))
  })
  place.world.interrupting(ends, goOn)
  yield* place.destroy
  return met ? place : undefined
})

const fates = new Set(["🚫 reason", "👀 outcome"])

describe("a sandbox is destroyed while people write", () => {
  it.effect("wherever the two meet, each message is refused with the reason or has its outcome", () =>
    Effect.gen(function*() {
      const found = new Map<string, number>()
      const count: Array<number> = []
      for (let takes = 1;; takes++) {
        let ends = 1
        for (;; ends++) {
          const place = yield* interleaved(takes, ends)
          if (place === undefined) break
          const fate = place.fateOf(1)
          found.set(fate, (found.get(fate) ?? 0) + 1)
          // Read after its row is gone there is no sandbox, and nothing was promised.
          if (fate !== "") assert.include([...fates], fate, `call ${takes} of the bridge, ${ends} of the teardown`)
          assert.deepStrictEqual(place.world.snapshot(), new World().snapshot())
        }
        count.push(ends - 1)
        if (ends === 1) break
      }
      // The row, then the accept; the teardown has many more calls.
      assert.isAtLeast(count.length, 3)
      assert.isAtLeast(count[0] ?? 0, 10)
      for (const fate of fates) assert.isAtLeast(found.get(fate) ?? 0, 1, fate)
    }))

  it.effect("a message that its runtime left in flight has its outcome, which does not claim that nothing was done", () =>
    Effect.gen(function*() {
      const place = new Place()
      yield* place.create
      yield* place.write(1)
      const visibility = Duration.seconds(120)
      const got = yield* place.run(
        Effect.flatMap(TurnQueue, (queue) => queue.receive(id, { wait: Duration.zero, visibility }))
      )
      assert.strictEqual(Option.getOrThrow(got).key, slackTurnKey(team, channel, message(1).ts))
      yield* place.destroy
      const posts = place.world.effects.flatMap(({ action }) =>
        action.action === "post" && action.threadTs === message(1).ts ? [action.markdown.slice(0, 17)] : []
      )
      assert.deepStrictEqual(posts, ["**Not finished.**"])
    }))
})
