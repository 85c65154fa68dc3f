/**
 * Where turns that a mail started come from and where their outcome goes: one mail back in the thread, and the
 * sandbox's channel where it has one. Whatever is done here may be done again after a crash and is then the same.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { outcomeText, visibleOutcome } from "../../runtime/domain/turn/OutcomeText.ts"
import type { ShownPart, TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { backoffSchedule } from "../../runtime/ports/Backoff.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Mailbox } from "../../runtime/ports/Mail.ts"
import { type OriginHandler, Undeliverable } from "../../runtime/ports/Plugin.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import type { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { MailAccount } from "./MailAccount.ts"
import { mailFrame } from "./mailFrame.ts"
import { answerSubject, mailKind, type MailOrigin as Origin, mailOriginOf, referencesAfter } from "./MailTurns.ts"
import { rememberedSeconds, sessionNote } from "./SentMail.ts"

/** A channel that cannot be reached must not hold up the conversation: the request is in the outbox by then. */
const shownWithin = Duration.seconds(10)
/** 1 s, doubling, at most 30 s apart, for ever: an outcome is not given up because a store is busy. */
const patiently = backoffSchedule({ firstMillis: 1_000, longestMillis: 30_000 })
/** Characters of an outcome that the channel is shown; all of it was mailed. Three bytes each stay below 1 MiB. */
const shownCharacters = 200_000

export interface MailOriginDeps {
  readonly owner: SandboxId
  readonly account: MailAccount
  readonly mailbox: Mailbox["Service"]
  readonly queue: TurnQueue["Service"]
  readonly bridge: Bridge["Service"]
  readonly redaction: Redaction["Service"]
  /** Where the outcome is shown too; none without Slack. */
  readonly channel: ChannelId | undefined
  /** Turns are shown live in the channel. */
  readonly transcript: boolean
  /** The line that announced the mail: its idempotency key and its text. */
  readonly announced: (origin: Origin) => { readonly key: string; readonly markdown: string }
}

/** Turns of mail whose agent may be at work, and the hop of each. In memory: with the runtime its agents end. */
export class RunningMail {
  private readonly hops = new Map<string, number>()

  begin(row: TurnRow): void {
    this.hops.set(row.key, originOf(row).hop)
  }

  end(row: TurnRow): void {
    this.hops.delete(row.key)
  }

  get count(): number {
    return this.hops.size
  }

  /** What the agent writes now may be caused by any of them: one more than the highest; 0 when none runs. */
  get hop(): number {
    return this.hops.size === 0 ? 0 : Math.max(...this.hops.values()) + 1
  }
}

const originOf = (row: TurnRow): Origin => {
  const origin = mailOriginOf(row.request.origin)
  // The kernel picks the handler by the origin's kind, and this plugin alone writes what such a turn has.
  if (origin === undefined) throw new TypeError(`turn ${row.key} does not come from mail`)
  return origin
}

/** Said below the outcome, for whoever goes on in the thread. */
const lostNotice = "_The earlier conversation of this thread could not be found: the agent did not remember it._"

const noAnswer = "(The agent finished without a written answer.)"

export const makeMailOrigin = (deps: MailOriginDeps, running: RunningMail): OriginHandler => {
  const { bridge, channel, mailbox, owner, queue, redaction, account } = deps

  const clean = (text: string): string => redaction.redact(text).toWellFormed()

  /** The outcome, mailed once: its key is the turn's, so that the mailbox drops a second one. */
  const mailBack = Effect.fnUntraced(function*(row: TurnRow, origin: Origin, text: string) {
    yield* account.send({
      to: [origin.address],
      cc: [],
      bcc: [],
      subject: answerSubject(origin.subject),
      body: text,
      inReplyTo: origin.messageId,
      references: referencesAfter(origin.references, origin.messageId),
      hop: origin.hop + 1,
      encrypt: origin.encrypted,
      attachments: [],
      key: `${row.key}/answer`
    }).pipe(
      Effect.tapError((error) => Effect.logWarning("an outcome cannot be mailed back", error.message)),
      Effect.retry({
        while: (error) => error._tag !== "PostRefused" && error._tag !== "MailRefused",
        schedule: patiently
      }),
      Effect.catch((error) =>
        error._tag === "PostRefused" || error._tag === "MailRefused"
          ? new Undeliverable({ code: error.code, detail: error.message })
          : Effect.die(error)
      )
    )
  })

  /** Where the line that announced the mail stands; it is there after this, if it was not before. */
  const announcement = Effect.fnUntraced(function*(to: ChannelId, origin: Origin) {
    const { key, markdown } = deps.announced(origin)
    // Redacted as the plugin does: another text under this key would be another request.
    const action = { action: "post", channel: to, markdown: redaction.redact(markdown) } as const
    return (yield* bridge.call({ key, action })).parts?.[0]?.ts
  })

  /** A live view of the turn finds its thread by the session: below that line, not in a thread of its own. */
  const bind = Effect.fnUntraced(function*(row: TurnRow) {
    const { resumed, session } = row
    if (channel === undefined || !deps.transcript || resumed || session === undefined) return
    const threadTs = yield* announcement(channel, originOf(row))
    if (threadTs === undefined) return
    const action = { action: "thread.put", channel, threadTs, session } as const
    yield* bridge.call({ key: `${row.key}/thread/${row.attempt}`, action })
  }, (effect) =>
    effect.pipe(
      Effect.catch((error) => Effect.logWarning("a turn of mail is shown in a thread of its own", error.message)),
      Effect.timeoutOption(shownWithin),
      Effect.asVoid
    ))

  /** Below the line that announced the mail, where that is there in time. */
  const show = Effect.fnUntraced(function*(row: TurnRow, origin: Origin, text: string) {
    if (channel === undefined) return []
    const threadTs = yield* announcement(channel, origin)
    const shown = text.slice(0, shownCharacters).toWellFormed()
    const result = yield* bridge.call({
      key: `${row.key}/answer/0`,
      action: { action: "post", channel, markdown: shown, ...(threadTs === undefined ? {} : { threadTs }) }
    })
    const sha256 = sha256Hex(shown)
    return (result.parts ?? []).map(({ ts }) => ({ ts, sha256 }))
  })

  return {
    kind: mailKind,
    environment: (row) => {
      const { address, delivery } = originOf(row)
      return { KM_MAIL_ID: delivery, KM_MAIL_FROM: address }
    },
    // The last question before the agent starts, so what it sends is counted as caused by this turn.
    frame: (row) =>
      Effect.sync(() => {
        running.begin(row)
        return mailFrame(originOf(row), row.request)
      }),
    session: Effect.fn("MailOrigin.session")(function*(row: TurnRow) {
      // A turn has taken it.
      yield* mailbox.markRead(owner, [originOf(row).delivery])
      return Option.getOrUndefined(yield* mailbox.noted(owner, sessionNote(row.request.group)))
    }, Effect.catch((error) => Effect.as(Effect.logWarning("a conversation begins anew", error.message), undefined))),
    starting: bind,
    settle: Effect.fn("MailOrigin.settle")(function*(row: TurnRow, live: ReadonlyArray<ShownPart>) {
      running.end(row)
      const origin = originOf(row)
      const outcome = clean(outcomeText(row)).trim() || noAnswer
      const text = row.sessionLost === true ? `${outcome}\n\n${lostNotice}` : outcome
      const refused = origin.answered
        ? yield* mailBack(row, origin, text).pipe(
          Effect.as(undefined),
          Effect.catch((error) => Effect.succeed(error))
        )
        : undefined
      // A message that shows what the agent said is its answer; what became of a failed turn must be there in these words.
      const last = live.at(-1)
      const visible = last !== undefined &&
        (row.result === "answered" || last.sha256 === sha256Hex(visibleOutcome(row, redaction.redact)))
      const parts = visible ? Option.some(live) : yield* show(row, origin, text).pipe(
        Effect.catch((error) =>
          Effect.as(Effect.logWarning("the channel was not shown an outcome", error.message), [])
        ),
        Effect.timeoutOption(shownWithin)
      )
      if (refused !== undefined) return yield* refused
      return Option.getOrElse(parts, () => [])
    }),
    remember: Effect.fn("MailOrigin.remember")(function*(row: TurnRow) {
      if (row.session === undefined) return
      const until = Math.floor((yield* Clock.currentTimeMillis) / 1_000) + rememberedSeconds
      yield* mailbox.note({
        owner,
        key: sessionNote(row.request.group),
        value: row.session,
        keepUntilSeconds: until
      })
    }, (effect) =>
      effect.pipe(
        Effect.retry({ times: 5, schedule: patiently }),
        Effect.catch((error) => Effect.logWarning("a conversation will not be resumed", error.message))
      )),
    mark: () => Effect.void,
    // Mail is filed when its turn is taken; what has a receipt is a replay, which comes by the queue.
    finish: Effect.fn("MailOrigin.finish")(function*(row: TurnRow) {
      if (row.receipt === undefined) return
      yield* queue.delete(owner, row.receipt).pipe(
        Effect.retry({ times: 2, while: (error) => error._tag === "StoreError" }),
        Effect.catchTags({
          ReceiptExpired: () => Effect.void,
          // Delivered once more later; that delivery finds the turn settled and is deleted.
          StoreError: (error) =>
            Effect.logWarning("settled message cannot be deleted from the queue yet", error.message)
        })
      )
    })
  }
}
