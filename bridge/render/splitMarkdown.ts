/**
 * Cuts Markdown of any length into messages that Slack accepts: at blank lines where it can, at line ends or between
 * words where it must, never inside a character, with code fences closed and opened again and at most one table a
 * message (Slack refuses two).
 */

/** One message. `glue + text`, with `opens` and `closes` taken off, gives the source back. */
export interface MarkdownPart {
  readonly text: string
  /** What we put before it: the fence's first line or the table's head, repeated. */
  readonly opens: string
  /** What we put after it: the line that closes the fence. */
  readonly closes: string
  /** What stood between the previous part and this one and is shown by neither: line ends, a blank. */
  readonly glue: string
}

/** Slack's limit for the `markdown` blocks of one message. Source: docs.slack.dev/reference/block-kit/blocks/markdown-block. */
export const maxMessageCharacters = 12_000
/** Past this a live message goes on in the next one: `chat.update` takes about 4,000 characters of text. */
export const maxLiveCharacters = 3_900

/** Length once Slack's three reserved characters are escaped, so that the plain form of a part fits as well. */
const weigh = (text: string): number => {
  let weight = text.length
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 38) weight += 4
    else if (code === 60 || code === 62) weight += 3
  }
  return weight
}

const fenceLine = /^ {0,3}(`{3,}|~{3,})(.*)$/
const tableRule = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$|^ {0,3}\|\s*:?-+:?\s*\|\s*$/
const tableRow = /\|/

interface Fence {
  readonly marker: string
  readonly line: string
}

/** The longest start of `line` that weighs at most `limit`, cut at a blank where one is near, never in a grapheme. */
const headOf = (line: string, limit: number): { readonly head: string; readonly blank: string } => {
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
  if (end < line.length && blank > end * 0.6 && line.slice(0, blank).trim() !== "") {
    return { head: line.slice(0, blank), blank: " " }
  }
  return { head: line.slice(0, end), blank: "" }
}
const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" })
const safeCut = (text: string, at: number): number => /[\ud800-\udbff]/.test(text.charAt(at - 1)) ? at - 1 : at

/** What `lines` leave open: the fence we are in after them. */
const fenceAfter = (fence: Fence | undefined, line: string): Fence | undefined => {
  const match = fenceLine.exec(line)
  if (match === null) return fence
  const [, marker = "", info = ""] = match
  if (fence === undefined) return marker.startsWith("`") && info.includes("`") ? undefined : { marker, line }
  const closing = marker.startsWith(fence.marker) && info.trim() === ""
  return closing ? undefined : fence
}

interface Builder {
  /** Source lines of this part, after `opens`. */
  lines: Array<string>
  /** Whether each line is preceded by a line end (all but a line that was cut). */
  weight: number
  opens: string
  glue: string
  /** The line at which this part's table begins; -1 without one. */
  tableAt: number
  /** The fence it begins in. */
  readonly fence: Fence | undefined
}

/**
 * Parts in order, each of at most `limit` weighed characters. Blank Markdown gives no part. `limit` must leave room
 * for a fence's first line; 200 is the least that makes sense.
 */
export const splitMarkdown = (markdown: string, limit: number = maxMessageCharacters): ReadonlyArray<MarkdownPart> => {
  const parts: Array<MarkdownPart> = []
  let fence: Fence | undefined
  let table: { readonly head: string } | undefined
  let current: Builder = { lines: [], weight: 0, opens: "", glue: "", tableAt: -1, fence: undefined }

  const closingOf = (open: Fence | undefined): string => open === undefined ? "" : `\n${open.marker}`
  const flush = (glue: string, opens: string): void => {
    const body = current.lines.join("\n")
    if (body.trim() === "" && current.opens === "") {
      // Only blank lines: they become glue of the next part, so that nothing is lost and nothing blank is posted.
      const hadLines = current.lines.length > 0
      current = {
        lines: [],
        weight: weigh(opens),
        opens,
        glue: current.glue + body + (hadLines ? glue : ""),
        tableAt: table === undefined ? -1 : 0,
        fence
      }
      return
    }
    const closes = closingOf(fence)
    parts.push({ text: current.opens + body + closes, opens: current.opens, closes, glue: current.glue })
    current = { lines: [], weight: weigh(opens), opens, glue, tableAt: table === undefined ? -1 : 0, fence }
  }
  const reopening = (): string =>
    fence !== undefined ? `${clipLine(fence.line)}\n` : table !== undefined ? table.head : ""
  const reserve = (): number => closingOf(fence).length + 1

  /** Cuts at the last blank line outside fences and tables when that keeps at least half of the part. */
  const backUp = (): void => {
    if (fence !== undefined || table !== undefined) return flush("\n", reopening())
    let kept = 0
    for (let index = 0; index < current.lines.length; index++) kept += weigh(current.lines[index] ?? "") + 1
    let tail = 0
    let inner = current.fence
    const open = current.lines.map((line) => (inner = fenceAfter(inner, line)) !== undefined)
    for (let index = current.lines.length - 1; index > 0; index--) {
      tail += weigh(current.lines[index] ?? "") + 1
      if (tail > kept / 2) break
      if ((current.lines[index] ?? "").trim() !== "" || open[index] === true) continue
      const rest = current.lines.slice(index + 1)
      const tableAt = current.tableAt > index ? current.tableAt - index - 1 : -1
      current.lines = current.lines.slice(0, index)
      flush("\n\n", "")
      // The blank line itself is the second line end of the glue.
      current.lines = rest
      current.tableAt = tableAt
      current.weight = rest.reduce((sum, line) => sum + weigh(line) + 1, 0)
      return
    }
    flush("\n", "")
  }

  const lines = markdown.split("\n")
  for (let index = 0; index < lines.length; index++) {
    let line = lines[index] ?? ""
    const next = lines[index + 1] ?? ""
    if (fence === undefined) {
      const starts = table === undefined && tableRow.test(line) && tableRule.test(next)
      if (table !== undefined && !tableRow.test(line)) table = undefined
      if (starts) {
        if (current.tableAt >= 0) flush("\n", "")
        const head = `${line}\n${next}\n`
        table = weigh(head) * 3 < limit ? { head } : { head: "" }
        current.tableAt = current.lines.length
      }
    }
    const after = fenceAfter(fence, line)
    const extra = Math.max(closingOf(fence).length, closingOf(after).length)
    if (current.weight + weigh(line) + extra + 1 > limit && current.lines.length > 0) {
      // A table's head must not be left alone at the end of a part.
      const inHead = table !== undefined && table.head.startsWith(`${line}\n`) && tableRule.test(next)
      if (inHead) {
        const own = table
        table = undefined
        backUp()
        table = own
        current.tableAt = current.lines.length
      } else backUp()
    }
    while (current.weight + weigh(line) + extra + 1 > limit) {
      const room = Math.max(limit - current.weight - reserve() - extra, 1)
      const { blank, head } = headOf(line, room)
      if (head.length >= line.length) break
      current.lines.push(head)
      line = line.slice(head.length + blank.length)
      flush(blank, reopening())
    }
    current.lines.push(line)
    current.weight += weigh(line) + 1
    fence = after
  }
  const tail = fence
  fence = undefined
  // An unclosed fence stays as the author left it: Slack closes it at the end of the message.
  if (tail !== undefined) fence = undefined
  flush("", "")
  return parts
}

/** A fence's first line as we repeat it: an info string of any length would eat the message. */
const clipLine = (line: string): string => line.length <= 60 ? line : /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[0] ?? "```"

/** The source again; for tests. Blank lines at the very end are not kept. */
export const joinParts = (parts: ReadonlyArray<MarkdownPart>): string =>
  parts.map((part) => part.glue + part.text.slice(part.opens.length, part.text.length - part.closes.length)).join("")
