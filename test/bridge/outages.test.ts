import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CatchUp } from "../../bridge/events/CatchUp.ts"
import { Marks } from "../../bridge/events/Marks.ts"
import { Progress } from "../../bridge/events/Progress.ts"
import { SlackApi } from "../../bridge/slack/SlackApi.ts"
import { ChannelId, MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import * as MemorySandboxes from "../../runtime/ports/memory/MemorySandboxes.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { bridgeOver, callsOf, furnish, listen, room, sandbox, say, waiting } from "./world.ts"

const tsOf = (key: string): string => key.split(":")[2] ?? ""

const full = (port: string) =>
  new StoreError({ port, operation: "write", reason: "Full", detail: "no space left", cause: undefined })

/** A queue that takes nothing while `broken` is set. */
const failing = (what: { broken: boolean }) =>
  Layer.effect(
    TurnQueue,
    Effect.map(TurnQueue, (inner) =>
      TurnQueue.of({
        ...inner,
        accept: (to, entry, terms) => what.broken ? Effect.fail(full("TurnQueue")) : inner.accept(to, entry, terms)
      }))
  )

const whole = () => Effect.die(new Error("the whole queue was read"))

describe("while things are broken", () => {
  it.live("Slack's API hanging or failing delays no event: it is stored, answered, and marked when Slack is back", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        yield* workspace.faults.add({ method: "auth.test", fault: { kind: "hang-after" } })
        yield* workspace.faults.add({ method: "users.info", fault: { kind: "hang-after" } })
        yield* workspace.faults.add({ method: "reactions.add", fault: { kind: "rate-limit", retryAfterSeconds: 1 } })
        yield* workspace.faults.add({ method: "reactions.add", fault: { kind: "server-error" } })
        const ts = yield* say(ada, channel, "hello")
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 1)
        yield* (yield* Marks).drain
        const marked = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp: ts }))
        assert.deepStrictEqual(marked.message?.reactions?.map(({ name }) => name), ["eyes"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a message that cannot be stored gets no 200 and no 👀, and is fetched once the store is back", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      const store = { broken: true }
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const lost = yield* say(ada, channel, "while the disk is full")
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 0)
        assert.strictEqual(yield* callsOf(workspace, "reactions.add"), 0)
        store.broken = false
        const later = yield* say(ada, channel, "when it is back")
        yield* workspace.eventsDelivered
        const progress = yield* Progress
        yield* progress.flush
        assert.isTrue(progress.takeMissed())
        // The newest accepted message is younger than the lost one, which is fetched nevertheless.
        assert.isTrue(yield* (yield* CatchUp).once)
        assert.deepStrictEqual((yield* waiting).map(({ key }) => tsOf(key)), [later, lost])
      }).pipe(Effect.provide(bridgeOver(workspace, { queue: failing(store) })))
    }))

  it.live("copies that nobody sees beforehand are one message all the same, each with its 👀", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      const blind = Layer.mock(Seen, { find: () => Effect.succeedNone })
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        yield* workspace.faults.add({ event: "message", fault: { kind: "duplicate", copies: 4 } })
        yield* say(ada, channel, "hello")
        yield* workspace.eventsDelivered
        yield* (yield* Marks).drain
        assert.lengthOf(yield* waiting, 1)
        assert.strictEqual(yield* callsOf(workspace, "reactions.add"), 1)
      }).pipe(Effect.provide(bridgeOver(workspace, { seen: blind })))
    }))

  it.live("events that come late or never are in the queue once, threads and all", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        yield* workspace.faults.add({ event: "message", fault: { kind: "hold-back", behind: 2 } })
        const late = yield* say(ada, channel, "late")
        yield* say(ada, channel, "second")
        yield* say(ada, channel, "third")
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 3)
        yield* workspace.faults.add({ event: "message", times: 3, fault: { kind: "drop" } })
        const never = yield* say(ada, channel, "never delivered")
        const reply = yield* say(ada, channel, "nor this", late)
        yield* say(ada, channel, "!stop", late)
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 3)
        yield* (yield* Progress).flush
        const row = yield* (yield* Sandboxes).get(sandbox)
        assert.isTrue(row._tag === "Some" && row.value.lastAcceptedTs !== undefined)
        const catchUp = yield* CatchUp
        assert.isTrue(yield* catchUp.once)
        assert.isTrue(yield* catchUp.once)
        assert.deepStrictEqual((yield* waiting).slice(3).map(({ key }) => tsOf(key)), [never, reply])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("what was written the moment its sandbox was made is found, though our clock is ahead of Slack's", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const ts = yield* say(ada, channel, "first words")
        // The sandbox is as old as its first message, by a clock that is three seconds ahead.
        yield* (yield* Sandboxes).update(sandbox, { createdAt: Math.floor(Number(ts)) * 1_000 + 3_000 })
        assert.isTrue(yield* (yield* CatchUp).once)
        assert.lengthOf(yield* waiting, 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a catch-up that Slack cuts short says so and is done again", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* say(ada, channel, "before the bridge was up")
        yield* workspace.faults.add({ method: "conversations.history", fault: { kind: "server-error" } })
        const catchUp = yield* CatchUp
        assert.isFalse(yield* catchUp.once)
        assert.isTrue(yield* catchUp.once)
        assert.lengthOf(yield* waiting, 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("taking a message never reads through what waits, however much that is", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      const costly = Layer.effect(
        TurnQueue,
        Effect.map(TurnQueue, (inner) =>
          TurnQueue.of({
            ...inner,
            // Without what `accept` may know of what is before it.
            accept: (...asked) =>
              Effect.map(
                inner.accept(...asked),
                (answer) => answer._tag === "Accepted" ? { _tag: "Accepted" as const } : answer
              ),
            keys: whole,
            depth: whole,
            deadLetters: whole,
            occupied: Effect.suspend(whole)
          }))
      )
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const first = yield* say(ada, channel, "one")
        for (const text of ["two", "three"]) yield* say(ada, channel, text, first)
        yield* workspace.eventsDelivered
        yield* (yield* Marks).drain
        const { messages } = yield* Effect.promise(() => bot.conversations.replies({ channel, ts: first }))
        assert.deepStrictEqual(messages?.map(({ reactions }) => reactions?.map(({ name }) => name)), [
          ["eyes"],
          ["eyes"],
          ["eyes"],
          undefined
        ])
        assert.include(messages?.at(-1)?.text, "number 3 in the thread")
      }).pipe(Effect.provide(bridgeOver(workspace, { queue: costly })))
    }))

  it.live("a message that ends in a defect is refused visibly and keeps no other from being fetched", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      const poison = Layer.effect(
        TurnQueue,
        Effect.map(TurnQueue, (inner) =>
          TurnQueue.of({
            ...inner,
            accept: (to, entry, terms) =>
              entry.body.includes("poison") ? Effect.die(new Error("poison")) : inner.accept(to, entry, terms)
          }))
      )
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const bad = yield* say(ada, channel, "poison")
        const good = yield* say(ada, channel, "fine")
        assert.isTrue(yield* (yield* CatchUp).once)
        assert.deepStrictEqual((yield* waiting).map(({ key }) => tsOf(key)), [good])
        yield* (yield* Marks).drain
        const thread = yield* workspace.thread(channel, bad)
        assert.include(JSON.stringify(thread?.message["reactions"]), "no_entry_sign")
      }).pipe(Effect.provide(bridgeOver(workspace, { queue: poison })))
    }))

  it.live("a mark that ends in a defect keeps no other from being set", () =>
    Effect.gen(function*() {
      const done: Array<string> = []
      const slack = Layer.succeed(
        SlackApi,
        SlackApi.of({
          call: (_method, args) =>
            args["timestamp"] === "1700000000.000001" ? Effect.die(new Error("poison")) : Effect.sync(() => {
              done.push(String(args["timestamp"]))
              return { ok: true }
            })
        })
      )
      yield* Effect.gen(function*() {
        const marks = yield* Marks
        const mark = (ts: string) =>
          marks.set({ channel: ChannelId.make("C0CHANNEL1"), ts: MessageTs.make(ts), emoji: "eyes" })
        for (let index = 0; index < 8; index++) mark("1700000000.000001")
        mark("1700000000.000002")
        yield* marks.drain
        assert.deepStrictEqual(done, ["1700000000.000002"])
      }).pipe(Effect.provide(Marks.layer.pipe(
        Layer.provide(Progress.layer),
        Layer.provide(Layer.merge(MemorySandboxes.layer, Errands.layerMemory)),
        Layer.provide(slack)
      )))
    }))
})
