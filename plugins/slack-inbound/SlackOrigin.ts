/** Where turns from Slack come from and where their outcome goes: reactions, posts, thread rows, all by the bridge. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ChannelId, MessageTs, type SandboxId, type TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { type BridgeAction, type BridgeErrorCode, workingEmoji } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { undeliverableBridgeCodes } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { outcomeText, visibleOutcome } from "../../runtime/domain/turn/OutcomeText.ts"
import type { ShownPart, TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { personFrame } from "../../runtime/domain/turn/TurnFrame.ts"
import {
  type Bridge,
  type BridgeCall,
  type BridgeRefused,
  type BridgeWait,
  together
} from "../../runtime/ports/Bridge.ts"
import type { OriginHandler } from "../../runtime/ports/Plugin.ts"
import { Undeliverable } from "../../runtime/ports/Plugin.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import type { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { failedEmoji, originOf, postOutcome, postPart } from "./OutcomePost.ts"
import type { Marks, OwedMarks } from "./OwedMarks.ts"

/** The mark that stays: ✅ answered, 🛑 stopped by a person, ❌ everything else. */
export const finalEmoji = (row: TurnRow): string =>
  row.result === "answered" ? "white_check_mark" : row.result === "cancelled" ? "octagonal_sign" : failedEmoji

const reaction = (row: TurnRow, action: "react" | "unreact", emoji: string): BridgeAction => {
  const { channel, threadTs, ts } = originOf(row)
  const thread = emoji === workingEmoji && threadTs !== ts ? { threadTs } : {}
  return { action, channel, ts, ...thread, emoji }
}

/** Codes that are about where the outcome goes, whatever it says. */
const aboutThePlace: ReadonlySet<BridgeErrorCode> = new Set(
  [...undeliverableBridgeCodes].filter((code) => code !== "slack_refused")
)

/** Half of what Slack waits for. */
const sayAgainAfter = "30 minutes"

const marksOf = (row: TurnRow): Marks => {
  const { channel, threadTs, ts } = originOf(row)
  const thread = threadTs === ts ? {} : { threadTs }
  return { key: row.key, channel, ts, ...thread, final: finalEmoji(row), working: workingEmoji }
}

const undeliverable = (error: BridgeRefused, shown: ReadonlyArray<ShownPart>): Undeliverable =>
  new Undeliverable({
    code: error.code,
    detail: aboutThePlace.has(error.code) ? `Slack refuses the place: ${error.detail}` : error.message,
    shown
  })

/** What stands for an outcome that could not be shown; short, and of our own words, so that it can. */
const insteadOf = (row: TurnRow, error: BridgeRefused): string =>
  error.code === "thread_gone"
    ? `_A message that the agent worked on was deleted, so what came of it is not shown._ \`km replay ${row.key}\` ` +
      "shows it. (KM-SLK-039)"
    : `**Failed.** What came of this could not be shown: Slack or the bridge refused it (${error.code}). ` +
      `\`km replay ${row.key}\` shows it. (KM-SLK-305)`

const quietly = (call: BridgeWait) =>
  call.pipe(
    Effect.asVoid,
    Effect.catch((error) => Effect.logDebug("bridge call of a passing kind failed", error.message))
  )

const workingCall = (row: TurnRow): BridgeCall => ({
  key: `${row.key}/working/${row.attempt}`,
  action: reaction(row, "react", workingEmoji),
  patience: "besteffort"
})
/** As many waits come as calls were made. */
const noWait: BridgeWait = Effect.die("a call of several has no wait")

/** What the origin handler is built from; `background` runs an effect in the plugin's own scope. */
export interface SlackOriginDeps {
  readonly sandbox: SandboxId
  readonly bridge: Bridge["Service"]
  readonly queue: TurnQueue["Service"]
  readonly redaction: Redaction["Service"]
  readonly marks: OwedMarks
  /** Waits for what a person writes in several messages; absent where each is a turn. */
  readonly joining?: OriginHandler["joining"]
  /** Completes when the turn is over. */
  readonly settled: (key: TurnKey) => Effect.Effect<void>
  readonly background: (effect: Effect.Effect<void>) => Effect.Effect<void>
}

export const makeSlackOrigin = (deps: SlackOriginDeps): OriginHandler => {
  const { background, bridge, marks, queue, redaction, sandbox } = deps

  /** Well-formed and without secrets: a lone surrogate would be refused by the bridge for ever. */
  const clean = (text: string): string => redaction.redact(text).toWellFormed()

  const told = (key: string, action: BridgeAction) =>
    bridge.call({ key, action }).pipe(
      Effect.asVoid,
      Effect.catch((error) => Effect.logWarning("bridge call was refused", error.message))
    )

  /** Turns whose first agent is about to start, and that have ⏳. */
  const prepared = new Set<TurnKey>()
  /** Slack lets a session's status go after an hour: ⏳ is said again, which changes nothing else. */
  const stillWorking = Effect.fnUntraced(function*(row: TurnRow) {
    for (let n = 1;; n++) {
      yield* Effect.sleep(sayAgainAfter)
      const call = workingCall(row)
      yield* quietly(bridge.call({ ...call, key: `${call.key}/${n}` }))
    }
  })

  return {
    kind: "slack",
    ...(deps.joining === undefined ? {} : { joining: deps.joining }),
    environment: (row) => {
      const origin = originOf(row)
      return { KM_SLACK_THREAD_TS: origin.threadTs, KM_SLACK_CHANNEL_ID: origin.channel }
    },
    frame: (row) =>
      Effect.sync(() => {
        const { user, userName } = originOf(row)
        const { acceptedAt, files } = row.request
        return personFrame({
          sender: userName === user ? user : `${userName} (${user})`,
          place: "a Slack thread",
          acceptedAt,
          files
        })
      }),
    // One request. The bridge's answer does not wait for Slack to take ⏳: a slow Slack must not keep the agent from starting.
    prepare: Effect.fn("SlackOrigin.prepare")(function*(row: TurnRow) {
      const { threadTs } = originOf(row)
      const [lookedUp = noWait, working = noWait] = yield* together(bridge, [
        { key: `${row.key}/session/${row.attempt}`, action: { action: "thread.lookup", threadTs } },
        workingCall(row)
      ])
      const found = yield* lookedUp.pipe(
        Effect.catch((error) =>
          Effect.as(Effect.logWarning("the thread's session cannot be looked up; a fresh one begins", error.message), {
            thread: undefined
          })
        )
      )
      const isMarked = yield* Effect.match(working, {
        onFailure: () => false,
        onSuccess: () => true
      })
      if (isMarked) prepared.add(row.key)
      return found.thread?.session
    }),
    // The message came, so the bot is in the channel: what is owed there from before can be set.
    starting: (row) =>
      Effect.andThen(
        background(Effect.andThen(
          // Where the first try failed, and for an agent that is started again.
          prepared.delete(row.key) ? Effect.void : quietly(bridge.call(workingCall(row))),
          background(marks.settle(originOf(row).channel))
        )),
        background(Effect.raceFirst(stillWorking(row), deps.settled(row.key)))
      ),
    settle: Effect.fn("SlackOrigin.settle")(function*(row: TurnRow, shown: ReadonlyArray<ShownPart>) {
      const text = visibleOutcome(row, redaction.redact)
      const last = shown.at(-1)
      // A message that shows what the agent said is its answer; what became of a failed turn must be there in these words.
      if (last !== undefined && (row.result === "answered" || last.sha256 === sha256Hex(text))) return shown
      const parts: Array<ShownPart> = []
      return yield* postOutcome(bridge, row, text, parts).pipe(
        Effect.as(parts),
        // Whatever was refused, the person is told, unless the place takes nothing at all.
        Effect.catch((error) => {
          const gone = error.code === "thread_gone"
          if (aboutThePlace.has(error.code) && !gone) {
            // Durable before the turn is over: it is shown when the bot is back, whatever happens until then.
            return Effect.andThen(marks.owe(marksOf(row), row), Effect.fail(undeliverable(error, parts)))
          }
          return postPart(bridge, row, { step: "instead/0", threaded: !gone, markdown: insteadOf(row, error) }, parts)
            .pipe(
              Effect.catch((again) => Effect.logWarning("nor can it be said that it was refused", again.message)),
              // Nothing of it is in the thread that is gone, the session's file included.
              Effect.andThen(Effect.suspend(() => Effect.fail(undeliverable(error, gone ? [] : parts))))
            )
        })
      )
    }),
    // Not waited for either: it stands before the answer in the same lane and needs no result.
    notice: (row, step, text) => {
      const { channel, threadTs } = originOf(row)
      return background(told(`${row.key}/${step}/0`, { action: "post", channel, threadTs, markdown: clean(text) }))
    },
    replaying: Effect.fn("SlackOrigin.replaying")(function*(parked: TurnRow, row: TurnRow) {
      const { channel } = originOf(row)
      const [first] = parked.shown
      if (first !== undefined) {
        const markdown = `${clean(outcomeText(parked))}\n\n**It runs again now**, on request.`
        yield* told(`${row.key}/replay/0`, { action: "update", channel, ts: first.ts, markdown })
      }
      yield* told(`${row.key}/replay/unmark`, reaction(row, "unreact", finalEmoji(parked)))
    }),
    close: Effect.fn("SlackOrigin.close")(function*(row: TurnRow, session) {
      prepared.delete(row.key)
      const { channel, threadTs } = originOf(row)
      yield* marks.set(
        marksOf(row),
        session === undefined ? [] : [{
          key: `${row.key}/thread/${row.attempt}`,
          action: { action: "thread.put", channel, threadTs, session }
        }]
      )
    }),
    finish: Effect.fn("SlackOrigin.finish")(function*(row: TurnRow) {
      if (row.receipt === undefined) return
      yield* queue.delete(sandbox, row.receipt).pipe(
        Effect.retry({ times: 2, while: (error) => error._tag === "StoreError" }),
        Effect.catchTags({
          ReceiptExpired: () => Effect.void,
          // Delivered once more later; that delivery finds the turn settled and is deleted.
          StoreError: (error) =>
            Effect.logWarning("settled message cannot be deleted from the queue yet", error.message)
        })
      )
    }, (effect, row) => Effect.annotateLogs(effect, { turn: row.key }))
  }
}

/** Channel and thread of a group, when it is a Slack thread's: `{channel}:{thread ts}`. */
export const threadOfGroup = (
  group: string
): Option.Option<{ readonly channel: ChannelId; readonly threadTs: MessageTs }> => {
  const match = /^([CGD][A-Z0-9]{2,20}):(\d{9,11}\.\d{6})$/.exec(group)
  return match?.[1] === undefined || match[2] === undefined
    ? Option.none()
    : Option.some({ channel: ChannelId.make(match[1]), threadTs: MessageTs.make(match[2]) })
}
