/**
 * Cuts Markdown of any length into messages that Slack accepts, so that each reads as it did in the whole: at blank
 * lines where it can, at line ends or between words where it must, never inside a character. What a cut goes through
 * (code, list items, quotes, tables, emphasis, links) is closed before it and opened again after it.
 */
import { beginning, going } from "./containerMarks.ts"
import { type Definitions, definitionsOf, withDefinitions } from "./definitions.ts"
import { type Block, type BlockMap, blocksOf } from "./markdownBlocks.ts"
import { cutText, headOf, type TextCut, weigh } from "./markdownCuts.ts"
import { atItsTables, type MarkdownPart, mayHoldTable } from "./markdownParts.ts"

export type { MarkdownPart } from "./markdownParts.ts"

/** Slack's limit for the `markdown` blocks of one message. Source: docs.slack.dev/reference/block-kit/blocks/markdown-block. */
export const maxMessageCharacters = 12_000
/** Past this a live message goes on in the next one: `chat.update` takes about 4,000 characters of text. */
export const maxLiveCharacters = 3_900
/** Slack's limits for the tables of one message: characters over all cells, and rows. Source: the same page. */
const maxTableCharacters = 10_000
const maxTableRows = 100
/** Characters whose words are read as Markdown per call; past it a cut inside a paragraph only looks for blanks. */
const spanBudget = 60_000

interface Place {
  readonly line: number
  /** Offset in the source. */
  readonly at: number
  readonly opens: string
  /** The part of `opens` that belongs to the words, not to the blocks. */
  readonly reopened: string
}
interface Cut {
  /** Offset in the source where the part ends. */
  readonly end: number
  readonly closes: string
  readonly next: Place
}

const isWords = (block: Block | undefined): boolean => block?.kind === "text" || block?.kind === "heading"

/**
 * Parts in order, each of at most `limit` weighed characters. Blank Markdown gives no part. `limit` must leave room
 * for the marks that are repeated; 200 is the least that makes sense.
 */
export const splitMarkdown = (markdown: string, limit: number = maxMessageCharacters): ReadonlyArray<MarkdownPart> =>
  partsOf(markdown, limit).flatMap((part) => atItsTables(part, (text) => partsOf(text, limit)))

const partsOf = (markdown: string, limit: number): ReadonlyArray<MarkdownPart> => {
  if (markdown.trim() === "") return []
  const short = weigh(markdown) <= limit
  if (short && !mayHoldTable.test(markdown)) return [{ text: markdown, opens: "", closes: "", glue: "" }]
  const map = blocksOf(markdown)
  const definitions = definitionsOf(markdown)
  const reserved = Math.min([...definitions.values()].reduce((sum, line) => sum + weigh(line) + 1, 2), limit >> 1)
  const splitter = new Splitter(markdown, map, definitions.size === 0 ? limit : limit - reserved, definitions)
  const parts: Array<MarkdownPart> = []
  let place: Place = { line: 0, at: 0, opens: "", reopened: "" }
  let ended = 0
  while (true) {
    place = splitter.behindBlanks(place)
    if (markdown.slice(place.at).trim() === "") break
    const cut = splitter.cut(place)
    const end = cut?.end ?? markdown.length
    const part = { opens: place.opens, closes: cut?.closes ?? "" }
    const inner = markdown.slice(place.at, end)
    const { closes, opens } = withDefinitions(part, inner, definitions, { limit, weigh })
    parts.push({
      text: opens + inner + closes,
      opens,
      closes,
      glue: markdown.slice(ended, place.at)
    })
    ended = end
    if (cut === undefined) break
    place = cut.next
  }
  return parts
}

class Splitter {
  readonly #source: string
  readonly #map: BlockMap
  readonly #limit: number
  /** Weight of each line with its line end. */
  readonly #weights: ReadonlyArray<number>
  readonly #definitions: Definitions
  #spanBudget = spanBudget

  constructor(source: string, map: BlockMap, limit: number, definitions: Definitions) {
    this.#source = source
    this.#map = map
    this.#limit = limit
    this.#definitions = definitions
    this.#weights = map.blockOf.map((_, line) => weigh(this.#line(line)) + 1)
  }

  #start(line: number): number {
    return this.#map.lineStarts[line] ?? this.#source.length + 1
  }

  #line(line: number): string {
    return this.#source.slice(this.#start(line), this.#start(line + 1) - 1)
  }

  /** Also a line that only goes on with a quote. */
  #isBlank(line: number): boolean {
    return this.#map.blockOf[line] === undefined && /^[\s>]*$/.test(this.#line(line))
  }

  /** Blank lines at a part's beginning belong to neither part. */
  behindBlanks(place: Place): Place {
    let { at, line } = place
    while (
      place.opens === "" && line < this.#map.blockOf.length && this.#isBlank(line)
    ) {
      line += 1
      at = Math.min(this.#start(line), this.#source.length)
    }
    return { ...place, line, at }
  }

  /** Where the part that begins at `place` ends; undefined when everything left fits. */
  cut(place: Place): Cut | undefined {
    const { blockOf } = this.#map
    let weight = weigh(place.opens)
    let table = this.#tableAt(place)
    const found: Array<{ readonly line: number; readonly weight: number; readonly rank: 1 | 2 | 3 }> = []
    for (let line = place.line; line < blockOf.length; line++) {
      const own = line === place.line
        ? weigh(this.#source.slice(place.at, this.#start(line + 1) - 1)) + 1
        : this.#weights[line] ?? 0
      if (line > place.line) {
        const rank = this.#rank(line)
        // One more line end than the text has: the last line's own.
        if (rank > 0 && weight - 1 + weigh(this.#closing(line)) <= this.#limit) {
          found.push({ line, weight, rank: rank as 1 | 2 | 3 })
        }
        const block = blockOf[line]
        if (block?.kind === "table") {
          if (block.first === line) {
            if (table.seen) return this.#best(place, found, line)
            table = { seen: true, rows: 0, weight: 0, broken: false }
          } else if (table.broken) return this.#atLine(line)
          table = { ...table, rows: table.rows + 1, weight: table.weight + own }
          const over = table.rows > maxTableRows + 1 || table.weight > maxTableCharacters
          if (over && line > block.first + 2) return this.#atLine(line)
        }
      }
      if (weight + own - 1 + this.#reserve(line) > this.#limit) return this.#overflow(place, found, line, weight)
      weight += own
    }
    return undefined
  }

  /** What the part has of a table at its beginning. */
  #tableAt(place: Place) {
    const block = this.#map.blockOf[place.line]
    if (block?.kind !== "table") return { seen: false, rows: 0, weight: 0, broken: false }
    const broken =
      place.at > (this.#map.cutOf[place.line]?.at ?? 0) && place.line > block.first && !place.opens.includes("\n")
      || place.line === block.first && place.at > block.content
    const rows = broken ? 0 : place.line > block.first && place.opens !== "" ? 3 : 1
    return { seen: true, rows, weight: weigh(place.opens) + (this.#weights[place.line] ?? 0), broken }
  }

  /** Room that must stay for closing what is open after `line`, if the part ended there. */
  #reserve(line: number): number {
    const block = this.#map.blockOf[line]
    return block?.kind === "fence" && line < block.end - 1 ? weigh(this.#closing(line + 1)) : 0
  }

  /** What closes a part that ends before `line`. */
  #closing(line: number): string {
    const block = this.#map.blockOf[line]
    if (block?.kind !== "fence" || block.first === line) return ""
    return `\n${going(block.containers)}${" ".repeat(block.indent)}${block.markup}`
  }

  /** How well the text can be cut before `line`: 3 at a blank line, 2 before a block, 1 inside one, 0 not at all. */
  #rank(line: number): 0 | 1 | 2 | 3 {
    const { blockOf, cutOf } = this.#map
    const block = blockOf[line]
    if (block === undefined) return this.#isBlank(line) ? 0 : 1
    const containers = cutOf[line]?.containers ?? []
    if (block.first === line || containers.length < block.containers.length) {
      return blockOf[line - 1] === undefined && containers.length === 0 ? 3 : 2
    }
    switch (block.kind) {
      case "fence":
        // Neither an empty block at the end of a part nor one at the beginning of the next.
        return line === block.first + 1 || (line === block.end - 1 && /^[\s>]*[`~]+\s*$/.test(this.#line(line))) ? 0 : 1
      case "table":
        return line < block.first + 3 ? 0 : 1
      case "code":
        return this.#line(line).trim() === "" ? 0 : 1
      case "html":
        return 1
      case "text":
      case "heading":
        return 0
    }
  }

  #best(
    place: Place,
    found: ReadonlyArray<{ readonly line: number; readonly weight: number; readonly rank: number }>,
    line: number
  ): Cut {
    const half = found.filter((it) => it.weight >= this.#limit / 2)
    for (const rank of [3, 2, 1]) {
      const last = half.findLast((it) => it.rank === rank)
      if (last !== undefined) return this.#atLine(last.line)
    }
    const last = found.findLast((it) => it.rank > 1) ?? found.at(-1)
    return last === undefined ? this.#atLine(Math.max(line, place.line + 1)) : this.#atLine(last.line)
  }

  #overflow(
    place: Place,
    found: ReadonlyArray<{ readonly line: number; readonly weight: number; readonly rank: number }>,
    line: number,
    weight: number
  ): Cut {
    const block = this.#map.blockOf[line]
    if (this.#isBlank(line) && line > place.line) {
      let next = line
      while (next < this.#map.blockOf.length && this.#isBlank(next)) next += 1
      return this.#atLine(next)
    }
    if (found.some((it) => it.rank > 1 && it.weight >= this.#limit / 2)) return this.#best(place, found, line)
    if (block !== undefined && isWords(block)) {
      const cut = this.#inWords(place, block, false)
      if (cut !== undefined) return cut
    }
    const alone = weigh(this.#opensAt(line).opens) + (this.#weights[line] ?? 0) + this.#reserve(line) <= this.#limit
    if (found.length > 0 && (alone || weight >= this.#limit / 2)) return this.#best(place, found, line)
    return (block !== undefined && isWords(block) ? this.#inWords(place, block, true) : undefined)
      ?? this.#inLine(place, line, weight)
  }

  /** The place before `line`, with everything that it needs to be read as it was. */
  #opensAt(line: number): Place {
    const block = this.#map.blockOf[line]
    const { at = this.#start(line), containers = [] } = this.#map.cutOf[line] ?? {}
    const begin = beginning(containers)
    const inside = block !== undefined && block.first !== line
    if (inside && block.kind === "fence") {
      return { line, at: this.#start(line), opens: this.#fenceLine(block), reopened: "" }
    }
    if (inside && block.kind === "table") {
      const end = this.#start(block.first + 2)
      const head = begin + this.#source.slice(block.content, end)
      if (weigh(head) * 3 < this.#limit) return { line, at: this.#start(line), opens: head, reopened: "" }
    }
    if (containers.length === 0) return { line, at: this.#start(line), opens: "", reopened: "" }
    const blanks = /^[ \t]*/.exec(this.#source.slice(at, this.#start(line + 1) - 1))?.[0] ?? ""
    if (block?.kind !== "code" || containers.length < block.containers.length) {
      // Blanks behind an item's marker would move where the item's other lines must begin.
      return { line, at: at + blanks.length, opens: this.#clip(begin), reopened: "" }
    }
    // A tab may belong to the item's indentation and to the code's: it is written out.
    return blanks.includes("\t")
      ? { line, at: at + blanks.length, opens: `${this.#clip(begin)}    `, reopened: "" }
      : { line, at, opens: this.#clip(begin), reopened: "" }
  }

  /** Marks of any length would eat the message. */
  #clip(opens: string): string {
    return opens.length * 3 > this.#limit ? "" : opens
  }

  #fenceLine(block: Block): string {
    const info = block.info.length > 60 ? "" : block.info.trimEnd()
    const indent = block.containers.at(-1)?.kind === "item" ? "" : " ".repeat(block.indent)
    return `${this.#clip(beginning(block.containers))}${indent}${block.markup}${info}\n`
  }

  #atLine(line: number): Cut {
    const closes = this.#closing(line)
    let end = this.#start(line) - 1
    if (closes === "") {
      // Blank lines, also those of a quote, end no part.
      let last = line - 1
      while (last > 0 && this.#isBlank(last)) last -= 1
      end = this.#start(last + 1) - 1
    }
    return { end, closes, next: this.#opensAt(line) }
  }

  /** Inside a paragraph or heading that the part holds the beginning of, or all that fits. */
  #inWords(place: Place, block: Block, must: boolean): Cut | undefined {
    const first = Math.max(block.first, place.line)
    const lastLine = block.kind === "heading" && block.markup !== "" && !block.markup.startsWith("#")
      ? block.end - 1
      : block.end
    let room = this.#limit - weigh(place.opens)
    if (first > place.line) room -= weigh(this.#source.slice(place.at, this.#start(first)))
    const pieces: Array<{ readonly line: number; readonly at: number; readonly text: string }> = []
    let length = 0
    for (let line = first; line < lastLine && length <= room + lookahead; line++) {
      const inside = line === place.line && place.at > (this.#map.cutOf[line]?.at ?? place.at)
        ? place.at
        : this.#wordsOf(block, line)
      const at = line === place.line ? Math.max(inside, place.at) : inside
      const text = this.#source.slice(at, Math.min(this.#start(line + 1) - 1, at + room + lookahead))
      pieces.push({ line, at, text })
      length += text.length + 1
    }
    const mayRead = this.#spanBudget > 0
    this.#spanBudget -= length
    // Marks before the first piece's words are in the part as well.
    const lead = pieces[0] === undefined
      ? 0
      : weigh(this.#source.slice(Math.max(this.#start(first), place.at), pieces[0].at))
    const cut: TextCut | undefined = cutText({
      texts: pieces.map((piece) => piece.text),
      marks: pieces.map((piece, index) =>
        index === 0 ? 0 : weigh(this.#source.slice(this.#start(piece.line), piece.at))
      ),
      reopened: place.line === first ? place.reopened : "",
      room: room - lead,
      must,
      readSpans: mayRead,
      definitions: this.#definitions,
      maxReopened: Math.floor(this.#limit / 4)
    })
    if (cut === undefined) return undefined
    const from = pieces[cut.piece]
    const to = pieces[cut.nextPiece]
    if (from === undefined || to === undefined) return undefined
    const heading = block.kind === "heading" && block.markup.startsWith("#") ? `${block.markup} ` : ""
    const prefix = this.#clip(beginning(block.containers)) + heading
    return {
      end: from.at + cut.end,
      closes: cut.closes,
      next: {
        line: to.line,
        at: to.at + cut.next,
        opens: prefix + cut.opens,
        reopened: cut.opens
      }
    }
  }

  /** Offset of a line's words behind all marks and blanks. */
  #wordsOf(block: Block, line: number): number {
    if (line === block.first) {
      const marks = block.kind === "heading"
        ? /^#{1,6}[ \t]*/.exec(this.#source.slice(block.content, block.content + 20))
        : null
      return block.content + (marks?.[0].length ?? 0)
    }
    const at = this.#map.cutOf[line]?.at ?? this.#start(line)
    return at + (/^[ \t]*/.exec(this.#source.slice(at, this.#start(line + 1) - 1))?.[0].length ?? 0)
  }

  /** In the middle of a line that no part can hold: of code, of a table, of what is not read. */
  #inLine(place: Place, line: number, weight: number): Cut {
    const block = this.#map.blockOf[line]
    const from = line === place.line ? place.at : this.#start(line)
    const text = this.#source.slice(from, this.#start(line + 1) - 1)
    const closes = block?.kind === "fence" ? this.#closing(Math.max(line, block.first + 1)) : ""
    const code = block?.kind === "fence" || block?.kind === "code"
    const left = this.#limit - weight - weigh(closes)
    if (left < 1 && line > place.line) return this.#atLine(line)
    const room = Math.max(1, left)
    const { blank, head } = headOf(text, room, !code)
    const containers = block?.containers ?? []
    const begin = this.#clip(beginning(containers))
    const opens = block?.kind === "fence"
      ? this.#fenceLine(block) + this.#clip(going(containers))
      : block?.kind === "code"
      ? `${begin}    `
      : begin
    return {
      end: from + head.length,
      closes,
      next: { line, at: from + head.length + blank.length, opens, reopened: "" }
    }
  }
}

/** Characters past the end of a part that are read so that a span across the cut is known. */
const lookahead = 2_000

/** The source again; for tests. Blank lines at the very end are not kept. */
export const joinParts = (parts: ReadonlyArray<MarkdownPart>): string =>
  parts.map((part) => part.glue + part.text.slice(part.opens.length, part.text.length - part.closes.length)).join("")
