/** Messages that join a turn which has not begun: they are told to its agent, and have its outcome, once. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { joinedRow } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { TurnParties } from "../../../../runtime/kernel/turns/TurnParties.ts"
import { TurnPipeline } from "../../../../runtime/kernel/turns/TurnPipeline.ts"
import * as MemoryTurnRecords from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { type OriginHandler, PluginId } from "../../../../runtime/ports/Plugin.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { Turns } from "../../../../runtime/ports/Turns.ts"
import * as SimulatedAgent from "../simulation/SimulatedAgent.ts"
import { origin } from "../simulation/SimulatedSlack.ts"
import { elapse, info, ledger, message } from "../simulation/Simulation.ts"
import { type Incarnation, makeWorld, type Message, sandbox, type World } from "../simulation/World.ts"

type Join = Turns["Service"]["join"]

/** A pipeline whose origin says what joins: `joining` is given the way to do it. */
const pipeline = Effect.fnUntraced(function*(
  world: World,
  joining: (join: Join) => Effect.Effect<void>
) {
  const incarnation: Incarnation = { number: 1, dead: false, crashed: Deferred.makeUnsafe() }
  const ports = Layer.mergeAll(
    ledger(world, incarnation),
    SimulatedAgent.layer(world, incarnation, { tellsReceived: true }),
    Redaction.layer,
    MemoryTurnRecords.layerOver(world.records),
    info,
    FileSystem.layerNoop({
      makeDirectory: (path) => Effect.sync(() => void world.directories.add(path)),
      readDirectory: () => Effect.succeed([])
    })
  )
  const built = yield* Layer.build(TurnPipeline.layer.pipe(Layer.provideMerge(ports)))
  const turns = Context.get(built, Turns)
  const usual: OriginHandler = origin(world, incarnation, 1)
  yield* Context.get(built, TurnParties).addOrigin(PluginId.make("slack-inbound"), {
    ...usual,
    joining: () => joining(turns.join)
  })
  yield* Context.get(built, TurnPipeline).begin
  return turns
})

const quietly = Effect.provide(Logger.layer([]))
const claimed = Effect.succeed("claimed" as const)
const rowOf = (world: World, { request }: Message) => world.ledger.rows.get(request.key)
const prompts = (world: World) => [...world.sessions.values()].flat().map(({ prompt }) => prompt)
const answers = (world: World) => [...world.posts.keys()].filter((key) => key.endsWith("/answer/0"))

describe("joined messages", () => {
  it.effect("are in the turn's prompt in order, and have its outcome, record and mark", () =>
    Effect.gen(function*() {
      const [a, b, c] = [message(1, 1), message(1, 2), message(1, 3)] as const
      const world = makeWorld([a, b, c])
      const turns = yield* pipeline(world, (join) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* join(a.request.key, b.request, claimed), "joined")
          assert.strictEqual(yield* join(a.request.key, c.request, claimed), "joined")
        }).pipe(Effect.orDie))
      yield* turns.submit(a.request, "r1")
      yield* elapse("1 minute")
      assert.deepStrictEqual([a, b, c].map((one) => rowOf(world, one)?.state), ["settled", "settled", "settled"])
      const [prompt, ...others] = prompts(world)
      assert.deepStrictEqual(others, [])
      const places = [a, b, c].map(({ request }) => prompt?.indexOf(request.text) ?? -1)
      assert.deepStrictEqual(places, places.toSorted((x, y) => x - y))
      assert.isAbove(places[0] ?? -1, 0)
      assert.deepStrictEqual(answers(world), [`${a.request.key}/answer/0`])
      for (const { request } of [a, b, c]) {
        assert.isTrue(world.reactions.has(`${request.key}/done`))
        assert.isFalse(world.reactions.has(`${request.key}/wait`))
        assert.strictEqual(world.records.records.get(sandbox)?.get(request.key)?.result, "answered")
      }
      assert.strictEqual(yield* turns.submit(b.request, "late"), "settled")
    }).pipe(quietly))

  it.effect("only while the origin is asked, and not once the turn is stopped", () =>
    Effect.gen(function*() {
      const [a, b] = [message(1, 1), message(1, 2)] as const
      const world = makeWorld([a, b])
      const asked = yield* Deferred.make<void>()
      const turns = yield* pipeline(world, () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never))
      assert.strictEqual(yield* turns.join(a.request.key, b.request, claimed), "late")
      yield* turns.submit(a.request, "r1")
      yield* Deferred.await(asked)
      assert.isTrue(yield* turns.stop({ turn: a.request.key }, "Ada"))
      assert.strictEqual(yield* turns.join(a.request.key, b.request, claimed), "late")
      yield* elapse("1 minute")
      assert.strictEqual(rowOf(world, a)?.result, "cancelled")
      assert.isUndefined(rowOf(world, b))
      assert.deepStrictEqual(prompts(world), [])
    }).pipe(quietly))

  it.effect("a stop of one of them stops the turn", () =>
    Effect.gen(function*() {
      const [a, b] = [message(1, 1, { acts: [{ do: "hang" }] }), message(1, 2)] as const
      const world = makeWorld([a, b])
      const turns = yield* pipeline(
        world,
        (join) => Effect.asVoid(Effect.orDie(join(a.request.key, b.request, claimed)))
      )
      yield* turns.submit(a.request, "r1")
      yield* elapse("10 seconds")
      assert.strictEqual(rowOf(world, a)?.state, "running")
      assert.strictEqual(rowOf(world, b)?.state, "joined")
      assert.isTrue(yield* turns.stop({ turn: b.request.key }, "Ada"))
      yield* elapse("1 minute")
      assert.deepStrictEqual([a, b].map((one) => rowOf(world, one)?.result), ["cancelled", "cancelled"])
      assert.deepStrictEqual(answers(world), [`${a.request.key}/answer/0`])
    }).pipe(quietly))

  it.effect("one that was edited says what it says now; one that was taken back is not told to the agent", () =>
    Effect.gen(function*() {
      const [a, b, c] = [message(1, 1), message(1, 2), message(1, 3)] as const
      const world = makeWorld([a, b, c])
      const turns = yield* pipeline(world, (join) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* join(a.request.key, b.request, Effect.succeed("changed")), "changed")
          const edited = { ...b.request, text: "what I meant" }
          assert.strictEqual(yield* join(a.request.key, edited, claimed), "joined")
          assert.strictEqual(yield* join(a.request.key, c.request, Effect.succeed("absent")), "gone")
          assert.strictEqual(yield* join(a.request.key, c.request, claimed), "late")
        }).pipe(Effect.orDie))
      yield* turns.submit(a.request, "r1")
      yield* elapse("1 minute")
      const [prompt] = prompts(world)
      assert.include(prompt, "what I meant")
      assert.notInclude(prompt, b.request.text)
      assert.notInclude(prompt, c.request.text)
      assert.deepInclude(rowOf(world, c), { state: "settled", result: "cancelled" })
      assert.isFalse(world.reactions.has(`${c.request.key}/done`))
    }).pipe(quietly))

  it.effect("one whose turn nobody knows is a turn of its own", () =>
    Effect.gen(function*() {
      const [a, b] = [message(1, 1), message(1, 2)] as const
      const world = makeWorld([a, b])
      world.ledger.rows.set(b.request.key, joinedRow(b.request, a.request.key, 1))
      yield* pipeline(world, () => Effect.void)
      yield* elapse("1 minute")
      assert.deepInclude(rowOf(world, b), { state: "settled", result: "answered" })
      assert.isUndefined(rowOf(world, b)?.joined)
      assert.deepStrictEqual(answers(world), [`${b.request.key}/answer/0`])
      assert.isTrue(Option.isSome(Option.fromNullishOr(prompts(world)[0])))
    }).pipe(quietly))
})
