/** Crashes at every point of a turn's life: exactly one visible outcome per message, nothing lost, order kept. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { message, simulate } from "./Simulation.ts"

describe("simulation", () => {
  it.effect("a clean run answers everything in order", () =>
    Effect.gen(function*() {
      const { ops, problems, world } = yield* simulate([message(1, 1), message(1, 2), message(2, 1)])
      assert.deepStrictEqual(problems, [], world.log.join("\n"))
      assert.isAbove(ops, 40)
    }))
})
