/** What a queue takes on conditions: the message, its keys and the channel's newest `ts`, all of it or none. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import { GroupId, MessageTs, SandboxId, TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../../runtime/ports/Seen.ts"
import { type AcceptTerms, TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { sandboxRow } from "./sandboxesContract.ts"
import type { QueuePorts } from "./turnQueueContract.ts"

const queue = SandboxId.make("sb-00000001")
const tsOf = (n: number) => MessageTs.make(`1700000000.${String(n).padStart(6, "0")}`)
const keyOf = (n: number) => TurnKey.make(`T1:C1:${tsOf(n)}`)
const entry = (n: number, body = `body of ${n}`) => ({ key: keyOf(n), group: GroupId.make("g1"), body })
const terms = (n: number, changes: Partial<AcceptTerms> = {}): AcceptTerms => ({
  generation: "1",
  seen: [`turn:${keyOf(n)}`, `client:${n}`],
  ts: tsOf(n),
  ...changes
})
const reasonOf = (error: { readonly _tag: string; readonly why?: string; readonly reason?: string }): string =>
  error.why ?? error.reason ?? error._tag

const ready = Effect.gen(function*() {
  const turns = yield* TurnQueue
  const sandboxes = yield* Sandboxes
  yield* turns.create(queue)
  yield* sandboxes.insert(sandboxRow(queue))
  const newest = Effect.map(sandboxes.get(queue), (row) => Option.getOrUndefined(row)?.lastAcceptedTs)
  const seen = yield* Seen
  const turnOf = (key: string) => Effect.map(seen.find([key]), Option.getOrUndefined)
  /** Everything that an accept may change. */
  const all = Effect.all([turns.keys(queue), newest, turnOf("client:1"), turnOf("client:2"), turnOf("client:3")])
  return { turns, sandboxes, newest, turnOf, all }
})

export const acceptContract = (
  test: <E>(name: string, body: () => Effect.Effect<void, E, QueuePorts>) => void,
  passTime: (duration: Duration.Input) => Effect.Effect<void>
): void => {
  test("accepts a message with its keys and the newest ts, which only goes forward", () =>
    Effect.gen(function*() {
      const { newest, turnOf, turns } = yield* ready
      const first = yield* turns.accept(queue, entry(2), terms(2))
      assert.strictEqual(first._tag, "Accepted")
      assert.strictEqual(yield* newest, tsOf(2))
      assert.deepStrictEqual([yield* turnOf(`turn:${keyOf(2)}`), yield* turnOf("client:2")], [keyOf(2), keyOf(2)])
      yield* turns.accept(queue, entry(1), terms(1))
      assert.strictEqual(yield* newest, tsOf(2))
      const { ts: _none, ...without } = terms(3)
      yield* turns.accept(queue, entry(3), without)
      assert.strictEqual(yield* newest, tsOf(2))
      assert.deepStrictEqual((yield* turns.keys(queue)).map(({ key }) => key), [keyOf(2), keyOf(1), keyOf(3)])
      assert.strictEqual(Option.getOrUndefined(yield* turns.get(queue, keyOf(3)))?.body, "body of 3")
    }))

  test("says with an accepted message what is before it, or leaves it to who asks", () =>
    Effect.gen(function*() {
      const { turns } = yield* ready
      for (const n of [1, 2, 3]) {
        const answer = yield* turns.accept(queue, entry(n), terms(n))
        const asked = Option.getOrUndefined(yield* turns.ahead(queue, entry(n)))
        assert.deepStrictEqual(asked, { inGroup: n - 1, otherGroups: 0 })
        if (answer._tag === "Accepted" && answer.ahead !== undefined) assert.deepStrictEqual(answer.ahead, asked)
      }
    }))

  test("an accepted message wakes who waits, and changes nothing else of the row", () =>
    Effect.gen(function*() {
      const { sandboxes, turns } = yield* ready
      const options = { wait: Duration.seconds(20), visibility: Duration.seconds(120) }
      const waiting = yield* Effect.forkChild(turns.receive(queue, options), { startImmediately: true })
      yield* turns.accept(queue, entry(1), terms(1))
      assert.strictEqual(Option.getOrThrow(yield* Fiber.join(waiting)).key, keyOf(1))
      assert.deepStrictEqual(yield* sandboxes.get(queue), Option.some(sandboxRow(queue, { lastAcceptedTs: tsOf(1) })))
    }))

  test("one gesture is one turn, whichever of its keys comes again; the first stays for 30 days", () =>
    Effect.gen(function*() {
      const { all, turns } = yield* ready
      yield* turns.accept(queue, entry(1), terms(1))
      const before = yield* all
      const repeated = { _tag: "Repeated", turn: keyOf(1) } as const
      assert.deepStrictEqual(yield* turns.accept(queue, entry(1, "again"), terms(1)), repeated)
      const other = terms(2, { seen: [`turn:${keyOf(2)}`, "client:2", "client:1"] })
      assert.deepStrictEqual(yield* turns.accept(queue, entry(2), other), repeated)
      assert.deepStrictEqual(yield* all, before)
      yield* passTime("30 days")
      assert.strictEqual((yield* turns.accept(queue, entry(2), other))._tag, "Accepted")
      assert.strictEqual((yield* turns.keys(queue)).length, 2)
    }))

  test("of many at once one is taken", () =>
    Effect.gen(function*() {
      const { turns } = yield* ready
      const answers = yield* Effect.all(
        Array.from({ length: 8 }, (_, n) => turns.accept(queue, entry(n), terms(n, { seen: ["client:same"] }))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(answers.filter(({ _tag }) => _tag === "Accepted"), 1)
      assert.lengthOf(yield* turns.keys(queue), 1)
    }))

  test("takes nothing for a sandbox that is ending, gone, or another one of the same id", () =>
    Effect.gen(function*() {
      const { all, sandboxes, turnOf, turns } = yield* ready
      yield* turns.accept(queue, entry(1), terms(1))
      const before = yield* all
      const refused = (changes: Partial<AcceptTerms> = {}) =>
        Effect.map(Effect.flip(turns.accept(queue, entry(2), terms(2, changes))), reasonOf)
      assert.strictEqual(yield* refused({ generation: "0" }), "replaced")
      for (const ends of [{ desired: "destroyed" }, { desired: "stopped", status: "destroying" }] as const) {
        yield* sandboxes.update(queue, ends)
        assert.strictEqual(yield* refused(), "ending")
      }
      assert.deepStrictEqual(yield* all, before)
      // What was accepted before the end is repeated, not refused.
      assert.strictEqual((yield* turns.accept(queue, entry(1), terms(1)))._tag, "Repeated")
      yield* sandboxes.remove(queue)
      assert.strictEqual(yield* refused(), "gone")
      assert.isUndefined(yield* turnOf("client:2"))
    }))

  test("a paused sandbox takes messages; one of an older version has no generation", () =>
    Effect.gen(function*() {
      const { sandboxes, turns } = yield* ready
      yield* sandboxes.update(queue, { desired: "stopped", status: "stopped", generation: "" })
      assert.strictEqual((yield* turns.accept(queue, entry(1), terms(1, { generation: "" })))._tag, "Accepted")
    }))

  test("leaves nothing behind of what it refuses: no queue, or a body that is too long", () =>
    Effect.gen(function*() {
      const { all, turns } = yield* ready
      const before = yield* all
      const long = yield* Effect.flip(turns.accept(queue, entry(1, "é".repeat(131_073)), terms(1)))
      assert.strictEqual(reasonOf(long), "TooLarge")
      yield* turns.destroy(queue)
      assert.strictEqual(reasonOf(yield* Effect.flip(turns.accept(queue, entry(1), terms(1)))), "QueueMissing")
      assert.deepStrictEqual(yield* all, before)
    }))

  test("a key that the queue still knows is taken as known: its keys and ts count, the message is there once", () =>
    Effect.gen(function*() {
      const { newest, turnOf, turns } = yield* ready
      yield* turns.send(queue, entry(1))
      assert.strictEqual((yield* turns.accept(queue, entry(1, "again"), terms(1)))._tag, "Accepted")
      assert.lengthOf(yield* turns.keys(queue), 1)
      assert.deepStrictEqual([yield* newest, yield* turnOf("client:1")], [tsOf(1), keyOf(1)])
    }))
}
