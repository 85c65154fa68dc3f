/** The policy of a turn, state by state, and what holds for every history. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { MessageTs, type SessionId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { AgentOutcome, type TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import { freshSession } from "../../../../runtime/kernel/turns/Prompt.ts"
import { runDirectory } from "../../../../runtime/kernel/turns/RunDirectory.ts"
import {
  decide,
  type Happening,
  Happening as H,
  joinedRow,
  maxAttempts,
  receivedRow,
  replayedKey,
  replayRequest,
  stepOf,
  type TurnNames
} from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { message } from "../simulation/Simulation.ts"
import { sandbox } from "../simulation/World.ts"

const names: TurnNames = {
  runDir: (key, attempt) => runDirectory("/runs", key, attempt),
  freshSession: (key, attempt) => freshSession(sandbox, key, attempt)
}
const request = message(1, 1).request
const received = receivedRow(request, "r1", 5)
const thread: SessionId = freshSession(sandbox, TurnKey.make("other"), 1)
const following = message(1, 2).request
const none = { sessionOnDisk: false }
const onDisk = { sessionOnDisk: true }
const mark = { pid: 1, startTime: "2", bootId: "3" }
const answered = AgentOutcome.cases.Answered.make({ text: "done" })
const crashed = AgentOutcome.cases.Crashed.make({ detail: "gone" })
const lost = AgentOutcome.cases.SessionLost.make({})

const after = (row: TurnRow, ...happenings: ReadonlyArray<Happening>): TurnRow =>
  happenings.reduce((state, happening) => decide(state, happening, names).row, row)
const ended = (outcome: AgentOutcome, trace: Parameters<typeof H.Ended>[0]["trace"] = none) =>
  H.Ended({ outcome, trace, at: 20 })

const begun = H.Begun({ session: undefined, sessionOnDisk: false, at: 10 })
const resumed = H.Begun({ session: thread, sessionOnDisk: true, at: 10 })
const running = after(received, begun, H.Spawned({ mark }))
const runningResumed = after(received, resumed, H.Spawned({ mark }))

const failureCode = (row: TurnRow) => row.outcome?._tag === "Failed" ? row.outcome.code : undefined

describe("TurnMachine", () => {
  it("goes from received to settled, one state after the other", () => {
    let row = received
    const seen: Array<string> = [`${row.state} ${stepOf(row)}`]
    for (
      const happening of [begun, H.Spawned({ mark }), ended(answered), H.Shown({ parts: [] }), H.Finished()]
    ) {
      const decision = decide(row, happening, names)
      row = decision.row
      seen.push(`${row.state} ${decision.step}`)
    }
    assert.deepStrictEqual(seen, [
      "received Begin",
      "starting Spawn",
      "running Watch",
      "answered Settle",
      "posted Close",
      "settled Done"
    ])
    assert.strictEqual(row.result, "answered")
    assert.strictEqual(row.attempt, 1)
  })

  it("begins a fresh session where the thread has none, and resumes the one it has", () => {
    const fresh = after(received, begun)
    assert.strictEqual(fresh.session, names.freshSession(request.key, 1))
    assert.isFalse(fresh.resumed)
    assert.isUndefined(fresh.sessionLost)
    const again = after(received, resumed)
    assert.strictEqual(again.session, thread)
    assert.isTrue(again.resumed)
  })

  it("begins afresh with a notice when the thread's session is not on disk", () => {
    const row = after(received, H.Begun({ session: thread, sessionOnDisk: false, at: 1 }))
    assert.isFalse(row.resumed)
    assert.isTrue(row.sessionLost)
    assert.notStrictEqual(row.session, thread)
  })

  it("counts an attempt when an agent is about to be started, each in its own directory", () => {
    assert.strictEqual(received.attempt, 0)
    assert.strictEqual(running.attempt, 1)
    const second = after(running, ended(crashed, onDisk))
    assert.strictEqual(second.attempt, 2)
    assert.notStrictEqual(second.runDir, running.runDir)
    assert.isUndefined(second.process)
  })

  it("continues an interrupted run in its session and never says the message again", () => {
    const row = after(running, ended(crashed, onDisk))
    assert.strictEqual(row.state, "starting")
    assert.strictEqual(row.says, "continue")
    assert.isTrue(row.resumed)
    assert.strictEqual(row.session, running.session)
  })

  it("fails, saying what may have been done, when there is no session to continue", () => {
    const row = after(running, ended(crashed, none))
    assert.strictEqual(row.result, "failed")
    assert.strictEqual(failureCode(row), "KM-TRN-004")
  })

  it("parks on the second crash while running", () => {
    const row = after(running, ended(crashed, onDisk), H.Spawned({ mark }), ended(crashed, onDisk))
    assert.strictEqual(row.result, "parked")
    assert.strictEqual(failureCode(row), "KM-TRN-005")
  })

  it("says the message again only where it certainly never arrived", () => {
    const nothing = after(received, begun, ended(crashed, none))
    assert.strictEqual(nothing.says, "message")
    assert.strictEqual(nothing.attempt, 2)
    assert.isUndefined(nothing.crashes)
    const resumedUnknown = after(received, resumed, ended(crashed, onDisk))
    assert.strictEqual(resumedUnknown.says, "continue")
    const resumedCertain = after(received, resumed, ended(crashed, { ...onDisk, messageReceived: false }))
    assert.strictEqual(resumedCertain.says, "message")
    assert.strictEqual(resumedCertain.session, thread)
    const arrived = after(received, begun, ended(crashed, { ...onDisk, messageReceived: true }))
    assert.strictEqual(arrived.says, "continue")
  })

  it("parks a message that never gets its agent started", () => {
    let row = after(received, begun)
    for (let n = 1; n < maxAttempts; n++) row = after(row, ended(crashed, none))
    assert.strictEqual(row.state, "starting")
    row = after(row, ended(crashed, none))
    assert.strictEqual(row.result, "parked")
    assert.strictEqual(failureCode(row), "KM-TRN-006")
  })

  it("retries a lost session once, fresh, with the message and a notice", () => {
    const row = after(runningResumed, ended(lost))
    assert.strictEqual(row.state, "starting")
    assert.strictEqual(row.says, "message")
    assert.isFalse(row.resumed)
    assert.isTrue(row.sessionLost)
    assert.notStrictEqual(row.session, thread)
    assert.strictEqual(after(row, H.Spawned({ mark }), ended(lost)).result, "failed")
  })

  it("fails when the session is lost while it continues an interrupted run", () => {
    const row = after(running, ended(crashed, onDisk), H.Spawned({ mark }), ended(lost))
    assert.strictEqual(failureCode(row), "KM-TRN-004")
  })

  it("ends at once on a failure of the agent, and keeps its remedy", () => {
    const outcome = AgentOutcome.cases.Failed.make({ code: "KM-AGT-007", reason: "no credit", remedy: "top up" })
    const row = after(running, ended(outcome))
    assert.strictEqual(row.result, "failed")
    assert.deepStrictEqual(row.outcome, outcome)
  })

  it("expires on the wall clock", () => {
    assert.strictEqual(after(running, ended(AgentOutcome.cases.TimedOut.make({ afterMillis: 9 }))).result, "expired")
  })

  it("cancels before the start without an agent", () => {
    const row = after(received, H.StopRequested({ by: "Ada" }), begun)
    assert.strictEqual(row.state, "answered")
    assert.strictEqual(row.result, "cancelled")
    assert.strictEqual(row.attempt, 0)
  })

  it("cancels whatever an agent came to after a stop, but for a whole answer", () => {
    const stopped = after(running, H.StopRequested({ by: "Ada" }), H.StopRequested({ by: "Bob" }))
    assert.strictEqual(stopped.cancelRequestedBy, "Ada")
    assert.strictEqual(after(stopped, ended(crashed, onDisk)).result, "cancelled")
    assert.strictEqual(after(stopped, ended(lost)).result, "cancelled")
    assert.strictEqual(after(stopped, ended(answered)).result, "answered")
  })

  it("takes a stop after the end for nothing", () => {
    const row = after(running, ended(answered))
    assert.strictEqual(after(row, H.StopRequested({ by: "Ada" })), row)
  })

  it("renews the receipt until settled", () => {
    assert.strictEqual(after(running, H.Redelivered({ receipt: "r2" })).receipt, "r2")
    const settled = after(running, ended(answered), H.Shown({ parts: [] }), H.Finished())
    assert.strictEqual(after(settled, H.Redelivered({ receipt: "r3" })).receipt, "r1")
  })

  it("ends undeliverable where the outcome can never be shown", () => {
    const parts = [{ ts: MessageTs.make("1700000000.000009"), sha256: "" }]
    const row = after(running, ended(answered), H.Refused({ code: "slack_refused", detail: "invalid_blocks", parts }))
    assert.deepStrictEqual(row.shown, parts)
    assert.strictEqual(row.state, "posted")
    assert.strictEqual(row.result, "undeliverable")
  })

  it("numbers replays from the root", () => {
    const second = replayRequest(received, 2)
    assert.strictEqual(second.key, `${request.key}~2`)
    assert.strictEqual(replayRequest(receivedRow(second, undefined, 1), 3).key, `${request.key}~3`)
    assert.strictEqual(replayedKey(second.key), request.key)
    assert.strictEqual(replayedKey(TurnKey.make("abc~3")), "abc~2")
    assert.isUndefined(replayedKey(request.key))
  })

  it("each happening in each state leads where the table says, and elsewhere changes nothing", () => {
    const states = {
      received,
      starting: after(received, begun),
      running,
      answered: after(running, ended(answered)),
      posted: after(running, ended(answered), H.Shown({ parts: [] })),
      settled: after(running, ended(answered), H.Shown({ parts: [] }), H.Finished()),
      joined: joinedRow(following, request.key, 6)
    }
    const happenings = [
      begun,
      H.Spawned({ mark }),
      ended(answered),
      H.Shown({ parts: [] }),
      H.Refused({ code: "c", detail: "d", parts: [] }),
      H.Finished(),
      H.StopRequested({ by: "Ada" }),
      H.Redelivered({ receipt: "r9" })
    ]
    const table: Readonly<Record<keyof typeof states, ReadonlyArray<string>>> = {
      joined: ["-", "-", "-", "-", "-", "-", "-", "receipt"],
      received: ["Spawn", "-", "-", "-", "-", "-", "stop", "receipt"],
      starting: ["-", "Watch", "Settle", "-", "-", "-", "stop", "receipt"],
      running: ["-", "-", "Settle", "-", "-", "-", "stop", "receipt"],
      answered: ["-", "-", "-", "Close", "Close", "-", "-", "receipt"],
      posted: ["-", "-", "-", "-", "-", "Done", "-", "receipt"],
      settled: ["-", "-", "-", "-", "-", "-", "-", "-"]
    }
    for (const [name, row] of Object.entries(states)) {
      const found = happenings.map((happening) => {
        const { row: next, step } = decide(row, happening, names)
        if (step !== "Stay") return step
        if (next === row) return "-"
        if (next.cancelRequestedBy === "Ada") return "stop"
        return next.receipt === "r9" ? "receipt" : "?"
      })
      assert.deepStrictEqual(found, table[row.state], name)
    }
    assert.deepStrictEqual(Object.values(states).map(stepOf), [
      "Begin",
      "Recover",
      "Recover",
      "Settle",
      "Close",
      "Done",
      "Follow"
    ])
    // A row is kept whole: only what the happening says is new.
    assert.deepStrictEqual(decide(states.starting, H.Spawned({ mark }), names).row, {
      ...states.starting,
      state: "running",
      process: mark
    })
    assert.deepStrictEqual(decide(states.answered, H.Shown({ parts: [] }), names).row, {
      ...states.answered,
      state: "posted",
      shown: []
    })
    assert.deepStrictEqual(decide(running, H.StopRequested({ by: "Ada" }), names).row, {
      ...running,
      cancelRequestedBy: "Ada"
    })
    assert.strictEqual(decide(running, H.Redelivered({ receipt: "r1" }), names).row, running)
  })

  it("what joined a turn is part of its request, and has its outcome", () => {
    const joined = joinedRow(following, request.key, 6)
    const also = [following].map(({ acceptedAt, files, key, origin, text }) => ({
      acceptedAt,
      files,
      key,
      origin,
      text
    }))
    const whole = after(received, H.Begun({ session: undefined, sessionOnDisk: false, also, at: 10 }))
    assert.deepStrictEqual(whole.request, { ...request, also })
    assert.deepStrictEqual(replayRequest(whole, 2).also, also)
    const leader = after(whole, H.Spawned({ mark }), ended(answered), H.Shown({ parts: [] }))
    const { row: led, step } = decide(joined, H.Led({ leader, at: 30 }), names)
    assert.strictEqual(step, "Close")
    assert.deepStrictEqual(led, {
      ...joined,
      state: "posted",
      result: "answered",
      outcome: answered,
      shown: leader.shown,
      finishedAt: 20
    })
    assert.strictEqual(after(led, H.Finished()).state, "settled")

    const edited = after(joined, H.Reworded({ request: { ...following, text: "else" } }))
    assert.strictEqual(edited.request.text, "else")
    const gone = after(joined, H.Withdrawn({ at: 40 }))
    assert.deepInclude(gone, { state: "settled", result: "cancelled", finishedAt: 40 })
    const alone = decide(joined, H.Unled(), names)
    assert.deepStrictEqual(alone, { row: receivedRow(following, undefined, 6), step: "Begin" })
    for (const happening of [H.Reworded({ request }), H.Withdrawn({ at: 1 }), H.Led({ leader, at: 1 }), H.Unled()]) {
      for (const row of [received, whole, leader, led]) assert.strictEqual(decide(row, happening, names).row, row)
    }
  })

  it("what an agent came to is the turn's result, with when", () => {
    const cases = {
      answered: [answered, "answered"],
      failed: [AgentOutcome.cases.Failed.make({ code: "KM-AGT-001", reason: "r", remedy: "m" }), "failed"],
      cancelled: [AgentOutcome.cases.Cancelled.make({ by: "x" }), "cancelled"],
      timedOut: [AgentOutcome.cases.TimedOut.make({ afterMillis: 1 }), "expired"]
    } as const
    for (const [outcome, result] of Object.values(cases)) {
      const { row, step } = decide(running, ended(outcome), names)
      assert.strictEqual(step, "Settle")
      assert.deepStrictEqual(row, { ...running, state: "answered", result, outcome, finishedAt: 20 })
    }
    const stopped = after(received, H.StopRequested({ by: "Ada" }), begun)
    assert.deepStrictEqual(stopped.outcome, AgentOutcome.cases.Cancelled.make({ by: "Ada" }))
    assert.strictEqual(stopped.finishedAt, 10)
    const cut = after(running, H.StopRequested({ by: "Ada" }), ended(crashed))
    assert.deepStrictEqual(cut.outcome, AgentOutcome.cases.Cancelled.make({ by: "Ada" }))
  })

  it("a run that certainly never had the message begins a session that nobody else has", () => {
    // What is on disk under a fresh session's name is not what the message would continue.
    const again = after(received, begun, ended(crashed, { ...onDisk, messageReceived: false }))
    assert.strictEqual(again.session, names.freshSession(request.key, 2))
    assert.isFalse(again.resumed)
    assert.isUndefined(again.sessionLost)
    // Its session is gone meanwhile, which the person is told.
    const gone = after(received, resumed, ended(crashed, { ...none, messageReceived: false }))
    assert.strictEqual(gone.session, names.freshSession(request.key, 2))
    assert.isTrue(gone.sessionLost)
    const unknown = after(received, resumed, ended(crashed, none))
    assert.strictEqual(failureCode(unknown), "KM-TRN-004")
    const there = after(received, begun, ended(crashed, onDisk))
    assert.strictEqual(there.says, "continue")
    assert.strictEqual(there.crashes, 1)
    // While it ran, a message that did not arrive counts as a crash all the same.
    assert.strictEqual(after(running, ended(crashed, { ...none, messageReceived: false })).crashes, 1)
    // A run that continues never says the message again, whatever is known of it.
    const continuing = after(running, ended(crashed, onDisk))
    const second = after(continuing, ended(crashed, { ...onDisk, messageReceived: false }))
    assert.strictEqual(second.says, "continue")
    assert.strictEqual(second.session, running.session)
  })

  it("a lost session is begun afresh once, and after that it is a crash like others", () => {
    const fresh = after(runningResumed, ended(lost, onDisk))
    assert.strictEqual(fresh.session, names.freshSession(request.key, 2))
    assert.strictEqual(fresh.startedAt, 20)
    const twice = after(fresh, H.Spawned({ mark }), ended(lost, onDisk))
    assert.strictEqual(twice.says, "continue")
    assert.strictEqual(twice.crashes, 1)
    const never = after(running, ended(lost, onDisk))
    assert.strictEqual(never.says, "continue")
  })

  it("knows the run before a replay, and only that", () => {
    assert.deepStrictEqual(
      ["a~2", "a~3", "a~10", "a~1", "a~0", "a", "a~2b", "a~2~3"].map((key) => replayedKey(key as TurnKey)),
      ["a", "a~2", "a~9", undefined, undefined, undefined, undefined, "a~2~2"].map((key) => key as TurnKey | undefined)
    )
  })

  const outcomes = Schema.Literals(["answered", "failed", "cancelled", "timedOut", "crashed", "lost"])
  const events = Schema.Array(
    Schema.Struct({
      what: Schema.Literals([
        "begin",
        "resume",
        "spawn",
        "end",
        "stop",
        "redeliver",
        "shown",
        "refused",
        "finished"
      ]),
      outcome: outcomes,
      onDisk: Schema.Boolean,
      received: Schema.Literals(["yes", "no", "unknown"])
    })
  ).check(Schema.isMaxLength(30))
  const outcomeOf: Record<typeof outcomes.Type, AgentOutcome> = {
    answered,
    failed: AgentOutcome.cases.Failed.make({ code: "KM-AGT-001", reason: "r", remedy: "m" }),
    cancelled: AgentOutcome.cases.Cancelled.make({ by: "x" }),
    timedOut: AgentOutcome.cases.TimedOut.make({ afterMillis: 1 }),
    crashed,
    lost
  }
  const toHappening = (event: (typeof events.Type)[number]): Happening => {
    switch (event.what) {
      case "begin":
        return begun
      case "resume":
        return H.Begun({ session: thread, sessionOnDisk: event.onDisk, at: 10 })
      case "spawn":
        return H.Spawned({ mark })
      case "end":
        return H.Ended({
          outcome: outcomeOf[event.outcome],
          trace: {
            sessionOnDisk: event.onDisk,
            ...event.received === "unknown" ? {} : { messageReceived: event.received === "yes" }
          },
          at: 20
        })
      case "stop":
        return H.StopRequested({ by: "Ada" })
      case "redeliver":
        return H.Redelivered({ receipt: "r2" })
      case "shown":
        return H.Shown({ parts: [] })
      case "refused":
        return H.Refused({ code: "is_archived", detail: "d", parts: [] })
      case "finished":
        return H.Finished()
    }
  }
  const order = ["received", "starting", "running", "answered", "posted", "settled"]

  it.prop("whatever happens: forward only, one result, few attempts, settled for good", [events], ([history]) => {
    let row = received
    let saidAgain = 0
    for (const event of history) {
      const happening = toHappening(event)
      const { row: next, step } = decide(row, happening, names)
      const back = order.indexOf(next.state) < order.indexOf(row.state)
      assert.isTrue(!back || (row.state === "running" && next.state === "starting"), `${row.state} → ${next.state}`)
      assert.isTrue(next.attempt === row.attempt || (next.attempt === row.attempt + 1 && step === "Spawn"))
      assert.isAtMost(next.attempt, maxAttempts + 1)
      assert.strictEqual(next.result === undefined, order.indexOf(next.state) < 3)
      if (row.result !== undefined && next.result !== row.result) assert.strictEqual(next.result, "undeliverable")
      if (row.state === "settled") assert.strictEqual(next, row)
      if (step === "Stay") assert.strictEqual(next.state, row.state)
      if (next.attempt > row.attempt && next.says === "message") {
        saidAgain++
        // Said again only when it never arrived, or when the session that had to take it was not there.
        const certain = row.state === "received" || event.outcome === "lost" || event.received === "no" ||
          (row.state === "starting" && !row.resumed && !event.onDisk)
        assert.isTrue(certain, JSON.stringify(event))
      }
      if (next.state === "starting") {
        assert.isDefined(next.session)
        assert.isDefined(next.runDir)
      }
      row = next
    }
    assert.isAtMost(saidAgain, maxAttempts + 1)
  })
})
