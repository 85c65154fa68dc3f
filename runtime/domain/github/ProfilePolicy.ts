/** From what a profile says of GitHub to the policy of one sandbox on one GitHub. */
import { asciiLowerCase } from "../text/Ascii.ts"
import type { Capability, GitHubPolicy, PinnedRepository } from "./GitHubPolicy.ts"
import { anyPatternMatches } from "./Repositories.ts"

/** `spec.sourceAccess`, as a profile has it. */
export interface SourceAccess {
  readonly mode: "allowlist" | "audit" | "none"
  readonly github: {
    readonly allowedRepos: ReadonlyArray<string>
    readonly allowedRefs: ReadonlyArray<string>
    readonly allowDelete: boolean
    readonly allowForce: boolean
    readonly publicRead: ReadonlyArray<string>
    readonly capabilities: ReadonlyArray<Capability>
  }
}

export const usualHost = "github.com"

/** The host in front of a pattern's `owner/…`, lower case; github.com where there is none. */
export const hostOf = (pattern: string): string => {
  const parts = pattern.split("/")
  return parts.length > 2 ? asciiLowerCase(parts[0] ?? "") : usualHost
}

/**
 * `repositories` are those on `host` that tokens are minted for. With `mode: none` there is nothing: no repository, also none to be read
 * without a token.
 */
export const profilePolicy = (
  { github, mode }: SourceAccess,
  host: string,
  repositories: ReadonlyArray<PinnedRepository>
): GitHubPolicy => {
  const here = (patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
    mode === "none"
      ? []
      : patterns.filter((pattern) => hostOf(pattern) === host).map((pattern) => pattern.split("/").slice(-2).join("/"))
  return {
    host,
    allowedRepos: here(github.allowedRepos),
    repositories: mode === "none" ? [] : repositories,
    capabilities: github.capabilities,
    allowedRefs: github.allowedRefs,
    allowDelete: github.allowDelete,
    allowForce: github.allowForce,
    publicRead: here(github.publicRead),
    mode: mode === "audit" ? "audit" : "enforce"
  }
}

/** The same as if the App were installed on every repository that is asked about, where a pattern names it. */
export const supposedPolicy = (
  access: SourceAccess,
  host: string,
  asked: ReadonlyArray<Omit<PinnedRepository, "id">>
): GitHubPolicy => {
  const policy = profilePolicy(access, host, [])
  const pinned = asked.filter(({ name, owner }) => anyPatternMatches(policy.allowedRepos, owner, name))
  return { ...policy, repositories: pinned.map((repository, index) => ({ ...repository, id: index + 1 })) }
}
