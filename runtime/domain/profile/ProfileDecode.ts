/** Strict decoding of a merged profile: every fault at once, each with its path, its code and what to write instead. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import { durationAdvice } from "../text/DurationHint.ts"
import { durationBounds, Profile, profileFor } from "./Profile.ts"
import type { ProfileCode, ProfileFinding } from "./ProfileErrors.ts"
import { writeOutShorthands } from "./ProfileExtends.ts"

type Path = ReadonlyArray<string | number>

const strictly = { errors: "all", onExcessProperty: "error" } as const
const decodeAny = Schema.decodeUnknownResult(Profile, strictly)

/** The keys that an object at `path` may have; empty where the schema has no object. */
const keysAt = (path: Path): ReadonlyArray<string> => {
  let ast: SchemaAST.AST | undefined = Schema.toEncoded(Profile).ast
  for (const step of path) {
    const inner: SchemaAST.AST | undefined = ast
    if (inner === undefined || !SchemaAST.isObjects(inner)) return []
    ast = inner.propertySignatures.find((property) => property.name === step)?.type
  }
  if (ast === undefined || !SchemaAST.isObjects(ast)) return []
  return ast.propertySignatures.map((property) => String(property.name))
}

/** Every valid path that ends in an object's key. */
const allPaths = (path: Path = []): ReadonlyArray<Path> =>
  keysAt(path).flatMap((key) => [[...path, key], ...allPaths([...path, key])])

/** Insertions, deletions and replacements that turn `a` into `b`, letters' case aside. */
export const distance = (a: string, b: string): number => {
  const from = a.toLowerCase()
  const to = b.toLowerCase()
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}

/**
 * The candidate that takes the fewest edits to reach from `word`; the first of equals. `undefined` without candidates.
 */
export const nearest = (word: string, candidates: ReadonlyArray<string>): string | undefined =>
  candidates.reduce<{ readonly best?: string; readonly edits: number }>(
    (found, candidate) => {
      const edits = distance(word, candidate)
      return edits < found.edits ? { best: candidate, edits } : found
    },
    { edits: Infinity }
  ).best

/** `spec.cli.notifySlackInboundAllow[0]`. */
export const dotted = (path: Path): string =>
  path.reduce<string>(
    (text, step) => typeof step === "number" ? `${text}[${step}]` : text === "" ? step : `${text}.${step}`,
    ""
  )

/** A key at the wrong place is proposed with its right path, a misspelt one by its nearest neighbour. */
const unknownKey = (path: Path): string => {
  const word = String(path.at(-1))
  const elsewhere = allPaths().find((valid) => valid.at(-1) === word)
  if (elsewhere !== undefined) return `unknown key here; it belongs at ${dotted(elsewhere)}`
  const parent = path.slice(0, -1)
  const neighbours = parent.length === 0 ? [...keysAt(parent), "extends"] : keysAt(parent)
  const proposal = nearest(word, neighbours)
  return proposal === undefined ? "unknown key" : `unknown key; did you mean ${dotted([...parent, proposal])}?`
}

const valueAt = (root: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (value, step) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, step)
        ? Reflect.get(value, step)
        : undefined,
    root
  )

/** At most 60 characters of what stands there. */
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

/** What may be meant where a duration is wanted, if the key would take it. */
const adviceAt = (path: Path, value: unknown): string => {
  const bounds = durationBounds.get(dotted(path))
  return bounds === undefined ? "" : durationAdvice(value, bounds.min, bounds.max)
}

/** The leaf hook marks the kind in front of the message, since a formatted issue keeps only text and path. */
const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => `${issue._tag}:${SchemaIssue.defaultLeafHook(issue)}`
})

const finding = (raw: unknown, message: string, path: Path): ProfileFinding => {
  const [, tag = "", text = ""] = /^(UnexpectedKey|MissingKey|[A-Z]\w+):(.*)$/s.exec(message) ?? ["", "", message]
  const about: readonly [ProfileCode, string] = tag === "UnexpectedKey"
    ? ["KM-PRO-003", unknownKey(path)]
    : tag === "MissingKey"
    ? ["KM-PRO-004", "this key is required"]
    : [
      "KM-PRO-005",
      `${text.replace(/^Expected/, "expected")}, found ${shown(valueAt(raw, path))}${
        adviceAt(path, valueAt(raw, path))
      }`
    ]
  return { severity: "error", code: about[0], path, message: about[1] }
}

/**
 * The profile with every default filled in, or all of its faults in the order of the schema's keys. `agents` are those of
 * this build; without them any name may be an agent's.
 */
export const decodeProfile = (
  given: unknown,
  agents?: ReadonlyArray<string>
): Result.Result<Profile, ReadonlyArray<ProfileFinding>> => {
  const raw = writeOutShorthands(given)
  const decode = agents === undefined ? decodeAny : Schema.decodeUnknownResult(profileFor(agents), strictly)
  return Result.mapError(decode(raw), (error) =>
    format(error.issue).issues.map((issue) =>
      finding(
        raw,
        issue.message,
        (issue.path ?? []).map((step) => {
          const name = typeof step === "object" ? step.key : step
          return typeof name === "number" ? name : String(name)
        })
      )
    ))
}
