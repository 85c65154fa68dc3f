/** Which messages become part of a turn that is about to begin, and how long it waits for them. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { follows, joinBurst, longestMillis, maxJoined, quietMillis } from "../../../plugins/slack-inbound/Bursts.ts"
import { replayTurnKey, UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { TurnRequest } from "../../../runtime/domain/turn/Turn.ts"
import { memoryQueue } from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { Turns } from "../../../runtime/ports/Turns.ts"
import { queueEntry, sandbox, slackRequest, turnRow } from "../../support/turnRows.ts"

const of = (n: number, acceptedAt: number, changes: Partial<TurnRequest> = {}): TurnRequest => ({
  ...slackRequest(n, { thread: 1, acceptedAt }),
  ...changes
})
const grace = UserId.make("U0GRACE")
const by = (request: TurnRequest, user: UserId): TurnRequest =>
  request.origin.kind === "slack" ? { ...request, origin: { ...request.origin, user } } : request

/** The first message is in flight; `joined` are the texts that were taken, in order. */
const world = Effect.fnUntraced(function*(first: TurnRequest) {
  const queue = memoryQueue(makeMemoryTurnQueueState())
  yield* queue.create(sandbox)
  const joined: Array<string> = []
  /** Happens once between the look and the claim. */
  const state = { between: Effect.void as Effect.Effect<unknown, unknown>, late: false }
  const turns = Turns.of({
    slot: Effect.void,
    submit: () => Effect.die("not here"),
    settled: () => Effect.void,
    stop: () => Effect.succeed(false),
    health: Effect.die("not here"),
    changes: Effect.die("not here"),
    join: (_leader, request, claim) =>
      Effect.gen(function*() {
        if (state.late) return "late"
        const { between } = state
        state.between = Effect.void
        yield* Effect.orDie(between)
        const how = yield* claim
        if (how === "absent") return "gone"
        if (how === "changed") return "changed"
        joined.push(request.text)
        return "joined"
      })
  })
  yield* queue.send(sandbox, queueEntry(first))
  yield* queue.receive(sandbox, { wait: Duration.zero, visibility: Duration.minutes(10) })
  const send = (request: TurnRequest) => Effect.orDie(queue.send(sandbox, queueEntry(request)))
  const begin = Effect.forkChild(
    Effect.flatMap(
      joinBurst({ sandbox, queue, turns })(turnRow(first), []),
      () => Clock.currentTimeMillis
    ),
    { startImmediately: true }
  )
  const waiting = Effect.map(queue.depth(sandbox), (depth) => depth.waiting)
  return { queue, joined, send, begin, waiting, state, turns }
})

describe("messages in a row", () => {
  it.effect("a message alone begins when its author has been quiet", () =>
    Effect.gen(function*() {
      const { begin, joined } = yield* world(of(1, 0))
      const fiber = yield* begin
      yield* TestClock.adjust(quietMillis)
      assert.strictEqual(yield* Fiber.join(fiber), quietMillis)
      assert.deepStrictEqual(joined, [])
    }))

  it.effect("what its author adds meanwhile joins it, each within the pause, in order", () =>
    Effect.gen(function*() {
      const { begin, joined, send, waiting } = yield* world(of(1, 0))
      const fiber = yield* begin
      yield* TestClock.adjust(2_000)
      yield* send(of(2, 2_000))
      yield* TestClock.adjust(2_500)
      yield* send(of(3, 4_500))
      yield* TestClock.adjust(quietMillis)
      assert.strictEqual(yield* Fiber.join(fiber), 4_500 + quietMillis)
      assert.deepStrictEqual(joined, ["message 2", "message 3"])
      assert.strictEqual(yield* waiting, 0)
    }))

  it.effect("what waited while the thread was busy joins at once, without a further wait", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const { begin, joined, send } = yield* world(of(1, 0))
      yield* send(of(2, 1_000))
      yield* send(of(3, 1_000 + quietMillis + 1))
      assert.strictEqual(yield* Fiber.join(yield* begin), 3_600_000)
      assert.deepStrictEqual(joined, ["message 2"])
    }))

  it.effect("somebody else's message ends it, and keeps its own turn", () =>
    Effect.gen(function*() {
      const { begin, joined, send, waiting } = yield* world(of(1, 0))
      yield* send(by(of(2, 100), grace))
      yield* send(of(3, 200))
      const fiber = yield* begin
      yield* TestClock.adjust(quietMillis)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(joined, [])
      assert.strictEqual(yield* waiting, 2)
    }))

  it.effect("who never stops writing is answered all the same, and no turn has more than it may", () =>
    Effect.gen(function*() {
      const { begin, joined, send, waiting } = yield* world(of(1, 0))
      const fiber = yield* begin
      for (let n = 2; n <= 60; n++) {
        yield* send(of(n, n * 500))
        yield* TestClock.adjust(500)
      }
      const begunAt = yield* Fiber.join(fiber)
      assert.isAtMost(begunAt, longestMillis + quietMillis)
      assert.isAtMost(joined.length, maxJoined)
      assert.strictEqual(joined.length + (yield* waiting), 59)
    }))

  it.effect("an edit between the look and the claim counts; a message that is taken back is left out", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const { begin, joined, queue, send, state } = yield* world(of(1, 0))
      yield* send(of(2, 100))
      yield* send(of(3, 200))
      state.between = queue.replace(sandbox, of(2, 0).key, queueEntry(of(2, 100, { text: "edited" })).body)
      yield* Fiber.join(yield* begin)
      assert.deepStrictEqual(joined, ["edited", "message 3"])
      const other = yield* world(of(1, 0))
      yield* other.send(of(2, 100))
      yield* other.send(of(3, 200))
      other.state.between = other.queue.withdraw(sandbox, of(2, 0).key)
      yield* Fiber.join(yield* other.begin)
      assert.deepStrictEqual(other.joined, ["message 3"])
    }))

  it.effect("a turn that takes no more, one that runs again, and a queue that cannot be read begin at once", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const { begin, queue, send, state, turns, waiting } = yield* world(of(1, 0))
      yield* send(of(2, 100))
      state.late = true
      yield* Fiber.join(yield* begin)
      assert.strictEqual(yield* waiting, 1)
      state.late = false
      yield* joinBurst({ sandbox, queue, turns })(turnRow(of(1, 0, { key: replayTurnKey(of(1, 0).key, 2) })), [])
      assert.strictEqual(yield* waiting, 1)
      const broken = {
        ...queue,
        behind: () =>
          Effect.fail(
            new StoreError({ port: "TurnQueue", operation: "behind", reason: "Unavailable", detail: "", cause: "" })
          )
      }
      yield* joinBurst({ sandbox, queue: broken, turns })(turnRow(of(1, 0)), [])
      assert.strictEqual(yield* waiting, 1)
      yield* joinBurst({ sandbox, queue, turns })(turnRow(of(1, 0)), [])
      assert.strictEqual(yield* waiting, 0)
    }))

  const Accepted = Schema.Struct({
    pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 * quietMillis })),
    other: Schema.Boolean
  })
  it.effect.prop(
    "each message is in exactly one place, and those that joined are the beginning of what waits",
    [Schema.Array(Accepted).check(Schema.isMaxLength(30))],
    ([accepted]) =>
      Effect.gen(function*() {
        yield* TestClock.setTime(86_400_000)
        const first = of(1, 1_000_000)
        const { begin, joined, send, queue } = yield* world(first)
        let at = first.acceptedAt
        const all = accepted.map(({ other, pause }, n) => {
          at += pause
          const request = of(n + 2, at)
          return other ? by(request, grace) : request
        })
        for (const request of all) yield* send(request)
        const fiber = yield* begin
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)
        const expected: Array<string> = []
        for (let n = 0; n < all.length && n < maxJoined; n++) {
          const [last, next] = [all[n - 1] ?? first, all[n]]
          if (next === undefined || !follows(last, next)) break
          expected.push(next.text)
        }
        assert.deepStrictEqual(joined, expected)
        const left = yield* Effect.map(queue.keys(sandbox), (keys) => keys.filter(({ state }) => state === "waiting"))
        assert.deepStrictEqual(left.map(({ key }) => key), all.slice(expected.length).map(({ key }) => key))
        assert.strictEqual(Option.isSome(yield* queue.behind(sandbox, first.group)), left.length > 0)
      }),
    { arbitrary: { runs: 300 } }
  )
})
