/**
 * Takes mail from the spool to the relay until each recipient has it, has been refused, or two days are over. What is known
 * is written down before it is acted on again: a crash between the relay's answer and our record sends a message a second
 * time, with the same id, and readers of this protocol know it by its nonce.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { pauseAfter } from "../../ports/Backoff.ts"
import { wholeOf } from "../../ports/Mail.ts"
import { MailSpool, type SpooledMail, type SpoolOutcome } from "../../ports/MailSpool.ts"
import { unending } from "../../ports/Unending.ts"
import { bounceId, bounceMessage, messageIdOf } from "./bounce.ts"
import { smtpErrors } from "./ErrorCodes.ts"
import { type RelayOptions, type RelayReply, sendByRelay } from "./relay.ts"

/** Messages on their way at a time. */
const width = 4
const batch = 16
/** How long one look waits for mail. */
const patience = Duration.seconds(20)
/** After a failure of the store. */
const lookAgain = Duration.seconds(5)

const retrying = { firstMillis: 60_000, longestMillis: 3_600_000 }
/** RFC 5321 §4.5.4.1 has 4 to 5 days; an agent that waits for an answer is better told sooner. */
export const giveUpMillis = 2 * 24 * 3_600_000

/** A minute after the first try, then twice as long each time, up to an hour. */
export const retryAfterMillis = (earlierTries: number): number => pauseAfter(retrying, earlierTries + 1)

interface Outcome extends SpoolOutcome {
  /** The relay's last word, not ours. */
  readonly final: boolean
}

const outcomeOf = (
  { address, attempts }: SpooledMail["recipients"][number],
  { reply, state }: RelayReply,
  createdAt: number,
  now: number
): Outcome => {
  if (state !== "later") return { address, state, reply, nextAt: now, final: true }
  const nextAt = now + retryAfterMillis(attempts)
  return nextAt - createdAt < giveUpMillis
    ? { address, state: "waiting", reply, nextAt, final: false }
    : { address, state: "failed", reply, nextAt: now, final: false }
}

const explained = (final: boolean, reply: string): string => {
  const { code, remedy, what } = final ? smtpErrors.refusedOutside : smtpErrors.givenUp
  return `${code}: ${what}: ${reply}\nWhat to do: ${remedy}.`
}

const nothingSaid: RelayReply = { state: "later", reply: "the relay said nothing of this recipient" }

export const makeRelayLoop = Effect.fnUntraced(function*(options: RelayOptions) {
  const spool = yield* MailSpool
  const domain = options.name

  /** Known, but not written down because the store failed: a message is not sent again for that. */
  const unrecorded = new Map<string, ReadonlyArray<Outcome>>()

  const attempt = Effect.fnUntraced(function*(mail: SpooledMail, raw: Uint8Array) {
    const to = mail.recipients.map(({ address }) => address)
    const replies = yield* sendByRelay(options, { from: mail.from, to, raw })
    const now = yield* Clock.currentTimeMillis
    const outcomes = mail.recipients.map((one) =>
      outcomeOf(one, replies.get(one.address) ?? nothingSaid, mail.createdAt, now)
    )
    for (const { reply, state } of outcomes) {
      yield* (state === "sent" ? Effect.logInfo("mail given to the relay") : Effect.logWarning("mail not given", reply))
        .pipe(Effect.annotateLogs({ delivery: mail.id, state }))
    }
    return outcomes
  })

  const noticesOf = Effect.fnUntraced(function*(mail: SpooledMail, outcomes: ReadonlyArray<Outcome>, raw: Uint8Array) {
    const about = { domain, messageId: messageIdOf(raw), now: yield* Clock.currentTimeMillis }
    return yield* Effect.forEach(
      outcomes.filter(({ state }) => state === "failed"),
      ({ address, final, reply }) =>
        Effect.map(bounceMessage(mail, { address, why: explained(final, reply) }, about), (notice) => ({
          id: bounceId(mail, address),
          raw: notice
        }))
    )
  })

  /** False when it was not tried, or what came of it could not be written down. */
  const deliver = Effect.fn("RelayLoop.deliver")(function*(mail: SpooledMail) {
    const key = JSON.stringify([mail.owner, mail.id])
    const stream = yield* spool.raw(mail)
    if (Option.isNone(stream)) {
      unrecorded.delete(key)
      return false
    }
    const raw = yield* wholeOf(stream.value)
    const outcomes = unrecorded.get(key) ?? (yield* attempt(mail, raw))
    unrecorded.set(key, outcomes)
    yield* spool.settle(mail, outcomes, yield* noticesOf(mail, outcomes, raw))
    unrecorded.delete(key)
    return true
  }, (effect) =>
    effect.pipe(
      Effect.catch((error) => Effect.as(Effect.logError("mail waits", error.message), false)),
      // A stop on request waits for the relay's answer, which would otherwise be lost and the message sent again.
      Effect.uninterruptible
    ))

  /** Everything that is due, a batch at a time, once there is something; how many messages came a step further. */
  const roundWithin = Effect.fnUntraced(function*(wait: Duration.Duration) {
    const mails = yield* spool.due(batch, wait)
    const done = yield* Effect.forEach(mails, deliver, { concurrency: width })
    return { due: mails.length, done: done.filter((one) => one).length }
  })

  return {
    round: Effect.map(roundWithin(Duration.zero), ({ done }) => done),
    run: unending(
      "a round of the relay ended in a defect",
      lookAgain,
      roundWithin(patience).pipe(
        Effect.catch((error) => Effect.as(Effect.logError("mail waits", error.message), { due: 1, done: 0 })),
        // What is due stays so while it cannot be written down.
        Effect.flatMap(({ done, due }) => due > 0 && done === 0 ? Effect.sleep(lookAgain) : Effect.void)
      )
    )
  }
})
