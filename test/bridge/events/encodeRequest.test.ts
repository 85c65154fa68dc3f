import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { encodeRequest } from "../../../bridge/events/Acceptance.ts"
import { SlackOrigin, TurnRequest } from "../../../runtime/domain/turn/Turn.ts"

const encode = Schema.encodeSync(TurnRequest)
/** What has joined a turn is added by the runtime alone. */
const { also: _joined, ...written } = TurnRequest.fields

describe("a queue's entry", () => {
  it.prop(
    "is written as the schema would write it",
    [Schema.Struct({ ...written, origin: SlackOrigin })],
    ([request]) =>
      assert.deepStrictEqual(JSON.parse(encodeRequest(request)), JSON.parse(JSON.stringify(encode(request))))
  )
})
