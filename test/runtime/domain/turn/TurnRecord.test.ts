/** What a record keeps of a turn: enough for its readers, never more than it may. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { GroupId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { endOfSandbox } from "../../../../runtime/domain/turn/OutcomeText.ts"
import { AgentOutcome, type TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import {
  endOfText,
  openTurnOf,
  recordOf,
  recordReplayBytes,
  recordTextBytes,
  TurnRecord
} from "../../../../runtime/domain/turn/TurnRecord.ts"

const key = TurnKey.make("T1:C1:1700000000.000001")
const rowOf = (changes: Partial<TurnRow>, text = "hello"): TurnRow => ({
  key,
  request: {
    key,
    group: GroupId.make("g"),
    origin: { kind: "operator", label: "ada hunter2" },
    text,
    files: [],
    acceptedAt: 1
  },
  state: "posted",
  result: "answered",
  attempt: 2,
  resumed: false,
  shown: [],
  outcome: AgentOutcome.cases.Answered.make({ text: "the key is hunter2\n" }),
  receivedAt: 1,
  startedAt: 2,
  finishedAt: 3,
  ...changes
})
const clean = (text: string) => text.replaceAll("hunter2", "[redacted]")
const recorded = (row: TurnRow, costUsd?: number) => recordOf(row, costUsd, clean)

const cancelled = (by: string) =>
  recorded(rowOf({ result: "cancelled", outcome: AgentOutcome.cases.Cancelled.make({ by }) })).endedWithSandbox

describe("TurnRecord", () => {
  it("says of a plugin's turn what the plugin calls it and who asked, and no more", () => {
    const { request } = rowOf({})
    const origin = { kind: "plugin" as const, of: "pager", label: "hunter2", data: { number: 17 } }
    const record = recorded(rowOf({ request: { ...request, origin } }))
    assert.deepStrictEqual(record.origin, { kind: "pager", label: "[redacted]" })
    assert.deepStrictEqual(Schema.decodeSync(TurnRecord)(Schema.encodeSync(TurnRecord)(record)), record)
  })

  it("holds the redacted outcome, who asked, what it cost and when", () => {
    assert.deepStrictEqual(recorded(rowOf({}), 0.123_456_789), {
      key,
      result: "answered",
      answered: true,
      endedWithSandbox: false,
      costUsd: 0.123457,
      attempts: 2,
      receivedAt: 1,
      startedAt: 2,
      finishedAt: 3,
      origin: { kind: "operator", label: "ada [redacted]" },
      text: "the key is [redacted]"
    })
  })

  it("keeps the message of a parked turn and the whole answer of an undeliverable one, within bounds", () => {
    const failure = AgentOutcome.cases.Failed.make({ code: "KM-TRN-005", reason: "crashed", remedy: "look" })
    const parked = recorded(rowOf({ result: "parked", outcome: failure }))
    assert.deepStrictEqual([parked.code, parked.replay], ["KM-TRN-005", { _tag: "Again", request: rowOf({}).request }])
    assert.isUndefined(recorded(rowOf({ result: "parked" }, "x".repeat(recordReplayBytes))).replay)
    const long = AgentOutcome.cases.Answered.make({ text: `${"é".repeat(100_000)} hunter2` })
    const shown = recorded(rowOf({ result: "undeliverable", outcome: long }))
    assert.isTrue(shown.answered)
    assert.deepStrictEqual(shown.replay, { _tag: "Show", text: `${"é".repeat(100_000)} [redacted]` })
    const longer = recorded(rowOf({
      result: "undeliverable",
      outcome: AgentOutcome.cases.Answered.make({ text: "é".repeat(recordReplayBytes) })
    }))
    assert.isTrue(longer.replay?._tag === "Show" && Buffer.byteLength(longer.replay.text) <= recordReplayBytes)
    assert.isUndefined(recorded(rowOf({ result: "failed", outcome: failure })).replay)
  })

  it("says when the end of its sandbox ended it, and that of nobody else", () => {
    assert.deepStrictEqual([cancelled(endOfSandbox), cancelled("ada")], [true, false])
  })

  it.prop(
    "a cut text is its end, whole characters, within its bytes, and never passes for a line of its own",
    [
      Schema.Array(Schema.Literals(["a", "é", "€", "🕘", "\n", "*"])),
      Schema.Int.check(Schema.isBetween({ minimum: 8, maximum: 60 }))
    ],
    ([pieces, bytes]) => {
      const text = pieces.join("").repeat(5)
      const cut = endOfText(text, bytes)
      assert.isAtMost(Buffer.byteLength(cut), bytes)
      assert.isTrue(cut.isWellFormed())
      if (cut === text) return
      assert.strictEqual(cut[0], "…")
      assert.isTrue(text.endsWith(cut.slice(1)))
      assert.isAtLeast(Buffer.byteLength(cut), bytes - 3)
    }
  )

  it("a text is at most 8 KB", () => {
    const { text } = recorded(rowOf({ outcome: AgentOutcome.cases.Answered.make({ text: "🕘".repeat(9_000) }) }))
    assert.isAtMost(Buffer.byteLength(text), recordTextBytes)
    assert.isAtLeast(Buffer.byteLength(text), recordTextBytes - 3)
  })

  it("is read back as it was written", () => {
    const json = Schema.fromJsonString(TurnRecord)
    for (const result of ["answered", "parked", "undeliverable"] as const) {
      const record = recorded(rowOf({ result }))
      assert.deepStrictEqual(Schema.decodeSync(json)(Schema.encodeSync(json)(record)), record)
    }
  })

  it("an open turn counts from its last attempt, or from when it came", () => {
    assert.deepStrictEqual(openTurnOf(rowOf({ state: "running" })), { key, state: "running", since: 2 })
    const { startedAt: _, ...waiting } = rowOf({ state: "received" })
    assert.strictEqual(openTurnOf(waiting).since, 1)
  })
})
