/** More copies than one step of DynamoDB can hold: all of them or none, each once, whoever dies in between. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Option } from "effect"
import { inject } from "vitest"
import { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { Aws } from "../../runtime/engines/aws/Aws.ts"
import * as AwsEngine from "../../runtime/engines/aws/AwsEngine.ts"
import { Mailbox, Mailer, MailOutbox } from "../../runtime/ports/Mail.ts"
import { MailSpool } from "../../runtime/ports/MailSpool.ts"
import { makeCrash } from "./faults.ts"
import { openAccount, withAround } from "./SteeredAws.ts"

const raw = Buffer.from("Subject: x\r\n\r\nhi")
const owner = (n: number) => SandboxId.make(`sb-${String(n).padStart(8, "0")}`)
const minute = Duration.minutes(1)
const now = { limit: 200, visibility: minute, wait: Duration.zero }

const world = Effect.gen(function*() {
  const { passing, settings } = yield* openAccount(inject("moto"))
  const crash = makeCrash()
  const ports = yield* Layer.build(
    Layer.fresh(Layer.provide(AwsEngine.layer, Aws.layer(withAround(settings, crash.around))))
  )
  return {
    crash,
    passing,
    mailer: Context.get(ports, Mailer),
    mailbox: Context.get(ports, Mailbox),
    outbox: Context.get(ports, MailOutbox),
    spool: Context.get(ports, MailSpool)
  }
})

describe("aws: mail in many copies", () => {
  it.effect("101 blind copies with a note are committed at once, and each is delivered once", () =>
    Effect.gen(function*() {
      const { mailbox, mailer, outbox } = yield* world
      const copies = Array.from({ length: 101 }, (_, n) => ({ id: `m${n}`, to: [owner(n)], raw }))
      yield* mailer.sendAll(copies, [{ owner: owner(0), key: "sent", value: "yes", keepUntilSeconds: 1_000 }])
      const mails = yield* outbox.lease(now)
      assert.deepStrictEqual(mails.map(({ id }) => id), copies.map(({ id }) => id))
      const delivered = yield* Effect.forEach(mails, (mail) => outbox.deliver(mail, []), { concurrency: 16 })
      assert.isTrue(delivered.every(Boolean))
      assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(owner(100), minute)).id, "m100")
      assert.deepStrictEqual(yield* mailbox.noted(owner(0), "sent"), Option.some("yes"))
      assert.deepStrictEqual(yield* outbox.lease(now), [])
    }).pipe(Effect.scoped))

  it.effect("who dies while it sends so many has sent none of them", () =>
    Effect.gen(function*() {
      const { crash, mailer, outbox } = yield* world
      const copies = Array.from({ length: 101 }, (_, n) => ({ id: `m${n}`, to: [owner(n)], raw }))
      // Behind the objects and half of the rows.
      yield* crash.at(150, "after")
      const exit = yield* Effect.exit(mailer.sendAll(copies))
      assert.isTrue(Exit.hasDies(exit))
      yield* crash.off
      assert.deepStrictEqual(yield* outbox.lease(now), [])
      assert.deepStrictEqual((yield* outbox.waiting).inside, { count: 0, since: undefined })
    }).pipe(Effect.scoped))

  it.effect("one message to 100 mailboxes comes into each once, also when the courier dies at any of its requests", () =>
    Effect.gen(function*() {
      const { crash, mailbox, mailer, outbox, passing } = yield* world
      const owners = Array.from({ length: 100 }, (_, n) => owner(n))
      yield* mailer.send({ id: "m", to: owners, raw })
      for (let call = 100, over = false; !over; call++) {
        const [mail] = yield* outbox.lease(now)
        if (mail === undefined) break
        yield* crash.at(call, call % 2 === 0 ? "before" : "after")
        const exit = yield* Effect.exit(outbox.deliver(mail, []))
        over = Exit.isSuccess(exit)
        if (!over) assert.isTrue(Exit.hasDies(exit))
        yield* crash.off
        yield* passing(minute)
      }
      for (const one of owners) {
        assert.strictEqual(Option.getOrThrow(yield* mailbox.lease(one, minute)).id, "m")
        assert.isTrue(Option.isNone(yield* mailbox.lease(one, minute)))
        assert.strictEqual(yield* mailbox.revision(one), 1)
      }
      assert.deepStrictEqual((yield* outbox.waiting).inside.count, 0)
    }).pipe(Effect.scoped))

  it.effect("60 recipients of whom the relay will not hear are told of in 60 notices, once", () =>
    Effect.gen(function*() {
      const { mailbox, mailer, outbox, spool } = yield* world
      const to = Array.from({ length: 60 }, (_, n) => `p${n}@there.example`)
      yield* mailer.send({ id: "m", to: [], raw, outside: { owner: owner(1), from: "ada@agents.example", to } })
      for (const mail of yield* outbox.lease(now)) yield* outbox.deliver(mail, [])
      const [spooled] = yield* spool.due(10, Duration.zero)
      assert.isDefined(spooled)
      assert.lengthOf(spooled.recipients, 60)
      const outcomes = to.map((address) => ({ address, state: "failed", reply: "550 no", nextAt: 0 } as const))
      const notices = to.map((address) => ({ id: `bounce/m/${address}`, raw }))
      yield* spool.settle(spooled, outcomes, notices)
      yield* spool.settle(spooled, outcomes, notices)
      assert.deepStrictEqual(yield* spool.due(10, Duration.zero), [])
      assert.isTrue(Option.isNone(yield* spool.raw(spooled)))
      assert.deepStrictEqual((yield* outbox.waiting).outside, { count: 0, since: undefined })
      assert.strictEqual(yield* mailbox.revision(owner(1)), 60)
      // The same envelope again is not sent again.
      yield* mailer.send({ id: "m", to: [], raw, outside: { owner: owner(1), from: "ada@agents.example", to } })
      for (const mail of yield* outbox.lease(now)) assert.isTrue(yield* outbox.deliver(mail, []))
      assert.deepStrictEqual(yield* spool.due(10, Duration.zero), [])
    }).pipe(Effect.scoped))
})
