/**
 * Takes mail from the outbox to the mailboxes of the install, and before the relay. Whoever owns the control plane runs
 * it; a second one, such as a command that sends and delivers, shares the work. What cannot be delivered now comes again.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { isEnding } from "../../domain/sandbox/Sandbox.ts"
import { pauseAfter } from "../../ports/Backoff.ts"
import { MailOutbox, type OutgoingMail } from "../../ports/Mail.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { unending } from "../../ports/Unending.ts"

/** Messages at a time: their commits gather in one. No bytes pass through here. */
const batch = 32
/** A delivery takes milliseconds, as no bytes are copied; after a crash a message waits this long. */
const visibility = Duration.seconds(10)
/** How long one look waits for mail. */
const patience = Duration.seconds(20)
/** After a failure of the store. */
const lookAgain = Duration.seconds(5)

const redelivery = { firstMillis: 1_000, longestMillis: 300_000 }

/** A second after the first try, then twice as long each time, up to five minutes; for ever, as nothing is given up. */
export const redeliverAfterMillis = (earlierTries: number): number => pauseAfter(redelivery, earlierTries + 1)

export const makeCourier = Effect.gen(function*() {
  const outbox = yield* MailOutbox
  const sandboxes = yield* Sandboxes

  /** Those whose mailbox is gone, or goes: a message must not be left behind for nobody. */
  const goneOf = Effect.fnUntraced(function*(mails: ReadonlyArray<OutgoingMail>) {
    const gone: Array<SenderId> = []
    for (const owner of new Set(mails.flatMap(({ to }) => to))) {
      if (owner === "operator") continue
      const row = yield* sandboxes.get(owner)
      if (Option.isNone(row) || isEnding(row.value)) gone.push(owner)
    }
    return gone
  })

  /** True when it is out of the outbox. */
  const deliver = (gone: ReadonlyArray<SenderId>) => (mail: OutgoingMail) =>
    Effect.gen(function*() {
      const delivered = yield* outbox.deliver(mail, gone)
      if (!delivered) return false
      const millis = (yield* Clock.currentTimeMillis) - mail.createdAt
      const nobody = mail.to.filter((owner) => gone.includes(owner))
      yield* Effect.logDebug("mail delivered").pipe(Effect.annotateLogs({ delivery: mail.id, millis }))
      if (nobody.length > 0) {
        yield* Effect.logInfo("mail for a sandbox that is gone").pipe(
          Effect.annotateLogs({ delivery: mail.id, sandboxes: nobody.join(", ") })
        )
      }
      return true
    }).pipe(
      Effect.catch((error) => Effect.as(Effect.logError("a mail cannot be delivered yet", error.message), undefined)),
      Effect.catchDefect((defect) =>
        Effect.as(Effect.logError("delivering a mail ended in a defect; it is tried again", defect), undefined)
      ),
      Effect.filterOrElse(Predicate.isNotUndefined, () =>
        // Should that fail too, the lease lapses.
        Effect.as(Effect.ignore(outbox.defer(mail, Duration.millis(redeliverAfterMillis(mail.attempts)))), false))
    )

  const roundWithin = Effect.fnUntraced(function*(wait: Duration.Duration) {
    const mails = yield* outbox.lease({ limit: batch, visibility, wait })
    const gone = yield* goneOf(mails).pipe(
      // Not held for as long as the lease is.
      Effect.tapError(() =>
        Effect.forEach(mails, (mail) => Effect.ignore(outbox.defer(mail, Duration.millis(redelivery.firstMillis))))
      )
    )
    const done = yield* Effect.forEach(mails, deliver(gone), { concurrency: batch })
    return { leased: mails.length, delivered: done.filter((one) => one).length }
  })

  return {
    /** Delivers all that waits now; how many messages that were. */
    round: Effect.gen(function*() {
      let all = 0
      for (;;) {
        const { delivered, leased } = yield* roundWithin(Duration.zero)
        all += delivered
        if (leased === 0) return all
      }
    }),
    run: unending(
      "a round of the courier ended in a defect",
      lookAgain,
      roundWithin(patience).pipe(
        Effect.catch((error) =>
          Effect.andThen(Effect.logError("mail waits in the outbox", error.message), Effect.sleep(lookAgain))
        )
      )
    )
  }
})

/** Delivers for as long as the layer lives. */
export const courier: Layer.Layer<never, never, MailOutbox | Sandboxes> = Layer.effectDiscard(
  Effect.flatMap(makeCourier, ({ run }) => Effect.forkScoped(run))
)
