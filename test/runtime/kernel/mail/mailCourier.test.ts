/** The courier over a real engine: nothing is lost, nothing comes twice, and what cannot be delivered holds nothing else up. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Fiber, Layer, Option } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { courier, makeCourier, redeliverAfterMillis } from "../../../../runtime/kernel/mail/MailCourier.ts"
import { Mailbox, Mailer, MailOutbox } from "../../../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { sandboxRow } from "../../ports/sandboxesContract.ts"

const ada = SandboxId.make("sb-00000001")
const bob = SandboxId.make("sb-00000002")
const nobody = SandboxId.make("sb-00000003")
const raw = Buffer.from("Subject: x\r\n\r\nhi")

const engine = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => EmbeddedEngine.layer(directory)))

/** Ids that wait in a mailbox, in their order, taken out of it. */
const arrived = Effect.fnUntraced(function*(owner: SandboxId | "operator") {
  const mailbox = yield* Mailbox
  const ids: Array<string> = []
  for (;;) {
    const leased = yield* mailbox.lease(owner, Duration.minutes(1))
    if (Option.isNone(leased)) return ids
    ids.push(leased.value.id)
    yield* mailbox.file(owner, leased.value.receipt, { folder: "inbox", summary: "", content: "" })
  }
})

const sandboxesThere = Effect.gen(function*() {
  const sandboxes = yield* Sandboxes
  yield* sandboxes.insert(sandboxRow(ada, { status: "running" }))
  yield* sandboxes.insert(sandboxRow(bob, { status: "running" }))
})

const broken = new StoreError({ port: "MailOutbox", operation: "x", reason: "Full", detail: "x", cause: undefined })

describe("the courier", () => {
  it.effect("delivers all that waits in the order in which it was sent, and to nobody who is gone or goes", () =>
    Effect.gen(function*() {
      yield* sandboxesThere
      const mailer = yield* Mailer
      const { round } = yield* makeCourier
      const ids = Array.from({ length: 100 }, (_, n) => `m${n}`)
      for (const id of ids) yield* mailer.send({ id, to: [ada, nobody, "operator"], raw })
      assert.strictEqual(yield* round, 100)
      assert.strictEqual(yield* round, 0)
      assert.deepStrictEqual(yield* arrived(ada), ids)
      assert.deepStrictEqual(yield* arrived("operator"), ids)
      assert.deepStrictEqual(yield* arrived(nobody), [])
      yield* (yield* Sandboxes).update(ada, { desired: "destroyed" })
      yield* mailer.send({ id: "late", to: [ada, bob], raw })
      assert.strictEqual(yield* round, 1)
      assert.deepStrictEqual([yield* arrived(ada), yield* arrived(bob)], [[], ["late"]])
    }).pipe(Effect.provide(engine)))

  it.effect("tries again what the store or a defect kept from it, later each time, while the rest goes on", () =>
    Effect.gen(function*() {
      yield* sandboxesThere
      const mailer = yield* Mailer
      const outbox = yield* MailOutbox
      let failing: ReadonlyArray<string> = ["full", "defect"]
      const { round } = yield* makeCourier.pipe(Effect.provideService(
        MailOutbox,
        MailOutbox.of({
          ...outbox,
          deliver: (mail, gone) =>
            !failing.includes(mail.id)
              ? outbox.deliver(mail, gone)
              : mail.id === "full"
              ? Effect.fail(broken)
              : Effect.die("a bug")
        })
      ))
      for (const id of ["full", "defect", "good"]) yield* mailer.send({ id, to: [ada], raw })
      assert.strictEqual(yield* round, 1)
      assert.deepStrictEqual(yield* arrived(ada), ["good"])
      for (const tries of [0, 1, 2]) {
        yield* TestClock.adjust(Duration.millis(redeliverAfterMillis(tries) - 1))
        assert.deepStrictEqual((yield* outbox.waiting).inside.count, 2)
        failing = tries === 2 ? [] : failing
        assert.strictEqual(yield* round, 0)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* round, tries === 2 ? 2 : 0)
      }
      assert.deepStrictEqual((yield* arrived(ada)).toSorted(), ["defect", "full"])
    }).pipe(Effect.provide(engine)))

  it.effect("gives back what it took when it cannot learn who is there", () =>
    Effect.gen(function*() {
      yield* sandboxesThere
      const sandboxes = yield* Sandboxes
      const failing = yield* makeCourier.pipe(
        Effect.provideService(Sandboxes, Sandboxes.of({ ...sandboxes, get: () => Effect.fail(broken) }))
      )
      const { round } = yield* makeCourier
      yield* (yield* Mailer).send({ id: "m1", to: [ada], raw })
      assert.strictEqual((yield* Effect.flip(failing.round)).reason, "Full")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* round, 1)
    }).pipe(Effect.provide(engine)))

  it.effect("that cannot look into the outbox looks again after 5 s, for ever", () =>
    Effect.gen(function*() {
      yield* sandboxesThere
      const outbox = yield* MailOutbox
      let looks = 0
      const delivered = yield* Deferred.make<string>()
      const { run } = yield* makeCourier.pipe(Effect.provideService(
        MailOutbox,
        MailOutbox.of({
          ...outbox,
          deliver: (mail, gone) => Effect.tap(outbox.deliver(mail, gone), () => Deferred.succeed(delivered, mail.id)),
          lease: (wanted) =>
            Effect.suspend(() =>
              ++looks < 3
                ? Effect.fail(broken)
                : looks === 3
                ? Effect.die("a bug")
                : outbox.lease({ ...wanted, wait: Duration.zero })
            )
        })
      ))
      yield* (yield* Mailer).send({ id: "m1", to: [ada], raw })
      const running = yield* Effect.forkChild(run, { startImmediately: true })
      for (const n of [1, 2, 3]) {
        assert.strictEqual(looks, n)
        yield* TestClock.adjust(4_999)
        assert.strictEqual(looks, n)
        yield* TestClock.adjust(1)
      }
      assert.strictEqual(yield* Deferred.await(delivered), "m1")
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(engine)))

  it.live("runs beside a second one, and everything arrives once", () =>
    Effect.gen(function*() {
      yield* sandboxesThere
      const context = yield* Effect.context<MailOutbox | Mailer | Mailbox | Sandboxes>()
      const layer = Layer.provide(courier, Layer.succeedContext(context))
      yield* Layer.build(Layer.fresh(layer))
      yield* Layer.build(Layer.fresh(layer))
      const mailer = Context.get(context, Mailer)
      const ids = Array.from({ length: 60 }, (_, n) => `m${n}`)
      yield* Effect.forEach(ids, (id) => mailer.send({ id, to: [ada], raw }), { concurrency: 8 })
      const mailbox = Context.get(context, Mailbox)
      const found: Array<string> = []
      while (found.length < ids.length) {
        const leased = yield* mailbox.lease(ada, Duration.minutes(1), Duration.seconds(20))
        if (Option.isNone(leased)) continue
        found.push(leased.value.id)
        yield* mailbox.file(ada, leased.value.receipt, { folder: "inbox", summary: "", content: "" })
      }
      assert.deepStrictEqual(found.toSorted(), ids.toSorted())
      assert.deepStrictEqual((yield* Context.get(context, MailOutbox).waiting).inside, { count: 0, since: undefined })
    }).pipe(Effect.scoped, Effect.provide(engine)))

  it("waits longer each time, and five minutes at most", () => {
    assert.deepStrictEqual([0, 1, 2, 8, 9, 100].map(redeliverAfterMillis), [1e3, 2e3, 4e3, 256e3, 300e3, 300e3])
  })
})
