/**
 * Final marks and outcomes that Slack would not take because the bot was out of the channel, or had no valid token: kept
 * in the ledger and shown when the bot is back, so that no message says "working" for ever and no answer is lost.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { ChannelId, MessageTs, type SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { type BridgeErrorCode, undeliverableBridgeCodes } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { visibleOutcome } from "../../runtime/domain/turn/OutcomeText.ts"
import { TurnResult, type TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { type Bridge, type BridgeCall, BridgeRefused, type BridgeWait, together } from "../../runtime/ports/Bridge.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import type { TurnRecords } from "../../runtime/ports/TurnRecords.ts"
import { failedEmoji, postOutcome } from "./OutcomePost.ts"

/** The marks of one message: `final` is to be added, `working` to be taken away. */
export const Marks = Schema.Struct({
  /** Root of the calls' idempotency keys. */
  key: TurnKey,
  channel: ChannelId,
  ts: MessageTs,
  /** Where it is another message. */
  threadTs: Schema.optionalKey(MessageTs),
  final: Schema.String,
  working: Schema.String
})
export type Marks = typeof Marks.Type

/** With `outcome`, the turn's outcome is owed too, in the words of that result: the row may have been settled since. */
const Owed = Schema.Struct({ ...Marks.fields, since: Schema.Int, outcome: Schema.optionalKey(TurnResult) })
type Owed = typeof Owed.Type
const OwedJson = Schema.fromJsonString(Schema.Array(Owed))
const decodeOwed = Schema.decodeUnknownOption(OwedJson)
const encodeOwed = Schema.encodeSync(OwedJson)

/** Where the list is kept in the ledger. */
export const owedFact = "slack/owed-marks"
/** Messages whose marks are owed at once; the oldest are given up first. */
export const maxOwed = 200
/** As long as the ledger remembers turns (docs/architecture.md). */
const owedMillis = 30 * 24 * 3_600_000

/** The place is closed to us for now: the bot may be invited again, the channel opened again, the token replaced. */
const mayPass: ReadonlySet<BridgeErrorCode> = new Set(
  [...undeliverableBridgeCodes].filter((code) => code !== "slack_refused" && code !== "thread_gone")
)

export interface OwedMarks {
  /** Writes down that a turn's outcome, and with it these marks, are to be shown. Never fails. */
  readonly owe: (marks: Marks, row: TurnRow) => Effect.Effect<void>
  /**
   * Makes calls of the same moment and sets the marks, final one first, in one request; what the channel does not take of the
   * marks now is written down. Where the outcome is owed, its marks stand for these. Returns when the calls are answered.
   * Never fails.
   */
  readonly set: (marks: Marks, first: ReadonlyArray<BridgeCall>) => Effect.Effect<void>
  /** Tries what is owed, of one channel or of all. Cheap when nothing is. */
  readonly settle: (channel?: ChannelId) => Effect.Effect<void>
}

const callsOf = ({ channel, final, key, threadTs, ts, working }: Marks): ReadonlyArray<BridgeCall> => [
  { key: `${key}/mark/final`, action: { action: "react", channel, ts, emoji: final } },
  {
    key: `${key}/mark/working`,
    action: {
      action: "unreact",
      channel,
      ts,
      ...(threadTs === undefined ? {} : { threadTs }),
      emoji: working
    }
  }
]

/** A turn's end waits so long for its marks: Slack takes 50 a minute in a workspace, and what is late then is owed. */
const markWithin = "10 seconds"

/** True when all are answered in time, or refused for good. */
const allTaken = (waits: ReadonlyArray<BridgeWait>): Effect.Effect<boolean> =>
  Effect.forEach(waits, (wait) => wait, { discard: true }).pipe(
    Effect.as(true),
    Effect.catch((error: BridgeRefused) =>
      mayPass.has(error.code)
        ? Effect.succeed(false)
        : Effect.as(Effect.logWarning("a mark was refused", error.message), true)
    ),
    Effect.timeoutOption(markWithin),
    Effect.map(Option.getOrElse(() => false))
  )

const unreadable = (error: { readonly message: string }) =>
  Effect.logWarning("which marks are owed cannot be read or written", error.message)

export const makeOwedMarks = (parts: {
  readonly bridge: Bridge["Service"]
  readonly ledger: Ledger["Service"]
  readonly records: TurnRecords["Service"]
  readonly redaction: Redaction["Service"]
  readonly sandbox: SandboxId
}): OwedMarks => {
  const { bridge, ledger, records, redaction, sandbox } = parts
  const one = Semaphore.makeUnsafe(1)

  const recall = ledger.recall(owedFact).pipe(
    Effect.map((text) => Option.getOrElse(Option.flatMap(text, decodeOwed), (): ReadonlyArray<Owed> => []))
  )
  const remember = (owed: ReadonlyArray<Owed>) => ledger.remember(owedFact, encodeOwed(owed.slice(-maxOwed)))

  const write = Effect.fnUntraced(function*(entry: Omit<Owed, "since">) {
    const since = yield* Clock.currentTimeMillis
    const others = (yield* recall).filter(({ channel, ts }) => channel !== entry.channel || ts !== entry.ts)
    yield* remember([...others, { ...entry, since }])
  })

  /**
   * The owed outcome is in the thread, and its record says so; `later` while the place is closed. One that is refused for
   * good is given up.
   */
  const told = Effect.fnUntraced(
    function*(key: TurnKey, result: TurnResult) {
      const found = yield* ledger.get(key)
      if (Option.isNone(found)) return "never" as const
      const row = { ...found.value, result }
      yield* postOutcome(bridge, row, visibleOutcome(row, redaction.redact), [])
      yield* records.delivered(sandbox, key, result)
      return "told" as const
    },
    Effect.catchTags({
      BridgeRefused: (error) =>
        mayPass.has(error.code)
          ? Effect.succeed("later" as const)
          : Effect.as(Effect.logWarning("an outcome was refused", error.message), "never" as const),
      // A store, not the place: the next look finds it again, and the bridge shows it once.
      StoreError: (error) =>
        Effect.as(Effect.logWarning("an outcome that is owed waits for a store", error.message), "later" as const)
    })
  )

  /** Its record is written by then, so that what is shown late is never recorded as undeliverable after it. */
  const isOver = (key: TurnKey) =>
    Effect.map(ledger.get(key), (found) => Option.isNone(found) || found.value.state === "settled")

  /** True when nothing is owed any more. */
  const paid = Effect.fnUntraced(function*(owed: Owed) {
    if (owed.outcome === undefined) return yield* tried(owed)
    const how = yield* told(owed.key, owed.outcome)
    return how !== "later" && (yield* tried(how === "told" ? owed : { ...owed, final: failedEmoji }))
  })

  /** True when the marks are as they should be, or never will be. */
  const tried = (marks: Marks) => Effect.flatMap(together(bridge, callsOf(marks)), allTaken)

  const logged = Effect.catch(unreadable)

  return {
    owe: (marks, { result }) =>
      result === undefined ? Effect.void : one.withPermit(write({ ...marks, outcome: result })).pipe(logged),
    set: (marks, first) =>
      Effect.gen(function*() {
        const standing = yield* recall.pipe(
          Effect.map((owed) => owed.some(({ key, outcome }) => key === marks.key && outcome !== undefined)),
          Effect.catch((error) => Effect.as(unreadable(error), true))
        )
        const waits = yield* together(bridge, [...first, ...standing ? [] : callsOf(marks)])
        for (const wait of waits.slice(0, first.length)) {
          yield* wait.pipe(Effect.catch((error) => Effect.logWarning("bridge call was refused", error.message)))
        }
        // Outside the permit: a slow Slack must not hold the marks of other messages back.
        if (!standing && !(yield* allTaken(waits.slice(first.length)))) yield* one.withPermit(write(marks))
      }).pipe(logged),
    settle: (only) =>
      one.withPermit(Effect.gen(function*() {
        const owed = yield* recall
        const now = yield* Clock.currentTimeMillis
        const closed = new Set<ChannelId>()
        const left: Array<Owed> = []
        for (const marks of owed) {
          if (marks.since + owedMillis <= now) continue
          const waits = (only !== undefined && marks.channel !== only) || closed.has(marks.channel)
            || (marks.outcome !== undefined && !(yield* isOver(marks.key)))
          if (waits) left.push(marks)
          else if (!(yield* paid(marks))) {
            closed.add(marks.channel)
            left.push(marks)
          }
        }
        if (left.length < owed.length) yield* remember(left)
      })).pipe(logged)
  }
}
