import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { encodeRequest } from "../../../bridge/events/Acceptance.ts"
import { SlackOrigin, TurnRequest } from "../../../runtime/domain/turn/Turn.ts"

const encode = Schema.encodeSync(TurnRequest)

describe("a queue's entry", () => {
  it.prop(
    "is written as the schema would write it",
    [Schema.Struct({ ...TurnRequest.fields, origin: SlackOrigin })],
    ([request]) =>
      assert.deepStrictEqual(JSON.parse(encodeRequest(request)), JSON.parse(JSON.stringify(encode(request))))
  )
})
