/** Origins of plugins are open: written beside what everybody knows, taken back whole, and never mistaken for another's. */
import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { originKind, PluginOriginKind, TurnOrigin } from "../../../../runtime/domain/turn/Turn.ts"
import { runs } from "../../../support/runs.ts"

const TurnOriginJson = Schema.fromJsonString(TurnOrigin)
const decode = Schema.decodeUnknownOption(TurnOrigin)

describe("TurnOrigin", () => {
  it.prop(
    "of a plugin, comes back as it was written, under its own kind",
    [
      PluginOriginKind,
      Schema.String,
      Schema.Record(Schema.String.check(Schema.isPattern(/^[a-j]{1,6}$/)), Schema.Json)
    ],
    ([of, label, data]) => {
      const origin = { kind: "plugin" as const, of, label, data }
      const text = Schema.encodeSync(TurnOriginJson)(origin)
      // As text, because JSON has no negative zero.
      assert.strictEqual(Schema.encodeSync(TurnOriginJson)(Schema.decodeSync(TurnOriginJson)(text)), text)
      assert.deepInclude(JSON.parse(text), { kind: of, label })
      assert.strictEqual(originKind(Schema.decodeSync(TurnOriginJson)(text)), of)
    },
    runs(100)
  )

  it("of a plugin, may have been written without who asked", () => {
    assert.deepStrictEqual(
      Option.getOrUndefined(decode({ kind: "mail", messageId: "<1@x>", hop: 2 })),
      { kind: "plugin", of: "mail", label: "", data: { messageId: "<1@x>", hop: 2 } }
    )
  })

  it("of a plugin, cannot hide what everybody reads", () => {
    const hidden = { kind: "plugin" as const, of: "pager", label: "Ada", data: { label: "Eve" } }
    assert.throws(() => Schema.encodeSync(TurnOrigin)(hidden))
  })

  it("that everybody knows is no plugin's, however wrong it is", () => {
    for (const kind of ["slack", "operator", "plugin", "", "Mail", "a b", 7]) {
      assert.isTrue(Option.isNone(decode({ kind, channel: "C1" })), String(kind))
    }
    assert.isTrue(Option.isNone(decode({ kind: "mail", label: 7 })))
    assert.deepStrictEqual(Option.getOrUndefined(decode({ kind: "operator", label: "x" })), {
      kind: "operator",
      label: "x"
    })
  })
})
