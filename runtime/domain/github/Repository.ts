/**
 * Names and patterns of repositories on any host: `owner/name` is GitHub's own, `host/owner/name` a GitHub Enterprise host's.
 * Names are matched by `Repositories`; everything here is lower case once it is parsed.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { asciiLowerCase } from "../text/Ascii.ts"
import { matchesRepository, parseRepositoryPattern } from "./Repositories.ts"

/** Where a pattern without a host points. */
export const defaultGithubHost = "github.com"

/** A host name of at least two labels, or 127.0.0.1, with a port where it is not the usual one; lower case. */
const hostPattern =
  /^(?=.{1,255}$)(?:127\.0\.0\.1|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)(?::[1-9][0-9]{0,4})?$/u

export const GithubHost = Schema.String.check(
  Schema.isPattern(hostPattern, { expected: "a host name in lower case, such as github.com" })
)
export const isGithubHost = Schema.is(GithubHost)

/** A login in lower case. */
export const RepositoryOwner = Schema.String.check(
  Schema.makeFilter((text: string) =>
    text === asciiLowerCase(text) && Result.isSuccess(parseRepositoryPattern(`${text}/*`))
      ? undefined
      : "an owner in lower case"
  )
)
/** A repository's own name in lower case. */
export const RepositoryName = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const pattern = parseRepositoryPattern(`o/${text}`)
    return Result.isSuccess(pattern) && pattern.success.name === text ? undefined : "a repository's name in lower case"
  })
)
/** GitHub's own number of a repository, which stays when it is renamed. Unique on its host. */
export const RepositoryId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** A repository by its names; all parts in lower case. */
export interface RepositoryRef {
  readonly host: string
  readonly owner: string
  readonly name: string
}

/** `name` undefined: every repository of the owner. */
export interface HostedPattern {
  readonly host: string
  readonly owner: string
  readonly name: string | undefined
}

/** What a profile may list, with the host that it is on; else the sentence why it is none. */
export const parseHostedPattern = (text: string): Result.Result<HostedPattern, string> => {
  const segments = text.split("/")
  const host = segments.length === 3 ? asciiLowerCase(segments[0] ?? "") : defaultGithubHost
  if (!hostPattern.test(host)) {
    return Result.fail(`${JSON.stringify(text)} does not begin with a host; give owner/repo, or host/owner/repo`)
  }
  return Result.map(
    parseRepositoryPattern(segments.length === 3 ? segments.slice(1).join("/") : text),
    ({ name, owner }) => ({ host, owner, name })
  )
}

/** Whether the pattern allows the repository, however its names are cased. */
export const matchesHosted = (pattern: HostedPattern, { host, name, owner }: RepositoryRef): boolean =>
  pattern.host === asciiLowerCase(host) && matchesRepository(pattern, owner, name)

/** As a person writes it: without the host where that is github.com. */
export const repositoryText = ({ host, name, owner }: HostedPattern): string =>
  `${host === defaultGithubHost ? "" : `${host}/`}${owner}/${name ?? "*"}`
