/** A courier that never sleeps: mail is in its mailboxes as soon as it is sent, as tests of everything else expect it. */
import { Duration, Effect, Layer } from "effect"
import { Mailer, MailOutbox } from "../../runtime/ports/Mail.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"

/** Delivers all that waits, to whom it is for. */
export const deliverAll: Effect.Effect<void, StoreError, MailOutbox> = Effect.gen(function*() {
  const outbox = yield* MailOutbox
  for (;;) {
    const mails = yield* outbox.lease({ limit: 32, visibility: Duration.minutes(1), wait: Duration.zero })
    if (mails.length === 0) return
    yield* Effect.forEach(mails, (mail) => outbox.deliver(mail, []), { concurrency: 32 })
  }
})

/** The engine with such a courier. */
export const delivered = <A, E, R>(
  engine: Layer.Layer<A | Mailer | MailOutbox, E, R>
): Layer.Layer<A | Mailer | MailOutbox, E, R> =>
  Layer.effect(
    Mailer,
    Effect.gen(function*() {
      const mailer = yield* Mailer
      const outbox = yield* MailOutbox
      const sendAll = (...sent: Parameters<typeof mailer.sendAll>) =>
        Effect.andThen(mailer.sendAll(...sent), Effect.provideService(deliverAll, MailOutbox, outbox))
      return Mailer.of({ ...mailer, send: (mail) => sendAll([mail]), sendAll })
    })
  ).pipe(Layer.provideMerge(engine))
