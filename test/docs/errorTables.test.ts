/** Each room's table of codes beside the document: a code that a room lists is there, in that room's own words. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { errorCodes as email, MailRefused, RefusalReason } from "../../plugins/email/protocol/MailErrors.ts"
import { errorCodes as identity, identityRefused } from "../../runtime/kernel/identity/IdentityErrors.ts"
import { errorCodes as sandboxes } from "../../runtime/kernel/sandboxes/SandboxErrors.ts"
import { errorCodes as schedules, refusal } from "../../runtime/kernel/schedules/ScheduleErrors.ts"
import { errorCodes as turns, failure } from "../../runtime/kernel/turns/TurnErrors.ts"

const document = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8")

/** Codes of the document by their letters, with what happened and what to do. */
const documented = (...families: ReadonlyArray<string>) =>
  [...document.matchAll(/^\| `(KM-[A-Z]{3})-(\d{3})` \| (.*) \| (.*) \|$/gm)].flatMap((
    [, family = "", number = "", what = "", remedy = ""]
  ) => families.includes(family) ? [{ code: `${family}-${number}`, what, remedy }] : [])

const byCode = <A extends { readonly code: string }>(codes: ReadonlyArray<A>) =>
  codes.toSorted((a, b) => a.code < b.code ? -1 : 1)

describe("the tables of codes", () => {
  it("have every code of the document that is theirs, in its words", () => {
    const families = [
      [identity, "KM-IDN"],
      [schedules, "KM-SCH"],
      [turns, "KM-TRN", "KM-HST"],
      [sandboxes, "KM-TRN", "KM-CLI"],
      [email, "KM-EML"]
    ] as const
    for (const [codes, ...own] of families) {
      assert.isAbove(codes.length, 3)
      const all = new Map(documented(...own).map((row) => [row.code, row]))
      for (const row of codes) {
        assert.deepStrictEqual({ ...row, what: row.what.replaceAll("|", "\\|") }, all.get(row.code), row.code)
      }
    }
    assert.deepStrictEqual(byCode(identity), byCode(documented("KM-IDN")))
    assert.deepStrictEqual(byCode(schedules), byCode(documented("KM-SCH")))
    assert.deepStrictEqual(
      byCode([...turns, ...sandboxes].filter(({ code }) => /^KM-(TRN|HST)/.test(code))),
      // Hosts have the numbers from 200 on.
      byCode(documented("KM-TRN", "KM-HST")).filter(({ code }) => !code.startsWith("KM-HST-2"))
    )
    assert.deepStrictEqual(
      sandboxes.map(({ code }) => code).filter((code) => code.startsWith("KM-CLI")),
      documented("KM-CLI").map(({ code }) => code).filter((code) => /-10[1-7]$/.test(code))
    )
    assert.deepStrictEqual(
      byCode(email),
      byCode(documented("KM-EML")).filter(({ code }) => /-(00\d|010|020|030)$/.test(code))
    )
  })

  it("give a refusal its remedy, and the message all three", () => {
    for (const { code, remedy } of identity) {
      const refused = identityRefused(code as Parameters<typeof identityRefused>[0], "so it is")
      assert.deepStrictEqual([String(refused.code), refused.reason, refused.remedy], [code, "so it is", remedy])
      assert.strictEqual(refused.message, `${code}: so it is; ${remedy}`)
    }
    for (const { code, remedy } of schedules) {
      const known = code as Parameters<typeof refusal>[0]
      assert.strictEqual(refusal(known, "so it is").message, `${code}: so it is; ${remedy}`)
      assert.strictEqual(refusal(known, "so it is", "go on").message, `${code}: so it is; go on`)
    }
    for (const { code, remedy, what } of turns) {
      assert.deepStrictEqual(failure(code), { code, reason: what, remedy })
      assert.deepStrictEqual(failure(code, "so it is"), { code, reason: "so it is", remedy })
    }
    assert.deepStrictEqual(failure("KM-TRN-999"), { code: "KM-TRN-999", reason: "KM-TRN-999", remedy: "" })
  })

  it("of mail have one code for each reason that refuses a draft", () => {
    const codes = RefusalReason.literals.map((reason) => new MailRefused({ reason, detail: "subject" }))
    assert.deepStrictEqual(
      codes.map(({ message }) => message),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `KM-EML-${String(n).padStart(3, "0")}: subject`)
    )
  })
})
