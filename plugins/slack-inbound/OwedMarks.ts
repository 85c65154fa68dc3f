/**
 * Final marks that Slack would not take because the bot was out of the channel, or had no valid token: kept in the
 * ledger and set when the bot is back, so that no message says "working" for ever.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { type BridgeErrorCode, undeliverableBridgeCodes } from "../../runtime/domain/BridgeProtocol.ts"
import { ChannelId, MessageTs } from "../../runtime/domain/Ids.ts"
import { type Bridge, BridgeRefused } from "../../runtime/ports/Bridge.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"

/** The marks of one message: `final` is to be added, `working` to be taken away. */
export const Marks = Schema.Struct({
  /** Root of the calls' idempotency keys: the turn's. */
  key: Schema.String,
  channel: ChannelId,
  ts: MessageTs,
  final: Schema.String,
  working: Schema.String
})
export type Marks = typeof Marks.Type

const Owed = Schema.Struct({ ...Marks.fields, since: Schema.Int })
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
  /** Sets the marks, final one first; what the channel does not take now is written down. Never fails. */
  readonly set: (marks: Marks) => Effect.Effect<void>
  /** Tries what is owed, of one channel or of all. Cheap when nothing is. */
  readonly settle: (channel?: ChannelId) => Effect.Effect<void>
}

export const makeOwedMarks = (parts: {
  readonly bridge: Bridge["Service"]
  readonly ledger: Ledger["Service"]
}): OwedMarks => {
  const { bridge, ledger } = parts
  const one = Semaphore.makeUnsafe(1)

  const recall = ledger.recall(owedFact).pipe(
    Effect.map((text) => Option.getOrElse(Option.flatMap(text, decodeOwed), (): ReadonlyArray<Owed> => []))
  )
  const remember = (owed: ReadonlyArray<Owed>) => ledger.remember(owedFact, encodeOwed(owed.slice(-maxOwed)))

  /** True when the marks are as they should be, or never will be. */
  const tried = Effect.fnUntraced(
    function*({ channel, final, key, ts, working }: Marks) {
      yield* bridge.call({ key: `${key}/mark/final`, action: { action: "react", channel, ts, emoji: final } })
      yield* bridge.call({ key: `${key}/mark/working`, action: { action: "unreact", channel, ts, emoji: working } })
      return true
    },
    Effect.catch((error: BridgeRefused) =>
      mayPass.has(error.code)
        ? Effect.succeed(false)
        : Effect.as(Effect.logWarning("a mark was refused", error.message), true)
    )
  )

  const logged = Effect.catch((error: { readonly message: string }) =>
    Effect.logWarning("which marks are owed cannot be read or written", error.message)
  )

  return {
    set: (marks) =>
      Effect.flatMap(tried(marks), (done) =>
        done ? Effect.void : one.withPermit(Effect.gen(function*() {
          const since = yield* Clock.currentTimeMillis
          const others = (yield* recall).filter(({ channel, ts }) => channel !== marks.channel || ts !== marks.ts)
          yield* remember([...others, { ...marks, since }])
        })).pipe(logged)),
    settle: (only) =>
      one.withPermit(Effect.gen(function*() {
        const owed = yield* recall
        const now = yield* Clock.currentTimeMillis
        const closed = new Set<ChannelId>()
        const left: Array<Owed> = []
        for (const marks of owed) {
          if (marks.since + owedMillis <= now) continue
          if ((only !== undefined && marks.channel !== only) || closed.has(marks.channel)) left.push(marks)
          else if (!(yield* tried(marks))) {
            closed.add(marks.channel)
            left.push(marks)
          }
        }
        if (left.length < owed.length) yield* remember(left)
      })).pipe(logged)
  }
}
