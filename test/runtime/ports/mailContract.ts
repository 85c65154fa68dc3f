/** What every mailbox must do: one delivery per recipient and id, lost leases come again, what is filed stays. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import {
  type Judgement,
  Mailbox,
  Mailer,
  type MailKeys,
  type MailOutbox,
  maxSummaryBytes,
  wholeOf
} from "../../../runtime/ports/Mail.ts"
import { delivered } from "../../support/deliveredMail.ts"
import { type Engine, timeOf } from "./Engine.ts"

const ada = SandboxId.make("sb-00000001")
const bob = SandboxId.make("sb-00000002")
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const minute = Duration.minutes(1)

/** What a judge wrote down, of no account to the mailbox. */
const judgement = (folder: Judgement["folder"], text = "", keys: MailKeys = {}): Judgement => ({
  folder,
  summary: `s ${text}`,
  content: text,
  keys
})

const wholeRaw = (mailbox: Mailbox["Service"], owner: typeof ada, id: string) =>
  Effect.flatMap(mailbox.raw(owner, id), (found) => wholeOf(Option.getOrThrow(found)))

const wholeContent = (mailbox: Mailbox["Service"], owner: typeof ada, id: string) =>
  Effect.flatMap(mailbox.content(owner, id), (found) => Effect.map(wholeOf(Option.getOrThrow(found)), String))

const inboxIds = (mailbox: Mailbox["Service"], page: Parameters<(typeof mailbox)["list"]>[2], owner = ada) =>
  Effect.map(mailbox.list(owner, "inbox", page), (rows) => rows.map(({ id }) => id))

/** The engine is without a courier; `delivered` puts what is sent where it belongs. */
export const mailContract = <LE>(engine: Engine<Mailer | Mailbox | MailOutbox, LE>): void => {
  const { almost, over, passTime } = timeOf(engine)
  const layer = delivered(engine.layer)
  const test = <E>(
    name: string,
    body: (mailer: Mailer["Service"], mailbox: Mailbox["Service"]) => Effect.Effect<void, E>
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* body(yield* Mailer, yield* Mailbox)
      }).pipe(Effect.provide(layer)))

  test(
    "each recipient gets one envelope, and the same id again changes nothing",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        yield* mailer.send({ id: "m1", to: [ada, bob, ada], raw: bytes("one") })
        yield* mailer.send({ id: "m1", to: [ada, bob], raw: bytes("other") })
        for (const owner of [ada, bob]) {
          const leased = Option.getOrThrow(yield* mailbox.lease(owner, minute))
          assert.deepStrictEqual([leased.id, String(yield* wholeRaw(mailbox, owner, leased.id))], ["m1", "one"])
          assert.isTrue(Option.isNone(yield* mailbox.lease(owner, minute)))
          assert.isTrue(yield* mailbox.file(owner, leased.receipt, judgement("inbox", "{}")))
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
        const huge = { id: "m3", to: [bob], raw: new Uint8Array(mailer.limits.maxMessageBytes + 1) }
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
        assert.isFalse(yield* mailbox.file(ada, lost.receipt, judgement("inbox", "lost")))
        assert.isTrue(yield* mailbox.file(ada, again.receipt, judgement("quarantine", "kept")))
        assert.isFalse(yield* mailbox.file(ada, again.receipt, judgement("inbox", "twice")))
        const filed = yield* mailbox.list(ada, "quarantine", { limit: 10 })
        assert.deepStrictEqual(filed.map(({ id, read, summary }) => [id, summary, read]), [["m1", "s kept", false]])
        assert.strictEqual(yield* wholeContent(mailbox, ada, "m1"), "kept")
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
        assert.isFalse(yield* mailbox.file(ada, held.receipt, judgement("inbox", "")))
        assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(ada, minute)).id, "m1")
        assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(ada, minute)).id, "m2")
        assert.isTrue(yield* mailbox.file(bob, other.receipt, judgement("inbox", "")))
      })
  )

  test(
    "lists newest first in pages, unread only where asked, and forgets what was dropped",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        for (const n of [1, 2, 3, 4]) {
          yield* mailer.send({ id: `m${n}`, to: [ada], raw: bytes(`${n}`) })
          const { receipt } = Option.getOrThrow(yield* mailbox.lease(ada, minute))
          yield* mailbox.file(ada, receipt, judgement(n === 2 ? "dropped" : "inbox", `${n}`))
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
          if (n !== 1) yield* mailbox.file(ada, receipt, judgement("inbox", ""))
        }
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after: 0 }), ["m1", "m3", "m4"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 2, after: 0 }), ["m1", "m3"])
        const [first] = yield* mailbox.list(ada, "inbox", { limit: 1, after: 0 })
        const after = first?.seq ?? 0
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 1, after }), ["m3"])
        // The second one is still being judged, and the mailbox of another has nothing to do with it.
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after: 0, settledOnly: true }), ["m1"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after, settledOnly: true }), [])
        yield* mailbox.file(ada, leased[1]?.receipt ?? "", judgement("inbox", ""))
        const last = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        yield* mailbox.file(ada, last.receipt, judgement("quarantine", ""))
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
      assert.isTrue(raw.equals(yield* wholeRaw(mailbox, ada, leased.id)))
      yield* mailbox.file(ada, leased.receipt, judgement("inbox", ""))
      assert.isTrue(raw.equals(yield* wholeRaw(mailbox, ada, "big")))
      const refused = yield* Effect.flip(
        mailer.send({ id: "huge", to: [ada], raw: new Uint8Array(mailer.limits.maxMessageBytes + 1) })
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
        yield* mailbox.file(ada, receipt, judgement(n === 3 ? "quarantine" : "inbox", "", found))
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

  test(
    "what is taken out of quarantine comes again behind all that came, and nothing else does",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        for (const id of ["m1", "m2"]) yield* mailer.send({ id, to: [ada, bob], raw: bytes(id) })
        for (const owner of [ada, bob]) {
          const { receipt } = Option.getOrThrow(yield* mailbox.lease(owner, minute))
          yield* mailbox.file(owner, receipt, judgement("quarantine", "kept", { messageId: "<1@x>" }))
        }
        const held = Option.getOrThrow(yield* mailbox.lease(ada, minute))
        assert.isFalse(yield* mailbox.reopen(ada, "m2"))
        assert.isTrue(yield* mailbox.file(ada, held.receipt, judgement("inbox", "")))
        for (const id of ["m2", "m3"]) assert.isFalse(yield* mailbox.reopen(ada, id))
        const than = yield* mailbox.revision(ada)
        assert.isTrue(yield* mailbox.reopen(ada, "m1"))
        assert.isFalse(yield* mailbox.reopen(ada, "m1"))
        assert.notStrictEqual(yield* mailbox.revision(ada), than)
        assert.isTrue(Option.isNone(yield* mailbox.get(ada, "m1")))
        assert.strictEqual(String(yield* wholeRaw(mailbox, ada, "m1")), "m1")
        const newest = Math.max(...(yield* mailbox.list(ada, "inbox", { limit: 9 })).map(({ seq }) => seq))
        yield* mailer.send({ id: "m4", to: [ada], raw: bytes("m4") })
        for (const id of ["m1", "m4"]) {
          const leased = Option.getOrThrow(yield* mailbox.lease(ada, minute))
          assert.strictEqual(leased.id, id)
          yield* mailbox.file(ada, leased.receipt, judgement("inbox", "anew"))
        }
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, after: newest, settledOnly: true }), ["m1", "m4"])
        assert.deepStrictEqual(yield* inboxIds(mailbox, { limit: 9, keys: { messageId: "<1@x>" } }), [])
        assert.strictEqual(yield* wholeContent(mailbox, ada, "m1"), "anew")
        assert.deepStrictEqual((yield* mailbox.list(bob, "quarantine", { limit: 9 })).map(({ id }) => id), ["m1"])
      })
  )

  test("notes are found by their owner and key until they end", (_mailer, mailbox) =>
    Effect.gen(function*() {
      yield* mailbox.note({ owner: ada, key: "k", value: "one", keepUntilSeconds: 60 })
      yield* mailbox.note({ owner: ada, key: "k", value: "two", keepUntilSeconds: 120 })
      assert.deepStrictEqual(yield* mailbox.noted(ada, "k"), Option.some("two"))
      assert.isTrue(Option.isNone(yield* mailbox.noted(bob, "k")))
      yield* almost(Duration.seconds(120))
      assert.isTrue(Option.isSome(yield* mailbox.noted(ada, "k")))
      yield* over
      assert.isTrue(Option.isNone(yield* mailbox.noted(ada, "k")))
      yield* mailbox.note({ owner: ada, key: "k", value: "three", keepUntilSeconds: 1_000 })
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

  test(
    "a summary is listed, what else a judge wrote is read by id, and neither is more than it may be",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        for (const [id, content] of [["small", "x"], ["large", "é".repeat(100_000)]] as const) {
          yield* mailer.send({ id, to: [ada], raw: bytes("x") })
          const { receipt } = Option.getOrThrow(yield* mailbox.lease(ada, minute))
          assert.isTrue(Option.isNone(yield* mailbox.content(ada, id)))
          const summary = "é".repeat(maxSummaryBytes / 2)
          const refused = yield* Effect.flip(
            mailbox.file(ada, receipt, { folder: "inbox", summary: `${summary}.`, content })
          )
          assert.strictEqual(refused.reason, "TooLarge")
          assert.isTrue(yield* mailbox.file(ada, receipt, { folder: "inbox", summary, content }))
          const filed = Option.getOrThrow(yield* mailbox.get(ada, id))
          assert.deepInclude(filed, { summary, contentSize: Buffer.byteLength(content), size: 1 })
          assert.strictEqual(yield* wholeContent(mailbox, ada, id), content)
        }
        assert.isTrue(Option.isNone(yield* mailbox.content(bob, "small")))
        yield* mailbox.removeAll(ada)
        assert.isTrue(Option.isNone(yield* mailbox.content(ada, "large")))
      })
  )

  test(
    "a reader that waits gets the next arrival, a lapsed lease, or nothing after 20 s",
    (mailer, mailbox) =>
      Effect.gen(function*() {
        const reading = yield* Effect.forkChild(mailbox.lease(ada, Duration.seconds(8), Duration.hours(1)))
        yield* Effect.yieldNow
        yield* mailer.send({ id: "m1", to: [ada], raw: bytes("x") })
        assert.strictEqual(Option.getOrThrow(yield* Fiber.join(reading)).id, "m1")
        const again = yield* Effect.forkChild(mailbox.lease(ada, Duration.hours(1), Duration.hours(1)))
        yield* Effect.yieldNow
        yield* passTime("8 seconds")
        assert.strictEqual(Option.getOrThrow(yield* Fiber.join(again)).id, "m1")
        const idle = yield* Effect.forkChild(mailbox.lease(ada, minute, Duration.hours(1)))
        yield* Effect.yieldNow
        yield* passTime("20 seconds")
        assert.isTrue(Option.isNone(yield* Fiber.join(idle)))
      })
  )

  test("the revision is another one after each arrival and each filing of this mailbox, and can be waited for", (
    mailer,
    mailbox
  ) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* mailbox.revision(ada), 0)
      const wait = Duration.hours(1)
      const watch = Effect.fnUntraced(function*() {
        const than = yield* mailbox.revision(ada)
        const fiber = yield* Effect.forkChild(mailbox.revision(ada, { than, wait }))
        yield* Effect.yieldNow
        return { than, fiber }
      })
      const arriving = yield* watch()
      yield* mailer.send({ id: "m1", to: [ada], raw: bytes("x") })
      assert.isAbove(yield* Fiber.join(arriving.fiber), arriving.than)
      const { receipt } = Option.getOrThrow(yield* mailbox.lease(ada, minute))
      const filing = yield* watch()
      yield* mailbox.file(ada, receipt, judgement("inbox"))
      assert.isAbove(yield* Fiber.join(filing.fiber), filing.than)
      const quiet = yield* watch()
      yield* mailer.send({ id: "m1", to: [ada, bob], raw: bytes("x") })
      yield* passTime("20 seconds")
      assert.strictEqual(yield* Fiber.join(quiet.fiber), quiet.than)
    }))
}
