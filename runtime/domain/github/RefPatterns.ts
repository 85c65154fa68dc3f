// Which refs may be moved, as a profile writes it. A bare name is a branch, `refs/…` is taken as it is; `*` stands for any
// characters of one segment, `**` also across segments, a whole segment `**` before a slash also for none at all: `a/**/b`
// has `a/b`. A pattern that begins with `!` denies, and wins wherever it stands.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isRefName } from "./RefNames.ts"

/** Where the proxy itself puts what it has not decided about; no pattern opens it. */
export const ownRefs = "refs/km/"

/** Wildcards in one pattern: more is a mistake. */
const maxWildcards = 16

/** `any`: within a segment. `deep`: across segments. `folders`: whole segments with the slash behind each, or none. */
type Token = { readonly literal: string } | { readonly wildcard: "any" | "deep" | "folders" }

export interface RefPattern {
  readonly text: string
  readonly denies: boolean
  readonly tokens: ReadonlyArray<Token>
}

const tokensOf = (pattern: string): ReadonlyArray<Token> =>
  pattern.split(/((?<=\/)\*\*\/|\*+)/u).flatMap((part): ReadonlyArray<Token> => {
    if (part === "") return []
    if (part === "**/") return [{ wildcard: "folders" }]
    if (part === "**") return [{ wildcard: "deep" }]
    return part === "*" ? [{ wildcard: "any" }] : [{ literal: part }]
  })

/** A pattern, or the sentence why it is none. One that no ref could ever match is none. */
export const parseRefPattern = (text: string): Result.Result<RefPattern, string> => {
  const shown = JSON.stringify(text)
  const denies = text.startsWith("!")
  const bare = denies ? text.slice(1) : text
  if (bare === "") return Result.fail(`${shown} names no ref`)
  const full = bare.startsWith("refs/") ? bare : `refs/heads/${bare}`
  if (/\*{3}/u.test(full)) return Result.fail(`${shown}: use * within one segment or ** across segments`)
  if ((full.match(/\*+/gu)?.length ?? 0) > maxWildcards) {
    return Result.fail(`${shown} has more than ${maxWildcards} wildcards`)
  }
  // The shortest ref that it could stand for; `refs/*` and `refs/**` stand for longer ones.
  const example = full.replaceAll(/\*+/gu, "x")
  if (!isRefName(example) && !isRefName(`${example}/x`)) {
    return Result.fail(`${shown} can match no ref: git takes no such name`)
  }
  if (!isRefName(example) && !full.endsWith("**")) return Result.fail(`${shown} can match no ref: it is too short`)
  if (!denies && full.startsWith(ownRefs)) return Result.fail(`${shown}: ${ownRefs} is km's own`)
  return Result.succeed({ text, denies, tokens: tokensOf(full) })
}

/**
 * Whether the tokens are the whole name. Linear but for wildcards, at worst length times tokens: the last wildcard of
 * each reach is the only one that must ever be tried longer.
 */
export const matchesTokens = (tokens: ReadonlyArray<Token>, ref: string): boolean => {
  let token = 0
  let at = 0
  /** Where to go on after the wildcard took more: its token, and how far it reaches. */
  let near: { readonly token: number; end: number } | undefined
  let far: { readonly token: number; readonly folders: boolean; end: number } | undefined
  for (;;) {
    const next = tokens[token]
    if (next === undefined && at === ref.length) return true
    if (next !== undefined && "literal" in next && ref.startsWith(next.literal, at)) {
      at += next.literal.length
      token++
      continue
    }
    if (next !== undefined && "wildcard" in next) {
      token++
      if (next.wildcard === "any") near = { token, end: at }
      else {
        near = undefined
        far = { token, folders: next.wildcard === "folders", end: at }
      }
      continue
    }
    if (near !== undefined && near.end < ref.length && ref[near.end] !== "/") {
      near.end++
      token = near.token
      at = near.end
      continue
    }
    if (far === undefined) return false
    const end: number = far.folders ? ref.indexOf("/", far.end) + 1 : far.end + 1
    if (end === 0 || end > ref.length) return false
    far.end = end
    near = undefined
    token = far.token
    at = end
  }
}

export const matchesRef = (pattern: RefPattern, ref: string): boolean => matchesTokens(pattern.tokens, ref)

/** A ref pattern, as a profile has it. */
export const RefPatternText = Schema.String.check(
  Schema.makeFilter((text: string) =>
    Result.match(parseRefPattern(text), { onSuccess: () => undefined, onFailure: (why) => why })
  )
)

/** What the patterns say of a ref. */
export type RefStanding =
  | { readonly _tag: "allowed" }
  | { readonly _tag: "unlisted" }
  | { readonly _tag: "denied"; readonly by: string }

/** The patterns of a profile, made ready; what is no pattern allows nothing, and a denial that is none denies everything. */
export const refRules = (patterns: ReadonlyArray<string>): (ref: string) => RefStanding => {
  const parsed: ReadonlyArray<RefPattern> = patterns.flatMap((text) => {
    const pattern = parseRefPattern(text)
    if (Result.isSuccess(pattern)) return [pattern.success]
    return text.startsWith("!") ? [{ text, denies: true, tokens: [{ wildcard: "deep" }] }] : []
  })
  const denying = parsed.filter(({ denies }) => denies)
  const allowing = parsed.filter(({ denies }) => !denies)
  return (ref) => {
    if (ref.startsWith(ownRefs)) return { _tag: "denied", by: `!${ownRefs}**` }
    const by = denying.find((pattern) => matchesRef(pattern, ref))
    if (by !== undefined) return { _tag: "denied", by: by.text }
    return { _tag: allowing.some((pattern) => matchesRef(pattern, ref)) ? "allowed" : "unlisted" }
  }
}
