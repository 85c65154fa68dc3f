/** YAML as plain data, within limits: what is too deep, too much or part of itself is refused, never followed. */
import * as Result from "effect/Result"
import { type Document, LineCounter, parseDocument } from "yaml"

/** A fault with its place, if it is in one; both count from 1. */
export interface YamlFault {
  readonly message: string
  readonly line?: number
  readonly column?: number
}

export interface ReadYaml {
  readonly document: Document.Parsed
  readonly lines: LineCounter
  /** A tree: no value is part of itself. */
  readonly raw: unknown
}

/** Levels. The deepest schema of ours has 5; the rest is room for what a person indents by mistake. */
const maxDepth = 64

const tooDeep = `nested deeper than ${maxDepth} levels`

/** Faults that are told; a text that is no YAML may have one in every character. */
const maxFaults = 20

/** Aliases that may be followed; the package counts what they multiply to. */
const maxAliases = 50

const isPlain = (value: object): boolean =>
  Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)

/** Why it is no tree of at most `maxDepth` levels, or undefined. Ends: a value that is part of itself is deep without end. */
const unfit = (value: unknown, above: ReadonlyArray<object>): string | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  if (above.includes(value)) return "an alias stands in what it names"
  if (!isPlain(value)) return "a tag makes of it what is neither text, number, list nor map"
  if (above.length >= maxDepth) return tooDeep
  const path = [...above, value]
  for (const child of Object.values(value)) {
    const why = unfit(child, path)
    if (why !== undefined) return why
  }
  return undefined
}

const unusable = (why: string): ReadonlyArray<YamlFault> => [{ message: `not usable YAML: ${why}` }]

/** The parser calls itself for each level, and says by an overflow, of the stack or in a fault, that there were too many. */
const saysTooDeep = (message: string): boolean => /call stack/i.test(message)

const reasonOf = (cause: unknown): string => {
  const message = cause instanceof Error ? cause.message : String(cause)
  return saysTooDeep(message) ? tooDeep : message
}

/** The caller has bounded the text. Warnings are faults: they are for what would be read otherwise than it was meant. */
export const readYaml = (text: string): Result.Result<ReadYaml, ReadonlyArray<YamlFault>> => {
  const lines = new LineCounter()
  const parsed = Result.try({
    try: () => parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, logLevel: "error" }),
    catch: (cause) => unusable(reasonOf(cause))
  })
  return Result.flatMap(parsed, (document) => {
    const faults = [...document.errors, ...document.warnings]
    if (faults.some(({ message }) => saysTooDeep(message))) return Result.fail(unusable(tooDeep))
    if (faults.length > 0) {
      return Result.fail(
        faults.slice(0, maxFaults).map((fault) => {
          const { col, line } = lines.linePos(fault.pos[0])
          return { message: `not valid YAML: ${fault.message}`, line, column: col }
        })
      )
    }
    return Result.try({
      // Strings come out as written: a number too large for JavaScript is refused by its type, not rounded.
      try: (): unknown => document.toJS({ maxAliasCount: maxAliases }),
      catch: (cause) => unusable(reasonOf(cause))
    }).pipe(Result.flatMap((raw) => {
      const why = unfit(raw, [])
      return why === undefined
        ? Result.succeed({ document, lines, raw })
        : Result.fail(unusable(why))
    }))
  })
}
