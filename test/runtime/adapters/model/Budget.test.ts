import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Budget from "../../../../runtime/adapters/model/Budget.ts"
import { costOf } from "../../../../runtime/adapters/model/Price.ts"
import { noUsage, UsageMeter } from "../../../../runtime/adapters/model/Usage.ts"
import { temporaryDirectory } from "../../../support/ScriptedModel.ts"

describe("Budget", () => {
  it.effect("takes the larger of the two counts", () =>
    Effect.gen(function*() {
      const budget = Budget.memory(1)
      yield* budget.charge(0.2)
      yield* budget.report("a", 0.3)
      yield* budget.report("b", 0.3)
      assert.closeTo(yield* budget.spentUsd, 0.6, 1e-9)
      yield* budget.charge(0.7)
      assert.closeTo(yield* budget.spentUsd, 0.9, 1e-9)
      assert.isFalse(yield* budget.exhausted)
      yield* budget.charge(0.2)
      assert.isTrue(yield* budget.exhausted)
    }))

  it.effect("a session's figure is cumulative: reported again it is not added, and never lowered", () =>
    Effect.gen(function*() {
      const budget = Budget.memory(0)
      assert.closeTo(yield* budget.report("a", 0.3), 0.3, 1e-9)
      assert.closeTo(yield* budget.report("a", 0.5), 0.2, 1e-9)
      assert.strictEqual(yield* budget.report("a", 0), 0)
      assert.closeTo(yield* budget.spentUsd, 0.5, 1e-9)
      assert.isFalse(yield* budget.exhausted)
    }))

  it.effect("survives the process, 0600, and an unreadable record does not stop the agent", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* temporaryDirectory, "spend.json")
      yield* Effect.flatMap(Budget.file(path, 1), (budget) => budget.charge(0.25))
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      assert.strictEqual(yield* Effect.flatMap(Budget.file(path, 1), (budget) => budget.spentUsd), 0.25)
      Fs.writeFileSync(path, "{")
      assert.strictEqual(yield* Effect.flatMap(Budget.file(path, 1), (budget) => budget.spentUsd), 0)
    }))
})

describe("cost", () => {
  it("is the list price by family, and the dearest for an unknown model", () => {
    const million = { ...noUsage, input: 1_000_000, output: 1_000_000 }
    assert.strictEqual(costOf("claude-opus-5-5", million), 24)
    assert.strictEqual(costOf("claude-sonnet-5-5", million), 12)
    assert.strictEqual(costOf("something-new", million), 48)
    assert.strictEqual(costOf("", noUsage), 0)
  })
})

describe("UsageMeter", () => {
  const events = [
    { type: "message_start", message: { usage: { input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 1 } } },
    { type: "content_block_delta", delta: { type: "text_delta", text: "say \"usage\": {\"output_tokens\": 999}" } },
    { type: "message_delta", usage: { output_tokens: 42 } }
  ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")

  it.prop(
    "reads a stream however it is cut, and is not fooled by text",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })))],
    ([sizes]) => {
      const meter = new UsageMeter("text/event-stream; charset=utf-8")
      const bytes = Buffer.from(events)
      for (let from = 0, turn = 0; from < bytes.length; turn++) {
        const size = sizes[turn % Math.max(1, sizes.length)] ?? 7
        meter.push(bytes.subarray(from, from + size))
        from += size
      }
      meter.end()
      assert.deepStrictEqual(meter.usage, { input: 10, output: 42, cacheRead: 5, cacheWrite: 0 })
    }
  )

  it.prop("never throws on garbage", [Schema.String], ([text]) => {
    for (const type of ["text/event-stream", "application/json"]) {
      const meter = new UsageMeter(type)
      meter.push(Buffer.from(`data: "usage" ${text}\n`))
      meter.end()
      assert.deepStrictEqual(meter.usage, noUsage)
    }
  })
})
