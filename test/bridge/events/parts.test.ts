/** The small parts of the way in: marks, notes, progress, the pinned app, invited outsiders. In virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { Installation } from "../../../bridge/events/Installation.ts"
import { Marks } from "../../../bridge/events/Marks.ts"
import { Notes } from "../../../bridge/events/Notes.ts"
import { Progress } from "../../../bridge/events/Progress.ts"
import { isLater, MessageTs, TeamId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Errands } from "../../../runtime/ports/Errands.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import * as MemoryIdempotency from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { makeMemoryIdempotencyState } from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemorySandboxes from "../../../runtime/ports/memory/MemorySandboxes.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { bridgeOverScript, channel, limited, refused, scriptedSlack, threadTs, unclear } from "../scripted.ts"
import { certifier, host, install, rowOf, sandbox } from "../world.ts"

const eyes = (ts: string = threadTs) => ({ channel, ts: MessageTs.make(ts), emoji: "eyes" as const })
const tsAt = (index: number) => `17000${String(index).padStart(5, "0")}.000001`

describe("marks", () => {
  it.effect("are set once, each where it belongs, and asked for with patience", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const marks = yield* Marks
        yield* marks.drain
        marks.set(eyes())
        marks.set(eyes())
        marks.set({ ...eyes(), emoji: "octagonal_sign" })
        yield* marks.drain
        marks.set(eyes())
        yield* marks.drain
        assert.deepStrictEqual(
          slack.calls,
          ([["eyes", "seen"], ["octagonal_sign", "mark"]] as const).map(([name, purpose]) => ({
            method: "reactions.add",
            args: { channel, timestamp: threadTs, name },
            options: { purpose }
          }))
        )
        assert.isFalse((yield* Progress).takeMissed())
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("that fail are tried eight times more, ever later, and then left to the catch-up", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "reactions.add": unclear("x") })
      yield* Effect.gen(function*() {
        const marks = yield* Marks
        marks.set(eyes())
        const seconds: Array<number> = []
        for (let half = 0; half < 200; half++) {
          const before = slack.calls.length
          yield* TestClock.adjust(500)
          if (slack.calls.length > before) seconds.push((half + 1) / 2)
        }
        assert.deepStrictEqual(seconds.slice(-8), [0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.5])
        assert.lengthOf(slack.calls, 9)
        yield* marks.drain
        assert.isTrue((yield* Progress).takeMissed())
        // Forgotten, so that whoever comes past again asks again.
        marks.set(eyes())
        yield* TestClock.adjust(1)
        assert.lengthOf(slack.calls, 10)
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("wait as long as Slack says", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "reactions.add": [limited("x"), { ok: true }] })
      yield* Effect.gen(function*() {
        const marks = yield* Marks
        marks.set(eyes())
        yield* TestClock.adjust(1_499)
        assert.lengthOf(slack.calls, 1)
        yield* TestClock.adjust(1)
        yield* marks.drain
        assert.lengthOf(slack.calls, 2)
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))

  it.effect("that Slack refuses are not tried again; pointless ones stay remembered", () =>
    Effect.gen(function*() {
      for (const [error, calls] of [["not_in_channel", 2], ["already_reacted", 1]] as const) {
        const slack = scriptedSlack({ "reactions.add": refused(error) })
        yield* Effect.gen(function*() {
          const marks = yield* Marks
          for (let time = 0; time < 2; time++) {
            marks.set(eyes())
            yield* marks.drain
          }
          assert.lengthOf(slack.calls, calls, error)
          assert.isFalse((yield* Progress).takeMissed())
        }).pipe(Effect.provide(bridgeOverScript(slack)))
      }
      const doubt = scriptedSlack({ "reactions.add": [unclear("already_reacted"), { ok: true }] })
      yield* Effect.gen(function*() {
        const marks = yield* Marks
        marks.set(eyes())
        yield* TestClock.adjust(500)
        yield* marks.drain
        assert.lengthOf(doubt.calls, 2)
      }).pipe(Effect.provide(bridgeOverScript(doubt)))
    }))

  it.effect("are set four at a time, and twenty thousand are remembered", () =>
    Effect.gen(function*() {
      const open = yield* Deferred.make<void>()
      const slack = scriptedSlack({ "reactions.add": Effect.as(Deferred.await(open), { ok: true }) })
      yield* Effect.gen(function*() {
        const marks = yield* Marks
        for (let index = 0; index < 20_000; index++) {
          marks.set(eyes(tsAt(index)))
          if (index === 8) {
            yield* TestClock.adjust(1)
            assert.lengthOf(slack.calls, 4)
            yield* Deferred.succeed(open, undefined)
          }
          if (index % 1_000 === 999) yield* marks.drain
        }
        marks.set(eyes(tsAt(0)))
        yield* marks.drain
        assert.lengthOf(slack.calls, 20_000)
        // One more, and all are forgotten.
        marks.set(eyes(tsAt(20_000)))
        marks.set(eyes(tsAt(0)))
        yield* marks.drain
        assert.lengthOf(slack.calls, 20_002)
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))
})

describe("notes", () => {
  it.effect("are posted once for a key, in their place, and hold nobody up", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({
        "chat.postMessage": [refused("is_archived"), {
          ok: true,
          ts: "1700000001.000001",
          message: { thread_ts: threadTs }
        }]
      })
      yield* Effect.gen(function*() {
        const notes = yield* Notes
        // Refused: logged, and free to be posted again.
        yield* notes.put("a", { channel, threadTs }, "words")
        yield* TestClock.adjust(1)
        for (let time = 0; time < 3; time++) yield* notes.put("a", { channel, threadTs }, "words")
        yield* TestClock.adjust(1)
        assert.lengthOf(slack.argsOf("chat.postMessage"), 2)
        assert.deepInclude(slack.argsOf("chat.postMessage")[1], { channel, thread_ts: threadTs })
        assert.include(JSON.stringify(slack.argsOf("chat.postMessage")[1]), "words")
        yield* notes.put("b", { channel }, "others")
        yield* TestClock.adjust(1)
        const [first, , third] = slack.argsOf("chat.postMessage")
        assert.notProperty(third, "thread_ts")
        assert.notDeepEqual(third?.["metadata"], first?.["metadata"])
        assert.isNotEmpty(JSON.stringify(first?.["metadata"]))
      }).pipe(Effect.provide(bridgeOverScript(slack)))
    }))
})

describe("progress", () => {
  it.effect("is written every two seconds, the newest only, once, and at the end", () =>
    Effect.gen(function*() {
      const written: Array<string> = []
      let broken = true
      const sandboxes = Layer.effect(
        Sandboxes,
        Effect.map(Sandboxes, (inner) =>
          Sandboxes.of({
            ...inner,
            update: (id, changes) =>
              broken ? Effect.die(new Error("a defect")) : Effect.sync(() => {
                written.push(`${id} ${changes.lastAcceptedTs}`)
                return true
              }).pipe(Effect.andThen(inner.update(id, changes)))
          }))
      ).pipe(Layer.provide(MemorySandboxes.layer))
      yield* Effect.gen(function*() {
        const progress = yield* Progress
        yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
        progress.accepted(sandbox, MessageTs.make("1700000000.000002"))
        progress.accepted(sandbox, MessageTs.make("1700000000.000001"))
        // A defect ends no loop.
        yield* TestClock.adjust(2_000)
        assert.deepStrictEqual(written, [])
        broken = false
        yield* TestClock.adjust(1_999)
        assert.deepStrictEqual(written, [])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(written, [`${sandbox} 1700000000.000002`])
        yield* TestClock.adjust(10_000)
        assert.lengthOf(written, 1)
        progress.accepted(sandbox, MessageTs.make("1700000000.000003"))
        assert.isFalse(progress.takeMissed())
        progress.missed()
        assert.isTrue(progress.takeMissed())
        assert.isFalse(progress.takeMissed())
      }).pipe(Effect.provide(Layer.provideMerge(Progress.layer, Layer.merge(sandboxes, Errands.layerMemory))))
      assert.deepStrictEqual(written.slice(1), [`${sandbox} 1700000000.000003`])
    }))

  it.effect("is never taken back, and none of one life is written into another's row", () =>
    Effect.gen(function*() {
      const lives: Array<unknown> = []
      const sandboxes = Layer.effect(
        Sandboxes,
        Effect.map(Sandboxes, (inner) =>
          Sandboxes.of({
            ...inner,
            update: (id, changes, whileRow) =>
              Effect.andThen(Effect.sync(() => void lives.push(whileRow)), inner.update(id, changes, whileRow))
          }))
      ).pipe(Layer.provide(MemorySandboxes.layer))
      yield* Effect.gen(function*() {
        const progress = yield* Progress
        const rows = yield* Sandboxes
        const newest = MessageTs.make("1700000000.000005")
        yield* rows.insert({ ...rowOf(sandbox, channel), generation: "g7", lastAcceptedTs: newest })
        progress.accepted(sandbox, MessageTs.make("1700000000.000004"))
        yield* progress.flush
        assert.deepStrictEqual(lives, [])
        progress.accepted(sandbox, MessageTs.make("1700000000.000006"))
        yield* progress.flush
        assert.deepStrictEqual(lives, [{ generation: "g7" }])
      }).pipe(Effect.provide(Layer.provideMerge(Progress.layer, Layer.merge(sandboxes, Errands.layerMemory))))
    }))

  it("knows the later of two timestamps", () => {
    assert.isTrue(isLater("1700000000.000002", "1700000000.000001"))
    assert.isFalse(isLater("1700000000.000001", "1700000000.000002"))
    assert.isFalse(isLater("9999999999.000001", "10000000000.000001"))
  })
})

const settled = (settings: object, state = makeMemoryIdempotencyState()) =>
  Installation.layer.pipe(
    Layer.provideMerge(MemoryIdempotency.layerOver(state)),
    Layer.provide(BridgeSettings.layer({
      install,
      host,
      publicUrl: "http://bridge.test",
      certifierPublicKey: certifier.publicKey,
      slackApiUrl: "http://slack.test/api/",
      operators: new Set(),
      rateScale: 1,
      ...settings
    })),
    Layer.fresh
  )

const verdict = (of: TeamId, app: string | undefined) =>
  Effect.flatMap(
    Installation,
    (installation) =>
      installation.check(of, app).pipe(Effect.match({ onSuccess: () => "ours", onFailure: (error) => error.reason }))
  )

const detail = (of: TeamId, app: string | undefined) =>
  Effect.flatMap(
    Installation,
    (installation) => Effect.map(Effect.flip(installation.check(of, app)), (error) => error.detail)
  )

describe("the app and workspace of an install", () => {
  const team = TeamId.make("T0TEAM0001")
  const other = TeamId.make("T0OTHER001")

  it.effect("are those of the configuration, each part of it that there is", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* verdict(team, "A1"), "ours")
        assert.strictEqual(yield* verdict(other, "A1"), "foreign")
        assert.strictEqual(yield* verdict(team, "A2"), "foreign")
        assert.strictEqual(yield* verdict(team, undefined), "foreign")
      }).pipe(Effect.provide(settled({ team, appId: "A1" })))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* verdict(other, "A1"), "foreign")
        assert.strictEqual(yield* verdict(team, "A1"), "ours")
        assert.strictEqual(yield* verdict(team, "A2"), "foreign")
      }).pipe(Effect.provide(settled({ team })))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* verdict(team, "A2"), "foreign")
        assert.strictEqual(yield* verdict(other, "A1"), "ours")
        assert.strictEqual(yield* verdict(team, "A1"), "foreign")
      }).pipe(Effect.provide(settled({ appId: "A1" })))
    }))

  it.effect("are named where they are others'", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* detail(other, "A1"), `workspace ${other}`)
        assert.strictEqual(yield* detail(team, "A2"), "app A2")
        assert.strictEqual(yield* detail(team, undefined), "app unknown")
      }).pipe(Effect.provide(settled({ team, appId: "A1" })))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* detail(team, undefined), "no app id")
        yield* verdict(team, "A1")
        assert.strictEqual(yield* detail(team, "A2"), `${team}/A2`)
        assert.strictEqual(yield* detail(other, "A1"), `${other}/A1`)
      }).pipe(Effect.provide(settled({})))
    }))

  it.effect("are pinned from the first event, for whoever comes later, for ten years", () =>
    Effect.gen(function*() {
      const state = makeMemoryIdempotencyState()
      assert.strictEqual(yield* Effect.provide(verdict(team, undefined), settled({}, state)), "foreign")
      assert.strictEqual(yield* Effect.provide(verdict(team, "A1"), settled({}, state)), "ours")
      yield* TestClock.adjust(10 * 365 * 86_400_000 - 1)
      assert.strictEqual(yield* Effect.provide(verdict(other, "A1"), settled({}, state)), "foreign")
      assert.strictEqual(yield* Effect.provide(verdict(team, "A1"), settled({}, state)), "ours")
    }))

  it.effect("are judged by the configuration alone while another bridge pins them, which may take a second", () =>
    Effect.gen(function*() {
      yield* (yield* Idempotency).begin(`${install}/bridge`, "installation", "", 1_000)
      assert.strictEqual(yield* verdict(team, "A1"), "ours")
      assert.strictEqual(yield* verdict(other, "A1"), "ours")
      yield* TestClock.adjust(1_000)
      assert.strictEqual(yield* verdict(team, "A1"), "ours")
      assert.strictEqual(yield* verdict(other, "A1"), "foreign")
    }).pipe(Effect.provide(settled({}))))
})
