/** What every store of gestures and posts must do: the first owner of a key stays, for 30 days. */
import { assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { ChannelId, MessageTs, SandboxId, TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { type LiveRow, Posts, postsRetentionMillis } from "../../../runtime/ports/Posts.ts"
import { Seen, seenRetentionMillis } from "../../../runtime/ports/Seen.ts"
import { type Engine, timeOf } from "./Engine.ts"

const a = TurnKey.make("T1:C1:a")
const b = TurnKey.make("T1:C1:b")

export const seenContract = <LE>(engine: Engine<Seen, LE>): void => {
  const { almost, over } = timeOf(engine)
  const test = <E>(name: string, body: (seen: Seen["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Seen, body), engine.layer))

  test("finds a turn by any of its keys, and the first turn of a key stays", (seen) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* seen.find(["event:1"]), Option.none())
      assert.deepStrictEqual(yield* seen.find([]), Option.none())
      yield* seen.mark(["turn:a", "event:1"], a)
      yield* seen.mark(["event:1", "client:9"], b)
      assert.deepStrictEqual(yield* seen.find(["client:0", "event:1"]), Option.some(a))
      assert.deepStrictEqual(yield* seen.find(["client:9"]), Option.some(b))
    }))

  test("forgets after 30 days, and may then belong to another turn", (seen) =>
    Effect.gen(function*() {
      yield* seen.mark(["event:1"], a)
      yield* almost(seenRetentionMillis)
      assert.deepStrictEqual(yield* seen.find(["event:1"]), Option.some(a))
      yield* over
      assert.deepStrictEqual(yield* seen.find(["event:1"]), Option.none())
      yield* seen.mark(["event:1"], b)
      assert.deepStrictEqual(yield* seen.find(["event:1"]), Option.some(b))
    }))
}

const channel = ChannelId.make("C123")
const ts = MessageTs.make("1700000000.000001")
const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")
const live: LiveRow = { sender: one, live: "turn/live", channel, seq: 3, parts: [ts], hashes: ["ab"] }

export const postsContract = <LE>(engine: Engine<Posts, LE>): void => {
  const { almost, exact, passTime, over } = timeOf(engine)
  const test = <E>(name: string, body: (posts: Posts["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Posts, body), engine.layer))

  test("knows who posted what for 30 days", (posts) =>
    Effect.gen(function*() {
      yield* posts.record({ sender: one, channel, ts, threadTs: ts })
      yield* posts.record({ sender: "operator", channel: ChannelId.make("C999"), ts })
      assert.deepStrictEqual(yield* posts.owner(channel, ts), Option.some(one))
      assert.deepStrictEqual(yield* posts.owner(ChannelId.make("C999"), ts), Option.some("operator"))
      yield* almost(postsRetentionMillis)
      assert.isTrue(Option.isSome(yield* posts.owner(channel, ts)))
      yield* over
      assert.deepStrictEqual(yield* posts.owner(channel, ts), Option.none())
    }))

  test("keeps the last state of a live message per sender", (posts) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* posts.live(one, live.live), Option.none())
      yield* posts.putLive(live)
      yield* posts.putLive({ ...live, seq: 4 })
      assert.deepStrictEqual(yield* posts.live(one, live.live), Option.some({ ...live, seq: 4 }))
      assert.deepStrictEqual(yield* posts.live(two, live.live), Option.none())
    }))

  test("goes forward only: an older state changes nothing, the same one may add parts", (posts) =>
    Effect.gen(function*() {
      assert.isTrue(yield* posts.putLive({ ...live, seq: 4 }))
      assert.isFalse(yield* posts.putLive({ ...live, seq: 3, parts: [] }))
      assert.deepStrictEqual(yield* posts.live(one, live.live), Option.some({ ...live, seq: 4 }))
      assert.isTrue(yield* posts.putLive({ ...live, seq: 4, hashes: ["ab", "cd"] }))
      assert.deepStrictEqual(yield* posts.live(one, live.live), Option.some({ ...live, seq: 4, hashes: ["ab", "cd"] }))
      yield* passTime(postsRetentionMillis)
      assert.isTrue(yield* posts.putLive({ ...live, seq: 1 }))
      assert.deepStrictEqual(yield* posts.live(one, live.live), Option.some({ ...live, seq: 1 }))
    }))

  test("removes everything of one sender", (posts) =>
    Effect.gen(function*() {
      const other = ChannelId.make("C999")
      yield* posts.record({ sender: one, channel, ts })
      yield* posts.record({ sender: two, channel: other, ts })
      yield* posts.putLive(live)
      yield* posts.putLive({ ...live, sender: two })
      yield* posts.removeAll(one)
      // A table keyed by message cannot be asked for one sender's rows: there they end by themselves after 30 days.
      if (exact) assert.deepStrictEqual(yield* posts.owner(channel, ts), Option.none())
      assert.deepStrictEqual(yield* posts.live(one, live.live), Option.none())
      assert.deepStrictEqual(yield* posts.owner(other, ts), Option.some(two))
      assert.isTrue(Option.isSome(yield* posts.live(two, live.live)))
    }))
}
