/** Mail in schedules: what is in it, and that a run which is taken up again sends it once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeMailDesk } from "../../../../plugins/email/MailDesk.ts"
import { postTrouble } from "../../../../plugins/email/PostCodes.ts"
import { InstallName } from "../../../../runtime/domain/sandbox/Ids.ts"
import { ScheduleName } from "../../../../runtime/domain/schedule/Schedule.ts"
import { ScheduledAction } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import {
  type LetterRefused,
  mailBody,
  makeMailActions,
  type ScheduledLetter
} from "../../../../runtime/kernel/mail/MailActions.ts"
import { ensureOperator, operatorOwner } from "../../../../runtime/kernel/mail/OperatorMail.ts"
import { mailState } from "../../../support/MailState.ts"

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

  const after = { id: "nightly:1", action: "agent run", outcome: "failed" } as const
  it("says of a step without a code or words that it had none, and ends the quote of an empty line at its mark", () => {
    assert.deepStrictEqual(mailBody("", after).split("\n").slice(3), [
      "After: agent run",
      "Run: nightly:1, which ended failed (without a code). It said, and this is not the operator's text:",
      ">"
    ])
    // Whatever a reader may take for the end of a line: none of it escapes the marks.
    const ends = ["\r\n", "\n", "\r", "\v", "\f", "\u0085", "\u2028", "\u2029"]
    assert.deepStrictEqual(
      mailBody("x", { ...after, detail: ends.map((end) => `Run:${end}`).join("") }).split("\n").slice(5),
      [...ends.map(() => "> Run:"), ">"]
    )
  })

  /** A runner whose desk keeps what it is given, and answers so. */
  const recorded = Effect.fnUntraced(function*(answer: Effect.Effect<{ readonly encrypted: boolean }, LetterRefused>) {
    const letters: Array<ScheduledLetter> = []
    const runner = yield* makeMailActions(Effect.succeed({
      send: (letter) =>
        Effect.map(answer, ({ encrypted }) => {
          letters.push(letter)
          return { id: "<1@km.invalid>", recipients: ["a@km.invalid", "b@km.invalid"], encrypted }
        })
    }))
    return { letters, runner }
  })

  it.effect("gives the desk the whole letter, named after the run, and says to whom it went", () =>
    Effect.gen(function*() {
      const { letters, runner } = yield* recorded(Effect.succeed({ encrypted: false }))
      const action = ScheduledAction.cases.EmailSend.make({
        to: ["a"],
        cc: ["b"],
        bcc: ["c"],
        subject: "Deploy",
        body: "go\n",
        encrypt: true
      })
      assert.deepStrictEqual(yield* runner.start({ ...request("nightly:1+s", mailTo("a")), action }), {
        _tag: "Done",
        detail: "sent to a@km.invalid, b@km.invalid as <1@km.invalid>"
      })
      yield* runner.start({ ...request("nightly:2+f", mailTo("a")), after })
      assert.deepStrictEqual(letters.map(({ body, ...rest }) => [body.split("\n")[0], rest]), [
        ["go", {
          to: ["a"],
          cc: ["b"],
          bcc: ["c"],
          subject: "Deploy",
          encrypt: true,
          attachments: [],
          key: "at/nightly:1+s"
        }],
        ["go", {
          to: ["a"],
          cc: [],
          bcc: [],
          subject: "Deploy",
          encrypt: false,
          attachments: [],
          key: "at/nightly:2+f"
        }]
      ])
      assert.include(letters[1]?.body ?? "", "Run: nightly:1, which ended failed")
      assert.deepStrictEqual(runner.kinds, ["EmailSend"])
    }))

  it.effect("what a desk refuses has its code and words, and passes only where the store or the rate is the matter", () =>
    Effect.gen(function*() {
      for (
        const [code, passing] of [
          ["KM-EML-103", true],
          ["KM-EML-104", true],
          ["KM-CLI-015", true],
          ["KM-EML-101", false]
        ] as const
      ) {
        const { runner } = yield* recorded(Effect.fail({ code, what: "not sent", why: "too often" }))
        const refused = yield* Effect.flip(runner.start(request("nightly:1", mailTo("a"))))
        assert.deepInclude(refused, { _tag: "ActionFailed", code, reason: "not sent: too often", passing })
      }
      const { runner } = yield* recorded(Effect.fail({ code: "KM-EML-101", what: "not sent", why: "" }))
      assert.strictEqual((yield* Effect.flip(runner.start(request("nightly:1", mailTo("a"))))).reason, "not sent")
      const unopened = yield* makeMailActions(Effect.fail({ code: "KM-EML-107", what: "no key", why: "" }))
      assert.deepInclude(yield* Effect.flip(unopened.start(request("nightly:1", mailTo("a")))), {
        code: "KM-EML-107",
        passing: false
      })
    }))

  it.effect("sends mail and nothing else, and waits for no turn", () =>
    Effect.gen(function*() {
      const { letters, runner } = yield* recorded(Effect.succeed({ encrypted: true }))
      const other = ScheduledAction.cases.Destroy.make({ target: "demo" })
      assert.deepInclude(yield* Effect.flip(runner.start({ ...request("nightly:1", mailTo("a")), action: other })), {
        code: "KM-SCH-020",
        passing: false,
        reason: "this runner sends mail only"
      })
      assert.deepInclude(yield* Effect.flip(runner.resume()), { code: "KM-SCH-020", passing: false })
      assert.deepStrictEqual(letters, [])
    }))

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
})
