/** What is kept of a turn that is over, for everybody who asks about it from outside its sandbox. */
import * as Schema from "effect/Schema"
import { SessionId, TurnKey } from "../sandbox/Ids.ts"
import { endOfSandbox, outcomeText } from "./OutcomeText.ts"
import { originKind, type TurnOrigin, TurnRequest, TurnResult, type TurnRow, TurnState } from "./Turn.ts"

/** UTF-8 bytes of an answer that a record keeps: of a longer one the end, where results stand. */
export const recordTextBytes = 8_192
/** UTF-8 bytes of what a replay needs, as the queue that it goes through takes them (SQS: 256 KiB a message). */
export const recordReplayBytes = 262_144

/** What `km replay` needs: a parked turn's message to run again, or an answer that the thread never got. */
export const TurnReplay = Schema.TaggedUnion({
  Again: { request: TurnRequest },
  Show: { text: Schema.String }
})
export type TurnReplay = typeof TurnReplay.Type

export const TurnRecord = Schema.Struct({
  key: TurnKey,
  result: TurnResult,
  /** The agent's work was done, whether or not its answer could be delivered. */
  answered: Schema.Boolean,
  /** True when the end of its sandbox ended it. */
  endedWithSandbox: Schema.Boolean,
  /** Of `docs/errors.md`, for a turn that failed or is parked. */
  code: Schema.optionalKey(Schema.String),
  session: Schema.optionalKey(SessionId),
  /** US dollars, as far as an agent reported any. */
  costUsd: Schema.optionalKey(Schema.Finite),
  /** Times an agent was started. */
  attempts: Schema.Int,
  /** Unix milliseconds; `startedAt` of the last attempt, absent when none was started. */
  receivedAt: Schema.Int,
  startedAt: Schema.optionalKey(Schema.Int),
  finishedAt: Schema.Int,
  /** Who asked: the kind of place, and a name in it that is untrusted text. */
  origin: Schema.Struct({ kind: Schema.String, label: Schema.String }),
  /** The outcome as the thread has it, redacted, "" for an answer without text; at most `recordTextBytes`, and `…` before an end of something longer. */
  text: Schema.String,
  replay: Schema.optionalKey(TurnReplay)
})
export type TurnRecord = typeof TurnRecord.Type

/** A turn that is not over, as its runtime says. */
export const OpenTurn = Schema.Struct({
  key: TurnKey,
  state: TurnState,
  /** Unix milliseconds: when it was received, or when its last attempt began. */
  since: Schema.Int
})
export type OpenTurn = typeof OpenTurn.Type

/** Open turns that a report names, the oldest first. */
export const maxOpenTurns = 50

export const openTurnOf = ({ key, receivedAt, startedAt, state }: TurnRow): OpenTurn => ({
  key,
  state,
  since: startedAt ?? receivedAt
})

/** The record of a turn whose outcome its place took after all; any other record as it is. */
export const deliveredRecord = (record: TurnRecord, result: TurnResult): TurnRecord => {
  if (record.result !== "undeliverable") return record
  const { replay: _shownByNow, ...rest } = record
  return { ...rest, result }
}

const bytesOf = (text: string): number => Buffer.byteLength(text)

/** The end of a text in at most `bytes` UTF-8 bytes, whole characters only. */
export const endOfText = (text: string, bytes: number): string => {
  if (bytesOf(text) <= bytes) return text
  const mark = "…"
  const encoded = Buffer.from(text)
  let from = encoded.length - (bytes - bytesOf(mark))
  // A continuation byte belongs to a character that begins before the cut.
  while (from < encoded.length && ((encoded[from] ?? 0) & 0xc0) === 0x80) from += 1
  return `${mark}${encoded.subarray(from).toString("utf8")}`
}

const labelOf = (origin: TurnOrigin): string => {
  switch (origin.kind) {
    case "slack":
      return origin.userName
    case "operator":
    case "plugin":
      return origin.label
  }
}

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

const replayOf = (row: TurnRow, text: string): TurnReplay | undefined => {
  if (row.result === "undeliverable") return TurnReplay.cases.Show.make({ text: endOfText(text, recordReplayBytes) })
  if (row.result !== "parked" || bytesOf(encodeRequest(row.request)) > recordReplayBytes) return undefined
  return TurnReplay.cases.Again.make({ request: row.request })
}

/** The record of a row from `posted` on. `clean` redacts, as it did for the answer. */
export const recordOf = (row: TurnRow, costUsd: number | undefined, clean: (text: string) => string): TurnRecord => {
  const text = clean(outcomeText(row)).toWellFormed().trim()
  const replay = replayOf(row, text)
  const { outcome } = row
  return {
    key: row.key,
    result: row.result ?? "failed",
    answered: outcome?._tag === "Answered",
    endedWithSandbox: outcome?._tag === "Cancelled" && outcome.by === endOfSandbox,
    ...(outcome?._tag === "Failed" ? { code: outcome.code } : {}),
    ...(row.session === undefined ? {} : { session: row.session }),
    ...(costUsd === undefined ? {} : { costUsd: Number(costUsd.toFixed(6)) }),
    attempts: row.attempt,
    receivedAt: row.receivedAt,
    ...(row.startedAt === undefined ? {} : { startedAt: row.startedAt }),
    finishedAt: row.finishedAt ?? row.receivedAt,
    origin: { kind: originKind(row.request.origin), label: clean(labelOf(row.request.origin)) },
    text: endOfText(text, recordTextBytes),
    ...(replay === undefined ? {} : { replay })
  }
}
