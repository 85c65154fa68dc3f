import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { bridgeOver, callsOf, callV2, furnish } from "../world.ts"
import { partsOf, scene } from "./scene.ts"

describe("live messages", () => {
  const live = "live-0000000000000001"

  it.live("show the newest text, ignore older ones, go on past 4,000 characters and shrink again", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const set = (seq: number, markdown: string) =>
          callV2(`live-${seq}-${markdown.length}`, { action: "live.set", channel, threadTs: ts, live, seq, markdown })
        const first = partsOf(yield* set(1, "one"))
        assert.lengthOf(first, 1)
        assert.deepStrictEqual(partsOf(yield* set(0, "older")), first)
        const before = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(before?.replies.map(({ message }) => message["text"]), ["one"])
        const long = yield* set(2, "A sentence. ".repeat(500))
        assert.lengthOf(partsOf(long), 2)
        assert.strictEqual(partsOf(long)[0], first[0])
        assert.deepStrictEqual(partsOf(yield* set(3, "short **again**")), first)
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["short again"])
        const grown = yield* set(4, "A sentence. ".repeat(500))
        const shown = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(shown?.replies.map((reply) => reply.ts), [...partsOf(grown)])
        assert.lengthOf(shown?.replies ?? [], 2)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("send at most one change a second and let the latest win", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const set = (seq: number) =>
          callV2(`live-${seq}`, { action: "live.set", channel, threadTs: ts, live, seq, markdown: `text ${seq}` })
        yield* set(0)
        const answers = yield* Effect.all(Array.from({ length: 20 }, (_, index) => set(index + 1)), {
          concurrency: "unbounded"
        })
        assert.isTrue(answers.every(({ status }) => status === 200))
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["text 20"])
        assert.isAtMost(yield* callsOf(workspace, "chat.update"), 2)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("post anew when somebody deleted them", () =>
    Effect.gen(function*() {
      const { bot, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const set = (seq: number) =>
          callV2(`live-${seq}`, { action: "live.set", channel, threadTs: ts, live, seq, markdown: `text ${seq}` })
        const [gone] = partsOf(yield* set(1))
        yield* Effect.promise(() => bot.chat.delete({ channel, ts: gone ?? "" }))
        const [fresh] = partsOf(yield* set(2))
        assert.notStrictEqual(fresh, gone)
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["text 2"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
