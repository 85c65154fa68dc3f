/** What every thread store must do: one row per thread, its sandbox's own, for 30 days after the last turn. */
import { assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { ChannelId, MessageTs, SandboxId, SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { threadRetentionMillis, type ThreadRow, Threads } from "../../../runtime/ports/Threads.ts"
import { type Engine, timeOf } from "./Engine.ts"

const channel = ChannelId.make("C123")
const ts = (n: number): MessageTs => MessageTs.make(`1700000000.00000${n}`)
const session = (n: number): SessionId => SessionId.make(`00000000-0000-4000-8000-00000000000${n}`)
const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")
const row = (n: number, rest: Partial<ThreadRow> = {}): ThreadRow => ({
  channel,
  threadTs: ts(n),
  sandbox: one,
  createdAt: 0,
  lastTurnAt: 0,
  ...rest
})

export const threadsContract = <LE>(engine: Engine<Threads, LE>): void => {
  const { almost, exact, over, settle } = timeOf(engine)
  const test = <E>(name: string, body: (threads: Threads["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Threads, body), engine.layer))

  test("updates session and last turn, keeps the creation and a session it is not given", (threads) =>
    Effect.gen(function*() {
      yield* threads.put(row(1, { createdAt: 5, lastTurnAt: 5 }))
      assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.some(row(1, { createdAt: 5, lastTurnAt: 5 })))
      yield* threads.put(row(1, { createdAt: 9, lastTurnAt: 9, session: session(1) }))
      const second = row(1, { createdAt: 5, lastTurnAt: 9, session: session(1) })
      assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.some(second))
      yield* threads.put(row(1, { createdAt: 12, lastTurnAt: 12 }))
      assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.some({ ...second, lastTurnAt: 12 }))
      yield* threads.put(row(1, { lastTurnAt: 13, session: session(2) }))
      assert.strictEqual(Option.getOrThrow(yield* threads.get(channel, ts(1))).session, session(2))
    }))

  test("forgets a session and keeps the thread", (threads) =>
    Effect.gen(function*() {
      yield* threads.put(row(1, { session: session(1) }))
      yield* threads.put(row(2, { session: session(1) }))
      yield* threads.forget(channel, ts(1))
      yield* threads.forget(channel, ts(1))
      yield* threads.forget(channel, ts(3))
      assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.some(row(1)))
      assert.deepStrictEqual(yield* threads.get(channel, ts(2)), Option.some(row(2, { session: session(1) })))
      assert.deepStrictEqual(yield* threads.get(channel, ts(3)), Option.none())
      yield* threads.put(row(1, { session: session(2), lastTurnAt: 1 }))
      assert.strictEqual(Option.getOrThrow(yield* threads.get(channel, ts(1))).session, session(2))
    }))

  test("a thread of another sandbox is left alone", (threads) =>
    Effect.gen(function*() {
      yield* threads.put(row(1, { session: session(1) }))
      yield* threads.put(row(1, { sandbox: two, session: session(2), lastTurnAt: 7 }))
      assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.some(row(1, { session: session(1) })))
    }))

  test("finds the newest thread of a session", (threads) =>
    Effect.gen(function*() {
      yield* threads.put(row(1, { session: session(1), lastTurnAt: 1 }))
      yield* threads.put(row(2, { session: session(1), lastTurnAt: 3 }))
      yield* threads.put(row(3, { session: session(1), lastTurnAt: 2 }))
      yield* settle
      const found = Option.getOrThrow(yield* threads.bySession(session(1)))
      assert.strictEqual(found.session, session(1))
      // DynamoDB's index of sessions has no order: it may name an older thread of the same session.
      if (exact) assert.strictEqual(found.threadTs, ts(2))
      yield* settle
      assert.deepStrictEqual(yield* threads.bySession(session(2)), Option.none())
    }))

  test("is absent 30 days after its last turn, and may then be another sandbox's", (threads) =>
    Effect.gen(function*() {
      yield* threads.put(row(1, { session: session(1), lastTurnAt: 1_000 }))
      yield* almost(threadRetentionMillis + 1_000)
      assert.isTrue(Option.isSome(yield* threads.get(channel, ts(1))))
      assert.strictEqual(yield* threads.count(one), 1)
      yield* over
      assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.none())
      assert.deepStrictEqual(yield* threads.bySession(session(1)), Option.none())
      assert.strictEqual(yield* threads.count(one), 0)
      const now = threadRetentionMillis + 1_000
      yield* threads.put(row(1, { sandbox: two, createdAt: now, lastTurnAt: now }))
      assert.strictEqual(Option.getOrThrow(yield* threads.get(channel, ts(1))).createdAt, now)
    }))

  test("moves every row of a channel that Slack has given another id, once", (threads) =>
    Effect.gen(function*() {
      const moved = ChannelId.make("C0MOVED0001")
      yield* threads.put(row(1, { session: session(1) }))
      yield* threads.put(row(2, { sandbox: two }))
      // Somebody wrote under the new id before we heard of it.
      yield* threads.put(row(2, { channel: moved, sandbox: one }))
      for (const _ of [1, 2]) {
        yield* threads.move(channel, moved)
        yield* settle
        assert.deepStrictEqual(yield* threads.get(channel, ts(1)), Option.none())
        assert.strictEqual(Option.getOrThrow(yield* threads.get(moved, ts(1))).session, session(1))
        assert.strictEqual(Option.getOrThrow(yield* threads.get(moved, ts(2))).sandbox, one)
        assert.strictEqual(Option.getOrThrow(yield* threads.bySession(session(1))).channel, moved)
      }
    }))

  test("counts and removes by sandbox", (threads) =>
    Effect.gen(function*() {
      yield* threads.put(row(1))
      yield* threads.put(row(2))
      yield* threads.put(row(3, { sandbox: two }))
      yield* settle
      assert.deepStrictEqual([yield* threads.count(one), yield* threads.count(two)], [2, 1])
      const listed = (yield* threads.list(one, 10)).map(({ lastTurnAt }) => lastTurnAt)
      assert.strictEqual(listed.length, 2)
      assert.deepStrictEqual(listed, listed.toSorted((a, b) => b - a))
      assert.deepStrictEqual((yield* threads.list(one, 1)).map(({ lastTurnAt }) => lastTurnAt), listed.slice(0, 1))
      yield* threads.removeAll(one)
      yield* settle
      assert.deepStrictEqual([yield* threads.count(one), yield* threads.count(two)], [0, 1])
    }))
}
