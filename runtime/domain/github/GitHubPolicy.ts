/**
 * What one sandbox may do on one GitHub, and what a judge answers. Pure data: the proxy obeys it, `km policy test` prints it.
 *
 * The judges never ask anything themselves. Where a request alone does not tell which ref it moves, the judgement is `Needs`:
 * the caller looks that up with the read token and judges again with the facts it got.
 */
import * as Schema from "effect/Schema"
import type { DenyRule } from "./DenyRules.ts"

/**
 * What a profile switches on beside reading and, by `allowedRefs`, pushing. Each opens routes and mutations of GitHub's API;
 * the permissions of the write token follow from the same words.
 */
export const Capability = Schema.Literals([
  /** Open and edit pull requests, comment on and review them; approving is not part of it. */
  "pulls",
  /** Open and edit issues, comments, labels, reactions. */
  "issues",
  /** Approve pull requests and dismiss reviews. */
  "approve",
  /** Merge one pull request now, into a base that `allowedRefs` has. */
  "merge",
  /** What merges later, when nobody judges any more: auto-merge, the merge queue, asynchronous merges, stacks. */
  "merge-later",
  /** Create and edit releases and their assets; their tags are judged as refs. */
  "releases",
  /** Check runs and commit statuses: they may satisfy what a branch requires. */
  "checks",
  /** Start, rerun and cancel workflows. */
  "actions",
  /** Create deployments and their statuses. */
  "deployments"
])
export type Capability = typeof Capability.Type

/** A repository as GitHub named it when the policy was made. Names change hands; the id does not. */
export const PinnedRepository = Schema.Struct({
  /** GitHub's numeric id. */
  id: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  /** In GitHub's own letter case; compared without it. */
  owner: Schema.String,
  name: Schema.String
})
export type PinnedRepository = typeof PinnedRepository.Type

export const GitHubPolicy = Schema.Struct({
  /** `github.com` or the name of a GitHub Enterprise host, lower case. */
  host: Schema.String,
  /** As the profile has them: `owner/repo` or `owner/*`. They say why something is refused; what is open is `repositories`. */
  allowedRepos: Schema.Array(Schema.String),
  /** What the patterns named when tokens were last minted: nothing else is reached with a token. */
  repositories: Schema.Array(PinnedRepository),
  capabilities: Schema.Array(Capability),
  /** Ref patterns (`RefPatterns.ts`); empty means that nothing may be pushed. */
  allowedRefs: Schema.Array(Schema.String),
  allowDelete: Schema.Boolean,
  allowForce: Schema.Boolean,
  /** Patterns of repositories that may be read as anybody can, without a token. */
  publicRead: Schema.Array(Schema.String),
  /** `audit`: refs, deletes and force are reported and not refused. It never gives a repository or a capability. */
  mode: Schema.Literals(["enforce", "audit"])
})
export type GitHubPolicy = typeof GitHubPolicy.Type

/** Which of GitHub's services a request is for; the transport knows it by the host it was addressed to. */
export type GitHubService =
  /** `github.com`, and an Enterprise host outside `/api`: smart HTTP, LFS, archives, release downloads. */
  | "git"
  /** `api.github.com`; an Enterprise host below `/api/v3`, and `/api/graphql` as `/graphql`, without that prefix. */
  | "api"
  /** `uploads.github.com`; an Enterprise host below `/api/uploads`. */
  | "uploads"
  /** `codeload.github.com`. */
  | "codeload"
  /** `raw.githubusercontent.com`. */
  | "raw"
  /** `media.githubusercontent.com`. */
  | "media"

/** One request after the transport took it apart. What is forwarded is written anew from this, never the bytes that came. */
export interface CanonicalRequest {
  readonly service: GitHubService
  /** Upper case. */
  readonly method: string
  /** Percent-decoded once, without the empty, `.` and `..`; none for `/`. On `api`, one beyond the third may hold a `/`. */
  readonly path: ReadonlyArray<string>
  /** Percent-decoded once, in order. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>
  /** Media type of the body, lower case and without parameters. */
  readonly contentType?: string
  /** The body after its transfer and content codings were taken off; there once a judgement asked for it. */
  readonly body?: string
}

/** `none`: anonymous. The write token goes only with what was judged to need it. */
export type Credential = "none" | "read" | "write"

/** A ref that a request moves, by its full name: what the journal records, and what is serialised over the install. */
export interface RefMove {
  readonly repository: PinnedRepository
  /** `refs/heads/main`. */
  readonly ref: string
  readonly change: "create" | "update" | "delete" | "any"
}

/** One pull request that a request merges, or of which it moves an end. */
export interface HeldPull {
  readonly repository: PinnedRepository
  readonly number: number
}

/** Refused, or what would have been refused in `mode: audit`. */
export interface Denied {
  readonly _tag: "Denied"
  readonly rule: DenyRule
  /** One sentence for a person and for the agent, without a stop: what was refused and why. */
  readonly message: string
  /** What to change so that it is allowed, an imperative sentence without a stop; empty where nothing allows it. */
  readonly allow: string
}

export interface Allowed {
  readonly _tag: "Allowed"
  readonly credential: Credential
  /** The route, service or mutations that were recognised, for the journal: `PUT /repos/{owner}/{repo}/pulls/{n}/merge`. */
  readonly rule: string
  /** Those that the request names; the token is chosen by the first. Empty for what belongs to none, such as `/rate_limit`. */
  readonly repositories: ReadonlyArray<PinnedRepository>
  readonly moves: ReadonlyArray<RefMove>
  /**
   * There is one such request at a time for a pull request, over the install: between the look at its ends and what moves
   * them nobody else's may change them. The caller takes its turn, judges again from nothing, and sends what that verdict says.
   */
  readonly pull?: HeldPull
  /**
   * The body to forward instead of the one that came, written from what was judged; JSON, and to be sent as
   * `application/json` whatever the client called it. Empty: send none. Absent: the body passes as it comes, if there is one.
   */
  readonly body?: string
  /** Its answer may lead to a presigned address, which is then open for this client for a short time. */
  readonly download: boolean
  /** What `mode: audit` let pass. */
  readonly audited: ReadonlyArray<Denied>
}

export type Verdict = Allowed | Denied

/** One thing that a judge must know and the request does not say. */
export type Lookup =
  /** `GET /repositories/{id}`. */
  | { readonly kind: "defaultBranch"; readonly repository: PinnedRepository }
  /** `GET /repositories/{id}/pulls/{number}`. */
  | { readonly kind: "pullRequest"; readonly repository: PinnedRepository; readonly number: number }
  /** `GET /repositories/{id}/releases/{release}`. */
  | { readonly kind: "release"; readonly repository: PinnedRepository; readonly release: number }
  /** GraphQL `node(id:)`. */
  | { readonly kind: "node"; readonly id: string }

/** A pull request: its number in its repository, and its two ends. A branch's full ref name, and the numeric id of the repository that has it (0: it is gone). */
export interface PullRequestFact {
  readonly number: number
  readonly base: { readonly repositoryId: number; readonly ref: string }
  readonly head: { readonly repositoryId: number; readonly ref: string; readonly sha: string }
}

/** What a look-up found. `missing`: GitHub does not show it, to the read token. */
export type Fact =
  | { readonly kind: "missing" }
  /** Full name: `refs/heads/main`. */
  | { readonly kind: "defaultBranch"; readonly ref: string }
  | { readonly kind: "pullRequest"; readonly pullRequest: PullRequestFact }
  /** Full name: `refs/tags/v1`. */
  | { readonly kind: "release"; readonly ref: string }
  | {
    readonly kind: "node"
    /** `__typename`. */
    readonly type: string
    /** Numeric id of the repository that it belongs to; none for what belongs to no repository, such as a user. */
    readonly repositoryId?: number
    /** Full name, of a `Ref`. */
    readonly ref?: string
    /** Of a `PullRequest`. */
    readonly pullRequest?: PullRequestFact
  }

/** What was looked up so far, by `lookupKey`. */
export type Facts = ReadonlyMap<string, Fact>

export const noFacts: Facts = new Map()

/** Names a look-up; the same for the same question. */
export const lookupKey = (lookup: Lookup): string => {
  switch (lookup.kind) {
    case "defaultBranch":
      return `defaultBranch ${lookup.repository.id}`
    case "pullRequest":
      return `pullRequest ${lookup.repository.id} ${lookup.number}`
    case "release":
      return `release ${lookup.repository.id} ${lookup.release}`
    case "node":
      return `node ${lookup.id}`
  }
}

/** Look these up, add them to the facts, judge again. At most three rounds; the fourth is refused. */
export interface Needs {
  readonly _tag: "Needs"
  readonly lookups: ReadonlyArray<Lookup>
}

/** Read the body, at most `maxBytes` of it after decoding, and judge again with it. More is refused with `body.limit`. */
export interface NeedsBody {
  readonly _tag: "NeedsBody"
  readonly maxBytes: number
}

/**
 * A push to a repository that may be written: its commands are the beginning of the body. Feed them to `ReceivePack`, which
 * judges them by `judgePush`; the pack behind them passes through unread.
 */
export interface NeedsCommands {
  readonly _tag: "NeedsCommands"
  readonly repository: PinnedRepository
}

export type Judgement = Verdict | Needs | NeedsBody | NeedsCommands

/** Smart HTTP, LFS and the downloads of `github.com`, `codeload`, `raw` and `media`. */
export type JudgeGit = (request: CanonicalRequest, policy: GitHubPolicy, facts: Facts) => Judgement

/** The REST API, uploads included. */
export type JudgeRest = (request: CanonicalRequest, policy: GitHubPolicy, facts: Facts) => Judgement

/** `POST /graphql`. */
export type JudgeGraphql = (request: CanonicalRequest, policy: GitHubPolicy, facts: Facts) => Judgement

/** The front: one request in, by its service to one of the three. What no table knows is denied. */
export type JudgeRequest = (request: CanonicalRequest, policy: GitHubPolicy, facts: Facts) => Judgement

/** A command of a push, as the client sent it. */
export interface PushCommand {
  /** Lower-case hex, 40 or 64 digits; all zeros where the ref is to be created. */
  readonly old: string
  /** All zeros where it is to be deleted. */
  readonly new: string
  readonly ref: string
}

/** What a push may do beyond what its commands say. */
export interface PushVerdict {
  /** One for each command, in order; undefined for one that passes. One that does not pass refuses the whole push. */
  readonly refused: ReadonlyArray<Denied | undefined>
  /**
   * Updates of existing refs that must turn out not to be forced: the new commits are still in the pack, so that only the
   * repository's own rules, or moving the branch by the API with `force: false`, can tell. Indices of the commands.
   */
  readonly mustFastForward: ReadonlyArray<number>
  readonly audited: ReadonlyArray<Denied>
}

export type JudgePush = (commands: ReadonlyArray<PushCommand>, policy: GitHubPolicy) => PushVerdict
