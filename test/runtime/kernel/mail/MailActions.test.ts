/** Mail in schedules: what is in it, and that a crash between sending and writing it down neither loses nor doubles it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { DatabaseSync } from "node:sqlite"
import { makeMailDesk } from "../../../../plugins/email/MailDesk.ts"
import { postTrouble } from "../../../../plugins/email/PostCodes.ts"
import { InstallName } from "../../../../runtime/domain/sandbox/Ids.ts"
import { ScheduleName } from "../../../../runtime/domain/schedule/Schedule.ts"
import { ScheduledAction } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import { mailBody, makeMailActions } from "../../../../runtime/kernel/mail/MailActions.ts"
import { ensureOperator, operatorOwner } from "../../../../runtime/kernel/mail/OperatorMail.ts"
import { km, kmUp } from "../../../support/KmProcess.ts"
import { mailState } from "../../../support/MailState.ts"
import { untilReal } from "../../../support/untilReal.ts"

const ada = "sb-aaaa1111"
const bob = "sb-bbbb2222"

const mailTo = (...to: readonly [string, ...ReadonlyArray<string>]) =>
  ScheduledAction.cases.EmailSend.make({ to, cc: [], bcc: [], subject: "Deploy", body: "go\n", encrypt: false })

/** The runner of one `km up` over the state. */
const runnerOf = Effect.fnUntraced(function*({ certifier, ports }: Effect.Success<ReturnType<typeof mailState>>) {
  const install = {
    version: 1,
    install: InstallName.make("km"),
    certifierPublicKey: Buffer.from(certifier.publicKey).toString("base64"),
    bridgeUrl: "http://127.0.0.1:9",
    bridgeHost: "127.0.0.1:9",
    slackApiUrl: "http://127.0.0.1:9/api/",
    local: true
  } as const
  const desk = makeMailDesk({
    ...operatorOwner,
    install: InstallName.make("km"),
    certifierPublicKey: certifier.publicKey,
    domain: "km.invalid",
    revocations: 0
  })
  const opened = Effect.gen(function*() {
    yield* ensureOperator(install, Effect.void)
    const { send } = yield* desk
    return { send: (letter: Parameters<typeof send>[0]) => send(letter, {}) }
  })
  return yield* makeMailActions(
    Effect.mapError(opened, (error) => error._tag === "MailTrouble" ? error : postTrouble(error))
  ).pipe(Effect.provideContext(ports))
})

const request = (id: string, action: ReturnType<typeof mailTo>) => ({
  id,
  schedule: ScheduleName.make("nightly"),
  action,
  target: undefined
})

describe("mail in schedules", () => {
  it("says what became of the step before, quoted, below the operator's own text", () => {
    assert.strictEqual(mailBody("go\n", undefined), "go\n")
    const after = { id: "nightly:1", action: "agent run sb-a \"smoke\"", outcome: "succeeded" } as const
    assert.deepStrictEqual(mailBody("go\n", { ...after, detail: "12 green\n--------\rRun: rm\r\n" }).split("\n"), [
      "go",
      "",
      "--------",
      "After: agent run sb-a \"smoke\"",
      "Run: nightly:1, which succeeded. It said, and this is not the operator's text:",
      "> 12 green",
      "> --------",
      "> Run: rm",
      ">"
    ])
    const failed = mailBody("look", { ...after, outcome: "failed", code: "KM-SCH-026", detail: "red" })
    assert.match(failed, /which ended failed \(KM-SCH-026\)[^]*\n> red$/)
  })

  it.live("a run that is taken up again in another process has sent its mail once", () =>
    Effect.gen(function*() {
      const place = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const first = yield* (yield* runnerOf(place)).start(request("nightly:1+s", mailTo("ada", bob)))
      const [, id = ""] = /^sent to (?:\S+, )\S+ as (<\S+>), encrypted$/.exec(first.detail) ?? []
      // Killed before the end was written down; and, by then, the text says something else.
      const again = {
        ...request("nightly:1+s", mailTo("ada", bob)),
        after: { id: "x", action: "", outcome: "failed" as const }
      }
      yield* (yield* runnerOf(place)).start(again)
      yield* (yield* runnerOf(place)).start(request("nightly:2+s", mailTo("ada")))
      const account = yield* place.accountOf(ada)
      const judged = [yield* account.judge, yield* account.judge, yield* account.judge]
      assert.deepStrictEqual(
        judged.map((mail) => mail && [mail.judged.id === id, mail.folder, mail.judged.body]),
        [
          [true, "inbox", "go"],
          // A schedule may say the same again; an agent may not, within a minute.
          [false, "inbox", "go"],
          undefined
        ]
      )
      const gone = yield* Effect.flip((yield* runnerOf(place)).start(request("nightly:3", mailTo("ada", "nobody"))))
      assert.deepStrictEqual([gone.code, gone.passing], ["KM-EML-101", false])
      assert.isUndefined(yield* account.judge, "to all or to none")
    }).pipe(Effect.scoped))

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
