/** Names of repositories and the patterns for them: the one matcher of validation, minting, proxy and doctor. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { asciiLowerCase } from "../text/Ascii.ts"
import type { GitHubPolicy, PinnedRepository } from "./GitHubPolicy.ts"

/** GitHub's own rule for logins: letters, digits and single inner hyphens, at most 39; `_` is in those of managed users. */
const ownerPattern = /^[A-Za-z0-9](?:[-_]?[A-Za-z0-9]){0,38}$/u
/** GitHub's own rule for repositories; `.` and `..` are none. */
const namePattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/u

/** `name` undefined: every repository of the owner. Both in lower case. */
export interface RepositoryPattern {
  readonly owner: string
  readonly name: string | undefined
}

/** What of a path names the repository: one `.git` at the end is git's, not the name's. */
export const withoutGitSuffix = (name: string): string => (/\.git$/iu.test(name) ? name.slice(0, -4) : name)

/** `owner/repo`, without letter case; undefined for what can be the name of none. */
export const repositoryKey = (owner: string, name: string): string | undefined => {
  const bare = withoutGitSuffix(name)
  return ownerPattern.test(owner) && namePattern.test(bare) && !/\.git$/iu.test(bare)
    ? asciiLowerCase(`${owner}/${bare}`)
    : undefined
}

/** A pattern, or the sentence why it is none. */
export const parseRepositoryPattern = (text: string): Result.Result<RepositoryPattern, string> => {
  const shown = JSON.stringify(text)
  const [owner = "", name = "", ...rest] = text.split("/")
  if (text === "*" || owner === "*" || owner === "**") {
    return Result.fail(`${shown} would be everybody's repositories; name an owner, such as my-org/*`)
  }
  if (rest.length > 0 || text.includes(":")) {
    return Result.fail(`${shown} is an address; give owner/repo, without host and scheme`)
  }
  if (name === "") return Result.fail(`${shown} names no repository; give owner/repo or owner/*`)
  if (!ownerPattern.test(owner)) return Result.fail(`${shown} does not begin with an owner that GitHub could have`)
  if (name === "*") return Result.succeed({ owner: asciiLowerCase(owner), name: undefined })
  if (name.includes("*")) {
    return Result.fail(`${shown}: * stands for all repositories of an owner, not for a part of a name`)
  }
  const key = repositoryKey(owner, name)
  return key === undefined
    ? Result.fail(`${shown} does not end with a name that GitHub could have`)
    : Result.succeed({ owner: asciiLowerCase(owner), name: key.slice(owner.length + 1) })
}

export const matchesRepository = (pattern: RepositoryPattern, owner: string, name: string): boolean => {
  const key = repositoryKey(owner, name)
  if (key === undefined) return false
  return pattern.name === undefined
    ? key.startsWith(`${pattern.owner}/`)
    : key === `${pattern.owner}/${pattern.name}`
}

/** Whether one of the texts is a pattern that names the repository; a text that is no pattern names none. */
export const anyPatternMatches = (patterns: ReadonlyArray<string>, owner: string, name: string): boolean =>
  patterns.some((text) => {
    const pattern = parseRepositoryPattern(text)
    return Result.isSuccess(pattern) && matchesRepository(pattern.success, owner, name)
  })

/** `owner/repo` or `owner/*`, as a profile has it. */
export const RepositoryPatternText = Schema.String.check(
  Schema.makeFilter((text: string) =>
    Result.match(parseRepositoryPattern(text), { onSuccess: () => undefined, onFailure: (why) => why })
  )
)

/** The pinned repository of that name. */
export const pinnedByName = (policy: GitHubPolicy, owner: string, name: string): PinnedRepository | undefined => {
  const key = repositoryKey(owner, name)
  return key === undefined
    ? undefined
    : policy.repositories.find((pinned) => repositoryKey(pinned.owner, pinned.name) === key)
}

export const pinnedById = (policy: GitHubPolicy, id: number): PinnedRepository | undefined =>
  policy.repositories.find((pinned) => pinned.id === id)

/** `Owner/Repo` as GitHub has it. */
export const fullName = ({ name, owner }: PinnedRepository): string => `${owner}/${name}`
