/** Foreign text is shown inert, by `km` and by the agent's programs alike. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as agents from "../../../../plugins/email/foreignText.ts"
import * as ours from "../../../../runtime/domain/text/ForeignText.ts"
import { foreignAddresses, foreignJson, foreignTexts } from "../../../support/foreignTexts.ts"
import { runs } from "../../../support/runs.ts"

const unseen = /(?!\u200c|\u200d|\ufe0e|\ufe0f)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/u

/** Made of what matters here, so that every shape is met. */
const pieces = Array.from(
  "a \n\r\t\u001b\u009b\u009d\u009c\u0007[]3m;\\\u2028\u202e\u2066\u200b\ufeff\u00ad\u{e0041}\ud800\u3164@\"𝕏…\u2800"
)
const Hostile = Schema.Array(Schema.Literals(pieces)).check(Schema.isMaxLength(40))

for (const [name, { foreignAddress, foreignLine, foreignText, visibleJson }] of Object.entries({ ours, agents })) {
  describe(`foreign text, ${name}`, () => {
    for (const [what, text, line, lines] of foreignTexts) {
      it(`shows ${what}`, () => {
        assert.strictEqual(foreignLine(text), line)
        assert.strictEqual(foreignText(text), lines)
      })
    }

    it("quotes what is no plain address", () => {
      for (const [address, shown] of foreignAddresses) assert.strictEqual(foreignAddress(address), shown)
    })

    it("writes what is unseen as escapes in JSON, which says the same", () => {
      for (const [value, json] of foreignJson) {
        assert.strictEqual(visibleJson(value), json)
        assert.deepStrictEqual(JSON.parse(json), value)
      }
      assert.strictEqual(visibleJson({ a: "\n" }, 2), "{\n  \"a\": \"\\n\"\n}")
    })

    it.prop("lets nothing through that drives a terminal, whatever it is made of", [Hostile], ([parts]) => {
      const text = parts.join("")
      const shown = foreignLine(text)
      assert.notMatch(shown, unseen)
      assert.notInclude(shown, "  ")
      assert.strictEqual(foreignLine(shown), shown)
      for (const each of foreignText(text).split("\n")) assert.notMatch(each.replaceAll("\t", ""), unseen)
      assert.match(foreignAddress(text), /^[ -~]+$/)
      const json = visibleJson({ text }, 2)
      for (const each of json.split("\n")) assert.notMatch(each, unseen)
      assert.deepStrictEqual(JSON.parse(json), { text })
    }, runs(300))
  })
}
