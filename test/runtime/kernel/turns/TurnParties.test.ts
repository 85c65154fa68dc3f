/** Origins that die are asked again, observers that die or hang are left out, and neither outlives its plugin. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { Socket } from "node:net"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { personFrame } from "../../../../runtime/domain/turn/TurnFrame.ts"
import { receivedRow } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { askOr, TurnParties } from "../../../../runtime/kernel/turns/TurnParties.ts"
import type { AgentDoor } from "../../../../runtime/ports/Agent.ts"
import type { OriginHandler, TurnObserver } from "../../../../runtime/ports/Plugin.ts"
import { PluginId } from "../../../../runtime/ports/Plugin.ts"
import { elapse, message } from "../simulation/Simulation.ts"

const first = PluginId.make("first")
const second = PluginId.make("second")
const row = receivedRow(message(1, 1).request, undefined, 0)

const origin = (prepare: OriginHandler["prepare"], kind: OriginHandler["kind"] = "slack"): OriginHandler => ({
  kind,
  environment: () => ({}),
  frame: ({ request: asked }) => Effect.succeed(personFrame({ sender: "Ada", place: "#x", ...asked })),
  prepare,
  starting: () => Effect.void,
  settle: () => Effect.succeed([]),
  close: () => Effect.void,
  finish: () => Effect.void
})

const observer = (changes: Partial<TurnObserver>): TurnObserver => ({
  starting: () => Effect.void,
  started: () => Effect.void,
  exited: () => Effect.succeed([]),
  posted: () => Effect.void,
  ...changes
})

const quiet = Effect.provide(Layer.merge(TurnParties.layer, Logger.layer([])))

/** Registers for the life of a scope of its own, which `leave` ends. */
const during = Effect.fnUntraced(function*<E>(register: Effect.Effect<void, E, Scope.Scope>) {
  const scope = yield* Scope.make()
  yield* Scope.provide(register, scope)
  return { leave: Scope.close(scope, Exit.void) }
})

const session = (parties: TurnParties["Service"]) => parties.ask("slack", "prepare", (of) => of.prepare(row))

describe("TurnParties: origins", () => {
  it.effect("a call waits for an origin of its kind, and is answered by it", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const asking = yield* Effect.forkChild(session(parties), { startImmediately: true })
      yield* during(parties.addOrigin(first, origin(() => Effect.succeed("mail"), "mail")))
      yield* elapse("1 minute")
      assert.isUndefined(asking.pollUnsafe())
      yield* during(parties.addOrigin(first, origin(() => Effect.succeed("s1"))))
      assert.strictEqual(yield* Fiber.join(asking), "s1")
    }).pipe(quiet))

  it.effect("a call that dies is made again after 1, 2, 4 … seconds, eight times in all", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      let calls = 0
      const dying = origin(() => Effect.suspend(() => Effect.die(`bug ${++calls}`)))
      yield* during(parties.addOrigin(first, dying))
      const asking = yield* Effect.forkChild(Effect.flip(session(parties)), { startImmediately: true })
      for (const [index, seconds] of [1, 2, 4, 8, 16, 32, 60].entries()) {
        assert.strictEqual(calls, index + 1)
        yield* elapse(`${seconds * 1_000 - 1} millis`)
        assert.strictEqual(calls, index + 1, `before ${seconds} s`)
        yield* elapse("1 millis")
      }
      assert.strictEqual(calls, 8)
      yield* elapse("1 minute")
      const broken = yield* Fiber.join(asking)
      assert.deepInclude(broken, { _tag: "OriginBroken", kind: "slack", call: "prepare" })
      assert.include(String(broken), "slack turns died in prepare")
      assert.strictEqual(calls, 8)
      const otherwise = yield* Effect.forkChild(
        askOr(parties, row, "prepare", (of) => of.prepare(row), "otherwise"),
        { startImmediately: true }
      )
      yield* elapse("10 minutes")
      assert.strictEqual(yield* Fiber.join(otherwise), "otherwise")
    }).pipe(quiet))

  it.effect("a failure that the call may have is passed on at once", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      let calls = 0
      yield* during(parties.addOrigin(first, origin(() => Effect.undefined)))
      const failed = yield* Effect.flip(parties.ask("slack", "settle", () =>
        Effect.suspend(() => {
          calls++
          return Effect.fail("no")
        })))
      assert.strictEqual(failed, "no")
      assert.strictEqual(calls, 1)
    }).pipe(quiet))

  it.effect("a call in hand when its plugin stops goes to the next life, also where that came first", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const { leave } = yield* during(parties.addOrigin(first, origin(() => Effect.never)))
      const asking = yield* Effect.forkChild(session(parties), { startImmediately: true })
      // The new life is there before the old one has gone: the old one must not take it along.
      yield* during(parties.addOrigin(second, origin(() => Effect.succeed("new"))))
      assert.isUndefined(asking.pollUnsafe())
      yield* leave
      assert.strictEqual(yield* Fiber.join(asking), "new")
      assert.strictEqual(yield* session(parties), "new")
    }).pipe(quiet))

  it.effect("an origin that is gone is not asked", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const { leave } = yield* during(parties.addOrigin(first, origin(() => Effect.succeed("old"))))
      yield* leave
      const asking = yield* Effect.forkChild(session(parties), { startImmediately: true })
      yield* elapse("1 minute")
      assert.isUndefined(asking.pollUnsafe())
      yield* during(parties.addOrigin(first, origin(() => Effect.succeed("new"))))
      assert.strictEqual(yield* Fiber.join(asking), "new")
    }).pipe(quiet))
})

describe("TurnParties: observers", () => {
  it.effect("all are told in the order they came; one that dies is left out, one that is gone is not told", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const told: Array<string> = []
      const telling = (name: string) =>
        observer({
          exited: () =>
            Effect.sync(() => (told.push(name), [{ kind: "answer", index: told.length, ts: name } as never]))
        })
      yield* during(parties.addObserver(first, telling("a")))
      const { leave } = yield* during(parties.addObserver(second, telling("b")))
      yield* during(parties.addObserver(second, observer({ exited: () => Effect.die("bug") })))
      yield* during(parties.addObserver(first, telling("c")))
      const answers = yield* parties.tell("exited", (each) => each.exited(row))
      assert.deepStrictEqual(told, ["a", "b", "c"])
      assert.lengthOf(answers, 3)
      yield* leave
      yield* parties.tell("exited", (each) => each.exited(row))
      assert.deepStrictEqual(told, ["a", "b", "c", "a", "c"])
    }).pipe(quiet))

  for (
    const [call, limit] of [["starting", 10_000], ["started", 10_000], ["exited", 1_200_000], [
      "posted",
      10_000
    ]] as const
  ) {
    it.effect(`one that hangs in ${call} holds the turn for ${limit / 1_000} s`, () =>
      Effect.gen(function*() {
        const parties = yield* TurnParties
        yield* during(parties.addObserver(first, observer({})))
        const telling = yield* Effect.forkChild(parties.tell(call, () => Effect.never), { startImmediately: true })
        yield* elapse(`${limit - 1} millis`)
        assert.isUndefined(telling.pollUnsafe())
        yield* elapse("1 millis")
        assert.deepStrictEqual(yield* Fiber.join(telling), [])
      }).pipe(quiet))
  }

  it.effect("one whose plugin stops meanwhile is left out at once", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const { leave } = yield* during(parties.addObserver(first, observer({})))
      const telling = yield* Effect.forkChild(parties.tell("posted", () => Effect.never), { startImmediately: true })
      yield* leave
      assert.deepStrictEqual(yield* Fiber.join(telling), [])
    }).pipe(quiet))
})

const door = (name: string, port: number, open: AgentDoor["open"] = () => Effect.succeed(() => undefined)) => ({
  name,
  port,
  env: {},
  open
})

describe("TurnParties: what plugins add to the agent", () => {
  const run = { session: SessionId.make("11111111-1111-4111-8111-111111111111"), turn: row.key }
  it.effect("is there while its plugin is, in the order in which they came", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      yield* during(parties.addAddition(first, { agent: { env: { A: "1" } } }))
      const { leave } = yield* during(parties.addAddition(second, { agent: { path: ["/b"] } }))
      yield* during(parties.addAddition(second, { promptLines: () => Effect.succeed(["only words"]) }))
      assert.deepStrictEqual(yield* parties.contributions, [{ env: { A: "1" }, doors: [] }, {
        path: ["/b"],
        doors: []
      }])
      yield* leave
      assert.deepStrictEqual(yield* parties.contributions, [{ env: { A: "1" }, doors: [] }])
    }).pipe(quiet))

  it.effect("a door has a name and a port of its own, within what doors may have", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const adding = (...doors: ReadonlyArray<AgentDoor>) => parties.addAddition(second, { agent: { doors } })
      const { leave } = yield* during(parties.addAddition(first, { agent: { doors: [door("proxy", 4_703)] } }))
      for (
        const bad of [
          [door("proxy", 4_704)],
          [door("other", 4_703)],
          [door("a", 4_705), door("a", 4_706)],
          [door("a", 4_705), door("b", 4_705)],
          [door("model", 4_705)],
          [door("hooks", 4_705)],
          [door("A", 4_705)],
          [door("a", 4_702)],
          [door("a", 4_800)],
          [door("a", 4_703.5)]
        ]
      ) {
        const refused = yield* Effect.flip(Effect.scoped(adding(...bad)))
        assert.strictEqual(refused._tag, "DoorNotFree", JSON.stringify(bad))
      }
      yield* during(adding(door("b", 4_704), door("c", 4_799)))
      yield* leave
      yield* during(adding(door("proxy", 4_703)))
    }).pipe(quiet))

  it.effect("connections to a door are cut when its plugin stops, and those that come later too", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      const served: Array<string> = []
      const { leave } = yield* during(parties.addAddition(first, {
        agent: { doors: [door("proxy", 4_703, (of) => Effect.succeed(() => void served.push(of.session)))] }
      }))
      const [added] = yield* parties.contributions
      const serve = yield* added?.doors?.[0]?.open(run) ?? Effect.die("no door")
      const [early, late, over] = [new Socket(), new Socket(), new Socket()]
      serve(early)
      serve(over)
      over.destroy()
      assert.deepStrictEqual(served, [run.session, run.session])
      assert.isFalse(early.destroyed)
      yield* leave
      yield* elapse(0)
      assert.isTrue(early.destroyed)
      serve(late)
      assert.isTrue(late.destroyed)
      assert.lengthOf(served, 2)
    }).pipe(Effect.scoped, quiet))

  it.effect("who dies, hangs or stops while it is asked for its lines is left out", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      yield* during(parties.addAddition(first, { promptLines: ({ key }) => Effect.succeed([`of ${key}`]) }))
      yield* during(parties.addAddition(first, { promptLines: () => Effect.die("bug") }))
      yield* during(parties.addAddition(first, { promptLines: () => Effect.never }))
      const stopped = yield* during(parties.addAddition(first, { promptLines: () => Effect.never }))
      yield* during(parties.addAddition(second, { promptLines: () => Effect.succeed(["last"]) }))
      const asking = yield* Effect.forkChild(parties.promptLines(row), { startImmediately: true })
      yield* elapse("9999 millis")
      assert.isUndefined(asking.pollUnsafe())
      yield* elapse("1 millis")
      yield* stopped.leave
      assert.deepStrictEqual(yield* Fiber.join(asking), [`of ${row.key}`, "last"])
    }).pipe(quiet))

  it.effect("a person's session is told what those say of the sandbox who are there, as turns are", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      assert.deepStrictEqual(yield* parties.sessionLines, [])
      yield* during(parties.addAddition(first, { promptLines: () => Effect.succeed(["of a turn"]) }))
      yield* during(parties.addAddition(first, { sessionLines: Effect.die("bug") }))
      const here = yield* during(parties.addAddition(first, { sessionLines: Effect.succeed(["one", "two"]) }))
      yield* during(parties.addAddition(second, {
        sessionLines: Effect.succeed(Array.from({ length: 30 }, () => "x".repeat(2_000)))
      }))
      const told = yield* parties.sessionLines
      assert.deepStrictEqual([told.slice(0, 2), told.length, told[2]?.length], [["one", "two"], 22, 1_000])
      yield* here.leave
      assert.lengthOf(yield* parties.sessionLines, 20)
    }).pipe(quiet))

  it.effect("so is who has nothing to tell people, and too much is cut", () =>
    Effect.gen(function*() {
      const parties = yield* TurnParties
      yield* during(parties.addAddition(first, { notices: () => Effect.die("bug") }))
      yield* during(parties.addAddition(first, { notices: () => Effect.succeed([]) }))
      yield* during(parties.addAddition(first, { promptLines: () => Effect.succeed(["for the agent"]) }))
      yield* during(parties.addAddition(second, {
        notices: () => Effect.succeed(Array.from({ length: 30 }, () => "x".repeat(2_000)))
      }))
      const told = yield* parties.notices(row)
      assert.deepStrictEqual(told.map(({ plugin }) => plugin), [second])
      assert.deepStrictEqual([told[0]?.lines.length, told[0]?.lines[0]?.length], [20, 1_000])
    }).pipe(quiet))
})
