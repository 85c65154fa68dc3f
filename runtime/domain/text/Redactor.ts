/**
 * Takes secrets out of text before it leaves the sandbox: the exact values the runtime handed out, in the encodings
 * they are met in, and the known shapes of tokens. They are looked for in every reading of the text (`TextViews.ts`), so
 * that no escape, hidden character or mark within a secret keeps it from being found. One redactor covers posts and the
 * uploaded session.
 */

import { withoutHidden } from "./HiddenText.ts"
import { type Range, type TextView, viewsOf } from "./TextViews.ts"
import { labelled, shapePattern } from "./TokenShapes.ts"

/** What stands in a secret's place: ASCII without quotes or backslashes, so it is safe inside a JSON string. */
export const redactedMark = "[redacted]"

/** A shorter value is left alone: it would be found all over ordinary text. */
export const minSecretLength = 8

/** Levels of arrays and objects that are walked; what lies deeper is replaced whole. */
export const maxJsonDepth = 200

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")

const jsonEscaped = (text: string): string => JSON.stringify(text).slice(1, -1)

/**
 * The part of base64 text that is the same whatever stands before and after `bytes`, for each of the three ways in
 * which they can fall on the groups of three (`user:token` in basic authentication falls on any of them).
 */
const base64Cores = (bytes: Buffer): ReadonlyArray<string> =>
  [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64").replaceAll("=", "")
    const tail = (offset + bytes.length) % 3
    return encoded.slice(offset === 0 ? 0 : offset + 1, tail === 0 ? undefined : -1)
  })

/** Every spelling of one secret that is looked for. Percent escapes and the like are decoded in the readings. */
const spellings = (secret: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(secret)
  const cores = base64Cores(bytes)
  const lines = secret.split(/\r?\n/).filter((line) => line.length >= 20)
  return [
    secret,
    jsonEscaped(secret),
    jsonEscaped(jsonEscaped(secret)),
    ...cores,
    ...cores.map((core) => core.replaceAll("+", "-").replaceAll("/", "_")),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    ...lines
  ]
}

const parse = (line: string): { readonly value: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return { value }
  } catch {
    return undefined
  }
}

/** A pure redactor: the same text always gives the same result, and what it returns is not changed by a second pass. */
export interface Redactor {
  /**
   * For text of any kind: without secrets, terminal escapes and hidden characters, so that nothing is left in it whose
   * later removal would join the pieces of a secret. Not for JSON source: use `jsonLine`, which looks inside the strings.
   */
  readonly text: (text: string) => string
  /**
   * One line of JSONL: every string and key of the parsed value is redacted, so valid JSON stays valid JSON. A line
   * in which nothing is found is returned byte for byte. A line that is no JSON is treated as text.
   */
  readonly jsonLine: (line: string) => string
  /** For values that were parsed already. Strings, keys, and nothing else, change. */
  readonly value: (value: unknown) => unknown
}

/** In ascending order; those that touch are one. */
const merged = (ranges: ReadonlyArray<Range>): ReadonlyArray<Range> => {
  const out: Array<[number, number]> = []
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = out.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to)
    else out.push([from, to])
  }
  return out
}

const secretsIn = (view: TextView, patterns: ReadonlyArray<RegExp>): ReadonlyArray<Range> => {
  const found: Array<Range> = []
  for (const pattern of patterns) {
    for (const match of view.text.matchAll(pattern)) {
      const begin = match.index + (match[1]?.length ?? 0)
      const end = match.index + match[0].length
      if (view.text.slice(begin, end) !== redactedMark) found.push([begin, end])
    }
  }
  return view.origin(merged(found))
}

/** A replacement can bring a boundary next to what had none; more than a few rounds are not met. */
const maxRounds = 8

/** Looks for `secrets` (those of at least 8 characters) and for the known shapes of tokens. */
export const makeRedactor = (secrets: Iterable<string>): Redactor => {
  const spelled = Array.from(secrets).filter((secret) => secret.length >= minSecretLength).flatMap(spellings)
  const exact = [...new Set(spelled.flatMap((secret) => [secret, ...viewsOf(secret).map((view) => view.text)]))]
    .filter((spelling) => spelling.length >= minSecretLength)
    .toSorted((a, b) => b.length - a.length)
  const patterns = [
    ...(exact.length === 0 ? [] : [new RegExp(exact.map(escapePattern).join("|"), "g")]),
    shapePattern,
    ...labelled
  ]

  /** The text with what was found replaced and the rest without what is not seen; undefined when nothing was found. */
  const replaced = (text: string): string | undefined => {
    const ranges = merged(viewsOf(text).flatMap((view) => secretsIn(view, patterns)))
    if (ranges.length === 0) return undefined
    const pieces: Array<string> = []
    let from = 0
    for (const [begin, end] of ranges) {
      // Piece by piece, or an escape that was cut would end with the first character of our mark.
      pieces.push(withoutHidden(text.slice(from, begin)), redactedMark)
      from = end
    }
    pieces.push(withoutHidden(text.slice(from)))
    return pieces.join("")
  }

  const redacted = (input: string): string | undefined => {
    let output = replaced(input)
    for (let round = 1; output !== undefined && round < maxRounds; round++) {
      const next = replaced(output)
      if (next === undefined) break
      output = next
    }
    return output
  }

  /** Inside JSON a string in which nothing is found stays as it is. */
  const inJson = (input: string): string => redacted(input) ?? input

  const walk = (value: unknown, depth: number): unknown => {
    if (typeof value === "string") return inJson(value)
    if (typeof value === "number" && exact.length > 0) return redacted(String(value)) ?? value
    if (typeof value !== "object" || value === null) return value
    if (depth > maxJsonDepth) return redactedMark
    if (Array.isArray(value)) {
      const items = value.map((item: unknown) => walk(item, depth + 1))
      return items.some((item, index) => item !== value[index]) ? items : value
    }
    const members = Object.entries(value).map(([key, item]) => ({
      key,
      item,
      newKey: inJson(key),
      newItem: walk(item, depth + 1)
    }))
    const changed = members.some(({ item, key, newItem, newKey }) => newKey !== key || newItem !== item)
    return changed ? Object.fromEntries(members.map(({ newItem, newKey }) => [newKey, newItem])) : value
  }

  const text = (input: string): string => redacted(input) ?? withoutHidden(input)

  const jsonLine = (line: string): string => {
    const parsed = parse(line)
    if (parsed === undefined) return text(line)
    const clean = walk(parsed.value, 0)
    if (clean !== parsed.value) return JSON.stringify(clean)
    // Of a key that is written twice parsing shows the last value only, and the line holds both.
    const again = JSON.stringify(clean)
    return again === line || replaced(line) === undefined ? line : again
  }

  return { text, jsonLine, value: (value) => walk(value, 0) }
}

/** Bytes of characters that a stream may hold back while it waits for the end of a line; more is cut there. */
export const maxHeldCharacters = 4 * 1024 * 1024

/**
 * Redacts JSONL that arrives in pieces: only whole lines come out, so a secret that straddles two pieces is seen
 * whole. `end` gives what is left. A line over 4 MiB characters is dropped and replaced by a JSON note, because half
 * a line can hide half a secret.
 */
export const makeJsonLines = (redactor: Redactor): {
  readonly push: (chunk: string) => string
  readonly end: () => string
} => {
  let held: Array<string> = []
  let heldLength = 0
  let dropping = false
  const note = JSON.stringify({ type: "redacted", reason: "the line is too long to be checked for secrets" })
  const take = (line: string): string => {
    const whole = held.join("") + line
    held = []
    heldLength = 0
    if (dropping) {
      dropping = false
      return note
    }
    return redactor.jsonLine(whole)
  }
  const hold = (piece: string): void => {
    heldLength += piece.length
    if (heldLength > maxHeldCharacters) {
      dropping = true
      held = []
    } else held.push(piece)
  }
  return {
    push: (chunk) => {
      let output = ""
      let start = 0
      for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
        output += take(chunk.slice(start, end)) + "\n"
        start = end + 1
      }
      hold(chunk.slice(start))
      return output
    },
    end: () => take("")
  }
}
