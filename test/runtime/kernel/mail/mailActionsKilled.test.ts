/** Mail in schedules: a crash between sending and writing it down neither loses nor doubles it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { DatabaseSync } from "node:sqlite"
import { km, kmUp } from "../../../support/KmProcess.ts"
import { mailState } from "../../../support/MailState.ts"
import { untilReal } from "../../../support/untilReal.ts"

const ada = "sb-aaaa1111"
const bob = "sb-bbbb2222"

describe("mail in schedules", () => {
  it.live("km up that is killed while it sends, loses nothing and sends nothing twice", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const names = Array.from({ length: 12 }, (_, n) => `mail-${n}`)
      const rows = (table: string, columns: string) => {
        const database = new DatabaseSync(`${state}/engine.db`, { readOnly: true })
        try {
          return database.prepare(`SELECT ${columns} FROM ${table}`).all()
        } finally {
          database.close()
        }
      }
      for (const name of names) {
        const mail = ["email", "send", "--to", "ada", "--subject", name, "--body-text", "go"]
        const ran = yield* km(state, ["at", "in 1 second", ...mail, "--name", name, "--yes"])
        assert.strictEqual(ran.exit, 0, ran.err)
      }
      // The state has an install and no operator's key for the bridge, which a first run would have made.
      const { child, ended } = yield* kmUp(state, { KM_UNATTENDED_CERTIFIER: "true" })
      yield* untilReal("a mail was sent", Effect.sync(() => rows("mail", "id").length > 0))
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      yield* kmUp(state)
      const outcomes = () =>
        rows("schedule_runs", "row").map(({ row }) => (JSON.parse(String(row)) as { outcome?: string }).outcome)
      yield* untilReal(
        "every run has ended",
        Effect.sync(() => outcomes().filter((outcome) => outcome !== undefined).length === names.length)
      )
      assert.deepStrictEqual([...new Set(outcomes())], ["succeeded"])
      yield* untilReal("all of it is delivered", Effect.sync(() => rows("mail_outbox", "seq").length === 0))
      const account = yield* accountOf(ada)
      const subjects: Array<string> = []
      for (let mail = yield* account.judge; mail !== undefined; mail = yield* account.judge) {
        subjects.push(mail.judged.subject)
      }
      assert.deepStrictEqual(subjects.toSorted(), names.toSorted())
      const shown = yield* km(state, ["at", "history", "mail-0"])
      assert.match(shown.out, /succeeded +- +\d +sent to sb-aaaa1111@km\.invalid as <\S+@km\.invalid>, encrypted/)
    }).pipe(Effect.scoped))
})
