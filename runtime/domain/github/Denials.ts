/** The sentences of a refusal: one wording for git's output, the API's answers, the thread and `km policy test`. */
import type { DenyRule } from "./DenyRules.ts"
import type { Denied, GitHubPolicy } from "./GitHubPolicy.ts"
import { anyPatternMatches, withoutGitSuffix } from "./Repositories.ts"
import { defaultGithubHost } from "./Repository.ts"

export const denied = (rule: DenyRule, message: string, allow = ""): Denied => ({
  _tag: "Denied",
  rule,
  message,
  allow
})

/** At most so many patterns are named in a sentence. */
const shownPatterns = 8

/** `feature/*, fix/* and 3 more`; "none" for an empty list. */
export const listed = (patterns: ReadonlyArray<string>): string => {
  const shown = patterns.slice(0, shownPatterns).join(", ")
  const more = patterns.length - shownPatterns
  return patterns.length === 0 ? "none" : more > 0 ? `${shown} and ${more} more` : shown
}

/** Printable, and no longer than a line: names that come from a request are shown to people. */
export const shown = (text: string): string => {
  const plain = text.toWellFormed().replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, "\uFFFD")
  return plain.length > 120 ? `${plain.slice(0, 119).toWellFormed()}…` : plain
}

/** A repository as `allowedRepos` is to have it: beside github.com, with its host in front. */
export const asListed = ({ host }: GitHubPolicy, repository: string): string =>
  host === defaultGithubHost ? repository : `${host}/${repository}`

export const unlistedRepository = (policy: GitHubPolicy, owner: string, name: string): Denied => {
  // As the profile is to have it: `.git` is git's own.
  const repository = `${shown(owner)}/${shown(withoutGitSuffix(name))}`
  return anyPatternMatches(policy.allowedRepos, owner, name)
    ? denied(
      "repository.lost",
      `${repository} is allowed, but the GitHub App is not installed on it`,
      "add the repository to the App's installation on GitHub"
    )
    : denied(
      "repository.unlisted",
      `${repository} is not a repository of this sandbox; allowed are: ${listed(policy.allowedRepos)}`,
      `add ${asListed(policy, repository)} to spec.sourceAccess.github.allowedRepos`
    )
}

export const readonlyPolicy: Denied = denied(
  "repository.readonly",
  "nothing may be pushed: spec.sourceAccess.github.allowedRefs is empty",
  "name refs in spec.sourceAccess.github.allowedRefs, such as \"feature/*\""
)
