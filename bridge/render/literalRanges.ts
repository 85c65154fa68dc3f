/** What of a Markdown text is not read as words: code, and where links lead. */
import { blocksOf } from "./markdownBlocks.ts"
import { spansOf } from "./markdownSpans.ts"

/** Offsets in the source. */
export interface LiteralRange {
  readonly start: number
  readonly end: number
}

/** Characters whose words are read per call; what comes after them counts as words. */
const budget = 60_000

/** A bare address; its host begins with a letter or digit. */
const bareLink = /\b(?:https?|ftp|ssh|git):\/\/[\p{L}\p{N}][^\s<>]*/giu

/**
 * Ranges in order, without overlaps; those of paragraphs only where one of `places` (offsets in order) lies. `source`
 * must have plain line ends.
 */
export const literalRanges = (source: string, places: ReadonlyArray<number>): ReadonlyArray<LiteralRange> => {
  const { blockOf, cutOf, lineStarts } = blocksOf(source)
  const found: Array<LiteralRange> = []
  let left = budget
  let next = 0
  for (let line = 0; line < blockOf.length; line++) {
    const block = blockOf[line]
    if (block === undefined || (block.first !== line && block.kind !== "table")) continue
    const end = lineStarts[block.kind === "table" ? line + 1 : block.end] ?? source.length + 1
    const start = line === block.first ? block.content : cutOf[line]?.at ?? lineStarts[line] ?? 0
    if (block.kind === "fence" || block.kind === "code") {
      found.push({ start, end })
      continue
    }
    while (next < places.length && (places[next] ?? 0) < start) next += 1
    if ((places[next] ?? end) >= end || end - start > left) continue
    left -= end - start
    // A table's rows are read one by one, a paragraph's lines together, without the marks around them.
    const lines: Array<{ readonly at: number; readonly text: string }> = []
    for (let each = line; each < (block.kind === "table" ? line + 1 : block.end); each++) {
      const at = each === line ? start : cutOf[each]?.at ?? lineStarts[each] ?? 0
      lines.push({ at, text: source.slice(at, (lineStarts[each + 1] ?? 0) - 1) })
    }
    found.push(...inWords(lines))
  }
  for (const match of source.matchAll(bareLink)) found.push({ start: match.index, end: match.index + match[0].length })
  return merged(found)
}

const inWords = (lines: ReadonlyArray<{ readonly at: number; readonly text: string }>): ReadonlyArray<LiteralRange> => {
  const text = lines.map((line) => line.text).join("\n")
  const sourceOf = (offset: number): number => {
    let begin = 0
    for (const line of lines) {
      if (offset <= begin + line.text.length) return line.at + offset - begin
      begin += line.text.length + 1
    }
    return (lines.at(-1)?.at ?? 0) + (lines.at(-1)?.text.length ?? 0)
  }
  return spansOf(text).flatMap((span) => {
    // An image's and a link's words can be read; where they lead cannot.
    const from = span.kind === "link" ? span.end - span.close.length : span.start
    const literal = span.kind === "code" || span.kind === "link" || (span.kind === "atom" && text[span.start] === "<")
    return literal ? [{ start: sourceOf(from), end: sourceOf(span.end) }] : []
  })
}

const merged = (ranges: ReadonlyArray<LiteralRange>): ReadonlyArray<LiteralRange> => {
  const sorted = ranges.toSorted((a, b) => a.start - b.start)
  const whole: Array<LiteralRange> = []
  for (const range of sorted) {
    const last = whole.at(-1)
    if (last !== undefined && range.start <= last.end) {
      whole[whole.length - 1] = { start: last.start, end: Math.max(last.end, range.end) }
    } else whole.push(range)
  }
  return whole
}
