/**
 * Which REST routes are open, and to whom. A route of GitHub's that is in none of these lists is refused: `route.never` where
 * `routes.json` has it, `route.unknown` where nobody does.
 */
import type { Capability } from "./GitHubPolicy.ts"

/** `push`: a profile with at least one ref that may be moved. Several capabilities: one of them is enough. */
export type Needed = "push" | ReadonlyArray<Capability>

/** How the refs that a route moves are found (`RouteMoves.ts`); `plain` moves none. */
export type MoveKind =
  | "plain"
  | "refCreate"
  | "refUpdate"
  | "refDelete"
  | "contents"
  | "merges"
  | "mergeUpstream"
  | "rename"
  | "pullOpen"
  | "pullEdit"
  | "pullMerge"
  | "pullMergeLater"
  | "pullUpdateBranch"
  | "reviewCreate"
  | "reviewSubmit"
  | "releaseCreate"
  | "releaseEdit"
  | "deployment"

export type RouteRule =
  /** Belongs to no repository and shows nothing of one. */
  | { readonly kind: "open" }
  /** `download`: its answer leads to a presigned address. */
  | { readonly kind: "read"; readonly download: boolean }
  | {
    readonly kind: "write"
    readonly needs: Needed
    readonly moves: MoveKind
    /** Of the JSON body, bytes. */
    readonly maxBytes: number
  }

const open = [
  "GET /",
  "GET /codes_of_conduct",
  "GET /codes_of_conduct/{key}",
  "GET /emojis",
  "GET /gitignore/templates",
  "GET /gitignore/templates/{name}",
  "GET /licenses",
  "GET /licenses/{license}",
  "GET /meta",
  "GET /octocat",
  "GET /rate_limit",
  "GET /versions",
  "GET /zen"
]

/** Below `GET /repos/{owner}/{repo}`. Not in it: what shows secrets' names, who may do what, settings, and what attackers look for. */
const read = `
actions/artifacts
actions/artifacts/{artifact_id}
actions/caches
actions/cache/usage
actions/jobs/{job_id}
actions/runs
actions/runs/{run_id}
actions/runs/{run_id}/approvals
actions/runs/{run_id}/artifacts
actions/runs/{run_id}/attempts/{attempt_number}
actions/runs/{run_id}/attempts/{attempt_number}/jobs
actions/runs/{run_id}/jobs
actions/runs/{run_id}/timing
actions/workflows
actions/workflows/{workflow_id}
actions/workflows/{workflow_id}/runs
actions/workflows/{workflow_id}/timing
activity
assignees
assignees/{assignee}
attestations/{subject_digest}
branches
branches/{branch}
check-runs/{check_run_id}
check-runs/{check_run_id}/annotations
check-suites/{check_suite_id}
check-suites/{check_suite_id}/check-runs
codeowners/errors
comments
comments/{comment_id}
comments/{comment_id}/reactions
commits
commits/{commit_sha}/branches-where-head
commits/{commit_sha}/comments
commits/{commit_sha}/pulls
commits/{ref}
commits/{ref}/check-runs
commits/{ref}/check-suites
commits/{ref}/status
commits/{ref}/statuses
community/profile
compare/{basehead}
contributors
dependency-graph/compare/{basehead}
dependency-graph/sbom
deployments
deployments/{deployment_id}
deployments/{deployment_id}/statuses
deployments/{deployment_id}/statuses/{status_id}
events
git/blobs/{file_sha}
git/commits/{commit_sha}
git/matching-refs/{ref}
git/ref/{ref}
git/tags/{tag_sha}
git/trees/{tree_sha}
hash-algorithm
issue-types
issues
issues/comments
issues/comments/{comment_id}
issues/comments/{comment_id}/reactions
issues/events
issues/events/{event_id}
issues/{issue_number}
issues/{issue_number}/assignees/{assignee}
issues/{issue_number}/comments
issues/{issue_number}/dependencies/blocked_by
issues/{issue_number}/dependencies/blocking
issues/{issue_number}/events
issues/{issue_number}/issue-field-values
issues/{issue_number}/labels
issues/{issue_number}/parent
issues/{issue_number}/reactions
issues/{issue_number}/sub_issues
issues/{issue_number}/timeline
labels
labels/{name}
languages
license
milestones
milestones/{milestone_number}
milestones/{milestone_number}/labels
pulls
pulls/comments
pulls/comments/{comment_id}
pulls/comments/{comment_id}/reactions
pulls/{pull_number}
pulls/{pull_number}/comments
pulls/{pull_number}/commits
pulls/{pull_number}/files
pulls/{pull_number}/merge
pulls/{pull_number}/merge-async/{uuid}
pulls/{pull_number}/requested_reviewers
pulls/{pull_number}/reviews
pulls/{pull_number}/reviews/{review_id}
pulls/{pull_number}/reviews/{review_id}/comments
readme
readme/{dir}
releases
releases/latest
releases/tags/{tag}
releases/{release_id}
releases/{release_id}/assets
releases/{release_id}/reactions
rules/branches/{branch}
rulesets
rulesets/{ruleset_id}
stacks
stacks/{stack_number}
stats/code_frequency
stats/commit_activity
stats/contributors
stats/participation
stats/punch_card
tags
topics
`

/** The same, with an answer that leads elsewhere. */
const download = `
actions/artifacts/{artifact_id}/{archive_format}
actions/jobs/{job_id}/logs
actions/runs/{run_id}/attempts/{attempt_number}/logs
actions/runs/{run_id}/logs
contents/{path}
dependency-graph/sbom/fetch-report/{sbom_uuid}
releases/assets/{asset_id}
tarball/{ref}
zipball/{ref}
`

/** Below `/repos/{owner}/{repo}`: capabilities → routes that move no ref. */
const plain: ReadonlyArray<readonly [needs: Needed, routes: string]> = [
  [
    "push",
    `
POST git/blobs
POST git/commits
POST git/tags
POST git/trees
`
  ],
  [
    ["pulls"],
    `
PATCH pulls/comments/{comment_id}
DELETE pulls/comments/{comment_id}
POST pulls/comments/{comment_id}/reactions
DELETE pulls/comments/{comment_id}/reactions/{reaction_id}
POST pulls/{pull_number}/comments
POST pulls/{pull_number}/comments/{comment_id}/replies
POST pulls/{pull_number}/requested_reviewers
DELETE pulls/{pull_number}/requested_reviewers
PUT pulls/{pull_number}/reviews/{review_id}
DELETE pulls/{pull_number}/reviews/{review_id}
`
  ],
  // A pull request is an issue too; which of them a token may write, GitHub tells apart by its permissions.
  [
    ["pulls", "issues"],
    `
PATCH comments/{comment_id}
DELETE comments/{comment_id}
POST comments/{comment_id}/reactions
DELETE comments/{comment_id}/reactions/{reaction_id}
POST commits/{commit_sha}/comments
PATCH issues/comments/{comment_id}
DELETE issues/comments/{comment_id}
POST issues/comments/{comment_id}/reactions
DELETE issues/comments/{comment_id}/reactions/{reaction_id}
PATCH issues/{issue_number}
POST issues/{issue_number}/assignees
DELETE issues/{issue_number}/assignees
POST issues/{issue_number}/comments
POST issues/{issue_number}/labels
PUT issues/{issue_number}/labels
DELETE issues/{issue_number}/labels
DELETE issues/{issue_number}/labels/{name}
POST issues/{issue_number}/reactions
DELETE issues/{issue_number}/reactions/{reaction_id}
`
  ],
  [
    ["issues"],
    `
POST issues
PUT issues/{issue_number}/lock
DELETE issues/{issue_number}/lock
POST issues/{issue_number}/dependencies/blocked_by
DELETE issues/{issue_number}/dependencies/blocked_by/{issue_id}
POST issues/{issue_number}/issue-field-values
PUT issues/{issue_number}/issue-field-values
DELETE issues/{issue_number}/issue-field-values/{issue_field_id}
DELETE issues/{issue_number}/sub_issue
POST issues/{issue_number}/sub_issues
PATCH issues/{issue_number}/sub_issues/priority
POST labels
PATCH labels/{name}
DELETE labels/{name}
POST milestones
PATCH milestones/{milestone_number}
DELETE milestones/{milestone_number}
`
  ],
  [
    ["approve"],
    `
PUT pulls/{pull_number}/reviews/{review_id}/dismissals
`
  ],
  [
    ["merge-later"],
    `
POST stacks
POST stacks/{stack_number}/add
POST stacks/{stack_number}/unstack
`
  ],
  [
    ["releases"],
    `
POST releases/generate-notes
DELETE releases/{release_id}
PATCH releases/assets/{asset_id}
DELETE releases/assets/{asset_id}
POST releases/{release_id}/reactions
DELETE releases/{release_id}/reactions/{reaction_id}
`
  ],
  [
    ["checks"],
    `
POST check-runs
PATCH check-runs/{check_run_id}
POST check-runs/{check_run_id}/rerequest
POST check-suites
POST check-suites/{check_suite_id}/rerequest
POST statuses/{sha}
`
  ],
  [
    ["actions"],
    `
POST actions/jobs/{job_id}/rerun
POST actions/runs/{run_id}/cancel
POST actions/runs/{run_id}/force-cancel
POST actions/runs/{run_id}/rerun
POST actions/runs/{run_id}/rerun-failed-jobs
POST actions/workflows/{workflow_id}/dispatches
POST dispatches
`
  ],
  [
    ["deployments"],
    `
POST deployments/{deployment_id}/statuses
`
  ]
]

const moving: ReadonlyArray<readonly [needs: Needed, moves: MoveKind, route: string]> = [
  ["push", "refCreate", "POST git/refs"],
  ["push", "refUpdate", "PATCH git/refs/{ref}"],
  ["push", "refDelete", "DELETE git/refs/{ref}"],
  ["push", "contents", "PUT contents/{path}"],
  ["push", "contents", "DELETE contents/{path}"],
  ["push", "merges", "POST merges"],
  ["push", "mergeUpstream", "POST merge-upstream"],
  ["push", "rename", "POST branches/{branch}/rename"],
  [["pulls"], "pullOpen", "POST pulls"],
  [["pulls"], "pullEdit", "PATCH pulls/{pull_number}"],
  [["pulls"], "pullUpdateBranch", "PUT pulls/{pull_number}/update-branch"],
  [["pulls"], "reviewCreate", "POST pulls/{pull_number}/reviews"],
  [["pulls"], "reviewSubmit", "POST pulls/{pull_number}/reviews/{review_id}/events"],
  [["merge"], "pullMerge", "PUT pulls/{pull_number}/merge"],
  [["merge-later"], "pullMergeLater", "PUT pulls/{pull_number}/merge-async"],
  [["releases"], "releaseCreate", "POST releases"],
  [["releases"], "releaseEdit", "PATCH releases/{release_id}"],
  [["deployments"], "deployment", "POST deployments"]
]

const mebibyte = 1_048_576
/** Bodies that carry a file, base64: GitHub takes blobs up to 100 MB, we judge less of it. */
const fileBytes = 16 * mebibyte
const carriesFile = new Set(["PUT contents/{path}", "POST git/blobs", "POST git/trees"])

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")
const below = (method: string, path: string): string => `${method} /repos/{owner}/{repo}/${path}`
const withMethod = (route: string): string => {
  const [method = "", path = ""] = route.split(" ")
  return below(method, path)
}

const write = (needs: Needed, moves: MoveKind, route: string): readonly [string, RouteRule] => [
  withMethod(route),
  { kind: "write", needs, moves, maxBytes: carriesFile.has(route) ? fileBytes : mebibyte }
]

/** By `METHOD template`, as `routes.json` has them. */
export const routeRules: ReadonlyMap<string, RouteRule> = new Map<string, RouteRule>([
  ...open.map((route) => [route, { kind: "open" }] as const),
  ["POST /markdown", { kind: "open" }],
  ["GET /repos/{owner}/{repo}", { kind: "read", download: false }],
  ...lines(read).map((path) => [below("GET", path), { kind: "read", download: false }] as const),
  ...lines(download).map((path) => [below("GET", path), { kind: "read", download: true }] as const),
  ...plain.flatMap(([needs, routes]) => lines(routes).map((route) => write(needs, "plain", route))),
  ...moving.map(([needs, moves, route]) => write(needs, moves, route))
])

/** The one operation of another server, `uploads`. */
export const uploadRoute = below("POST", "releases/{release_id}/assets")
