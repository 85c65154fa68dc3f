/** What fibers of a process make of errands: bounds, what goes first at the bound, and the end of the process. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger, Schema } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { ChannelId, MessageTs, UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import {
  Errand,
  type ErrandKind,
  Errands,
  errandsGrace,
  maxErrandBytes,
  maxWaitingErrands
} from "../../../runtime/ports/Errands.ts"

const channel = ChannelId.make("C123")
const mark = (n: number): Errand => ({
  _tag: "Mark",
  channel,
  ts: MessageTs.make(`17${String(n).padStart(8, "0")}.000001`),
  emoji: "eyes"
})
const note = (n: number, markdown = "text"): Errand => ({ _tag: "Note", key: `n${n}`, channel, markdown })
const lookUp = (n: number): Errand => ({ _tag: "LookUp", who: UserId.make(`U${String(n).padStart(8, "0")}`) })

const nameOf = (errand: Errand): string => {
  switch (errand._tag) {
    case "Mark":
      return `mark ${errand.ts}`
    case "Note":
      return `note ${errand.key}`
    case "Whisper":
      return `whisper ${errand.key}`
    case "Question":
      return `question ${errand.question}`
    case "SessionStatus":
      return `session ${errand.threadTs}`
    case "LookUp":
      return `look-up ${errand.who}`
    case "CatchUp":
      return "catch-up"
  }
}

/** Handlers that write down what they do; nothing is done before `open`. */
const scene = Effect.gen(function*() {
  const errands = yield* Errands
  const open = yield* Deferred.make<void>()
  const done: Array<string> = []
  const dropped: Array<string> = []
  const kinds: ReadonlyArray<ErrandKind> = ["Mark", "Note", "Whisper", "Question", "SessionStatus", "LookUp", "CatchUp"]
  const handleAll = Effect.forEach(kinds, (kind) =>
    errands.handle(kind, {
      run: (errand) => Effect.andThen(Deferred.await(open), Effect.sync(() => void done.push(nameOf(errand)))),
      dropped: (errand) => void dropped.push(nameOf(errand))
    }), { discard: true })
  yield* handleAll
  const drain = errands.drain(...kinds)
  const go = Effect.andThen(Deferred.succeed(open, undefined), drain)
  return { ...errands, open, done, dropped, drain, go }
})
const test = <E>(name: string, body: () => Effect.Effect<void, E, Errands>) =>
  it.effect(name, () => Effect.provide(Effect.suspend(body), [Errands.layerMemory, Logger.layer([])]))

describe("errands on fibers", () => {
  it.effect.prop(
    "an errand is data: it is the same after it has travelled",
    [Errand],
    ([errand]) =>
      Effect.gen(function*() {
        const text = Schema.fromJsonString(Errand)
        assert.deepStrictEqual(
          yield* Schema.decodeEffect(text)(yield* Schema.encodeEffect(text)(errand)),
          errand
        )
      })
  )

  test("are all done, also those that were given before there was a handler", () =>
    Effect.gen(function*() {
      const errands = yield* Errands
      errands.give(mark(1))
      errands.give(note(1))
      const { done, dropped, give, go } = yield* scene
      for (const errand of [lookUp(1), { _tag: "CatchUp" } as const]) give(errand)
      yield* go
      assert.sameMembers(done, ["mark 1700000001.000001", "note n1", "look-up U00000001", "catch-up"])
      assert.deepStrictEqual(dropped, [])
    }))

  test("at the bound look-ups go first, then notes, and marks only when nothing else waits", () =>
    Effect.gen(function*() {
      const { done, dropped, give, go } = yield* scene
      // No fiber has taken anything yet: all of these wait.
      for (const n of [1, 2]) give(lookUp(n))
      give(note(1))
      for (let n = 4; n <= maxWaitingErrands; n++) give(mark(n))
      assert.deepStrictEqual(dropped, [])
      for (const n of [10_001, 10_002]) give(mark(n))
      assert.deepStrictEqual(dropped, ["look-up U00000001", "look-up U00000002"])
      give(lookUp(3))
      assert.deepStrictEqual(dropped.slice(2), ["look-up U00000003"], "what is worth least is not taken")
      give(note(2))
      give(mark(10_003))
      assert.deepStrictEqual(dropped.slice(3), ["note n2", "note n1"])
      give(mark(10_004))
      assert.deepStrictEqual(dropped.slice(5), ["mark 1700010004.000001"])
      // A catch-up is what makes them good: it always finds room, once.
      for (const _ of [1, 2]) give({ _tag: "CatchUp" })
      assert.lengthOf(dropped, 6)
      yield* go
      assert.lengthOf(done, maxWaitingErrands + 1)
    }))

  test("one that no queue would carry is dropped, its neighbours are not", () =>
    Effect.gen(function*() {
      const { done, dropped, give, go } = yield* scene
      give(note(1, "é".repeat(maxErrandBytes / 2)))
      give(note(2, "x".repeat(maxErrandBytes - 200)))
      yield* go
      assert.deepStrictEqual([dropped, done], [["note n1"], ["note n2"]])
    }))

  test("one that ends in a defect is not asked for again, and the others go on", () =>
    Effect.gen(function*() {
      const errands = yield* Errands
      const dropped: Array<string> = []
      const done: Array<string> = []
      yield* errands.handle("Note", {
        run: ({ key }) => key === "n9" ? Effect.sync(() => void done.push(key)) : Effect.die(new Error("poison")),
        dropped: ({ key }) => void dropped.push(key)
      })
      for (let n = 0; n < 10; n++) errands.give(note(n))
      yield* errands.drain("Note")
      assert.deepStrictEqual([done, dropped], [["n9"], []])
    }))

  test("a kind that hangs keeps no other kind waiting", () =>
    Effect.gen(function*() {
      const errands = yield* Errands
      yield* errands.handle("Note", { run: () => Effect.never, dropped: () => undefined })
      const done = yield* Deferred.make<void>()
      yield* errands.handle("Mark", { run: () => Deferred.succeed(done, undefined), dropped: () => undefined })
      for (let n = 0; n < 100; n++) errands.give(note(n))
      errands.give(mark(1))
      yield* Deferred.await(done)
    }))

  test("at the end what was given is done, and what comes then is dropped", () =>
    Effect.gen(function*() {
      const { close, done, dropped, give, open } = yield* scene
      give(mark(1))
      give(note(1))
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      give(mark(2))
      assert.deepStrictEqual(dropped, ["mark 1700000002.000001"])
      yield* Deferred.succeed(open, undefined)
      yield* Fiber.join(closing)
      assert.sameMembers(done, ["mark 1700000001.000001", "note n1"])
    }))

  test("the end is not kept waiting for longer than its bound", () =>
    Effect.gen(function*() {
      const { close, done, give } = yield* scene
      give(mark(1))
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust(errandsGrace)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(done, [])
    }))
})
