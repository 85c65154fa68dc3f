/** What every mailbox must do: one delivery per recipient and id, lost leases come again, what is filed stays. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { SandboxId } from "../../../runtime/domain/Ids.ts"
import { Mailbox, Mailer, maxRawMailBytes } from "../../../runtime/ports/Mail.ts"
import { type Engine, timeOf } from "./Engine.ts"

const ada = SandboxId.make("sb-00000001")
const bob = SandboxId.make("sb-00000002")
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const minute = Duration.minutes(1)

const inboxIds = (mailbox: Mailbox["Service"], page: Parameters<(typeof mailbox)["list"]>[2], owner = ada) =>
  Effect.map(mailbox.list(owner, "inbox", page), (rows) => rows.map(({ id }) => id))

export const mailContract = <LE>(engine: Engine<Mailer | Mailbox, LE>): void => {
  const { almost, over } = timeOf(engine)
  const test = <E>(
    name: string,
    body: (mailer: Mailer["Service"], mailbox: Mailbox["Service"]) => Effect.Effect<void, E>
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* body(yield* Mailer, yield* Mailbox)
      }).pipe(Effect.provide(engine.layer)))

  test(
    "each recipient gets one envelope, and the same id again changes nothing",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        yield* mailer.send({ id: "m1", to: [ada, bob, ada], raw: bytes("one") })
        yield* mailer.send({ id: "m1", to: [ada, bob], raw: bytes("other") })
        for (const owner of [ada, bob]) {
          const leased = Option.getOrThrow(yield* mailbox.lease(owner, minute))
          assert.deepStrictEqual([leased.id, Buffer.from(leased.raw).toString()], ["m1", "one"])
          assert.isTrue(Option.isNone(yield* mailbox.lease(owner, minute)))
          assert.isTrue(yield* mailbox.file(owner, leased.receipt, "inbox", "{}"))
        }
        yield* mailer.send({ id: "m1", to: [ada], raw: bytes("one") })
        assert.isTrue(Option.isNone(yield* mailbox.lease(ada, minute)))
        assert.strictEqual((yield* mailbox.list(ada, "inbox", { limit: 10 })).length, 1)
      })
  )

  test(
    "several envelopes are sent all or none, and a second time change nothing",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        const letter = { id: "m1", to: [ada], raw: bytes("one") }
        const blind = { id: "m2", to: [bob], raw: bytes("two") }
        const huge = { id: "m3", to: [bob], raw: new Uint8Array(maxRawMailBytes + 1) }
        const refused = yield* Effect.flip(mailer.sendAll([letter, blind, huge]))
        assert.strictEqual(refused.reason, "TooLarge")
        for (const owner of [ada, bob]) assert.isTrue(Option.isNone(yield* mailbox.lease(owner, minute)))
        yield* mailer.sendAll([letter, blind])
        yield* mailer.sendAll([letter, blind])
        for (const [owner, id] of [[ada, "m1"], [bob, "m2"]] as const) {
          assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(owner, minute)).id, id)
          assert.isTrue(Option.isNone(yield* mailbox.lease(owner, minute)))
        }
        yield* mailer.sendAll([])
      })
  )

  test(
    "what was leased and not filed comes again, and the first holder can no longer file it",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        yield* mailer.send({ id: "m1", to: [ada], raw: bytes("one") })
        const lost = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        yield* almost(minute)
        assert.isTrue(Option.isNone(yield* mailbox.lease(ada, minute)))
        yield* over
        const again = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        assert.strictEqual(again.id, lost.id)
        assert.isFalse(yield* mailbox.file(ada, lost.receipt, "inbox", "lost"))
        assert.isTrue(yield* mailbox.file(ada, again.receipt, "quarantine", "kept"))
        assert.isFalse(yield* mailbox.file(ada, again.receipt, "inbox", "twice"))
        const filed = yield* mailbox.list(ada, "quarantine", { limit: 10 })
        assert.deepStrictEqual(filed.map(({ content, id, read }) => [id, content, read]), [["m1", "kept", false]])
      })
  )

  test(
    "released leases come again at once, in their order, and cannot be filed",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        for (const id of ["m1", "m2"]) yield* mailer.send({ id, to: [ada, bob], raw: bytes(id) })
        const held = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        const other = Option.getOrThrow(yield* mailbox.lease(bob, minute))
        yield* mailbox.release(ada)
        assert.isFalse(yield* mailbox.file(ada, held.receipt, "inbox", ""))
        assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(ada, minute)).id, "m1")
        assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(ada, minute)).id, "m2")
        assert.isTrue(yield* mailbox.file(bob, other.receipt, "inbox", ""))
      })
  )

  test(
    "lists newest first in pages, unread only where asked, and forgets what was dropped",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        for (const n of [1, 2, 3, 4]) {
          yield* mailer.send({ id: `m${n}`, to: [ada], raw: bytes(`${n}`) })
          const { receipt } = Option.getOrThrow(yield* mailbox.lease(ada, minute))
          yield* mailbox.file(ada, receipt, n === 2 ? "dropped" : "inbox", `${n}`)
        }
        const first = yield* mailbox.list(ada, "inbox", { limit: 2 })
        assert.deepStrictEqual(first.map(({ id }) => id), ["m4", "m3"])
        const rest = yield* mailbox.list(ada, "inbox", { limit: 2, before: first[1]?.seq ?? 0 })
        assert.deepStrictEqual(rest.map(({ id }) => id), ["m1"])
        yield* mailbox.markRead(ada, ["m4", "m9"])
        const unread = yield* mailbox.list(ada, "inbox", { limit: 10, unreadOnly: true })
        assert.deepStrictEqual(unread.map(({ id }) => id), ["m3", "m1"])
        assert.isTrue(Option.isNone(yield* mailbox.get(ada, "m2")))
        assert.isTrue(Option.isNone(yield* mailbox.raw(ada, "m2")))
        assert.isTrue(Option.isNone(yield* mailbox.get(bob, "m1")))
      })
  )

  test(
    "lists oldest first after a place, and where asked nothing beyond what is not filed yet",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        for (const n of [1, 2, 3, 4, 5]) yield* mailer.send({ id: `m${n}`, to: [ada, bob], raw: bytes(`${n}`) })
        const leased = []
        for (let n = 0; n < 4; n++) leased.push(Option.getOrThrow(yield* mailbox.lease(ada, minute)))
        for (const [n, { receipt }] of leased.entries()) {
          if (n !== 1) yield* mailbox.file(ada, receipt, "inbox", "")
        }
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after: 0 }), ["m1", "m3", "m4"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 2, after: 0 }), ["m1", "m3"])
        const [first] = yield* mailbox.list(ada, "inbox", { limit: 1, after: 0 })
        const after = first?.seq ?? 0
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 1, after }), ["m3"])
        // The second one is still being judged, and the mailbox of another has nothing to do with it.
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after: 0, settledOnly: true }), ["m1"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after, settledOnly: true }), [])
        yield* mailbox.file(ada, leased[1]?.receipt ?? "", "inbox", "")
        const last = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        yield* mailbox.file(ada, last.receipt, "quarantine", "")
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after, settledOnly: true }), ["m2", "m3", "m4"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 2, settledOnly: true }), ["m4", "m3"])
        yield* mailbox.markRead(ada, ["m3"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after, unreadOnly: true }), ["m2", "m4"])
      })
  )

  test("40 MB arrive as they were sent, more than the limit is refused, and nothing is left after removal", (
    mailer,
    mailbox
  ) =>
    Effect.gen(function*() {
      const raw = Buffer.alloc(56 * 1024 * 1024, "km")
      yield* mailer.send({ id: "big", to: [ada], raw })
      const leased = Option.getOrThrow(yield* mailbox.lease(ada, minute))
      assert.isTrue(raw.equals(leased.raw))
      yield* mailbox.file(ada, leased.receipt, "inbox", "")
      assert.isTrue(raw.equals(Option.getOrThrow(yield* mailbox.raw(ada, "big"))))
      const refused = yield* Effect.flip(
        mailer.send({ id: "huge", to: [ada], raw: new Uint8Array(maxRawMailBytes + 1) })
      )
      assert.strictEqual(refused.reason, "TooLarge")
      yield* mailbox.removeAll(ada)
      assert.deepStrictEqual(yield* mailbox.list(ada, "inbox", { limit: 10 }), [])
      assert.isTrue(Option.isNone(yield* mailbox.raw(ada, "big")))
    }))

  test("finds what was filed by its own id and by the id that it answers", (mailer, mailbox) =>
    Effect.gen(function*() {
      const keys = [{ messageId: "<1@x>" }, { messageId: "<2@x>", inReplyTo: "<1@x>" }, {}, { messageId: "<1@x>" }]
      for (const [n, found] of keys.entries()) {
        yield* mailer.send({ id: `m${n}`, to: [ada], raw: bytes("x") })
        const { receipt } = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        yield* mailbox.file(ada, receipt, n === 3 ? "quarantine" : "inbox", "", found)
      }
      assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, keys: { messageId: "<1@x>" } }), ["m0"])
      assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, keys: { inReplyTo: "<1@x>" } }), ["m1"])
      assert.deepStrictEqual(
        yield* inboxIds(mailbox, { limit: 9, keys: { messageId: "<2@x>", inReplyTo: "<2@x>" } }),
        []
      )
      assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, keys: { messageId: "<1@x>" } }, bob), [])
      assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9 }), ["m2", "m1", "m0"])
    }))

  test("notes are found by their owner and key until they end", (_mailer, mailbox) =>
    Effect.gen(function*() {
      yield* mailbox.note(ada, "k", "one", 60)
      yield* mailbox.note(ada, "k", "two", 120)
      assert.deepStrictEqual(yield* mailbox.noted(ada, "k"), Option.some("two"))
      assert.isTrue(Option.isNone(yield* mailbox.noted(bob, "k")))
      yield* almost(Duration.seconds(120))
      assert.isTrue(Option.isSome(yield* mailbox.noted(ada, "k")))
      yield* over
      assert.isTrue(Option.isNone(yield* mailbox.noted(ada, "k")))
      yield* mailbox.note(ada, "k", "three", 1_000)
      yield* mailbox.removeAll(ada)
      assert.isTrue(Option.isNone(yield* mailbox.noted(ada, "k")))
    }))

  test("a copy is first once; the same delivery again is still first, another is a duplicate or a replay", (
    _mailer,
    mailbox
  ) =>
    Effect.gen(function*() {
      const copy = { sender: bob, nonce: "n", manifestSha256: "a", delivery: "d1", keepUntilSeconds: 1_000 }
      assert.strictEqual(yield* mailbox.recordSeen(ada, copy), "first")
      assert.strictEqual(yield* mailbox.recordSeen(ada, copy), "first")
      assert.strictEqual(yield* mailbox.recordSeen(ada, { ...copy, delivery: "d2" }), "duplicate")
      assert.strictEqual(yield* mailbox.recordSeen(ada, { ...copy, manifestSha256: "b" }), "replayed")
      assert.strictEqual(yield* mailbox.recordSeen(bob, { ...copy, delivery: "d2" }), "first")
      // With the mailbox goes what it remembers, and nothing of another's.
      yield* mailbox.removeAll(ada)
      assert.strictEqual(yield* mailbox.recordSeen(ada, { ...copy, delivery: "d3" }), "first")
      assert.strictEqual(yield* mailbox.recordSeen(bob, { ...copy, delivery: "d3" }), "duplicate")
    }))
}
