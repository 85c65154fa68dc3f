/** Every refusal has a code of its own, which the documents explain. */
import { assert, describe, it } from "@effect/vitest"
import {
  DirectoryTampered,
  errorCodes,
  MailRefused,
  MalformedMail,
  MalformedReason,
  RefusalReason
} from "../../../plugins/email/protocol/MailErrors.ts"

describe("what the codec says", () => {
  it("has a code for each reason, in this order, and explains all of them", () => {
    const reasons = {
      "bad-address": "KM-EML-001",
      "no-recipient": "KM-EML-002",
      "too-many-recipients": "KM-EML-003",
      "bad-header": "KM-EML-004",
      "bad-attachment": "KM-EML-005",
      "bad-text": "KM-EML-006",
      "bad-lifetime": "KM-EML-007",
      "forbidden-body": "KM-EML-008",
      "too-large": "KM-EML-009",
      "no-encryption-key": "KM-EML-010"
    } as const
    assert.deepStrictEqual([...RefusalReason.literals], Object.keys(reasons))
    for (const reason of RefusalReason.literals) {
      const refusal = new MailRefused({ reason, detail: "to[0]" })
      assert.deepStrictEqual([refusal.code, refusal.message], [reasons[reason], `${reasons[reason]}: to[0]`])
    }
    const codes = errorCodes.map(({ code }) => code)
    assert.deepStrictEqual(codes, [...Object.values(reasons), "KM-EML-020", "KM-EML-030"])
    for (const { code, remedy, what } of errorCodes) assert.isTrue(what.length > 20 && remedy.length > 20, code)
  })

  it("names what is wrong with bytes and with a directory", () => {
    assert.deepStrictEqual([...MalformedReason.literals], [
      "empty",
      "too-large",
      "too-deep",
      "too-many-parts",
      "too-slow",
      "broken"
    ])
    for (const reason of MalformedReason.literals) {
      const { message } = new MalformedMail({ reason, detail: "here" })
      assert.strictEqual(message, `KM-EML-020: the message cannot be read (${reason}): here`)
    }
    for (const reason of ["bad-signature", "missing-revocation", "rolled-back"] as const) {
      const { message } = new DirectoryTampered({ reason, detail: "row 1" })
      assert.strictEqual(message, `KM-EML-030: the identity directory cannot be trusted (${reason}): row 1`)
    }
  })
})
