/** What a turn's record means for the run that waited for it, and which step follows. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SandboxId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { ScheduledAction } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import {
  endRun,
  endsWith,
  isWaiting,
  longestWaitMillis,
  neverStarted,
  notEnded,
  sandboxDestroyed,
  turnEnd,
  turnOf
} from "../../../../runtime/kernel/schedules/WaitingRuns.ts"
import { claimOf } from "../../ports/schedulerContract.ts"
import { turnRecordOf } from "../../ports/turnRecordsContract.ts"

const sandbox = SandboxId.make("sb-1a2b3c4d")
const key = TurnKey.make("sb-1a2b3c4d:at:1")
const run = (expect?: string) =>
  ScheduledAction.cases.AgentRun.make({ target: "demo", prompt: "go", ...(expect === undefined ? {} : { expect }) })

describe("a run that waits", () => {
  it("is one in that state with a sandbox and a turn", () => {
    const waiting = { ...claimOf(1), state: "waiting", target: sandbox, turn: key } as const
    assert.isTrue(isWaiting(waiting))
    assert.deepStrictEqual(turnOf(waiting), { sandbox, key })
    assert.isFalse(isWaiting({ ...waiting, state: "acting" }))
    const { target: _, ...nowhere } = waiting
    assert.isFalse(isWaiting(nowhere))
    const { turn: __, ...nothing } = waiting
    assert.isFalse(isWaiting(nothing))
  })

  it("ends without a record by what became of its turn", () => {
    const waiting = { ...claimOf(1), state: "waiting", target: sandbox, turn: key } as const
    assert.strictEqual(longestWaitMillis, 86_400_000)
    assert.deepInclude(neverStarted(waiting), {
      code: "KM-SCH-025",
      reason: `turn ${key} never started`,
      passing: false
    })
    assert.deepInclude(notEnded(waiting), {
      code: "KM-SCH-025",
      reason: `turn ${key} has not ended after 24 hours`,
      passing: false
    })
    assert.deepInclude(sandboxDestroyed(waiting), {
      code: "KM-SCH-028",
      reason: `sandbox destroyed: ${sandbox} was destroyed before turn ${key} ended`,
      passing: false
    })
  })
})

describe("the end of a turn", () => {
  const record = turnRecordOf(1)

  it.effect("is the answer where there was one, also when Slack would not take it", () =>
    Effect.gen(function*() {
      const answered = { ...record, result: "answered", text: " all green\n", answered: true } as const
      assert.deepStrictEqual(yield* turnEnd(run(), answered), { detail: "all green", turn: record.key })
      assert.deepStrictEqual(yield* turnEnd(run(), { ...answered, result: "failed" }), {
        detail: "(not delivered) all green",
        turn: record.key
      })
      // An older record says only that it was answered.
      assert.deepStrictEqual(yield* turnEnd(run(), { ...answered, answered: false }), {
        detail: "all green",
        turn: record.key
      })
      const other = yield* Effect.flip(turnEnd(run(), { ...answered, result: "failed", answered: false }))
      assert.deepInclude(other, { code: "KM-SCH-025", reason: `turn ${record.key} ended failed: all green` })
      const gone = { ...answered, result: "failed", answered: false, endedWithSandbox: true } as const
      assert.deepInclude(yield* Effect.flip(turnEnd(run(), gone)), {
        code: "KM-SCH-028",
        reason: `sandbox destroyed before turn ${record.key} ended: all green`
      })
    }))

  it.effect("of a run that expects a line is judged by the whole answer's last one", () =>
    Effect.gen(function*() {
      const answered = { ...record, result: "answered", answered: true } as const
      const text = `${"x".repeat(9_000)}\nOK`
      const done = yield* turnEnd(run("OK"), { ...answered, text })
      // Of a long answer the end is kept, where results stand.
      assert.lengthOf(done.detail ?? "", 8_000)
      assert.match(done.detail ?? "", /^…x+\nOK$/)
      assert.strictEqual((yield* turnEnd(run(), { ...answered, text: "x".repeat(8_000) })).detail, "x".repeat(8_000))
      assert.strictEqual(
        (yield* turnEnd(run(), { ...answered, text: `${"x".repeat(2)}😀${"y".repeat(7_998)}` })).detail,
        `…\ufffd${"y".repeat(7_998)}`,
        "half a character is none"
      )
      assert.deepInclude(yield* Effect.flip(turnEnd(run("OK"), { ...answered, text: "not\nOK yet" })), {
        code: "KM-SCH-026",
        reason: "the answer does not end in \"OK\": not\nOK yet",
        passing: false
      })
      // What is no agent's run expects nothing.
      const mail = ScheduledAction.cases.Destroy.make({ target: "demo" })
      assert.strictEqual((yield* turnEnd(mail, { ...answered, text: "bye" })).detail, "bye")
    }))

  it("a line is the expected one with marks of stress around it, and not with others", () => {
    for (const answer of ["OK", "a\nOK\n\n", "a\r\nOK\r\n", "**OK**", "  `OK` ", "__OK__"]) {
      assert.isTrue(endsWith(answer, "OK"), JSON.stringify(answer))
    }
    for (const answer of ["", "OK.", "ok", "not OK", "OK\nbye", "\"OK\"", "O*K"]) {
      assert.isFalse(endsWith(answer, "OK"), JSON.stringify(answer))
    }
  })
})

describe("the end of a run", () => {
  const step = { action: run(), onSuccess: { action: run("A") }, onFailure: { action: run("B") } }
  const claimed = claimOf(1, { id: "nightly:1", step })

  it("claims the step that follows such an end, which is told what was before", () => {
    const { ended, next } = endRun(claimed, { outcome: "succeeded", detail: "green" }, 70)
    assert.deepStrictEqual(ended, { ...claimed, outcome: "succeeded", detail: "green", state: "ended", endedAt: 70 })
    assert.deepStrictEqual(next, {
      id: "nightly:1+s",
      schedule: claimed.schedule,
      instant: claimed.instant,
      manual: claimed.manual,
      missed: 0,
      step: step.onSuccess,
      after: { id: "nightly:1", action: "agent run demo \"go\"", outcome: "succeeded", detail: "green" },
      state: "claimed",
      attempts: 0,
      claimedAt: 70
    })
  })

  it("of any other end the one for failures, with its code", () => {
    for (const outcome of ["failed", "unknown"] as const) {
      const { next } = endRun(claimed, { outcome, code: "KM-SCH-025" }, 70)
      assert.strictEqual(next?.id, "nightly:1+f")
      assert.deepStrictEqual(next?.step, step.onFailure)
      assert.deepStrictEqual(next?.after, {
        id: "nightly:1",
        action: "agent run demo \"go\"",
        outcome,
        code: "KM-SCH-025"
      })
    }
  })

  it("and nothing where no step follows", () => {
    const last = { ...claimed, step: { action: run(), onFailure: step.onFailure } }
    assert.isUndefined(endRun(last, { outcome: "succeeded" }, 70).next)
    assert.isDefined(endRun(last, { outcome: "failed" }, 70).next)
  })
})
