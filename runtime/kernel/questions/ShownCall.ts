/** A tool call as people are shown it, and its fingerprint. Pure. */
import { maxShownBytes, maxShownCharacters } from "../../domain/slack/Question.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import { foreignLine, visibleJson } from "../../domain/text/ForeignText.ts"
import type { ToolCall } from "../../ports/Agent.ts"

/** JSON with its keys in order, so that the same call always has the same text. */
const ordered = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).toSorted(([a], [b]) => a < b ? -1 : 1).map(([key, inner]) => [key, ordered(inner)])
  )
}

/** Of the tool's name and the whole input. */
export const callHash = (tool: string, input: unknown): string =>
  sha256Hex(JSON.stringify([tool, ordered(input) ?? null]))

/** What nobody sees is written out, so that what is shown is what is run. */
const unseen = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\u2028\u2029\u2800]/gu
const visible = (text: string): string =>
  text.replaceAll(unseen, (sign) => `\\u{${(sign.codePointAt(0) ?? 0).toString(16)}}`)

/** Long texts on lines of their own, all else as JSON. */
const fieldText = (key: string, value: unknown): string =>
  typeof value === "string" ? `${visible(key)}: ${visible(value)}` : `${visible(key)}: ${visibleJson(value, 2) ?? ""}`

const inputText = (input: unknown): string =>
  typeof input === "object" && input !== null && !Array.isArray(input)
    ? Object.entries(input).map(([key, value]) => fieldText(key, value)).join("\n")
    : visibleJson(input, 2) ?? ""

const bytesOf = (text: string): number => Buffer.byteLength(JSON.stringify(text))

/** Its beginning and its end, where it is too long for a message, with how much is left out between them. */
const fitted = (text: string): string => {
  if (text.length <= maxShownCharacters && bytesOf(text) <= maxShownBytes) return text
  for (let room = maxShownCharacters - 100;; room = Math.floor(room * 0.8)) {
    const head = text.slice(0, Math.floor(room * 0.75)).toWellFormed()
    const tail = text.slice(text.length - Math.floor(room * 0.25)).toWellFormed()
    const cut = `${head}\n\n… ${text.length - head.length - tail.length} characters are not shown …\n\n${tail}`
    if (bytesOf(cut) <= maxShownBytes) return cut
  }
}

/** The input in at most `maxShownCharacters`; secrets are taken out before anything is cut. */
export const shownInput = (input: unknown, redact: (text: string) => string): string =>
  fitted(redact(inputText(input)).toWellFormed())

/** What people see of a call, and the options where it asks them to choose. */
export const shownCall = (
  { choice, input }: Pick<ToolCall, "choice" | "input">,
  redact: (text: string) => string
): { readonly shown: string; readonly options?: ReadonlyArray<string> } => {
  if (choice === undefined) return { shown: shownInput(input, redact) }
  const { options, question } = choice
  const lines = options.map(({ description, label }) => `• ${visible(label)}: ${visible(description)}`)
  return {
    shown: fitted(redact([visible(question), "", ...lines].join("\n")).toWellFormed()),
    options: options.map(({ label }) => foreignLine(redact(label), 75) || "…")
  }
}
