/** A defect ends no fiber that must live: what every endless loop is made of, and that there is no other one. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, Ref, Schema } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { unending } from "../../../runtime/ports/Unending.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))

const sources = ["runtime", "bridge", "plugins", "hooks", "km-cli"].flatMap((room) =>
  readdirSync(path.join(root, room), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => path.join(room, file))
)

describe("unending work", () => {
  it.effect.prop(
    "does every round, whichever of them end in a defect, and tells of each of those",
    [Schema.Array(Schema.Boolean).check(Schema.isMaxLength(20))],
    ([defects]) =>
      Effect.gen(function*() {
        const told: Array<unknown> = []
        const begun = yield* Ref.make(0)
        const done = yield* Ref.make(0)
        const over = yield* Deferred.make<void>()
        const round = Effect.gen(function*() {
          const number = yield* Ref.getAndUpdate(begun, (count) => count + 1)
          if (number >= defects.length) return yield* Effect.andThen(Deferred.succeed(over, undefined), Effect.never)
          if (defects[number] === true) return yield* Effect.die(`round ${number}`)
          yield* Ref.update(done, (count) => count + 1)
        })
        const fiber = yield* Effect.forkChild(unending("a round ended", "1 second", round)).pipe(
          Effect.provide(Logger.layer([Logger.make(({ message }) => void told.push(message))]))
        )
        yield* Effect.forkChild(Effect.forever(TestClock.adjust("1 second")))
        yield* Deferred.await(over)
        assert.strictEqual(yield* Ref.get(begun), defects.length + 1)
        assert.strictEqual(yield* Ref.get(done), defects.filter((defect) => !defect).length)
        assert.deepStrictEqual(
          told,
          defects.flatMap((defect, number) => defect ? [["a round ended", `round ${number}`]] : [])
        )
        yield* Fiber.interrupt(fiber)
      })
  )

  it.effect("waits after a defect, so that one that comes every time costs little", () =>
    Effect.gen(function*() {
      const begun = yield* Ref.make(0)
      const round = Effect.andThen(Ref.update(begun, (count) => count + 1), Effect.die("always"))
      yield* Effect.forkChild(unending("a round ended", "5 seconds", round)).pipe(Effect.provide(Logger.layer([])))
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* Ref.get(begun), 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Ref.get(begun), 2)
    }))

  it.effect("ends by a failure, and by an interruption", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flip(unending("a round ended", 0, Effect.fail("enough"))), "enough")
      const fiber = yield* Effect.forkChild(unending("a round ended", 0, Effect.never), { startImmediately: true })
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.interrupt(fiber).pipe(Effect.andThen(Fiber.await(fiber)))))
    }))

  it("is the only endless loop there is", () => {
    const loops = sources.filter((file) => file !== path.join("runtime", "ports", "Unending.ts")).filter((file) =>
      /\bEffect\.forever\b|Effect\.(?:repeat|schedule)\([^)]*Schedule\.(?:spaced|fixed|forever)/.test(
        readFileSync(path.join(root, file), "utf8")
      )
    )
    assert.deepStrictEqual(loops, [])
    assert.isAbove(
      sources.filter((file) => readFileSync(path.join(root, file), "utf8").includes("unending(")).length,
      20
    )
  })
})
