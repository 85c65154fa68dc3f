/** What every store of reports must do: keep what was not named, an item per sandbox. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { noReport } from "../../../runtime/domain/sandbox/Sandbox.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import type { Engine } from "./Engine.ts"

const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")
const plugins = [{ id: "transcript", state: "running", detail: "" }]

export const reportsContract = <LE>(engine: Engine<Reports, LE>): void => {
  const test = <E>(name: string, body: (reports: Reports["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Reports, body), engine.layer))

  test("is empty before a runtime has said anything, then keeps what was said in parts", (reports) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* reports.get(one), noReport)
      yield* reports.put(one, { plugins, lastSeenAt: 7 })
      yield* reports.put(one, { ready: true, confined: true })
      assert.deepStrictEqual(yield* reports.get(one), { ready: true, confined: true, plugins, lastSeenAt: 7 })
      assert.deepStrictEqual(yield* reports.get(two), noReport)
    }))

  test("gives those of several sandboxes at once, and forgets one", (reports) =>
    Effect.gen(function*() {
      yield* reports.put(one, { ready: true })
      yield* reports.put(two, { lastActiveAt: 3 })
      assert.deepStrictEqual([...(yield* reports.of([one, two, SandboxId.make("sb-00000003")])).keys()].toSorted(), [
        one,
        two
      ])
      yield* reports.remove(one)
      yield* reports.remove(one)
      assert.deepStrictEqual([...yield* reports.of([one, two])], [[two, { ...noReport, lastActiveAt: 3 }]])
      assert.deepStrictEqual(yield* reports.of([]), new Map())
    }))
}
