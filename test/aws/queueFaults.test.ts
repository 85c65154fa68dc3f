/** A short campaign; `make test-aws MESSAGES=10000` runs the long one, which takes its time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import { campaign } from "./queueCampaign.ts"

const rates = { throttled: 0.03, lostBefore: 0.03, lostAfter: 0.03, doubled: 0.03, stale: 0.1 }

const messages = Number(process.env["KM_AWS_MESSAGES"] ?? 60)

describe("the queue under faults", () => {
  it.effect("loses nothing, doubles nothing and keeps each thread's order", () =>
    Effect.gen(function*() {
      const report = yield* campaign({
        endpoint: inject("moto"),
        seed: 1,
        messages,
        threads: messages < 1_000 ? 6 : 50,
        rates,
        crashes: 0.02
      })
      assert.deepStrictEqual(
        { lost: report.lost, doubled: report.doubled, outOfOrder: report.outOfOrder, left: report.left },
        { lost: [], doubled: [], outOfOrder: [], left: 0 }
      )
      const { doubled, lostAfter, lostBefore, throttled } = report.faults
      for (const met of [report.crashed, doubled, lostAfter, lostBefore, throttled]) assert.isAbove(met, 0)
    }), messages * 10_000)
})
