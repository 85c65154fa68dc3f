/** Mail out: each recipient gets it, is refused, or is given up, and the sender hears of all but the first. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { type RelayOptions, sendByRelay } from "../../../../runtime/adapters/smtp/relay.ts"
import { giveUpMillis, makeRelayLoop, retryAfterMillis } from "../../../../runtime/adapters/smtp/RelayLoop.ts"
import { bouncePrefix, Mailbox, Mailer, MailOutbox } from "../../../../runtime/ports/Mail.ts"
import { MailSpool } from "../../../../runtime/ports/MailSpool.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { alice, text } from "../../../plugins/email/world.ts"
import { fakeRelay, type RelayManners } from "./fakeRelay.ts"
import { arrivals, withEngine } from "./smtpWorld.ts"

const raw = Buffer.from(
  `From: ${alice.address}\r\nMessage-ID: <one@mail.example>\r\nSubject: x\r\n\r\n.\r\nhi\r\n..\r\n`
)

const put = (to: ReadonlyArray<string>, id = "letter", bytes: Uint8Array = raw) =>
  Effect.flatMap(
    Mailer,
    (mailer) => mailer.send({ id, to: [], raw: bytes, outside: { owner: alice.sender, from: alice.address, to } })
  )

const options = (port: number, more: Partial<RelayOptions> = {}): RelayOptions => ({
  host: "127.0.0.1",
  port,
  name: "mail.example",
  password: Effect.succeedNone,
  ...more
})

/** Notices in the sender's mailbox. */
const notices = Effect.map(
  arrivals(alice.sender),
  (found) => found.map(({ id, raw: bytes }) => ({ id, text: text(bytes) }))
)

const waiting = Effect.flatMap(
  MailOutbox,
  ({ waiting: all }) => Effect.map(all, ({ outside }) => ({ recipients: outside.count, since: outside.since }))
)

describe("the relay's client", () => {
  it.effect("gives a message to its recipients once, unchanged, and knows it afterwards", () =>
    withEngine(Effect.gen(function*() {
      const relay = yield* fakeRelay({ user: { name: "km", password: "swordfish" } })
      const password = Effect.succeedSome(Redacted.make("swordfish"))
      const { round } = yield* makeRelayLoop(options(relay.port, { user: "km", password }))
      yield* put(["a@there.example", "b@there.example"])
      assert.strictEqual(yield* round, 1)
      assert.strictEqual(yield* round, 0)
      yield* put(["a@there.example", "b@there.example"])
      assert.strictEqual(yield* round, 0)
      assert.deepStrictEqual(relay.taken, [
        { from: alice.address, to: ["a@there.example", "b@there.example"], raw: raw.toString() }
      ])
      // Larger than what lies in the table.
      const large = Buffer.concat([raw, Buffer.from(`${"x".repeat(900)}\r\n`.repeat(200))])
      yield* put(["a@there.example"], "large", large)
      assert.strictEqual(yield* round, 1)
      assert.strictEqual(relay.taken[1]?.raw, large.toString())
      assert.deepStrictEqual(yield* waiting, { recipients: 0, since: undefined })
      assert.deepStrictEqual(yield* notices, [])
    })))

  it.effect("tells the sender of a refusal, tries again what may work, and repeats nothing for the others", () =>
    withEngine(Effect.gen(function*() {
      const manners: Partial<RelayManners> = {
        recipient: (address) => ({ "no@there.example": 550, "later@there.example": 451 })[address] ?? 250
      }
      const relay = yield* fakeRelay(manners)
      const { round } = yield* makeRelayLoop(options(relay.port))
      yield* put(["yes@there.example", "no@there.example", "later@there.example"])
      yield* round
      assert.deepStrictEqual(relay.taken.map(({ to }) => to), [["yes@there.example"]])
      const [notice, ...more] = yield* notices
      assert.lengthOf(more, 0)
      assert.isTrue(notice?.id.startsWith(bouncePrefix))
      assert.include(notice?.text, "Subject: Not delivered to no@there.example")
      assert.include(notice?.text, "In-Reply-To: <one@mail.example>")
      assert.include(notice?.text, "From: Mail system <mailer.daemon@mail.example>")
      assert.match(notice?.text ?? "", /KM-SMT-201[^]*relay says 550/)
      assert.strictEqual((yield* waiting).recipients, 1)

      manners.recipient = () => 250
      yield* TestClock.adjust(retryAfterMillis(0) - 1)
      assert.strictEqual(yield* round, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* round, 1)
      assert.deepStrictEqual(relay.taken.map(({ to }) => to), [["yes@there.example"], ["later@there.example"]])
      assert.strictEqual((yield* waiting).recipients, 0)
      assert.deepStrictEqual(yield* notices, [])
    })))

  it.effect("gives up after two days of a relay that is away, and says so once", () =>
    withEngine(Effect.gen(function*() {
      const relay = yield* fakeRelay()
      relay.end()
      const { round } = yield* makeRelayLoop(options(relay.port))
      yield* put(["a@there.example"])
      let rounds = 0
      let clock = 0
      while ((yield* waiting).recipients > 0) {
        assert.isBelow(clock, giveUpMillis)
        assert.strictEqual(yield* round, 1)
        const pause = retryAfterMillis(rounds++)
        yield* TestClock.adjust(pause)
        clock += pause
      }
      // A minute, two, four … 32, then every hour.
      assert.strictEqual(rounds, 6 + 47)
      const [notice, ...more] = yield* notices
      assert.lengthOf(more, 0)
      assert.match(notice?.text ?? "", /KM-SMT-202[^]*ECONNREFUSED/)
    })))

  it.effect("takes a wrong login, a busy relay and a limit for what they are", () =>
    withEngine(Effect.gen(function*() {
      const manners: Partial<RelayManners> = {
        user: { name: "km", password: "right" },
        size: 4_096,
        data: () => 451
      }
      const relay = yield* fakeRelay(manners)
      let given = "wrong"
      const password = Effect.sync(() => Option.some(Redacted.make(given)))
      const { round } = yield* makeRelayLoop(options(relay.port, { user: "km", password }))
      yield* put(["a@there.example"])
      yield* put(["a@there.example"], "large", Buffer.concat([raw, Buffer.alloc(5_000, "x")]))
      yield* round
      // Nobody's mail is refused because our password is wrong.
      assert.strictEqual((yield* waiting).recipients, 2)
      given = "right"
      yield* TestClock.adjust(retryAfterMillis(0))
      yield* round
      assert.strictEqual((yield* waiting).recipients, 1)
      const [notice] = yield* notices
      assert.match(notice?.text ?? "", /KM-SMT-201[^]*4096/)
      manners.data = () => 554
      yield* TestClock.adjust(retryAfterMillis(1))
      yield* round
      const [refused] = yield* notices
      assert.match(refused?.text ?? "", /KM-SMT-201[^]*relay says 554/)
      assert.lengthOf(relay.taken, 0)
      // Without a password nobody is asked.
      const { round: without } = yield* makeRelayLoop(
        options(relay.port, { user: "km", password: Effect.succeedNone })
      )
      yield* put(["a@there.example"], "other")
      yield* without
      assert.strictEqual((yield* waiting).recipients, 1)
    })))

  it.effect("demands TLS of whoever is not on this machine", () =>
    withEngine(Effect.gen(function*() {
      const relay = yield* fakeRelay()
      // Leads here too, and is not known as loopback.
      const host = "0.0.0.0"
      const { round } = yield* makeRelayLoop(options(relay.port, { host }))
      yield* put(["a@there.example"])
      yield* round
      assert.lengthOf(relay.taken, 0)
      // It offers STARTTLS, by a certificate that anybody could have made.
      const to = ["a@there.example"]
      const said = yield* sendByRelay(options(relay.port, { host }), { from: alice.address, to, raw })
      assert.match(said.get("a@there.example")?.reply ?? "", /certificate/)
      assert.strictEqual((yield* waiting).recipients, 1)
      // Or it offers none, because it has none or because somebody between took the offer away.
      const bare = yield* fakeRelay({ plain: true })
      const refused = yield* sendByRelay(options(bare.port, { host }), { from: alice.address, to, raw })
      assert.strictEqual(refused.get("a@there.example")?.state, "later")
      assert.lengthOf(bare.taken, 0)
      const { round: plain } = yield* makeRelayLoop(options(relay.port, { host, allowPlain: true }))
      yield* TestClock.adjust(retryAfterMillis(0))
      yield* plain
      assert.lengthOf(relay.taken, 1)
    })))

  it.effect("does not send again what it could not write down", () =>
    withEngine(Effect.gen(function*() {
      const relay = yield* fakeRelay()
      const spool = yield* MailSpool
      let full = true
      const failing = MailSpool.of({
        ...spool,
        settle: (mail, outcomes, told) =>
          full
            ? Effect.fail(
              new StoreError({ port: "MailSpool", operation: "settle", reason: "Full", detail: "x", cause: undefined })
            )
            : spool.settle(mail, outcomes, told)
      })
      const { round } = yield* makeRelayLoop(options(relay.port)).pipe(Effect.provideService(MailSpool, failing))
      yield* put(["a@there.example"])
      for (let n = 0; n < 3; n++) assert.strictEqual(yield* round, 0)
      full = false
      assert.strictEqual(yield* round, 1)
      assert.lengthOf(relay.taken, 1)
    })))

  it.effect("forgets what waits when its owner is destroyed", () =>
    withEngine(Effect.gen(function*() {
      const mailbox = yield* Mailbox
      const relay = yield* fakeRelay()
      const { round } = yield* makeRelayLoop(options(relay.port))
      yield* put(["a@there.example"])
      yield* mailbox.removeAll(alice.sender)
      assert.strictEqual(yield* round, 0)
      assert.deepStrictEqual(yield* waiting, { recipients: 0, since: undefined })
      assert.lengthOf(relay.taken, 0)

      // Also when that happens while the relay thinks: no notice is left for nobody.
      const context = yield* Effect.context<Mailbox>()
      const slow = yield* fakeRelay({
        data: async () => {
          await Effect.runPromiseWith(context)(mailbox.removeAll(alice.sender))
          return 554
        }
      })
      const { round: late } = yield* makeRelayLoop(options(slow.port))
      yield* put(["a@there.example"])
      yield* late
      assert.deepStrictEqual(yield* notices, [])
      assert.strictEqual((yield* waiting).recipients, 0)
    })))
})
