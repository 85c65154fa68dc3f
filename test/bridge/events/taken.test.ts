/** What `Acceptance.take` says became of a message, and how seldom it reads all rows. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Acceptance } from "../../../bridge/events/Acceptance.ts"
import type { IncomingMessage } from "../../../bridge/events/Incoming.ts"
import { ChannelId, MessageTs, TeamId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { profileWith, slackProfile } from "../../support/profiles.ts"
import { ada, channel, scriptedSlack } from "../scripted.ts"
import { event, marksOf, team, told, ts, world } from "./scene.ts"

const message: IncomingMessage = {
  team: TeamId.make(team),
  channel,
  ts: MessageTs.make(ts),
  user: ada,
  userTeam: team,
  text: "hello",
  files: [],
  mention: false,
  externalPossible: false,
  gestures: []
}
const taken = (changes: Partial<IncomingMessage> = {}) =>
  Effect.flatMap(Acceptance, (acceptance) => acceptance.take({ ...message, ...changes }, undefined))

describe("taking a message", () => {
  it.effect("says what became of it", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* taken({ channel: ChannelId.make("C0ELSE0001") }), "no sandbox")
      assert.strictEqual(yield* taken(), "not addressed")
      assert.strictEqual(yield* taken({ mention: true }), "queued")
      assert.strictEqual(yield* taken({ mention: true }), "repeated")
      const later = MessageTs.make("1700000000.000200")
      assert.strictEqual(yield* taken({ text: "!stop", ts: later }), "stopped")
      assert.strictEqual(yield* taken({ userTeam: "T0OTHER001", ts: MessageTs.make("1700000000.000300") }), "refused")
    }).pipe(world(scriptedSlack(), {
      row: { profile: profileWith({ ...slackProfile.spec.cli, notifySlackInboundMentionOnly: true }) }
    })))

  it.effect("looks through all rows at most twice a second, however busy a channel is that is none of ours", () =>
    Effect.gen(function*() {
      const since: Array<number> = []
      const counted = Layer.effect(
        Sandboxes,
        Effect.map(Sandboxes, (inner) =>
          Sandboxes.of({
            ...inner,
            youngerThan: (instant) => Effect.andThen(Effect.sync(() => since.push(instant)), inner.youngerThan(instant))
          }))
      )
      yield* Effect.gen(function*() {
        const elsewhere = event({ channel: "C0ELSE0001" })
        for (let time = 0; time < 3; time++) yield* elsewhere
        yield* TestClock.adjust(499)
        yield* elsewhere
        assert.lengthOf(since, 1)
        yield* TestClock.adjust(1)
        yield* elsewhere
        assert.deepStrictEqual(since, [1_715_000_000_000 - 59_999, 1_715_000_000_500 - 59_999])
      }).pipe(world(scriptedSlack(), { sandboxes: counted }))
    }))

  it.effect("that ends in a defect is refused where its author sees it, and is no error of the request", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      const queue = Layer.mock(TurnQueue, {
        create: () => Effect.void,
        accept: () => Effect.die(new Error("a defect"))
      })
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* event()).status, 200)
        assert.include(JSON.stringify(yield* told(slack)), "KM-SLK-015")
        assert.deepStrictEqual(marksOf(slack), [[ts, "no_entry_sign"]])
      }).pipe(world(slack, { queue }))
    }))
})
