/** What a sandbox may reach on GitHub, as its row keeps it: one grant for each installation. */
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { GithubHost, RepositoryId, RepositoryName, RepositoryOwner } from "./Repository.ts"

/** GitHub takes at most so many in one token. Source: REST API, "Create an installation access token for an app". */
export const maxRepositories = 500

/** Why there is no token; `RepositoryTokens` says what each means. */
export const GrantTrouble = Schema.Struct({
  reason: Schema.Literals(["NotInstalled", "Suspended", "NotPermitted", "Unavailable"]),
  /** A sentence without a full stop; holds no secret. */
  detail: Schema.String,
  /** Unix milliseconds. */
  since: Schema.Int
})
export type GrantTrouble = typeof GrantTrouble.Type

export const RepositoryGrant = Schema.Struct({
  host: GithubHost,
  app: Schema.Int,
  /** GitHub's number of it at create, by which the grant is known from then on. */
  installation: Schema.Int,
  /** GitHub's number of it now, where the account took the App away and installed it again. */
  reinstalled: Schema.optionalKey(Schema.Int),
  /** The owner's login in lower case, as it was at create. */
  account: RepositoryOwner,
  /** True for `owner/*`: the repositories are those that the installation shows, read again at each refresh. */
  all: Schema.Boolean,
  /** Pinned by number; the names are what they were at the last refresh. */
  repositories: Schema.Array(Schema.Struct({ id: RepositoryId, name: RepositoryName })),
  /** Of them, those that the installation showed no longer at the last refresh. */
  missing: Schema.optionalKey(Schema.Array(RepositoryId)),
  /** Whether there is a writing token beside the reading one. */
  writes: Schema.Boolean,
  trouble: Schema.optionalKey(GrantTrouble)
})
export type RepositoryGrant = typeof RepositoryGrant.Type

/** By which GitHub has the installation now. */
export const installedAs = (
  { installation, reinstalled }: Pick<RepositoryGrant, "installation" | "reinstalled">
): number => reinstalled ?? installation

/** The two grants are the same one, whatever else changed. */
export const isSameGrant = (
  a: Pick<RepositoryGrant, "host" | "installation">,
  b: Pick<RepositoryGrant, "host" | "installation">
): boolean => a.host === b.host && a.installation === b.installation

/** Names a grant in an inventory: `github.com/4711`. */
export const grantRef = ({ host, installation }: Pick<RepositoryGrant, "host" | "installation">): string =>
  `${host}/${installation}`

export const parseGrantRef = (ref: string): Pick<RepositoryGrant, "host" | "installation"> => {
  const at = ref.lastIndexOf("/")
  return { host: ref.slice(0, at), installation: Number(ref.slice(at + 1)) }
}

const StoredFacts = Schema.Struct({
  mintedAt: Schema.Int,
  expiresAt: Schema.Int,
  permissions: Schema.Record(Schema.String, Schema.String)
})

/** A token as it lies among the sandbox's secrets. */
export interface StoredToken extends Schema.Schema.Type<typeof StoredFacts> {
  readonly token: Redacted.Redacted<string>
}

const encodeFacts = Schema.encodeUnknownSync(Schema.fromJsonString(StoredFacts))
const decodeFacts = Schema.decodeUnknownOption(Schema.fromJsonString(StoredFacts))

/** Two lines, the first of them the token alone: whoever blacks out secrets learns them line by line. */
export const storedTokenText = ({ token, ...facts }: StoredToken): Redacted.Redacted<string> =>
  Redacted.make(`${Redacted.value(token)}\n${encodeFacts(facts)}`)

/** Undefined for what is no token of ours. */
export const readStoredToken = (text: Redacted.Redacted<string>): StoredToken | undefined => {
  const [token = "", facts = ""] = Redacted.value(text).split("\n")
  const decoded = decodeFacts(facts)
  return decoded._tag === "Some" && token !== ""
    ? { token: Redacted.make(token, { label: "github-token" }), ...decoded.value }
    : undefined
}
