import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { makeLivePoster, nothingSaid } from "../../../plugins/transcript/LivePoster.ts"
import { MessageTs, requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { atRest } from "../../support/eventually.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { channel } from "../../support/turnRows.ts"

const threadTs = MessageTs.make("1700000000.000001")

/** A poster over a text that the test changes. */
const setUp = Effect.fnUntraced(function*(options: Parameters<typeof recordingBridge>[0] = {}) {
  const recording = recordingBridge(options)
  const bridge = yield* Effect.provide(Bridge, recording.layer)
  let text = ""
  const poster = yield* makeLivePoster({
    bridge,
    channel,
    thread: Effect.succeed(threadTs),
    live: requestIdOf("live"),
    key: "T:C:1",
    text: () => text
  })
  const sets = () =>
    recording.calls.flatMap(({ action, patience }) =>
      action.action === "live.set" ? [{ text: action.markdown, seq: action.seq, patience }] : []
    )
  return {
    recording,
    poster,
    sets,
    texts: () => sets().map((set) => set.text),
    write: (next: string) => {
      text = next
      poster.changed()
    }
  }
})

describe("LivePoster", () => {
  it.effect("shows the first text at once, then at most one a second, and always the last", () =>
    Effect.gen(function*() {
      const { texts, write } = yield* setUp()
      write("a")
      yield* atRest
      assert.deepStrictEqual(texts(), ["a"])
      for (const next of ["b", "c", "d"]) {
        write(next)
        yield* TestClock.adjust("300 millis")
      }
      assert.deepStrictEqual(texts(), ["a"])
      yield* TestClock.adjust("99 millis")
      yield* atRest
      assert.deepStrictEqual(texts(), ["a"], "999 ms after the first")
      yield* TestClock.adjust("1 millis")
      yield* atRest
      assert.deepStrictEqual(texts(), ["a", "d"])
      yield* TestClock.adjust("10 seconds")
      yield* atRest
      assert.deepStrictEqual(texts(), ["a", "d"], "nothing new, nothing sent")
    }))

  it.effect("does not leave standing what is no longer so when there is nothing else to show", () =>
    Effect.gen(function*() {
      const { poster, sets, texts, write } = yield* setUp()
      assert.deepStrictEqual(yield* poster.flush(nothingSaid), [])
      assert.deepStrictEqual(texts(), [])
      write("_⏳ retry 1 of 4_")
      yield* atRest
      write("")
      yield* poster.flush(nothingSaid)
      assert.deepStrictEqual(sets().map(({ patience }) => patience), ["besteffort", "durable"])
      assert.notInclude(texts()[1], "retry")
    }))

  it.effect("never sends an empty or an unchanged text", () =>
    Effect.gen(function*() {
      const { poster, texts, write } = yield* setUp()
      write("")
      yield* TestClock.adjust("5 seconds")
      yield* atRest
      assert.deepStrictEqual(yield* poster.flush(nothingSaid), [])
      write("a")
      yield* atRest
      write("b")
      write("a")
      yield* TestClock.adjust("5 seconds")
      yield* atRest
      assert.deepStrictEqual(texts(), ["a"])
    }))

  it.effect("tries again, ever less often, what did not get through, and shows the newest then", () =>
    Effect.gen(function*() {
      let down = true
      const { sets, write } = yield* setUp({ refuse: () => down ? "unavailable" : undefined })
      write("a")
      yield* atRest
      yield* TestClock.adjust("2 seconds")
      yield* atRest
      yield* TestClock.adjust("4 seconds")
      yield* atRest
      assert.strictEqual(sets().length, 3, "at 0, 2 and 6 s")
      write("b")
      down = false
      yield* TestClock.adjust("8 seconds")
      yield* atRest
      assert.deepStrictEqual(sets().at(-1)?.text, "b")
      assert.strictEqual(sets().length, 4)
      // It got through: from here on the pauses are short again.
      for (const [n, next] of ["c", "d", "e"].entries()) {
        write(next)
        yield* TestClock.adjust("1 second")
        yield* atRest
        assert.strictEqual(sets().length, 5 + n)
      }
    }))

  it.effect("stops when Slack has refused for good", () =>
    Effect.gen(function*() {
      const { poster, sets, write } = yield* setUp({ refuse: () => "is_archived" })
      write("a")
      yield* atRest
      write("b")
      yield* TestClock.adjust("1 hour")
      yield* atRest
      assert.strictEqual(sets().length, 1)
      assert.strictEqual((yield* Effect.flip(poster.flush(nothingSaid))).code, "is_archived")
    }))

  it.effect("ends with a durable set of the newest text, whose number is higher than all before", () =>
    Effect.gen(function*() {
      const { poster, recording, sets, write } = yield* setUp()
      write("a")
      yield* atRest
      write("b")
      const parts = yield* poster.flush(nothingSaid)
      assert.strictEqual(parts.length, 1)
      assert.deepStrictEqual(sets().map(({ text, patience }) => [text, patience]), [
        ["a", "besteffort"],
        ["b", "durable"]
      ])
      yield* poster.flush(nothingSaid)
      const seqs = sets().map(({ seq }) => seq)
      assert.deepStrictEqual(seqs, [...new Set(seqs)].toSorted((a, b) => a - b))
      assert.strictEqual(recording.effects().length, 2, "the same end again is the same call")
      yield* TestClock.adjust("1 minute")
      yield* atRest
      assert.strictEqual(sets().length, 3)
    }))

  it.effect("ends without waiting for a call that hangs", () =>
    Effect.gen(function*() {
      let calls = 0
      const bridge = Bridge.of({
        call: ({ patience }) =>
          Effect.suspend(() => {
            calls += 1
            return patience === "besteffort" ? Effect.never : Effect.succeed({ ok: true, parts: [{ ts: threadTs }] })
          })
      })
      const poster = yield* makeLivePoster({
        bridge,
        channel,
        thread: Effect.succeed(threadTs),
        live: requestIdOf("live"),
        key: "k",
        text: () => "text"
      })
      poster.changed()
      yield* atRest
      assert.deepStrictEqual(yield* poster.flush(nothingSaid), [{ ts: threadTs }])
      assert.strictEqual(calls, 2)
    }))

  it.effect("goes on counting where an earlier runtime stopped", () =>
    Effect.gen(function*() {
      const first = yield* setUp()
      first.write("a")
      yield* atRest
      yield* TestClock.adjust("1 second")
      const second = yield* setUp()
      second.write("b")
      yield* atRest
      assert.isAbove(second.sets()[0]?.seq ?? 0, first.sets()[0]?.seq ?? Number.MAX_VALUE)
    }))

  it.effect("waits for its thread, and gives up when there is none", () =>
    Effect.gen(function*() {
      const recording = recordingBridge()
      const bridge = yield* Effect.provide(Bridge, recording.layer)
      const found = yield* Deferred.make<MessageTs | undefined>()
      const poster = yield* makeLivePoster({
        bridge,
        channel,
        thread: Deferred.await(found),
        live: requestIdOf("live"),
        key: "k",
        text: () => "text"
      })
      poster.changed()
      const flushed = yield* Effect.forkChild(poster.flush(nothingSaid))
      yield* atRest
      assert.strictEqual(recording.calls.length, 0)
      yield* Deferred.succeed(found, undefined)
      assert.deepStrictEqual(yield* Fiber.join(flushed), [])
      assert.strictEqual(recording.calls.length, 0)
    }))
})
