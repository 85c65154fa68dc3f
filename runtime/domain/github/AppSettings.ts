/** What an install knows of its GitHub Apps. Nothing here is secret: the key lies among the secrets, at a path of its own. */
import * as Schema from "effect/Schema"
import { GithubHost, RepositoryOwner } from "./Repository.ts"

/** GitHub's numbers of Apps and installations. */
const GithubId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** One account on which the App is installed and that this install trusts, as the operator took it over. */
export const KnownInstallation = Schema.Struct({
  /** The account's login in lower case. */
  account: RepositoryOwner,
  id: GithubId
})
export type KnownInstallation = typeof KnownInstallation.Type

export const GithubAppSettings = Schema.Struct({
  host: GithubHost,
  /** The App's number on that host. */
  app: GithubId,
  /** As in its address on GitHub: `https://{host}/apps/{slug}`. */
  slug: Schema.String.check(Schema.isPattern(/^[a-z0-9][a-z0-9-]{0,99}$/u)),
  /** The account that owns it, in lower case. */
  owner: RepositoryOwner,
  /** True when accounts other than its owner's may install it: strangers too. */
  public: Schema.Boolean,
  installations: Schema.Array(KnownInstallation)
})
export type GithubAppSettings = typeof GithubAppSettings.Type

/** Which App of which host. */
export type AppRef = Pick<GithubAppSettings, "host" | "app">

/** Where a host answers; without a trailing slash. */
export interface GithubAddresses {
  readonly web: string
  readonly api: string
}

/**
 * The port of a GitHub that this machine serves itself: `127.0.0.1:4567`, or `{name}.test:4567` for one that sandboxes
 * reach through their proxy, which takes no addresses. Names below `test` are nobody's (RFC 6761, section 6.2), so nobody is
 * asked for them; those below `localhost` would not do, since programs reach them past every proxy. Undefined for every other host, and without a port.
 */
export const loopbackPort = (host: string): number | undefined => {
  const digits = /^(?:127\.0\.0\.1|[a-z0-9.-]+\.test):([1-9][0-9]{0,4})$/u.exec(host)?.[1]
  return digits === undefined || Number(digits) > 65_535 ? undefined : Number(digits)
}

/**
 * GitHub itself, GitHub Enterprise Cloud with data residency (`*.ghe.com`), or GitHub Enterprise Server. Plain HTTP on
 * loopback alone, for the local GitHub. Source: docs.github.com, "Getting started with the REST API" of each.
 */
export const githubAddresses = (host: string): GithubAddresses => {
  if (host === "github.com") return { web: "https://github.com", api: "https://api.github.com" }
  if (host.endsWith(".ghe.com")) return { web: `https://${host}`, api: `https://api.${host}` }
  const port = loopbackPort(host)
  const web = port === undefined ? `https://${host}` : `http://127.0.0.1:${port}`
  return { web, api: `${web}/api/v3` }
}

/** A host as part of a secret's path, which takes no colon; no host has an underscore. */
const hostSegment = (host: string): string => host.replace(":", "_")

/** Everything of GitHub that the refresher alone may read. */
export const githubSecretsPrefix = "github"

/** Of an App's private key, PEM. Its number is in the path, so that no key is ever used for another App. */
export const appKeyPath = ({ app, host }: AppRef): string => `${githubSecretsPrefix}/${hostSegment(host)}/${app}/key`

/** Below which a sandbox's tokens for one installation lie. */
export const tokensPath = (
  sandbox: string,
  { host, installation }: { readonly host: string; readonly installation: number }
) => `sandbox/${sandbox}/github/${hostSegment(host)}/${installation}`
