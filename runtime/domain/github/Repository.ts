/**
 * Names of repositories and the patterns that allow them: `owner/name`, `owner/*`, and the same behind `host/` for a GitHub
 * Enterprise host. One parser and one matcher, used by the profile's check, by minting, by the proxy and by `km doctor`.
 * GitHub compares owners and names without regard to case, so everything here is lower case once it is parsed.
 */
import * as Schema from "effect/Schema"

/** Where a pattern without a host points. */
export const defaultGithubHost = "github.com"

/** A host name of at least two labels, or 127.0.0.1, with a port where it is not the usual one; lower case. */
const hostPattern =
  /^(?=.{1,255}$)(?:127\.0\.0\.1|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)(?::[1-9][0-9]{0,4})?$/u
/** 39 characters at most; an underscore stands in the logins of managed users. Source: GitHub's limits for user names. */
const ownerPattern = /^[a-z0-9][a-z0-9_-]{0,38}$/u
/** 100 characters at most. Source: GitHub's limits for repository names. */
const namePattern = /^[a-z0-9._-]{1,100}$/u

const isName = (text: string): boolean =>
  // GitHub takes `.git` off a name, and the others are paths.
  namePattern.test(text) && text !== "." && text !== ".." && !text.endsWith(".git")

export const GithubHost = Schema.String.check(
  Schema.isPattern(hostPattern, { expected: "a host name in lower case, such as github.com" })
)
export const RepositoryOwner = Schema.String.check(
  Schema.isPattern(ownerPattern, { expected: "an owner in lower case" })
)
export const RepositoryName = Schema.String.check(
  Schema.makeFilter((text: string) => isName(text) ? undefined : "a repository's name in lower case")
)
/** GitHub's own number of a repository, which stays when it is renamed. Unique on its host. */
export const RepositoryId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** A repository by its names; all parts in lower case. */
export interface RepositoryRef {
  readonly host: string
  readonly owner: string
  readonly name: string
}

/** `name` is `*` for every repository of the owner. */
export type RepositoryPattern = RepositoryRef

const parts = (text: string, name: (text: string) => boolean): RepositoryRef | undefined => {
  const segments = text.toLowerCase().split("/")
  const [host, owner, last] = segments.length === 2 ? [defaultGithubHost, ...segments] : segments
  if (segments.length > 3 || host === undefined || owner === undefined || last === undefined) return undefined
  return hostPattern.test(host) && ownerPattern.test(owner) && name(last) ? { host, owner, name: last } : undefined
}

/** `owner/name` or `host/owner/name`; undefined for anything else, such as a name that ends in `.git`. */
export const parseRepository = (text: string): RepositoryRef | undefined => parts(text, isName)

/** What a profile may list; undefined for anything else, above all a bare `*` and a `*` within a name. */
export const parseRepositoryPattern = (text: string): RepositoryPattern | undefined =>
  parts(text, (name) => name === "*" || isName(name))

/** Whether the pattern allows the repository, however its names are cased. */
export const matchesRepository = (pattern: RepositoryPattern, { host, name, owner }: RepositoryRef): boolean =>
  pattern.host === host.toLowerCase() && pattern.owner === owner.toLowerCase()
  && (pattern.name === "*" || pattern.name === name.toLowerCase())

/** As a person writes it: without the host where that is github.com. */
export const repositoryText = ({ host, name, owner }: RepositoryRef): string =>
  host === defaultGithubHost ? `${owner}/${name}` : `${host}/${owner}/${name}`
