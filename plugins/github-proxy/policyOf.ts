/** The profile's rules for one GitHub, with the repositories that tokens are for, and how the agent is told of them. */
import { loopbackPort } from "../../runtime/domain/github/AppSettings.ts"
import type { GitHubPolicy } from "../../runtime/domain/github/GitHubPolicy.ts"
import { hostOf, profilePolicy } from "../../runtime/domain/github/ProfilePolicy.ts"
import type { ReachableRepository } from "../../runtime/ports/RepositoryTokens.ts"
import type { GithubProxyConfig } from "./GithubProxyConfig.ts"
import type { OwnGitHubs } from "./outside/Outside.ts"
import { gitHubAddress } from "./request/GitHubHosts.ts"

/** Every GitHub that the profile names; `github.com` where it names none. */
export const gitHubsOf = (
  { allowedRepos, publicRead }: GithubProxyConfig
): readonly [string, ...ReadonlyArray<string>] => {
  const [first, ...others] = new Set([...allowedRepos, ...publicRead].map(hostOf))
  return [first ?? "github.com", ...others]
}

/**
 * How the GitHubs that a profile names are reached where they are the install's own. A profile alone opens no way into a
 * private network: the operator has an App there.
 */
export const ownGitHubs = (gitHubs: ReadonlyArray<string>, installed: ReadonlyArray<string>): OwnGitHubs => {
  const own = gitHubs.filter((github) => github !== "github.com" && installed.includes(github))
  return {
    privateHosts: own.map((github) => gitHubAddress(github).host),
    loopback: new Map(own.flatMap((github) => {
      const { host } = gitHubAddress(github)
      const port = loopbackPort(github)
      return port === undefined ? [] : [[host, port] as const]
    }))
  }
}

export const policyOf = (
  { mode, ...github }: GithubProxyConfig,
  host: string,
  repositories: ReadonlyArray<ReachableRepository>
): GitHubPolicy =>
  profilePolicy(
    { mode, github },
    host,
    repositories.filter((one) => one.host === host).map(({ id, name, owner }) => ({ id, owner, name }))
  )

const listed = (words: ReadonlyArray<string>): string =>
  words.length <= 20 ? words.join(", ") : `${words.slice(0, 20).join(", ")} and ${words.length - 20} more`

/** What the agent is told, so that it does not have to find out by being refused. */
export const policyLines = (config: GithubProxyConfig): ReadonlyArray<string> => [
  config.allowedRepos.length === 0
    ? "GitHub: no repository can be reached."
    : `GitHub: these repositories can be reached by https, without any token of yours: ${listed(config.allowedRepos)}.`,
  ...(config.publicRead.length === 0 ? [] : [`GitHub: may be read as anybody can: ${listed(config.publicRead)}.`]),
  ...(config.allowedRepos.length === 0 ? [] : [
    config.mode === "audit"
      ? "Refs are not enforced here: what you push is reported to the operator."
      : config.allowedRefs.length === 0
      ? "Nothing may be pushed."
      : `Refs that may be pushed: ${listed(config.allowedRefs)}; deleting is ${
        config.allowDelete ? "" : "not "
      }allowed, forcing is ${config.allowForce ? "" : "not "}allowed. A refused push says why and how it is allowed.`
  ]),
  config.allowedHosts.length === 0
    ? "No other host can be reached."
    : `Other hosts that can be reached: ${listed(config.allowedHosts)}; no more.`
]
