/**
 * Where the blocks of a Markdown text stand in its source, as CommonMark with GitHub's tables reads them: for each line
 * its block, the quotes and list items around it, and where their own characters end.
 */
import MarkdownIt from "markdown-it"

/** A quote or a list item. What it puts before its first line is `marker`; before its others, blanks or `>`. */
export type Container =
  | { readonly kind: "quote" }
  | {
    readonly kind: "item"
    /** `-`, `3.` */
    readonly marker: string
    /** Columns from where the item's marker may stand to its content. */
    readonly width: number
  }

export interface Block {
  readonly kind: "fence" | "code" | "table" | "heading" | "text" | "html"
  /** Its first line, and the line after its last. */
  readonly first: number
  readonly end: number
  readonly containers: ReadonlyArray<Container>
  /** Offset in the source of the first line's content, behind the containers' marks and the indentation. */
  readonly content: number
  /** Columns of a fence's own indentation, 0–3. */
  readonly indent: number
  /** A fence's marker, a heading's `##`, `=` or `-`. */
  readonly markup: string
  /** A fence's info string. */
  readonly info: string
}

export interface BlockMap {
  /** Offset of each line's first character; one more than there are lines, the last is the length plus one. */
  readonly lineStarts: ReadonlyArray<number>
  /** The block of a line; undefined for blank lines, link definitions, and what is nested more than 100 deep. */
  readonly blockOf: ReadonlyArray<Block | undefined>
  /**
   * For a line of a block: the containers that were begun before that line, and the offset in the source behind their
   * marks.
   */
  readonly cutOf: ReadonlyArray<Cut | undefined>
}

export interface Cut {
  readonly containers: ReadonlyArray<Container>
  readonly at: number
}

const kinds: Readonly<Record<string, Block["kind"]>> = {
  fence: "fence",
  code_block: "code",
  table_open: "table",
  heading_open: "heading",
  paragraph_open: "text",
  html_block: "html",
  hr: "text"
}

const markdown = new MarkdownIt("default", { html: true })
markdown.core.ruler.enableOnly(["block"])
type State = InstanceType<typeof markdown.block.State>

interface Collector {
  readonly stack: Array<{ readonly container: Container; readonly indent: number }>
  readonly blockOf: Array<Block | undefined>
  readonly cutOf: Array<Cut | undefined>
}
const collectorKey = Symbol("km/bridge/render/markdownBlocks")

const isCollector = (value: unknown): value is Collector => typeof value === "object" && value !== null
const collectorOf = (state: State): Collector => {
  const found: unknown = state.env[collectorKey]
  if (!isCollector(found)) throw new Error("the parser runs without its collector")
  return found
}

/** Offset behind the blanks of at most `indent` columns at the beginning of the line, as its container sees it. */
const behindIndent = (state: State, line: number, indent: number): number => {
  let at = state.bMarks[line] ?? 0
  let column = 0
  while (column < indent) {
    const blank = state.src[at]
    if (blank !== " " && blank !== "\t") break
    column += blank === "\t" ? 4 - (column + (state.bsCount[line] ?? 0)) % 4 : 1
    if (column > indent) break
    at += 1
  }
  return at
}

const containersOf = (collector: Collector): ReadonlyArray<Container> => collector.stack.map((it) => it.container)

const tokenize = markdown.block.tokenize.bind(markdown.block)

/** Runs once for the document and once inside each container, while the state knows where that container's lines begin. */
markdown.block.tokenize = (state, startLine, endLine) => {
  const collector = collectorOf(state)
  const opened = state.tokens.at(-1)
  const inside = opened?.type === "list_item_open" || opened?.type === "blockquote_open"
  if (inside && opened.type === "list_item_open") {
    const outer = collector.stack.at(-1)?.indent ?? 0
    const indent = state.blkIndent
    collector.cutOf[startLine] ??= {
      containers: containersOf(collector),
      at: behindIndent(state, startLine, outer)
    }
    collector.stack.push({
      container: { kind: "item", marker: opened.info + opened.markup, width: indent - outer },
      indent
    })
  } else if (inside) {
    // The quote's own marks are already taken off: its first line was looked at by the rule below.
    collector.stack.push({ container: { kind: "quote" }, indent: 0 })
  }
  const containers = containersOf(collector)
  const before = state.tokens.length
  tokenize(state, startLine, endLine)
  let depth = 0
  for (let index = before; index < state.tokens.length; index++) {
    const token = state.tokens[index]
    if (token === undefined) continue
    if (token.type === "list_item_open" || token.type === "blockquote_open") depth += 1
    else if (token.type === "list_item_close" || token.type === "blockquote_close") depth -= 1
    const kind = kinds[token.type]
    if (depth > 0 || kind === undefined || token.map === null) continue
    const [first, end] = token.map
    const block: Block = {
      kind,
      first,
      end,
      containers,
      content: (state.bMarks[first] ?? 0) + (state.tShift[first] ?? 0),
      indent: Math.max(0, (state.sCount[first] ?? 0) - state.blkIndent),
      markup: token.markup,
      info: token.info
    }
    for (let line = first; line < end; line++) {
      collector.blockOf[line] = block
      collector.cutOf[line] ??= { containers, at: behindIndent(state, line, state.blkIndent) }
    }
  }
  if (inside) collector.stack.pop()
}

const quoteRule = ruleOf("blockquote")
markdown.block.ruler.at("blockquote", (state, startLine, endLine, silent) => {
  const collector = collectorOf(state)
  const known = collector.cutOf[startLine]
  if (!silent) {
    collector.cutOf[startLine] ??= {
      containers: containersOf(collector),
      at: behindIndent(state, startLine, state.blkIndent)
    }
  }
  const is = quoteRule(state, startLine, endLine, silent)
  if (!is && !silent) collector.cutOf[startLine] = known
  return is
}, { alt: ["paragraph", "reference", "blockquote", "list"] })

function ruleOf(name: string) {
  const all = markdown.block.ruler
  const enabled = [
    "table",
    "code",
    "fence",
    "blockquote",
    "hr",
    "list",
    "reference",
    "html_block",
    "heading",
    "lheading",
    "paragraph"
  ]
  all.enableOnly([name])
  const [rule] = all.getRules("")
  all.enableOnly(enabled)
  if (rule === undefined) throw new Error(`markdown-it has no rule ${name}`)
  return rule
}

/** `source` must have plain line ends (`\n`). */
export const blocksOf = (source: string): BlockMap => {
  const lineStarts = [0]
  for (let at = source.indexOf("\n"); at >= 0; at = source.indexOf("\n", at + 1)) lineStarts.push(at + 1)
  const lines = lineStarts.length
  lineStarts.push(source.length + 1)
  const collector: Collector = {
    stack: [],
    blockOf: Array.from({ length: lines }, () => undefined),
    cutOf: Array.from({ length: lines }, () => undefined)
  }
  markdown.parse(source, { [collectorKey]: collector })
  return { lineStarts, blockOf: collector.blockOf, cutOf: collector.cutOf }
}
