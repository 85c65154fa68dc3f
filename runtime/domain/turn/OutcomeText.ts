/**
 * What the thread is told when a turn ends, as Markdown: one wording for every origin, so that a failure reads the same
 * in Slack, in mail and in `km status`.
 */
import { isBlank } from "../text/Blank.ts"
import type { TurnRow } from "./Turn.ts"

/** Who stops the turns of a sandbox that is destroyed. */
export const endOfSandbox = "the end of this sandbox"

/** A name as plain words: no markup, no mention, one line, at most 80 characters. */
const plain = (name: string): string => name.replace(/[^\p{L}\p{N} .,@'-]/gu, "").trim().slice(0, 80) || "someone"

const minutes = (millis: number): string =>
  millis < 120_000 ? `${Math.round(millis / 1_000)} seconds` : `${Math.round(millis / 60_000)} minutes`

const sentence = (text: string): string => {
  const trimmed = text.trim()
  // A program's own name stays as it is written.
  const begun = /^km\b/.test(trimmed) ? trimmed : trimmed.replace(/^\p{Ll}/u, (letter) => letter.toUpperCase())
  return begun === "" || /[.!?`)]$/.test(begun) ? begun : `${begun}.`
}

/**
 * The visible outcome of a row from `answered` on: the answer itself, or what happened and what to do next. Empty for an
 * answer without text. Already redacted, because the row is.
 */
export const outcomeText = (row: TurnRow): string => {
  const outcome = row.outcome
  // Nothing can go on in a sandbox that is no more.
  const ended = row.cancelRequestedBy === endOfSandbox || (outcome?._tag === "Cancelled" && outcome.by === endOfSandbox)
  const elsewhere = "Ask again in another sandbox's channel."
  switch (outcome?._tag) {
    case "Answered":
      return outcome.text
    case "Failed":
      return `**${row.result === "parked" ? "Parked" : "Failed"}.** ${sentence(outcome.reason)} ${
        ended ? elsewhere : sentence(outcome.remedy)
      } (${outcome.code})`
    case "Cancelled":
      if (ended) return `**Stopped** by ${endOfSandbox}; its workspace is gone with it. ${elsewhere}`
      return `**Stopped** by ${plain(outcome.by)}. What the agent did until then stays; write here to go on.`
    case "TimedOut":
      if (ended) {
        return `**Timed out** after ${
          minutes(outcome.afterMillis)
        }, and the sandbox has ended. ${elsewhere} (KM-TRN-002)`
      }
      return `**Timed out** after ${minutes(outcome.afterMillis)}: the agent was still working and was ended. ` +
        "What it did until then stays; write here to go on, ask for less at once, or raise `spec.agent.turnTimeout`. " +
        "(KM-TRN-002)"
    case "Crashed":
    case "SessionLost":
    case undefined:
      return `**Failed.** The agent ended without an answer. ${
        ended ? elsewhere : "Check what it changed, then ask again."
      } (KM-TRN-003)`
  }
}

/** What stands for an answer in which there is nothing to see. */
const nothingWritten = "_The agent finished without a written answer._"

/** `outcomeText` as it is posted, never blank. `clean` redacts. */
export const visibleOutcome = (row: TurnRow, clean: (text: string) => string): string => {
  const text = clean(outcomeText(row)).toWellFormed()
  return isBlank(text) ? nothingWritten : text.trim()
}
