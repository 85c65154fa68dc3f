/** What every outbox must do: what was sent is delivered once to each, by whoever holds it, and nothing is left for nobody. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Mailbox, Mailer, MailOutbox, wholeOf } from "../../../runtime/ports/Mail.ts"
import { type Engine, timeOf } from "./Engine.ts"

const ada = SandboxId.make("sb-00000001")
const bob = SandboxId.make("sb-00000002")
const raw = Buffer.from("Subject: x\r\n\r\nhi")
const minute = Duration.minutes(1)
const now = { limit: 10, visibility: minute, wait: Duration.zero }

const filing = { folder: "inbox", summary: "", content: "" } as const

export const mailOutboxContract = <LE>(engine: Engine<Mailer | Mailbox | MailOutbox, LE>): void => {
  const { passTime } = timeOf(engine)
  const test = <E>(
    name: string,
    body: (ports: {
      readonly mailer: Mailer["Service"]
      readonly mailbox: Mailbox["Service"]
      readonly outbox: MailOutbox["Service"]
      /** Ids that wait in the mailbox, taken out of it. */
      readonly arrived: (owner: SandboxId) => Effect.Effect<ReadonlyArray<string>, unknown>
    }) => Effect.Effect<void, E>
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        const mailbox = yield* Mailbox
        const arrived = Effect.fnUntraced(function*(owner: SandboxId) {
          const ids: Array<string> = []
          for (;;) {
            const leased = yield* mailbox.lease(owner, minute)
            if (Option.isNone(leased)) return ids
            ids.push(leased.value.id)
            yield* mailbox.file(owner, leased.value.receipt, filing)
          }
        })
        yield* body({ mailer: yield* Mailer, mailbox, outbox: yield* MailOutbox, arrived })
      }).pipe(Effect.provide(engine.layer)))

  test("what is sent is in no mailbox before it is delivered, and in the outbox no more afterwards", (ports) =>
    Effect.gen(function*() {
      const { arrived, mailer, outbox } = ports
      yield* passTime(minute)
      yield* mailer.sendAll([{ id: "m1", to: [ada, bob, ada], raw }, { id: "m2", to: [bob], raw }])
      assert.deepStrictEqual(yield* arrived(ada), [])
      assert.deepStrictEqual((yield* outbox.waiting).inside, { count: 2, since: 60_000 })
      const mails = yield* outbox.lease(now)
      assert.deepStrictEqual(
        mails.map(({ attempts, id, outside, size, to }) => [id, to, outside, size, attempts]),
        [["m1", [ada, bob], false, raw.length, 0], ["m2", [bob], false, raw.length, 0]]
      )
      // Nobody else gets what is held.
      assert.deepStrictEqual(yield* outbox.lease(now), [])
      for (const mail of mails) assert.isTrue(yield* outbox.deliver(mail, []))
      assert.deepStrictEqual(yield* arrived(ada), ["m1"])
      assert.deepStrictEqual(yield* arrived(bob), ["m1", "m2"])
      assert.deepStrictEqual((yield* outbox.waiting).inside, { count: 0, since: undefined })
    }))

  for (const size of [raw.length, 300_000]) {
    test(`a second holder delivers ${size} bytes once, whatever the first one still does`, (ports) =>
      Effect.gen(function*() {
        const { arrived, mailbox, mailer, outbox } = ports
        const bytes = Buffer.alloc(size, raw)
        yield* mailer.send({ id: "m1", to: [ada], raw: bytes })
        const [first] = yield* outbox.lease(now)
        assert.isDefined(first)
        yield* passTime(minute)
        const [second] = yield* outbox.lease(now)
        assert.isDefined(second)
        assert.isFalse(yield* outbox.deliver(first, []))
        assert.deepStrictEqual(yield* arrived(ada), [])
        assert.isTrue(yield* outbox.deliver(second, []))
        assert.isFalse(yield* outbox.deliver(second, []))
        assert.isTrue(bytes.equals(yield* wholeOf(Option.getOrThrow(yield* mailbox.raw(ada, "m1")))))
        assert.deepStrictEqual(yield* arrived(ada), ["m1"])
        // The same again, after it was read.
        yield* mailer.send({ id: "m1", to: [ada, bob], raw: bytes })
        const [third] = yield* outbox.lease(now)
        assert.isDefined(third)
        assert.isTrue(yield* outbox.deliver(third, []))
        assert.deepStrictEqual([yield* arrived(ada), yield* arrived(bob)], [[], ["m1"]])
      }))

    test(`nothing of ${size} bytes is delivered to a mailbox that is gone, and the others get it`, (ports) =>
      Effect.gen(function*() {
        const { arrived, mailbox, mailer, outbox } = ports
        const bytes = Buffer.alloc(size, raw)
        yield* mailer.send({ id: "m1", to: [ada, bob], raw: bytes })
        const [held] = yield* outbox.lease(now)
        assert.isDefined(held)
        // While it is being delivered: who holds it does not know yet.
        yield* mailbox.removeAll(ada)
        assert.isFalse(yield* outbox.deliver(held, []))
        const [again] = yield* outbox.lease(now)
        assert.isDefined(again)
        assert.deepStrictEqual(again.to, [bob])
        assert.isTrue(yield* outbox.deliver(again, []))
        assert.deepStrictEqual([yield* arrived(ada), yield* arrived(bob)], [[], ["m1"]])
        yield* mailer.send({ id: "m2", to: [ada, bob], raw: bytes })
        const [named] = yield* outbox.lease(now)
        assert.isDefined(named)
        assert.isTrue(yield* outbox.deliver(named, [ada]))
        assert.deepStrictEqual([yield* arrived(ada), yield* arrived(bob)], [[], ["m2"]])
      }))
  }

  test("who has a message under another of its names does not get it again", (ports) =>
    Effect.gen(function*() {
      const { arrived, mailer, outbox } = ports
      const all = Effect.gen(function*() {
        for (const mail of yield* outbox.lease(now)) yield* outbox.deliver(mail, [])
      })
      yield* mailer.send({ id: "m/1", alsoKnownAs: ["m/0"], to: [ada], raw })
      yield* all
      assert.deepStrictEqual(yield* arrived(ada), ["m/1"])
      yield* mailer.send({ id: "m/2", alsoKnownAs: ["m/1"], to: [ada, bob], raw })
      yield* all
      assert.deepStrictEqual([yield* arrived(ada), yield* arrived(bob)], [[], ["m/2"]])
    }))

  test("what was deferred comes again when it is due, counted as tried, and a lapsed lease defers nothing", (ports) =>
    Effect.gen(function*() {
      const { mailer, outbox } = ports
      yield* mailer.send({ id: "m1", to: [ada], raw })
      const [held] = yield* outbox.lease(now)
      assert.isDefined(held)
      yield* outbox.defer(held, Duration.seconds(10))
      assert.deepStrictEqual(yield* outbox.lease(now), [])
      yield* passTime("10 seconds")
      const [again] = yield* outbox.lease(now)
      assert.strictEqual(again?.attempts, 1)
      yield* outbox.defer(held, Duration.hours(1))
      yield* passTime(minute)
      assert.strictEqual((yield* outbox.lease(now))[0]?.attempts, 1)
    }))

  test("a waiting courier is woken by what is sent, and gets nothing when its time is over", (ports) =>
    Effect.gen(function*() {
      const { mailer, outbox } = ports
      const waiting = yield* Effect.forkChild(outbox.lease({ ...now, wait: Duration.hours(1) }))
      yield* Effect.yieldNow
      yield* mailer.send({ id: "m1", to: [ada], raw })
      assert.deepStrictEqual((yield* Fiber.join(waiting)).map(({ id }) => id), ["m1"])
      const patient = yield* Effect.forkChild(outbox.lease({ ...now, limit: 1, wait: Duration.hours(1) }))
      yield* Effect.yieldNow
      yield* passTime("20 seconds")
      assert.deepStrictEqual(yield* Fiber.join(patient), [])
    }))

  test("facts are noted in the step that sends, or not at all", (ports) =>
    Effect.gen(function*() {
      const { mailbox, mailer } = ports
      const note = { owner: ada, key: "sent/1", value: "v", keepUntilSeconds: 1_000 }
      const huge = { id: "m1", to: [bob], raw: new Uint8Array(mailer.limits.maxMessageBytes + 1) }
      assert.strictEqual((yield* Effect.flip(mailer.sendAll([huge], [note]))).reason, "TooLarge")
      assert.isTrue(Option.isNone(yield* mailbox.noted(ada, "sent/1")))
      yield* mailer.sendAll([{ id: "m1", to: [bob], raw }], [note])
      assert.deepStrictEqual(yield* mailbox.noted(ada, "sent/1"), Option.some("v"))
    }))
}
