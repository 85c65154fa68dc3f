/** A message of several, and what makes two of one that reads otherwise by itself. */
import { blocksOf } from "./markdownBlocks.ts"

/** One message. `glue + text`, with `opens` and `closes` taken off, gives the source back. */
export interface MarkdownPart {
  readonly text: string
  /** What we put before it: the marks of what it goes on with. */
  readonly opens: string
  /** What we put after it: the marks that close what it leaves open. */
  readonly closes: string
  /** What stood between the previous part and this one and is shown by neither: line ends, blanks, marks of `opens`. */
  readonly glue: string
}

/** A line that may be a table's rule. */
export const mayHoldTable = /^[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\||$)/m

/**
 * Cut off from what stood before it, a line may be read as a table that was none: such a part is cut as it reads by itself.
 * A cut only takes lines from what it leaves, so this ends.
 */
export const atItsTables = (
  part: MarkdownPart,
  partsOf: (text: string) => ReadonlyArray<MarkdownPart>
): ReadonlyArray<MarkdownPart> => {
  if (!mayHoldTable.test(part.text)) return [part]
  const { blockOf } = blocksOf(part.text)
  const tables = blockOf.filter((block, line) => block?.kind === "table" && block.first === line).length
  if (tables < 2) return [part]
  const parts = partsOf(part.text)
  const first = parts[0]
  const last = parts.at(-1)
  if (parts.length < 2 || first === undefined || last === undefined) return [part]
  return parts.map((one) => ({
    ...one,
    ...(one === first ? { opens: part.opens + one.opens, glue: part.glue } : {}),
    ...(one === last ? { closes: one.closes + part.closes } : {})
  }))
}
