/** What every control channel must do: hand over each request until it is acknowledged, at least once. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { SandboxId, TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { Controls, type StopRequest } from "../../../runtime/ports/Controls.ts"
import { type Engine, timeOf } from "./Engine.ts"

const sandbox = SandboxId.make("sb-00000001")
const other = SandboxId.make("sb-00000002")
const request = (id: string): StopRequest => ({ kind: "stop", id, turn: TurnKey.make("T1:C1:1"), by: "Ada 🦊" })

export const controlsContract = <LE>(engine: Engine<Controls, LE>): void => {
  const { settle } = timeOf(engine)
  const test = <E>(name: string, body: (controls: Controls["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Controls, body), engine.layer))

  test("a watcher gets what waits, then what comes, in order and each once", (controls) =>
    Effect.gen(function*() {
      yield* controls.send(sandbox, request("1"))
      yield* controls.send(other, request("x"))
      yield* controls.send(sandbox, request("2"))
      yield* controls.send(sandbox, request("1"))
      const watching = yield* controls.watch(sandbox).pipe(
        Stream.take(4),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* controls.send(sandbox, { kind: "stop", id: "3", by: "operator" })
      yield* controls.send(sandbox, request("4"))
      yield* settle
      assert.deepStrictEqual(yield* Fiber.join(watching), [
        request("1"),
        request("2"),
        { kind: "stop", id: "3", by: "operator" },
        request("4")
      ])
    }))

  test("what was not acknowledged comes again to the next watcher", (controls) =>
    Effect.gen(function*() {
      yield* controls.send(sandbox, request("1"))
      yield* controls.send(sandbox, request("2"))
      const first = yield* controls.watch(sandbox).pipe(Stream.take(2), Stream.runCollect)
      assert.strictEqual(first.length, 2)
      yield* controls.acknowledge(sandbox, "1")
      yield* controls.acknowledge(sandbox, "1")
      const second = yield* controls.watch(sandbox).pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(second, [request("2")])
    }))

  test("nothing is left of a sandbox that is cleared", (controls) =>
    Effect.gen(function*() {
      yield* controls.send(sandbox, request("1"))
      yield* controls.send(other, request("x"))
      yield* controls.clear(sandbox)
      yield* controls.send(sandbox, request("2"))
      const left = yield* controls.watch(sandbox).pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(left, [request("2")])
      assert.deepStrictEqual(yield* controls.watch(other).pipe(Stream.take(1), Stream.runCollect), [request("x")])
    }))
}
