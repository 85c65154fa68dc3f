/** What every store of facts must do: keep each by its key, and change it only while it is what the changer saw. */
import { assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { changeFact, Facts, maxFactBytes, maxFactKeyBytes } from "../../../runtime/ports/Facts.ts"
import type { Engine } from "./Engine.ts"

const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")

export const factsContract = <LE>(engine: Engine<Facts, LE>): void => {
  const test = <E>(name: string, body: (facts: Facts["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Facts, body), engine.layer))

  test("keeps what was put, by sandbox and key, until it is removed", (facts) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* facts.get(one, "a/1"), Option.none())
      assert.isTrue(yield* facts.put(one, "a/1", "x 🦊"))
      assert.isTrue(yield* facts.put(one, "a/2", ""))
      assert.isTrue(yield* facts.put(one, "b%", "z"))
      assert.isTrue(yield* facts.put(two, "a/1", "y"))
      assert.deepStrictEqual(yield* facts.get(one, "a/1"), Option.some("x 🦊"))
      assert.deepStrictEqual(yield* facts.get(one, "a/2"), Option.some(""))
      assert.deepStrictEqual(yield* facts.list("a/"), [
        { sandbox: one, key: "a/1", value: "x 🦊" },
        { sandbox: one, key: "a/2", value: "" },
        { sandbox: two, key: "a/1", value: "y" }
      ])
      assert.deepStrictEqual(yield* facts.list("a/", two), [{ sandbox: two, key: "a/1", value: "y" }])
      assert.lengthOf(yield* facts.list("%"), 0)
      assert.lengthOf(yield* facts.list(""), 4)
      yield* facts.remove(one, "a/1")
      yield* facts.remove(one, "never")
      assert.deepStrictEqual(yield* facts.get(one, "a/1"), Option.none())
      assert.deepStrictEqual(yield* facts.get(two, "a/1"), Option.some("y"))
    }))

  test("changes a fact only while it is what was seen", (facts) =>
    Effect.gen(function*() {
      assert.isTrue(yield* facts.put(one, "k", "1", { was: undefined }))
      assert.isFalse(yield* facts.put(one, "k", "2", { was: undefined }))
      assert.isFalse(yield* facts.put(one, "k", "2", { was: "0" }))
      assert.isTrue(yield* facts.put(one, "k", "2", { was: "1" }))
      yield* Effect.forEach(Array.from({ length: 20 }), () =>
        changeFact(facts, one, "k", (was) => String(Number(was) + 1)), { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* facts.get(one, "k"), Option.some("22"))
      yield* changeFact(facts, one, "k", () =>
        undefined)
      assert.deepStrictEqual(yield* facts.get(one, "k"), Option.some("22"))
    }))

  test("takes no more than every engine holds", (facts) =>
    Effect.gen(function*() {
      const key = "é".repeat(maxFactKeyBytes / 2)
      const value = "é".repeat(maxFactBytes / 2)
      assert.isTrue(yield* facts.put(one, key, value))
      for (const [k, v] of [[`${key}x`, ""], ["k", `${value}x`]] as const) {
        const { reason } = yield* Effect.flip(facts.put(one, k, v))
        assert.strictEqual(reason, "TooLarge")
        assert.deepStrictEqual(yield* facts.get(one, k), Option.none())
      }
      assert.deepStrictEqual(yield* facts.get(one, key), Option.some(value))
    }))
}
