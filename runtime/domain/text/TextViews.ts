/**
 * How one text can be read once it is shown: without escapes, with its encoded characters decoded, without the marks
 * that Markdown takes away. Each reading knows where in the original its characters stand. Pure, linear.
 */
import { anyEscape, controlCharacters, escapeReadings, hasEscape, unseenCharacters } from "./HiddenText.ts"
import { prefixes } from "./TokenShapes.ts"

/** A stretch of the original text: from, to (exclusive). */
export type Range = readonly [from: number, to: number]

/** A text and where it stands in the text it was made from. */
export interface TextView {
  readonly text: string
  /** From this text's stretches to the original's. Stretches must be in ascending order, each not empty. */
  readonly origin: (ranges: ReadonlyArray<Range>) => ReadonlyArray<Range>
}

interface Edit {
  /** In the view: where the replacement begins, and its length. */
  readonly at: number
  readonly length: number
  /** In the parent: what was replaced. */
  readonly from: number
  readonly to: number
}

const original = (text: string): TextView => ({ text, origin: (ranges) => ranges })

/** The parent with every match replaced, none of which is empty; the parent itself when nothing matches. */
const edited = (parent: TextView, pattern: RegExp, replacement: (match: RegExpExecArray) => string): TextView => {
  const edits: Array<Edit> = []
  const pieces: Array<string> = []
  let from = 0
  let length = 0
  for (const match of parent.text.matchAll(pattern)) {
    const put = replacement(match)
    if (put === match[0]) continue
    pieces.push(parent.text.slice(from, match.index), put)
    length += match.index - from
    edits.push({ at: length, length: put.length, from: match.index, to: match.index + match[0].length })
    length += put.length
    from = match.index + match[0].length
  }
  if (edits.length === 0) return parent
  pieces.push(parent.text.slice(from))

  /** Ranges ascend, so the edits are walked once. */
  const toParent = (ranges: ReadonlyArray<Range>): ReadonlyArray<Range> => {
    let next = 0
    /** The last edit that begins at or before `index`, or before it when `within` is false. */
    const seek = (index: number): Edit | undefined => {
      while (next < edits.length && (edits[next]?.at ?? 0) <= index) next++
      return edits[next - 1]
    }
    const startOf = (index: number): number => {
      const edit = seek(index)
      if (edit === undefined) return index
      return index < edit.at + edit.length ? edit.from : index - edit.at - edit.length + edit.to
    }
    return ranges.map(([begin, end]): Range => {
      const start = startOf(begin)
      // The end is where the last character ends, so that what was taken out behind it is not part of the stretch.
      const last = seek(end - 1)
      if (last === undefined) return [start, end]
      const inside = end - 1 < last.at + last.length
      return [start, inside ? last.to : end - last.at - last.length + last.to]
    })
  }
  return { text: pieces.join(""), origin: (ranges) => parent.origin(toParent(ranges)) }
}

const nothing = (): string => ""

/** ST as JSON writes it, once its ESC was decoded: the backslash is doubled, and again at each level. */
// oxlint-disable-next-line no-control-regex
const escapedEnd = /\u001b\\{2,}/g

const readable = (view: TextView, escapes: RegExp): TextView =>
  edited(edited(edited(view, unseenCharacters, nothing), escapes, nothing), controlCharacters, nothing)

/** Where a run of backslashes begins; behind an escape's end, which is one itself, another begins. */
const runBegin = String.raw`(?:(?<!\\)|(?<=u001[bB]\\{2,16}))`

/**
 * Characters as JSON, JavaScript, shells, URLs and HTML write them. Whoever parses the text sees what they stand for.
 * A run of backslashes is taken from its beginning, so that a text of backslashes alone is walked once.
 */
const encoded = new RegExp(
  [
    // ST: its backslash is doubled, and would else be taken for that of an escape behind it.
    String.raw`${runBegin}(?<end>\\+)u001[bB]\k<end>\k<end>`,
    String.raw`${runBegin}\\+u(?:(?<json>[0-9A-Fa-f]{4})|\{(?<code>[0-9A-Fa-f]{1,6})\})`,
    String.raw`${runBegin}\\+x(?<byte>[0-9A-Fa-f]{2})`,
    String.raw`${runBegin}(?<escape>\\+(?:0?33|e)(?=[[\]\\])|\^(?=[[\]]))`,
    String.raw`${runBegin}(?<unseen>\\+[bf])`,
    // A URL within a URL has its percent signs encoded too, once for each level.
    String.raw`(?<percent>(?:%(?:25)*[0-9A-Fa-f]{2})+)`,
    String.raw`&#[xX](?<hex>[0-9A-Fa-f]{1,6});`,
    String.raw`&#(?<decimal>[0-9]{1,7});`,
    String
      .raw`&(?<name>lowbar|UnderBar|hyphen|dash|period|plus|sol|equals|shy|zwj|zwnj|lrm|rlm|ZeroWidthSpace|NoBreak);`
  ].join("|"),
  "g"
)

/** HTML's names for characters that tokens are made of, or that are not seen. */
const entities: Readonly<Record<string, string>> = {
  lowbar: "_",
  UnderBar: "_",
  hyphen: "-",
  dash: "-",
  period: ".",
  plus: "+",
  sol: "/",
  equals: "="
}

const character = (code: number): string => code <= 0x10ffff ? String.fromCodePoint(code) : ""

const decodePercent = (text: string): string => {
  try {
    return decodeURIComponent(text.replaceAll(/%(?:25)+(?=[0-9A-Fa-f]{2})/g, "%"))
  } catch {
    return text
  }
}

const decoded = (match: RegExpExecArray): string => match.groups?.["unseen"] === undefined ? decodedSeen(match) : ""

/** A backslash before b or f may be one that stands for itself, with a letter of the text behind it. */
const decodedSeen = ({ 0: whole, groups = {} }: RegExpExecArray): string => {
  const { byte, code, decimal, end, escape, hex, json, name, percent } = groups
  if (end !== undefined) return "\u001b\\"
  if (percent !== undefined) return decodePercent(percent)
  if (name !== undefined) return entities[name] ?? ""
  if (escape !== undefined) return "\u001b"
  if (decimal !== undefined) return character(Number(decimal))
  const digits = json ?? code ?? byte ?? hex
  return digits === undefined ? whole : character(Number.parseInt(digits, 16))
}

/** What Markdown takes away within a line and within a word: backslashes before signs, emphasis, code, strike-through. */
const marks = /\\+(?=[!-/:-@[-`{-~])|[*`~]+/g

/**
 * What HTML takes away within a word: comments, instructions, CDATA's frame, tags with their quoted values. Each is looked
 * at for 300 characters.
 */
const html = [
  "<!--(?:(?!-->)[^]){0,300}-->",
  String.raw`<\?(?:(?!\?>)[^]){0,300}\?>`,
  String.raw`<!\[CDATA\[|\]\]>`,
  `</?[A-Za-z](?:[^<>"']|"[^"]{0,300}"|'[^']{0,300}'){0,300}>`,
  String.raw`<[^<>\n]{0,300}>`
].join("|")

/** What else Markdown takes away: links round their text, HTML, doubled underscores. Our own mark is a barrier. */
const wrappings = new RegExp(String.raw`\[redacted\]|${html}|\]\([^()\s]{0,2000}\)|!?\[|\]|__`, "g")

/** Underscores that can be emphasis: with a letter or digit on one side only. */
const emphasis = /(?<![A-Za-z0-9_])_+(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])_+(?![A-Za-z0-9_])/g

/** What may stand between two letters of a token's beginning and is not seen: a few escapes, controls and marks. */
const unseenBetween = String.raw`(?:${anyEscape}|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f*\x60~\\]` +
  String.raw`|<[^<>\n]{0,60}>){0,4}`

/** A token's beginning, whatever stands in it. Of escapes each may be whole or cut: each letter is there to be found. */
const brokenPrefix = new RegExp(
  prefixes.map((prefix) => `(${prefix.split("").map((letter) => letter.replace(/[.]/, "\\$&")).join(unseenBetween)})`)
    .join("|"),
  "g"
)

/**
 * The same text with such beginnings put together, apart from what stands before: that may be a cut escape too. Behind a
 * dot the token may have begun already: the second part of a JSON web token begins as the first one does.
 */
const mended = (view: TextView): TextView =>
  edited(view, brokenPrefix, (match) => {
    const apart = view.text.charAt(match.index - 1) === "." ? "" : "\n"
    return `${apart}${prefixes[match.slice(1).findIndex((group) => group !== undefined)] ?? ""}`
  })

const writtenUnseen = /\\[bf]/

const viewsBy = (source: TextView, escapes: RegExp): ReadonlyArray<TextView> => {
  const plain = readable(source, escapes)
  const decoders = writtenUnseen.test(plain.text) ? [decoded, decodedSeen] : [decoded]
  return [
    plain,
    ...decoders.flatMap((decode) => {
      const parsed = edited(plain, encoded, decode)
      const ended = edited(parsed, escapedEnd, () => "\u001b\\")
      // Escapes that were there are gone: these were written.
      const whole = hasEscape(ended.text) ? [ended, mended(ended)] : [ended]
      return [...new Set(whole)].flatMap((one) => {
        const shown = parsed === plain ? plain : readable(one, escapes)
        const unmarked = edited(shown, marks, nothing)
        const unwrapped = edited(unmarked, wrappings, ([match]) => match === "[redacted]" ? "\n" : "")
        return [unmarked, edited(unwrapped, emphasis, nothing)]
      })
    })
  ]
}

/** An escape as text writes it, such as \u001b, \x1b, \033, \e, %1B or &#27; */
const writtenEscape = /u\{?0*1b|x0*1b|\\0?33|\\e|\^\[|%1b|%c2%[89]|&#|u00[89]/i

/** Readings in which secrets are looked for. Ordinary text without Markdown has one. */
export const viewsOf = (text: string): ReadonlyArray<TextView> => {
  const source = original(text)
  const escaped = hasEscape(text)
  const readings = escaped || writtenEscape.test(text) ? escapeReadings : escapeReadings.slice(0, 1)
  const sources = escaped ? [source, mended(edited(source, unseenCharacters, nothing))] : [source]
  return [...new Set([...new Set(sources)].flatMap((one) => readings.flatMap((escapes) => viewsBy(one, escapes))))]
}
