/** The runtime's side of the hand-over, with a child that says what the test wants; what a jail says is in `test/interop`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { ChildProcess } from "node:child_process"
import { Server } from "node:net"
import { doorPorts, handOverFrom, withDoors } from "../../../../runtime/adapters/jail/Doors.ts"

const doors = [{ name: "model", port: doorPorts.model }, { name: "hooks", port: doorPorts.hooks }]

/** Not started; `send` only remembers. */
class Child extends ChildProcess {
  readonly sent: Array<unknown> = []
  override send(message: unknown): boolean {
    this.sent.push(message)
    return true
  }
}

const listening = () => new Server().listen(0, "127.0.0.1")

describe("the command of a jail without a network", () => {
  it("names each door with its port before the agent's own command", () => {
    const entrypoint = { engine: "/opt/node", program: "/opt/km-entrypoint.cjs" }
    assert.deepStrictEqual(withDoors(entrypoint, doors, ["/bin/agent", "--", "x"]), [
      "/opt/node",
      "--disable-warning=ExperimentalWarning",
      "/opt/km-entrypoint.cjs",
      "model=4701",
      "hooks=4702",
      "--",
      "/bin/agent",
      "--",
      "x"
    ])
  })
})

describe("the hand-over", () => {
  it.effect("gives the listeners in order and begins once that is said; they close with the scope", () =>
    Effect.gen(function*() {
      const child = new Child()
      const { begin, listeners } = handOverFrom(child, doors)
      const [model, hooks] = [listening(), listening()]
      child.emit("message", { door: "model" }, model)
      child.emit("message", { door: "hooks" }, hooks)
      const scope = yield* Scope.make()
      assert.deepStrictEqual(yield* Scope.provide(listeners, scope), [model, hooks])
      const begun = yield* Effect.forkChild(begin, { startImmediately: true })
      assert.deepStrictEqual(child.sent, ["taken"])
      assert.isUndefined(begun.pollUnsafe())
      child.emit("message", "begins")
      child.emit("disconnect")
      yield* Fiber.join(begun)
      // What the agent's side says from here on is not heard.
      assert.strictEqual(child.listenerCount("message"), 0)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual([model.listening, hooks.listening], [false, false])
    }))

  for (
    const [what, say] of [
      ["begins before all doors are here", (child: Child) => child.emit("message", "begins")],
      ["names another door", (child: Child) => child.emit("message", { door: "hooks" }, listening())],
      ["names a door without a socket", (child: Child) => child.emit("message", { door: "model" })],
      ["says nothing known", (child: Child) => child.emit("message", null)],
      ["hangs up", (child: Child) => child.emit("disconnect")],
      ["ends", (child: Child) => child.emit("exit", 1, null)],
      ["cannot be started", (child: Child) => child.emit("error", new Error("EACCES"))]
    ] as const
  ) {
    it.effect(`fails when the first program ${what}`, () =>
      Effect.gen(function*() {
        const child = new Child()
        const { listeners } = handOverFrom(child, doors)
        say(child)
        const failure = yield* Effect.flip(listeners)
        assert.isNotEmpty(failure.detail)
        assert.deepStrictEqual(child.sent, [])
      }))
  }

  it.effect("fails when a third door comes, and closes those that came", () =>
    Effect.gen(function*() {
      const child = new Child()
      const { begin, listeners } = handOverFrom(child, doors)
      const came = [listening(), listening(), listening()]
      const scope = yield* Scope.make()
      child.emit("message", { door: "model" }, came[0])
      child.emit("message", { door: "hooks" }, came[1])
      yield* Scope.provide(listeners, scope)
      child.emit("message", { door: "model" }, came[2])
      yield* Effect.flip(begin)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(came.map((server) => server.listening), [false, false, false])
    }))

  it.effect("does not wait for ever, neither for the doors nor for the beginning", () =>
    Effect.gen(function*() {
      for (const part of ["listeners", "begin"] as const) {
        const handOver = handOverFrom(new Child(), doors)
        const waiting = yield* Effect.forkChild(Effect.flip(Effect.scoped(handOver[part])))
        yield* TestClock.adjust("30 seconds")
        assert.match((yield* Fiber.join(waiting)).detail, /longer than 30 seconds/, part)
      }
    }))
})
