/** What every outbox must do: keep each request once, whole and in order, until it is removed. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Outbox, type OutboxEntry } from "../../../runtime/ports/Outbox.ts"
import type { Engine } from "./Engine.ts"

const entry = (name: string, createdAt: number): OutboxEntry => ({
  id: requestIdOf(name),
  body: JSON.stringify({ name, text: "é\n🦊" }),
  createdAt,
  attempts: 0
})

export const outboxContract = <LE>(engine: Engine<Outbox, LE>): void => {
  const test = <E>(name: string, body: (outbox: Outbox["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Outbox, body), engine.layer))

  test("keeps requests oldest first, each once, as they were first put", (outbox) =>
    Effect.gen(function*() {
      const entries = [entry("c", 30), entry("a", 10), entry("b1", 20), entry("b2", 20)]
      for (const each of entries) yield* outbox.put(each)
      yield* outbox.put({ ...entry("a", 99), body: "other" })
      assert.deepStrictEqual(yield* outbox.pending, [entry("a", 10), entry("b1", 20), entry("b2", 20), entry("c", 30)])
    }))

  test("counts tries and forgets what was acknowledged", (outbox) =>
    Effect.gen(function*() {
      const { id } = entry("a", 1)
      yield* outbox.put(entry("a", 1))
      yield* outbox.tried(id)
      yield* outbox.tried(id)
      yield* outbox.put(entry("a", 1))
      assert.deepStrictEqual(yield* outbox.pending, [{ ...entry("a", 1), attempts: 2 }])
      yield* outbox.remove(id)
      yield* outbox.remove(id)
      yield* outbox.tried(id)
      assert.deepStrictEqual(yield* outbox.pending, [])
    }))
}
