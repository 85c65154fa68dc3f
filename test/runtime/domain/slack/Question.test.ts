import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  buttonValue,
  type Click,
  type ClickContext,
  decodeQuestion,
  encodeQuestion,
  judgeClick,
  parseButtonValue,
  QuestionRecord,
  withdraw,
  Withdrawal
} from "../../../../runtime/domain/slack/Question.ts"

const person = Schema.Literals(["U0ADA0001", "U0GRACE01", "U0EVE0001"])

/** A click and what surrounds it; most are right in most respects, so that some are right in all. */
const Attempt = Schema.Struct({
  user: person,
  choice: Schema.Literals(["approve", "deny"]),
  message: Schema.Literals(["right", "right", "right", "other"]),
  channel: Schema.Literals(["same", "same", "same", "other"]),
  mayDrive: Schema.Literals([true, true, false]),
  isOperator: Schema.Literals([false, false, true]),
  generation: Schema.Literals(["1", "1", "1", "2", "gone"]),
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 }))
})
const Attempts = Schema.Array(Schema.Union([Attempt, Withdrawal])).check(Schema.isMaxLength(12))

const start = (quorum: number, deciders: ReadonlyArray<string> | undefined): QuestionRecord =>
  Schema.decodeSync(QuestionRecord)({
    id: "q".repeat(43),
    sandbox: "sb-00000001",
    generation: "1",
    subject: {
      turn: "T0TEST:C0TEST:1800000000.000001",
      n: 1,
      session: "0b0e6a40-1111-4222-8333-444444444444",
      tool: "Bash",
      callSha256: "a".repeat(64),
      shown: "command: ls",
      quorum,
      ...(deciders === undefined ? {} : { deciders }),
      deadline: 100
    },
    channel: "C0TEST",
    ts: "1800000000.000002",
    askedAt: 0,
    state: "open",
    approvals: [],
    revision: 0,
    shownRevision: 0
  })

const clickOf = (record: QuestionRecord, attempt: typeof Attempt.Type): readonly [Click, ClickContext] => [
  Object.assign({
    team: "T0TEST",
    user: attempt.user,
    channel: "C0TEST",
    message: attempt.message === "right" ? record.ts : "1800000000.000009",
    choice: attempt.choice,
    value: buttonValue(record)
  }) as Click,
  {
    now: attempt.at,
    name: attempt.user,
    mayDrive: attempt.mayDrive || attempt.isOperator,
    isOperator: attempt.isOperator,
    generation: attempt.generation === "gone" ? undefined : attempt.generation,
    sameChannel: attempt.channel === "same"
  }
]

describe("a question", () => {
  it.prop("survives a round trip", [QuestionRecord], ([record]) => {
    const text = encodeQuestion(record)
    const back = decodeQuestion(text)
    assert.strictEqual(back._tag === "Some" ? encodeQuestion(back.value) : "", text)
  })

  it.prop("a button's value names its question, and nothing else is one", [QuestionRecord], ([record]) => {
    const parsed = parseButtonValue(buttonValue(record))
    assert.deepStrictEqual(parsed._tag === "Some" ? parsed.value : undefined, {
      sandbox: record.sandbox,
      id: record.id
    })
    for (const bad of ["", "/", buttonValue(record) + "/x", buttonValue(record).slice(0, -1), record.id]) {
      assert.strictEqual(parseButtonValue(bad)._tag, "None", bad)
    }
  })

  it.prop(
    "is decided at most once, by those who may, in time, where it stands, by as many as it takes",
    [Attempts, Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })), Schema.Boolean],
    ([attempts, quorum, named]) => {
      const deciders = named ? ["U0ADA0001", "U0GRACE01"] : undefined
      let record = start(quorum, deciders)
      let decisions = 0
      const yes = new Set<string>()
      let no = false
      for (const attempt of attempts) {
        if (typeof attempt === "string") {
          const before = record
          record = withdraw(record, attempt)
          assert.strictEqual(record !== before, before.state === "open")
          continue
        }
        const [click, context] = clickOf(record, attempt)
        const verdict = judgeClick(record, click, context)
        const may = attempt.isOperator ||
          (deciders === undefined ? attempt.mayDrive : deciders.includes(attempt.user))
        const counts = record.state === "open" && attempt.message === "right" && attempt.channel === "same" &&
          attempt.generation === "1" && attempt.at < 100 && may &&
          (attempt.choice === "deny" || !yes.has(attempt.user))
        assert.strictEqual(verdict._tag === "Counted", counts, JSON.stringify([attempt, record]))
        if (verdict._tag === "Refused") continue
        if (attempt.choice === "deny") no = true
        else yes.add(attempt.user)
        assert.strictEqual(verdict.record.revision, record.revision + 1)
        record = verdict.record
        if (record.state === "deciding") {
          decisions++
          assert.strictEqual(record.verdict, no ? "denied" : "approved")
          assert.isTrue(no || yes.size === quorum)
        } else assert.isBelow(yes.size, quorum)
      }
      assert.isAtMost(decisions, 1)
    },
    { arbitrary: { runs: 2_000 } }
  )

  it("with options it is answered by one of its own, and by nothing else", () => {
    const plainOne = start(1, undefined)
    const choice: QuestionRecord = { ...plainOne, subject: { ...plainOne.subject, options: ["Red", "Blue"] } }
    const [click, context] = clickOf(plainOne, {
      user: "U0ADA0001",
      choice: "approve",
      message: "right",
      channel: "same",
      mayDrive: true,
      isOperator: false,
      generation: "1",
      at: 1
    })
    for (const option of [undefined, 2, -1]) {
      const pressed = option === undefined ? click : { ...click, option }
      assert.deepStrictEqual(judgeClick(choice, pressed, context), { _tag: "Refused", why: "elsewhere" })
    }
    assert.strictEqual(judgeClick(plainOne, { ...click, option: 0 }, context)._tag, "Refused")
    const answered = judgeClick(choice, { ...click, option: 1 }, context)
    assert.deepInclude(answered._tag === "Counted" ? answered.record : {}, { verdict: "approved", chosen: 1 })
    const none = judgeClick(choice, { ...click, choice: "deny" }, context)
    assert.strictEqual(none._tag === "Counted" ? none.record.verdict : "", "denied")
  })

  it("before Slack has said where it stands, nobody can decide it", () => {
    const { ts: _, ...hidden } = start(1, undefined)
    const [click, context] = clickOf(start(1, undefined), {
      user: "U0ADA0001",
      choice: "approve",
      message: "right",
      channel: "same",
      mayDrive: true,
      isOperator: false,
      generation: "1",
      at: 1
    })
    assert.deepStrictEqual(judgeClick(hidden, click, context), { _tag: "Refused", why: "unready" })
  })
})
