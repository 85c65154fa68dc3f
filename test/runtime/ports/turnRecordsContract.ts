/** What every store of turn records must do: keep the first of a key, apart by sandbox, 30 days, and wake who waits. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, Stream } from "effect"
import { SandboxId, TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { TurnRecord } from "../../../runtime/domain/turn/TurnRecord.ts"
import { recordRetentionMillis, turnName, TurnRecords } from "../../../runtime/ports/TurnRecords.ts"
import { type Engine, timeOf } from "./Engine.ts"

const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")
const keyOf = (n: number) => TurnKey.make(`at:nightly:${n}`)

export const turnRecordOf = (n: number, changes: Partial<TurnRecord> = {}): TurnRecord =>
  TurnRecord.make({
    key: keyOf(n),
    result: "answered",
    answered: true,
    endedWithSandbox: false,
    attempts: 1,
    receivedAt: n,
    startedAt: n,
    finishedAt: n,
    origin: { kind: "slack", label: "ada 🕘" },
    text: "all green",
    costUsd: 0.25,
    ...changes
  })

export const turnRecordsContract = <LE>(engine: Engine<TurnRecords, LE>): void => {
  const { over, passTime } = timeOf(engine)
  const test = <E>(name: string, body: (records: TurnRecords["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(TurnRecords, body), engine.layer))

  test("the first record of a turn stays, in its own sandbox", (records) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* records.get(one, keyOf(1)), Option.none())
      yield* records.put(one, turnRecordOf(1))
      yield* records.put(one, turnRecordOf(1, { text: "again", result: "failed" }))
      yield* records.put(two, turnRecordOf(1, { text: "other" }))
      assert.deepStrictEqual(yield* records.get(one, keyOf(1)), Option.some(turnRecordOf(1)))
      assert.deepStrictEqual(yield* records.get(two, keyOf(1)), Option.some(turnRecordOf(1, { text: "other" })))
    }))

  test("gives the newest first, and of many turns those that are over", (records) =>
    Effect.gen(function*() {
      for (const n of [2, 1, 3]) yield* records.put(one, turnRecordOf(n))
      yield* records.put(two, turnRecordOf(9))
      assert.deepStrictEqual((yield* records.recent(one, 2)).map(({ key }) => key), [keyOf(3), keyOf(2)])
      assert.deepStrictEqual(yield* records.recent(one, 0), [])
      const asked = [{ sandbox: one, key: keyOf(1) }, { sandbox: one, key: keyOf(9) }, { sandbox: two, key: keyOf(9) }]
      assert.deepStrictEqual([...(yield* records.among(asked)).keys()].toSorted(), [
        turnName({ sandbox: one, key: keyOf(1) }),
        turnName({ sandbox: two, key: keyOf(9) })
      ])
      assert.deepStrictEqual(yield* records.among([]), new Map())
    }))

  test("forgets a sandbox as a whole, and each record after 30 days", (records) =>
    Effect.gen(function*() {
      yield* records.put(one, turnRecordOf(1))
      yield* records.put(two, turnRecordOf(1))
      yield* records.put(two, turnRecordOf(2, { finishedAt: 86_400_000 }))
      yield* records.removeAll(one)
      yield* records.removeAll(one)
      assert.deepStrictEqual(yield* records.recent(one, 9), [])
      yield* passTime(Duration.millis(recordRetentionMillis))
      yield* over
      assert.deepStrictEqual(yield* records.get(two, keyOf(1)), Option.none())
      assert.deepStrictEqual((yield* records.recent(two, 9)).map(({ key }) => key), [keyOf(2)])
      assert.strictEqual((yield* records.among([{ sandbox: two, key: keyOf(1) }])).size, 0)
    }))

  test("knows what was delivered late, and changes no other record", (records) =>
    Effect.gen(function*() {
      const show = { _tag: "Show", text: "all green" } as const
      yield* records.put(one, turnRecordOf(1, { result: "undeliverable", replay: show }))
      yield* records.put(two, turnRecordOf(1, { result: "undeliverable", replay: show }))
      yield* records.put(one, turnRecordOf(2, { result: "failed", answered: false }))
      yield* records.delivered(one, keyOf(1), "answered")
      yield* records.delivered(one, keyOf(1), "failed")
      yield* records.delivered(one, keyOf(2), "answered")
      yield* records.delivered(one, keyOf(3), "answered")
      assert.deepStrictEqual(yield* records.recent(one, 9), [
        turnRecordOf(2, { result: "failed", answered: false }),
        turnRecordOf(1)
      ])
      assert.deepStrictEqual((yield* records.recent(two, 9)).map(({ result }) => result), ["undeliverable"])
    }))

  test("keeps what a replay needs", (records) =>
    Effect.gen(function*() {
      const shown = turnRecordOf(1, { result: "undeliverable", replay: { _tag: "Show", text: "x".repeat(100_000) } })
      yield* records.put(one, shown)
      assert.deepStrictEqual(yield* records.get(one, keyOf(1)), Option.some(shown))
    }))

  test("wakes who waits at once, when something is written, and every 5 s without", (records) =>
    Effect.gen(function*() {
      const looks = (count: number) =>
        Effect.forkChild(Stream.runDrain(Stream.take(records.written, count)), { startImmediately: true })
      yield* Fiber.join(yield* looks(1))
      const second = yield* looks(2)
      yield* records.put(one, turnRecordOf(1))
      yield* Fiber.join(second)
      const timed = yield* looks(2)
      yield* passTime("5 seconds")
      yield* Fiber.join(timed)
    }))
}
