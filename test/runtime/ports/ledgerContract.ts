/** What every ledger must do: insert once, compare before it changes, forget only what is long settled. */
import { assert, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { ChannelId, GroupId, MessageTs, TeamId, TurnKey, UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import { TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { Ledger } from "../../../runtime/ports/Ledger.ts"
import { type Engine, timeOf } from "./Engine.ts"

/** A received row; `receivedAt` orders it. */
export const turnRow = (key: string, receivedAt = 0): TurnRow => ({
  key: TurnKey.make(`T1:C1:${key}`),
  request: {
    key: TurnKey.make(`T1:C1:${key}`),
    group: GroupId.make("C1:1700000000.000001"),
    origin: {
      kind: "slack",
      team: TeamId.make("T123"),
      channel: ChannelId.make("C123"),
      ts: MessageTs.make("1700000000.000001"),
      threadTs: MessageTs.make("1700000000.000001"),
      user: UserId.make("U123"),
      userName: "Ada"
    },
    text: "line one\nline two \u0000 \ud800 🦊",
    files: [],
    acceptedAt: receivedAt
  },
  state: "received",
  attempt: 0,
  resumed: false,
  shown: [],
  receivedAt
})

const settled = (row: TurnRow, finishedAt: number): TurnRow => ({
  ...row,
  state: "settled",
  result: "answered",
  attempt: 1,
  outcome: { _tag: "Answered", text: "done" },
  finishedAt
})

const days30 = 30 * 24 * 3_600_000

const RowJson = Schema.fromJsonString(TurnRow)

export const ledgerContract = <LE>(engine: Engine<Ledger, LE>): void => {
  const { almost, over } = timeOf(engine)
  const test = <E>(name: string, body: (ledger: Ledger["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Ledger, body), engine.layer))

  test("inserts once and gives back the row as it is", (ledger) =>
    Effect.gen(function*() {
      const row = turnRow("a")
      assert.deepStrictEqual(yield* ledger.insert(row), { row, inserted: true })
      const moved: TurnRow = { ...row, state: "starting", attempt: 1 }
      yield* ledger.update(row, moved)
      assert.deepStrictEqual(yield* ledger.insert(row), { row: moved, inserted: false })
      assert.deepStrictEqual(yield* ledger.get(row.key), Option.some(moved))
      assert.deepStrictEqual(yield* ledger.get(turnRow("b").key), Option.none())
    }))

  it.effect.prop("keeps any row whole", [TurnRow], ([generated]) =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      // As it comes from JSON, which knows no negative zero.
      const row = yield* Schema.decodeEffect(RowJson)(yield* Schema.encodeEffect(RowJson)(generated))
      yield* ledger.insert(row)
      assert.deepStrictEqual((yield* ledger.insert(row)).row, row)
    }).pipe(Effect.provide(engine.layer)), { arbitrary: { runs: 20 } })

  test("refuses a change that was decided on another state or attempt", (ledger) =>
    Effect.gen(function*() {
      const row = turnRow("a")
      yield* ledger.insert(row)
      const starting: TurnRow = { ...row, state: "starting", attempt: 1 }
      yield* ledger.update(row, starting)
      const stale = yield* Effect.flip(ledger.update(row, { ...row, state: "running" }))
      assert.strictEqual(stale._tag, "LedgerConflict")
      const attempt = yield* Effect.flip(ledger.update({ ...starting, attempt: 2 }, { ...starting, state: "running" }))
      assert.strictEqual(attempt._tag, "LedgerConflict")
      const absent = yield* Effect.flip(ledger.update(turnRow("b"), turnRow("b")))
      assert.include(absent.message, "absent")
      const renamed = yield* Effect.flip(ledger.update(starting, { ...starting, key: turnRow("b").key }))
      assert.strictEqual(renamed._tag, "LedgerConflict")
      assert.deepStrictEqual(yield* ledger.get(row.key), Option.some(starting))
      assert.deepStrictEqual(yield* ledger.get(turnRow("b").key), Option.none())
    }))

  test("of two changes decided on the same row, one wins", (ledger) =>
    Effect.gen(function*() {
      const row = turnRow("a")
      yield* ledger.insert(row)
      const results = yield* Effect.forEach(
        ["x", "y", "z"],
        (by) => Effect.result(ledger.update(row, { ...row, state: "answered", cancelRequestedBy: by })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(results.filter(({ _tag }) => _tag === "Success").length, 1)
    }))

  test("open rows come oldest first, recent ones newest first", (ledger) =>
    Effect.gen(function*() {
      const rows = [turnRow("b", 20), turnRow("a", 10), turnRow("d", 30), turnRow("c", 30)]
      for (const row of rows) yield* ledger.insert(row)
      yield* ledger.update(turnRow("b", 20), settled(turnRow("b", 20), 25))
      assert.deepStrictEqual((yield* ledger.open).map(({ receivedAt }) => receivedAt), [10, 30, 30])
      const keys = (yield* ledger.recent(10)).map(({ key }) => key.slice(-1))
      assert.deepStrictEqual(keys, ["c", "d", "b", "a"])
      assert.deepStrictEqual((yield* ledger.recent(1)).map(({ key }) => key.slice(-1)), ["c"])
      assert.deepStrictEqual(yield* ledger.recent(0), [])
    }))

  test("forgets a settled row 30 days after it finished, an open one never", (ledger) =>
    Effect.gen(function*() {
      yield* ledger.insert(turnRow("a"))
      yield* ledger.insert(turnRow("b"))
      yield* ledger.update(turnRow("a"), settled(turnRow("a"), 1_000))
      yield* almost(days30 + 1_000)
      assert.isTrue(Option.isSome(yield* ledger.get(turnRow("a").key)))
      yield* over
      assert.isTrue(Option.isNone(yield* ledger.get(turnRow("a").key)))
      assert.deepStrictEqual((yield* ledger.recent(10)).map(({ key }) => key), [turnRow("b").key])
      assert.isTrue((yield* ledger.insert(turnRow("a", days30 + 1_000))).inserted)
      assert.strictEqual((yield* ledger.open).length, 2)
    }))

  test("remembers facts", (ledger) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ledger.recall("upload"), Option.none())
      yield* ledger.remember("upload", "F1")
      yield* ledger.remember("upload", "F2 🦊")
      assert.deepStrictEqual(yield* ledger.recall("upload"), Option.some("F2 🦊"))
    }))
}
