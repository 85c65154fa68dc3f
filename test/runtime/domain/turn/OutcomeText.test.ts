import { assert, describe, it } from "@effect/vitest"
import { endOfSandbox, outcomeText } from "../../../../runtime/domain/turn/OutcomeText.ts"
import { slackRequest, turnRow } from "../../../support/turnRows.ts"

const failed = (reason: string, remedy: string) =>
  outcomeText({ ...turnRow(slackRequest(1)), outcome: { _tag: "Failed", code: "KM-AGT-010", reason, remedy } })

describe("what the thread is told of a failure", () => {
  it("is sentences, however the reason and the remedy were written", () => {
    assert.strictEqual(
      failed("the model refused the API key", "put a working key in place, then send the message again"),
      "**Failed.** The model refused the API key. Put a working key in place, then send the message again. (KM-AGT-010)"
    )
    assert.strictEqual(
      failed("km ended", "`km up` starts it."),
      "**Failed.** km ended. `km up` starts it. (KM-AGT-010)"
    )
  })

  it("sends nobody back to a sandbox that has ended", () => {
    const ended = { ...turnRow(slackRequest(1)), cancelRequestedBy: endOfSandbox }
    for (
      const outcome of [
        { _tag: "Cancelled", by: endOfSandbox },
        { _tag: "TimedOut", afterMillis: 60_000 },
        { _tag: "Failed", code: "KM-AGT-010", reason: "it broke", remedy: "write here again" },
        { _tag: "Crashed", detail: "" }
      ] as const
    ) {
      const text = outcomeText({ ...ended, outcome })
      assert.notMatch(text, /write here|check what/i)
      assert.match(text, /in another sandbox's channel/)
    }
    assert.match(outcomeText({ ...turnRow(slackRequest(1)), outcome: { _tag: "Cancelled", by: "Ada" } }), /write here/)
  })
})
