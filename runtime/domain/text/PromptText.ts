/** Words from outside, made harmless for the agent's prompt: they are data there, name no file and look like no line of ours. */
import { foreignLine } from "./ForeignText.ts"
import { withoutHidden } from "./HiddenText.ts"

/** Every line of ours in a prompt begins with it; no line of a person's can. */
export const framePrefix = "[km]"

/**
 * A person's text, harmless inside a prompt: well-formed, without terminal escapes and unseen characters, with `@` as U+FF20 (so the CLI's
 * mention parser, which would read the named file into the request without any hook, finds nothing; U+FF20 is what the
 * CLI itself writes for a mention that it disarms) and with no line that looks like ours.
 */
export const neutralise = (text: string): string =>
  withoutHidden(text.replace(/\r\n?|[\u0085\u2028\u2029]/g, "\n"))
    .replaceAll("@", "\uFF20")
    .replace(/\[\s*km\s*\]/giu, "(km)")

/** An untrusted name as one short run of words inside a line of ours: no brackets, quotes, line ends; 120 characters. */
export const inlineWords = (text: string, fallback: string): string =>
  Array.from(neutralise(foreignLine(text, 1_000)).replace(/[[\]{}<>`"\s]+/gu, " ").trim()).slice(0, 120).join("")
    .trim() || fallback

/** Unix milliseconds as `2026-01-31 09:15 UTC`. */
export const utcMinute = (millis: number): string =>
  `${new Date(millis).toISOString().slice(0, 16).replace("T", " ")} UTC`

const bytes = (size: number): string =>
  size < 1_024
    ? `${size} B`
    : size < 1_048_576
    ? `${Math.ceil(size / 1_024)} KiB`
    : `${Math.ceil(size / 1_048_576)} MiB`

/** At most this many attachments are named. */
const namedFiles = 20

/** Names, types and sizes (bytes) of attachments, of which only the sizes are believed; how many more there are. */
export const attachedFiles = (
  files: ReadonlyArray<{ readonly name: string; readonly mimeType: string; readonly size: number }>
): string =>
  files.slice(0, namedFiles).map((file) =>
    `${inlineWords(file.name, "a file")} (${inlineWords(file.mimeType, "unknown type")}, ${bytes(file.size)})`
  ).concat(files.length > namedFiles ? [`and ${files.length - namedFiles} more`] : []).join("; ")
