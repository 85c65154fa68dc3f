/** What a local GitHub is started with. */

export interface RepositorySeed {
  readonly name: string
  /** Default false. */
  readonly private?: boolean
  /** Path → content of the first commit on `main`, beside `README.md`. */
  readonly files?: Readonly<Record<string, string>>
}

export interface AccountSeed {
  readonly login: string
  readonly kind: "User" | "Organization"
  readonly repositories: ReadonlyArray<RepositorySeed>
}

export interface GithubOptions {
  /** A free one unless given; always on 127.0.0.1. */
  readonly port?: number
  readonly accounts: ReadonlyArray<AccountSeed>
  /** Where the bare repositories are made; a directory that is there and empty. */
  readonly directory: string
  /** Served over TLS with these, PEM; plain HTTP without. */
  readonly tls?: { readonly key: string; readonly cert: string }
  /**
   * `ghs_` and 36 characters, or the longer form with dots that GitHub announced for 2026. Default short. Source: GitHub's
   * changelog, "Notice about upcoming new format for GitHub App installation tokens".
   */
  readonly tokens?: "short" | "long"
}

/** What an App may be granted; every one of them is a repository's. */
export type Permissions = Readonly<Record<string, string>>
