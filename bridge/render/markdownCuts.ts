/** Where words can be cut: between them, outside code and links, so that what follows is still read as words. */
import type { Definitions } from "./definitions.ts"
import { type Span, spansOf } from "./markdownSpans.ts"

/** Length once Slack's three reserved characters are escaped, so that the plain form of a part fits as well. */
export const weigh = (text: string): number => {
  let weight = text.length
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 38) weight += 4
    else if (code === 60 || code === 62) weight += 3
  }
  return weight
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" })
const safeCut = (text: string, at: number): number => /[\ud800-\udbff]/.test(text.charAt(at - 1)) ? at - 1 : at

/**
 * The longest start of `line` that weighs at most `limit`, cut at a blank (which belongs to neither side) where one is
 * near and `atBlanks`, never in a grapheme unless a single one is over the limit.
 */
export const headOf = (
  line: string,
  limit: number,
  atBlanks: boolean
): { readonly head: string; readonly blank: string } => {
  let end = 0
  let weight = 0
  for (const { index, segment } of graphemes.segment(line.slice(0, limit + 200))) {
    const next = weight + weigh(segment)
    if (next > limit && end > 0) break
    if (next > limit) return { head: line.slice(0, Math.max(1, safeCut(line, limit >> 2))), blank: "" }
    weight = next
    end = index + segment.length
  }
  const blank = line.lastIndexOf(" ", end - 1)
  if (atBlanks && end < line.length && blank > end * 0.6 && line.slice(0, blank).trim() !== "") {
    return { head: line.slice(0, blank), blank: " " }
  }
  return { head: line.slice(0, end), blank: "" }
}

export interface TextCut {
  /** The last piece that the part shows something of, and the offset in it where the part ends. */
  readonly piece: number
  readonly end: number
  readonly closes: string
  /** Where the next part begins, and what it begins with. */
  readonly nextPiece: number
  readonly next: number
  readonly opens: string
}

interface TextToCut {
  /** The paragraph's lines without the marks of what is around it. */
  readonly texts: ReadonlyArray<string>
  /** Weight of those marks, by line. */
  readonly marks: ReadonlyArray<number>
  /** What was opened again before the first line. */
  readonly reopened: string
  readonly room: number
  /** The part cannot end before these words: something of them must stay in it. */
  readonly must: boolean
  readonly readSpans: boolean
  readonly definitions: Definitions
  /** Weight of what may be opened again. */
  readonly maxReopened: number
}

/** Begins something else than words when it stands at the beginning of a line. */
const beginsBlock =
  /^[ \t]*(?:[-+*](?:[ \t]|$)|\d{1,9}[.)](?:[ \t]|$)|#{1,6}(?:[ \t]|$)|>|`{3}|~{3}|<|\[[^\]]*\]:|=+[ \t]*$|(?:[-*_][ \t]*){2,}$|\||:?-+:?[ \t]*\|)/

/** What keeps such a beginning from being one: an escape, or a line before it, which is invisible in both. */
const guardOf = (rest: string): string => !beginsBlock.test(rest) ? "" : /^[ \t]*(?:\d|\[)/.test(rest) ? "\\\n" : "\\"

/** The best cut of at most `room`; undefined when nothing fits and nothing has to. */
export const cutText = (text: TextToCut): TextCut | undefined => {
  const { reopened, texts } = text
  const whole = reopened + texts.join("\n")
  const spans = text.readSpans ? spansOf(whole, text.definitions) : []
  const atomic = new Uint8Array(whole.length + 1)
  for (const span of spans) {
    // Of a link too long to be kept whole, where it leads is: a title or a label may have blanks.
    if (isWhole(span, text)) atomic.fill(1, span.start + 1, span.end)
    else if (span.kind === "link") atomic.fill(1, span.end - span.close.length, span.end)
  }
  const starts: Array<number> = []
  let offset = reopened.length
  for (const piece of texts) {
    starts.push(offset)
    offset += piece.length + 1
  }
  // Weight of the part up to the end of each piece's predecessor.
  const used: Array<number> = []
  let weight = 0
  for (const [index, piece] of texts.entries()) {
    weight += text.marks[index] ?? 0
    used.push(weight)
    weight += weigh(piece) + 1
  }
  const closed = (at: number, next: number) => {
    const around = spans.filter((span) =>
      span.kind !== "atom" && span.start + span.open.length <= at
      && next <= span.end - span.close.length && span.start < at && next < span.end
    )
    const closes = around.toReversed().map((span) => span.close).join("")
    const marks = around.map((span) => span.open).join("")
    // Three of these at a line's beginning would be a fence: a character without width goes before them.
    const opens = /^(?:```|~~~)/.test(marks) ? `&#8203;${marks}` : marks
    return weigh(closes) > text.maxReopened || weigh(opens) > text.maxReopened
      ? { closes: "", opens: "" }
      : { closes, opens }
  }
  const at = (piece: number, end: number, nextPiece: number, next: number, guard: boolean): TextCut | undefined => {
    const rest = (texts[nextPiece] ?? "").slice(next)
    const [before, after] = [whole[(starts[piece] ?? 0) + end - 1], rest[0]]
    const made = closed((starts[piece] ?? 0) + end, (starts[nextPiece] ?? 0) + next)
    // A mark next to one of ours would be read as one longer mark.
    if (made.opens !== "" && (made.closes.startsWith(before ?? " ") || made.opens.endsWith(after ?? " "))) {
      return undefined
    }
    const opens = made.opens === "" && guard ? guardOf(rest) : made.opens
    const total = (used[piece] ?? 0) + weigh((texts[piece] ?? "").slice(0, end)) + weigh(made.closes)
    return total <= text.room ? { piece, end, closes: made.closes, nextPiece, next, opens } : undefined
  }
  for (const strict of [true, false]) {
    for (let piece = texts.length - 1; piece >= 0; piece--) {
      const line = texts[piece] ?? ""
      const room = text.room - (used[piece] ?? 0)
      if (room < 0) continue
      let upTo = fitting(line, room)
      if (upTo === line.length && piece + 1 < texts.length) {
        const next = texts[piece + 1] ?? ""
        const good = atomic[(starts[piece + 1] ?? 0) - 1] !== 1 && !beginsBlock.test(next)
        const cut = good || !strict ? at(piece, line.length, piece + 1, 0, !strict) : undefined
        if (cut !== undefined) return cut
      }
      // A blank at either end of the line separates nothing.
      const least = Math.max(strict && piece === 0 ? upTo * 0.3 : 0, line.search(/\S/))
      upTo = Math.min(upTo, line.trimEnd().length - 1)
      for (upTo = line.lastIndexOf(" ", upTo); upTo > least; upTo = line.lastIndexOf(" ", upTo - 1)) {
        if (line[upTo - 1] === " ") continue
        // All blanks of a run: behind an item's marker one more would move where its other lines must begin.
        const next = upTo + (/^[ \t]+/.exec(line.slice(upTo))?.[0].length ?? 1)
        if (
          strict && (atomic[(starts[piece] ?? 0) + upTo] === 1 || beginsBlock.test(line.slice(next, upTo + 300)))
        ) continue
        const cut = at(piece, upTo, piece, next, !strict)
        if (cut !== undefined) return cut
      }
    }
    if (!text.must && strict) return undefined
  }
  const line = texts[0] ?? ""
  const { head } = headOf(line, Math.max(1, text.room), false)
  return head.length >= line.length
    ? undefined
    : {
      piece: 0,
      end: head.length,
      closes: "",
      nextPiece: 0,
      next: head.length,
      opens: guardOf(line.slice(head.length))
    }
}

/** Spans that are kept in one piece: what cannot be closed and opened again, and what is short. */
const isWhole = (span: Span, text: TextToCut): boolean =>
  span.kind === "atom" || (span.kind !== "emphasis" && span.end - span.start < text.room / 4)

/** How many characters of `line` weigh at most `room`. */
const fitting = (line: string, room: number): number => {
  let weight = 0
  for (let index = 0; index < line.length; index++) {
    const code = line.charCodeAt(index)
    weight += code === 38 ? 5 : code === 60 || code === 62 ? 4 : 1
    if (weight > room) return index
  }
  return line.length
}
