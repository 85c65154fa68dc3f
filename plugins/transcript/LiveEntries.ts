/** What a turn has shown, entry by entry, and how texts are known again that witnesses cut differently. Pure. */
import type { Witness } from "./LiveInput.ts"

export interface TextEntry {
  readonly kind: "text"
  readonly uid: number
  readonly text: string
  /** Of the trimmed text: witnesses differ in white space at the ends. */
  readonly sha256: string
  readonly seenBy: ReadonlySet<Witness>
  /** Pieces as hooks streamed them, by index; a hole was lost. Only while the text is known from hooks alone. */
  readonly pieces: ReadonlyArray<string | undefined>
  /** Index of the piece that said it was the last. */
  readonly last: number | undefined
  /** The last piece has come, and no piece is missing. */
  readonly whole: boolean
  /** The hooks' id of the text. */
  readonly message: string | undefined
}
export interface ToolEntry {
  readonly kind: "tool"
  readonly uid: number
  readonly id: string
  readonly name: string
  readonly input: unknown
  readonly state: "running" | "done" | "failed"
  readonly seenBy: ReadonlySet<Witness>
}
export interface SubagentEntry {
  readonly kind: "subagent"
  readonly uid: number
  readonly agent: string
  /** The call that started it, once both are known. */
  readonly tool: ToolEntry | undefined
  readonly type: string
  readonly calls: ReadonlySet<string>
  readonly state: "running" | "done"
}
export interface NoteEntry {
  readonly kind: "note"
  readonly uid: number
  readonly id: string
  readonly text: string
}
export type Entry = TextEntry | ToolEntry | SubagentEntry | NoteEntry

/** Without white space: witnesses cut and glue texts differently. */
export const squash = (text: string): string => text.replace(/\s+/g, "")
export const has = (seenBy: ReadonlySet<Witness>, by: Witness): boolean => seenBy.has(by)

export const isText = (entry: Entry | undefined): entry is TextEntry => entry?.kind === "text"

/** Texts that stand side by side (tool lines between them do not count) and that `by` has not told of. */
export const runOfTexts = (
  entries: ReadonlyArray<Entry>,
  by: Witness
): ReadonlyArray<ReadonlyArray<TextEntry>> => {
  const runs: Array<Array<TextEntry>> = [[]]
  for (const entry of entries) {
    if (!isText(entry)) continue
    if (has(entry.seenBy, by)) runs.push([])
    else runs.at(-1)?.push(entry)
  }
  return runs
}

/** The texts in a row, at least two, that together are `text` (glued without a separator, or with white space). */
export const gluedFrom = (
  runs: ReadonlyArray<ReadonlyArray<TextEntry>>,
  text: string
): ReadonlyArray<TextEntry> | undefined => {
  const wanted = squash(text)
  for (const run of runs) {
    for (let start = 0; start < run.length; start++) {
      let joined = ""
      for (let end = start; end < run.length && joined.length < wanted.length; end++) {
        joined += squash(run[end]?.text ?? "")
        if (end > start && joined === wanted) return run.slice(start, end + 1)
      }
    }
  }
  return undefined
}
export const isSubagent = (entry: Entry): entry is SubagentEntry => entry.kind === "subagent"
