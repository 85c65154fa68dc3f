import { assert, describe, it } from "@effect/vitest"
import { outcomeText } from "../../../runtime/domain/OutcomeText.ts"
import { slackRequest, turnRow } from "../../support/turnRows.ts"

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
})
