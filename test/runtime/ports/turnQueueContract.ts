/** What every engine's queue must do: SQS FIFO's promises, checked on Effect's clock. */
import { assert, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Option } from "effect"
import { GroupId, SandboxId, TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { aheadLimit, turnQueueLimits } from "../../../runtime/ports/QueueRules.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import type { Seen } from "../../../runtime/ports/Seen.ts"
import { type QueueEntry, TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { acceptContract } from "./acceptContract.ts"
import { type Engine, timeOf } from "./Engine.ts"
import { sandboxRow } from "./sandboxesContract.ts"

const queue = SandboxId.make("sb-00000001")
const other = SandboxId.make("sb-00000002")
const entry = (key: string, group = "g1"): QueueEntry => ({
  key: TurnKey.make(`T1:C1:${key}`),
  group: GroupId.make(group),
  body: `body of ${key}`
})
/** SQS refuses a queue's name for 60 s after its deletion. */
const nameRest = Duration.seconds(61)
const now = { wait: Duration.zero, visibility: Duration.seconds(120) }

const receive = Effect.fnUntraced(function*(name = queue, options = now) {
  const turns = yield* TurnQueue
  return Option.getOrUndefined(yield* turns.receive(name, options))
})
const mustReceive = Effect.fnUntraced(function*(name = queue) {
  const received = yield* receive(name)
  return received ?? (yield* Effect.die("nothing was received"))
})
const reasonOf = (error: { readonly _tag: string; readonly why?: string }): string => error.why ?? error._tag
const sendAll = Effect.fnUntraced(function*(entries: ReadonlyArray<QueueEntry>) {
  const turns = yield* TurnQueue
  yield* turns.create(queue)
  for (const each of entries) yield* turns.send(queue, each)
  return turns
})

export type QueuePorts = TurnQueue | Sandboxes | Seen

export const turnQueueContract = <LE>(engine: Engine<QueuePorts, LE>): void => {
  const { almost, exact, near, passTime, over } = timeOf(engine)
  const test = <E>(name: string, body: () => Effect.Effect<void, E, QueuePorts>) =>
    it.effect(name, () => Effect.provide(Effect.suspend(body), engine.layer))
  acceptContract(test, passTime)

  test("gives back what was sent", () =>
    Effect.gen(function*() {
      const sentAt = yield* Clock.currentTimeMillis
      yield* sendAll([entry("a")])
      const received = yield* mustReceive()
      assert.deepStrictEqual(
        { key: received.key, group: received.group, body: received.body },
        entry("a")
      )
      assert.strictEqual(received.receiveCount, 1)
      near(received.sentAt, sentAt)
      assert.isNotEmpty(received.receipt)
    }))

  test("keeps the order within a group, one in flight at a time", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1"), entry("a2"), entry("a3")])
      for (const key of ["a1", "a2", "a3"]) {
        const received = yield* mustReceive()
        assert.strictEqual(received.key, entry(key).key)
        assert.isUndefined(yield* receive())
        yield* turns.delete(queue, received.receipt)
      }
      assert.isUndefined(yield* receive())
    }))

  test("groups do not wait for each other, and the oldest message comes first", () =>
    Effect.gen(function*() {
      yield* sendAll([entry("a1", "a"), entry("a2", "a"), entry("b1", "b"), entry("c1", "c"), entry("b2", "b")])
      const keys = [yield* mustReceive(), yield* mustReceive(), yield* mustReceive()].map(({ key }) => key)
      const expected = [entry("a1").key, entry("b1").key, entry("c1").key]
      // SQS FIFO keeps the order within a group and promises none between groups.
      assert.deepStrictEqual(exact ? keys : keys.toSorted(), expected)
      assert.isUndefined(yield* receive())
    }))

  test("queues do not see each other", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      yield* turns.create(other)
      assert.isUndefined(yield* receive(other))
      yield* turns.send(other, entry("a"))
      assert.deepStrictEqual(yield* turns.depth(other), { waiting: 1, inFlight: 0, dead: 0 })
    }))

  test("is visible again exactly when visibility ends, before what came after it", () =>
    Effect.gen(function*() {
      yield* sendAll([entry("a1"), entry("a2")])
      const first = yield* mustReceive()
      yield* almost("120 seconds")
      assert.isUndefined(yield* receive())
      yield* over
      const second = yield* mustReceive()
      assert.strictEqual(second.key, first.key)
      assert.strictEqual(second.receiveCount, 2)
      assert.notStrictEqual(second.receipt, first.receipt)
    }))

  test("an extension counts from now", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      const { receipt } = yield* mustReceive()
      yield* passTime("100 seconds")
      yield* turns.extend(queue, receipt, Duration.seconds(120))
      yield* almost("120 seconds")
      assert.isUndefined(yield* receive())
      yield* over
      assert.isDefined(yield* receive())
    }))

  test("an extension to nothing shows the message at once", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      const { receipt } = yield* mustReceive()
      yield* turns.extend(queue, receipt, Duration.zero)
      assert.strictEqual((yield* mustReceive()).receiveCount, 2)
    }))

  test("one receive holds a message 12 hours at most", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      const { receipt } = yield* mustReceive()
      for (let hour = 0; hour < 11; hour++) {
        yield* turns.extend(queue, receipt, Duration.hours(2))
        yield* passTime("1 hour")
      }
      yield* turns.extend(queue, receipt, Duration.hours(2))
      yield* almost("1 hour")
      assert.isUndefined(yield* receive())
      yield* over
      assert.isDefined(yield* receive())
    }))

  test("a receipt ends with its visibility, with a later receive, and with the message", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      const old = yield* mustReceive()
      yield* passTime("120 seconds")
      const expired = [
        turns.extend(queue, old.receipt, Duration.seconds(1)),
        turns.delete(queue, old.receipt)
      ].map((effect) => Effect.flip(effect))
      for (const effect of expired) assert.strictEqual((yield* effect)._tag, "ReceiptExpired")
      const young = yield* mustReceive()
      for (const effect of expired) assert.strictEqual((yield* effect)._tag, "ReceiptExpired")
      yield* turns.delete(queue, young.receipt)
      const gone = yield* Effect.flip(turns.delete(queue, young.receipt))
      assert.strictEqual(gone._tag, "ReceiptExpired")
    }))

  test("a key is sent once in five minutes, even once deleted", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      yield* turns.send(queue, { ...entry("a"), body: "again" })
      const received = yield* mustReceive()
      assert.strictEqual(received.body, "body of a")
      yield* turns.delete(queue, received.receipt)
      yield* almost("5 minutes")
      yield* turns.send(queue, entry("a"))
      assert.isUndefined(yield* receive())
      yield* over
      yield* turns.send(queue, entry("a"))
      assert.isDefined(yield* receive())
    }))

  test("a key is there once, however long it waits, flies or is dead", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      const again = Effect.andThen(passTime("6 minutes"), turns.send(queue, { ...entry("a"), body: "again" }))
      yield* again
      assert.lengthOf(yield* turns.keys(queue), 1)
      for (let count = 1; count <= 5; count++) {
        assert.strictEqual((yield* mustReceive()).body, "body of a")
        yield* again
      }
      assert.isUndefined(yield* receive())
      yield* again
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 0, inFlight: 0, dead: 1 })
    }))

  test("is dead at the sixth receive, which frees its group", () =>
    Effect.gen(function*() {
      const start = yield* Clock.currentTimeMillis
      const turns = yield* sendAll([entry("a1"), entry("a2")])
      for (let count = 1; count <= 5; count++) {
        assert.strictEqual((yield* mustReceive()).receiveCount, count)
        assert.deepStrictEqual(yield* turns.deadLetters(queue), [])
        yield* passTime("120 seconds")
      }
      assert.strictEqual((yield* mustReceive()).key, entry("a2").key)
      const [dead, ...others] = yield* turns.deadLetters(queue)
      assert.deepStrictEqual(
        { ...dead, deadAt: 0 },
        { ...entry("a1"), generation: 1, receiveCount: 5, deadAt: 0, noticed: false }
      )
      near(dead?.deadAt, start + 600_000)
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 0, inFlight: 1, dead: 1 })
      yield* turns.markNoticed(queue, entry("a1").key)
      assert.isTrue((yield* turns.deadLetters(queue))[0]?.noticed)
    }))

  test("destruction takes the dead letters along", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1")])
      for (let count = 1; count <= 5; count++) {
        yield* mustReceive()
        yield* passTime("120 seconds")
      }
      assert.isUndefined(yield* receive())
      assert.lengthOf(yield* turns.deadLetters(queue), 1)
      yield* turns.destroy(queue)
      assert.deepStrictEqual(yield* turns.deadLetters(queue), [])
      yield* passTime(nameRest)
      yield* turns.create(queue)
      assert.deepStrictEqual(yield* turns.deadLetters(queue), [])
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 0, inFlight: 0, dead: 0 })
      yield* (yield* Sandboxes).insert(sandboxRow(queue))
      assert.isFalse(yield* turns.redrive(queue, entry("a1").key, "1"))
    }))

  const brief = { ...now, visibility: Duration.seconds(1) }

  test("redrive puts a dead message back at the end, counted from zero, as its next generation", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1")])
      yield* (yield* Sandboxes).insert(sandboxRow(queue))
      const { key } = entry("a1")
      const deadly = Effect.forEach(
        [1, 2, 3, 4, 5],
        () => Effect.andThen(receive(queue, brief), passTime("1 second"))
      )
      yield* deadly
      assert.isUndefined(yield* receive())
      yield* turns.markNoticed(queue, key)
      yield* turns.send(queue, entry("a2"))
      // Well within five minutes of the first send.
      assert.isTrue(yield* turns.redrive(queue, key, "1"))
      assert.isFalse(yield* turns.redrive(queue, key, "1"))
      assert.deepStrictEqual(yield* turns.deadLetters(queue), [])
      const first = yield* mustReceive()
      assert.strictEqual(first.key, entry("a2").key)
      yield* turns.delete(queue, first.receipt)
      const second = Option.getOrThrow(yield* turns.receive(queue, brief))
      assert.deepStrictEqual([second.key, second.receiveCount], [key, 1])
      yield* passTime("1 second")
      yield* deadly
      assert.isUndefined(yield* receive())
      const [again] = yield* turns.deadLetters(queue)
      assert.deepStrictEqual([again?.generation, again?.noticed], [2, false])
    }))

  test("redrives nothing for a sandbox whose end has begun, or for another life of it", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1")])
      const sandboxes = yield* Sandboxes
      const { key } = entry("a1")
      const refused = (generation: string) => Effect.map(Effect.flip(turns.redrive(queue, key, generation)), reasonOf)
      for (let count = 0; count < 6; count++) yield* turns.receive(queue, { ...now, visibility: Duration.zero })
      assert.strictEqual(yield* refused("1"), "gone")
      yield* sandboxes.insert(sandboxRow(queue))
      assert.strictEqual(yield* refused("0"), "replaced")
      yield* sandboxes.update(queue, { desired: "destroyed", status: "destroying" })
      assert.strictEqual(yield* refused("1"), "ending")
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 0, inFlight: 0, dead: 1 })
    }))

  test("replaces a waiting message, not one in flight", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1"), entry("a2")])
      const first = yield* mustReceive()
      assert.strictEqual(yield* turns.replace(queue, entry("a1").key, "new"), "in-flight")
      assert.strictEqual(yield* turns.replace(queue, entry("a2").key, "new"), "replaced")
      assert.strictEqual(yield* turns.replace(queue, entry("a3").key, "new"), "absent")
      yield* turns.delete(queue, first.receipt)
      assert.strictEqual(yield* turns.replace(queue, entry("a1").key, "new"), "absent")
      const second = yield* mustReceive()
      assert.deepStrictEqual([first.body, second.body], ["body of a1", "new"])
    }))

  test("withdraws a waiting message, not one in flight; its key stays known", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1"), entry("a2"), entry("a3")])
      const first = yield* mustReceive()
      assert.strictEqual(yield* turns.withdraw(queue, entry("a1").key), "in-flight")
      assert.strictEqual(yield* turns.withdraw(queue, entry("a2").key), "withdrawn")
      assert.strictEqual(yield* turns.withdraw(queue, entry("a2").key), "absent")
      yield* turns.send(queue, entry("a2"))
      yield* turns.delete(queue, first.receipt)
      assert.strictEqual((yield* mustReceive()).key, entry("a3").key)
    }))

  test("withdrawing the first of a group lets the next one through", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1"), entry("a2")])
      assert.strictEqual(yield* turns.withdraw(queue, entry("a1").key), "withdrawn")
      assert.strictEqual((yield* mustReceive()).key, entry("a2").key)
    }))

  test("says what is before a message that waits, in its group and in others", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: aheadLimit + 1 }, (_, n) => entry(`m${n}`, "many"))
      const first = [entry("a1", "a"), entry("b1", "b"), entry("a2", "a"), entry("c1", "c"), entry("a3", "a")]
      const turns = yield* sendAll([...first, ...many])
      const ahead = (key: string, group: string) =>
        Effect.map(turns.ahead(queue, entry(key, group)), Option.getOrUndefined)
      assert.deepStrictEqual(yield* ahead("a1", "a"), { inGroup: 0, otherGroups: 0 })
      assert.strictEqual((yield* ahead("a3", "a"))?.inGroup, 2)
      assert.strictEqual((yield* ahead(`m${aheadLimit - 1}`, "many"))?.inGroup, aheadLimit - 1)
      assert.strictEqual((yield* ahead(`m${aheadLimit}`, "many"))?.inGroup, aheadLimit)
      assert.isUndefined(yield* ahead("nobody", "a"))
      assert.isUndefined(yield* ahead("nobody", "many"))
      // Of another group there is no such message.
      assert.isUndefined(yield* ahead("a2", "b"))
      const received = new Set([yield* mustReceive(), yield* mustReceive()].map(({ key }) => key))
      for (const head of [entry("a1", "a"), entry("b1", "b"), entry("c1", "c"), entry("m0", "many")]) {
        assert.deepStrictEqual(
          Option.getOrUndefined(yield* turns.ahead(queue, head)),
          received.has(head.key) ? undefined : { inGroup: 0, otherGroups: 2 }
        )
      }
    }))

  test("shows one message by its key, and all keys, oldest first, and counts", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1", "a"), entry("b1", "b"), entry("a2", "a"), entry("b2", "b")])
      const states = Effect.map(turns.keys(queue), (keys) =>
        keys.map(({ group, key, state }) => `${key} ${group} ${state}`))
      const get = (key: string) =>
        Effect.map(turns.get(queue, entry(key).key), Option.getOrUndefined)
      const { receipt } = yield* mustReceive()
      assert.deepStrictEqual(yield* states, [
        "T1:C1:a1 a in-flight",
        "T1:C1:b1 b waiting",
        "T1:C1:a2 a waiting",
        "T1:C1:b2 b waiting"
      ])
      const ofGroup = Effect.map(turns.keys(queue, entry("b1", "b").group), (keys) => keys.map(({ key }) => key))
      assert.deepStrictEqual(yield* ofGroup, [entry("b1").key, entry("b2").key])
      assert.deepStrictEqual(yield* get("a1"), { ...entry("a1", "a"), state: "in-flight" })
      assert.deepStrictEqual(yield* get("b2"), { ...entry("b2", "b"), state: "waiting" })
      assert.isUndefined(yield* get("c1"))
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 3, inFlight: 1, dead: 0 })
      yield* turns.extend(queue, receipt, Duration.seconds(120))
      yield* almost("120 seconds")
      assert.strictEqual((yield* get("a1"))?.state, "in-flight")
      yield* over
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 4, inFlight: 0, dead: 0 })
      assert.strictEqual((yield* get("a1"))?.state, "waiting")
      assert.strictEqual((yield* states)[0], "T1:C1:a1 a waiting")
    }))

  test("tells the depths of all queues that hold anything, at once", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a1", "a"), entry("a2", "a"), entry("b1", "b")])
      yield* turns.create(other)
      yield* mustReceive()
      assert.deepStrictEqual(yield* turns.occupied, new Map([[queue, { waiting: 2, inFlight: 1, dead: 0 }]]))
      yield* turns.send(other, entry("a"))
      yield* passTime("120 seconds")
      for (let count = 1; count <= 5; count++) {
        yield* receive(other)
        yield* passTime("120 seconds")
      }
      yield* receive(other)
      const depths = yield* turns.occupied
      assert.deepStrictEqual(depths.get(queue), yield* turns.depth(queue))
      assert.deepStrictEqual(depths.get(other), { waiting: 0, inFlight: 0, dead: 1 })
      yield* turns.destroy(other)
      yield* turns.destroy(queue)
      assert.deepStrictEqual(yield* turns.occupied, new Map())
    }))

  test("a receive that waits is woken by a send", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([])
      const waiting = yield* Effect.forkChild(receive(queue, { ...now, wait: Duration.seconds(20) }), {
        startImmediately: true
      })
      yield* turns.send(queue, entry("a"))
      assert.strictEqual((yield* Fiber.join(waiting))?.key, entry("a").key)
    }))

  test("a receive that waits ends with none, and takes what becomes visible meanwhile", () =>
    Effect.gen(function*() {
      yield* sendAll([entry("a")])
      const none = yield* Effect.forkChild(receive(other, { ...now, wait: Duration.seconds(3) }).pipe(Effect.flip), {
        startImmediately: true
      })
      assert.strictEqual((yield* Fiber.join(none))._tag, "QueueMissing")
      yield* mustReceive()
      yield* passTime("115 seconds")
      const waiting = yield* Effect.forkChild(receive(queue, { ...now, wait: Duration.seconds(20) }), {
        startImmediately: true
      })
      yield* passTime("5 seconds")
      assert.strictEqual((yield* Fiber.join(waiting))?.receiveCount, 2)
      const empty = yield* Effect.forkChild(receive(queue, { ...now, wait: Duration.seconds(20) }), {
        startImmediately: true
      })
      yield* passTime("20 seconds")
      assert.isUndefined(yield* Fiber.join(empty))
    }))

  // SQS says that a queue is gone up to 60 s late, and a long poll that began before simply ends with nothing.
  if (exact) {
    test("a receive that waits ends when its queue is destroyed", () =>
      Effect.gen(function*() {
        const turns = yield* sendAll([])
        const waiting = yield* Effect.forkChild(
          Effect.flip(turns.receive(queue, { ...now, wait: Duration.seconds(20) })),
          { startImmediately: true }
        )
        yield* turns.destroy(queue)
        assert.strictEqual((yield* Fiber.join(waiting))._tag, "QueueMissing")
      }))
  }

  test("creation and destruction are idempotent; a queue that is gone is missing", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([entry("a")])
      yield* turns.create(queue)
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 1, inFlight: 0, dead: 0 })
      yield* turns.destroy(queue)
      yield* turns.destroy(queue)
      assert.strictEqual((yield* Effect.flip(turns.send(queue, entry("b"))))._tag, "QueueMissing")
      assert.strictEqual((yield* Effect.flip(turns.receive(queue, now)))._tag, "QueueMissing")
      assert.strictEqual(yield* turns.replace(queue, entry("a").key, "new"), "absent")
      assert.strictEqual(yield* turns.withdraw(queue, entry("a").key), "absent")
      assert.deepStrictEqual(yield* turns.keys(queue), [])
      assert.isTrue(Option.isNone(yield* turns.get(queue, entry("a").key)))
      yield* passTime(nameRest)
      yield* turns.create(queue)
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 0, inFlight: 0, dead: 0 })
      yield* turns.send(queue, entry("a"))
      assert.deepStrictEqual(yield* turns.depth(queue), { waiting: 1, inFlight: 0, dead: 0 })
    }))

  test("refuses a body that SQS would refuse, counted in bytes, and stores nothing", () =>
    Effect.gen(function*() {
      const turns = yield* sendAll([])
      const most = "é".repeat(turnQueueLimits.maxBodyBytes / 2)
      const refused = yield* Effect.flip(turns.send(queue, { ...entry("a"), body: `${most}x` }))
      assert.strictEqual(refused._tag === "StoreError" ? refused.reason : refused._tag, "TooLarge")
      assert.deepStrictEqual(yield* turns.keys(queue), [])
      yield* turns.send(queue, { ...entry("a"), body: most })
      const again = yield* Effect.flip(turns.replace(queue, entry("a").key, `${most}x`))
      assert.strictEqual(again.reason, "TooLarge")
      assert.strictEqual((yield* mustReceive()).body, most)
    }))
}
