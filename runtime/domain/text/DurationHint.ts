/** What a person may have meant by something that is no duration: a proposal that is one, or nothing. */
import * as Schema from "effect/Schema"
import { durationMillis, DurationText } from "../profile/Profile.ts"

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }
const part = /(\d+(?:\.\d+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(?![a-z])/gy
const largestFirst = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]] as const

/** Seconds of `8 hours`, `1h30m`, `1.5h`, `2 weeks`; `undefined` when it is nothing of the kind. */
const secondsOf = (text: string): number | undefined => {
  let seconds = 0
  let at = 0
  for (const match of text.matchAll(part)) {
    const [whole, amount = "", unit = ""] = match
    seconds += Number(amount) * (units[unit[0] ?? ""] ?? 0)
    at = match.index + whole.length
  }
  return at === text.length && text !== "" ? seconds : undefined
}

/** A `DurationText` of the same length, in the largest unit that divides it. */
export const durationHint = (found: unknown): DurationText | undefined => {
  if (typeof found !== "string" && typeof found !== "number") return undefined
  const text = String(found).toLowerCase().replaceAll(/\s*(?:,|\band\b)\s*|\s+/g, "")
  const seconds = /^0+$/.test(text) ? 0 : secondsOf(text)
  if (seconds === undefined || !Number.isInteger(seconds)) return undefined
  if (seconds === 0) return "0"
  const [unit, size] = largestFirst.find(([, each]) => seconds % each === 0) ?? ["s", 1]
  const proposal = `${seconds / size}${unit}`
  return Schema.is(DurationText)(proposal) ? proposal : undefined
}

/** The proposal as the end of a sentence; empty where there is none that is at least `min` and at most `max`, in ms. */
export const durationAdvice = (found: unknown, min: number, max: number): string => {
  const hint = durationHint(found)
  if (hint === undefined) return ""
  const millis = durationMillis(hint)
  return millis < min || millis > max ? "" : hint === "0" ? "; write 0 for none" : `; write ${hint}`
}
