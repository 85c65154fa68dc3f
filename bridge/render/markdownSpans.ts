/** Where the inline parts of one paragraph stand in it: code, links and emphasis, as CommonMark reads them. */
import MarkdownIt from "markdown-it"
import { type Definitions, environmentOf } from "./definitions.ts"

/** Offsets in the text. `open` and `close` are what stands before and after the inner text. */
export interface Span {
  readonly kind: "code" | "link" | "emphasis" | "atom"
  readonly start: number
  readonly end: number
  readonly open: string
  readonly close: string
}

interface Collector {
  readonly text: string
  readonly spans: Array<Span>
  /** Where a delimiter's token stands. */
  readonly at: Map<object, number>
}
const collectorKey = Symbol("km/bridge/render/markdownSpans")
const isCollector = (value: unknown): value is Collector => typeof value === "object" && value !== null

const markdown = new MarkdownIt("default", { html: true })
const names = [
  "text",
  "newline",
  "escape",
  "backticks",
  "strikethrough",
  "emphasis",
  "link",
  "image",
  "autolink",
  "html_inline",
  "entity"
]
type Rule = ReturnType<typeof markdown.inline.ruler.getRules>[number]
type State = Parameters<Rule>[0]

/** A label's end where a link or image begins at `start`. */
const linkSpan = (state: State, start: number): Span => {
  const open = state.src[start] === "!" ? "![" : "["
  const labelEnd = markdown.helpers.parseLinkLabel(state, start + open.length - 1, open === "[")
  const end = state.pos
  const close = state.src.slice(labelEnd, end)
  // A reference by its own words names another one when a word is missing.
  return /^\](?:\[\s*\])?$/.test(close)
    ? { kind: "atom", start, end, open: "", close: "" }
    : { kind: "link", start, end, open, close }
}

const codeSpan = (state: State, start: number): Span => {
  const marker = /^`+/.exec(state.src.slice(start, state.pos))?.[0] ?? "`"
  return { kind: "code", start, end: state.pos, open: marker, close: marker }
}

const noted: Readonly<Record<string, (state: State, start: number, known: Collector) => void>> = {
  backticks: (state, start, known) => {
    // Marks without a partner are plain text.
    if (state.tokens.at(-1)?.type === "code_inline" && state.pending === "") known.spans.push(codeSpan(state, start))
  },
  link: (state, start, known) => void known.spans.push(linkSpan(state, start)),
  image: (state, start, known) => void known.spans.push(linkSpan(state, start)),
  autolink: (state, start, known) => void known.spans.push(atom(state, start)),
  html_inline: (state, start, known) => void known.spans.push(atom(state, start)),
  entity: (state, start, known) => void known.spans.push(atom(state, start)),
  escape: (state, start, known) => void known.spans.push(atom(state, start)),
  emphasis: (state, start, known) => delimiters(state, start, known),
  strikethrough: (state, start, known) => delimiters(state, start, known)
}

const atom = (state: State, start: number): Span => ({ kind: "atom", start, end: state.pos, open: "", close: "" })

/** Each delimiter has become a token; the last of them ends where the parser stands. */
const delimiters = (state: State, start: number, known: Collector): void => {
  let at = state.pos
  for (let index = state.tokens.length - 1; index >= 0 && at > start; index--) {
    const token = state.tokens[index]
    if (token === undefined) return
    at -= token.content.length
    known.at.set(token, at)
  }
}

for (const name of names) {
  const note = noted[name]
  if (note === undefined) continue
  markdown.inline.ruler.enableOnly([name])
  const [rule] = markdown.inline.ruler.getRules("")
  if (rule === undefined) throw new Error(`markdown-it has no rule ${name}`)
  markdown.inline.ruler.at(name, (state, silent) => {
    const start = state.pos
    const is = rule(state, silent)
    const known: unknown = state.env[collectorKey]
    // An image's label is parsed by itself, as another text.
    if (is && !silent && isCollector(known) && known.text === state.src) note(state, start, known)
    return is
  })
}
markdown.inline.ruler.enableOnly(names)

/**
 * In order of their starts, outer before inner. `text` without the marks of the blocks around it; `definitions` of the
 * whole that it is from.
 */
export const spansOf = (text: string, definitions: Definitions = new Map()): ReadonlyArray<Span> => {
  const collector: Collector = { text, spans: [], at: new Map() }
  const tokens: Parameters<typeof markdown.inline.parse>[3] = []
  markdown.inline.parse(text, markdown, { ...environmentOf(definitions), [collectorKey]: collector }, tokens)
  const open: Array<number | undefined> = []
  for (const token of tokens) {
    if (!/^(?:em|strong|s)_/.test(token.type)) continue
    if (token.nesting === 1) open.push(collector.at.get(token))
    else {
      const from = open.pop()
      const to = collector.at.get(token)
      if (from === undefined || to === undefined) continue
      const { length } = token.markup
      // The token of a strong mark is the inner one of two.
      const width = token.type === "s_close" ? 0 : length - 1
      const start = from - width
      const end = to + length
      collector.spans.push({ kind: "emphasis", start, end, open: token.markup, close: token.markup })
    }
  }
  return collector.spans.toSorted((a, b) => a.start - b.start || b.end - a.end)
}
