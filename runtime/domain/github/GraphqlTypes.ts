/**
 * How far a GraphQL selection may go. A type is `open` where everything of it belongs to the repository that it was reached
 * from; anything else that a field leads to, another repository, a person, an issue that refers to this one, shows who or what
 * it is and no more. `graphql.json` has the fields of the open types, from GitHub's schema: a field that is not there is refused.
 */
import schema from "./graphql.json" with { type: "json" }

/** Beside those that end in `Connection` or `Edge` of them. */
export const openTypes: ReadonlyArray<string> = `
Node Repository Ref GitObject Commit Tree TreeEntry Blob Tag GitActor GitSignature GpgSignature SshSignature SmimeSignature
UnknownSignature CommitHistory Comparison ComparisonCommit Blame BlameRange Status StatusContext StatusCheckRollup
StatusCheckRollupContext StatusContextStateCount CheckRunStateCount CheckRun CheckSuite CheckStep CheckAnnotation
CheckAnnotationSpan CheckAnnotationPosition WorkflowRun Workflow WorkflowRunFile Issue IssueOrPullRequest IssueComment Label
Milestone PullRequest PullRequestReview PullRequestReviewComment PullRequestReviewThread PullRequestCommit
PullRequestChangedFile ReviewRequest AutoMergeRequest Reactable Reaction ReactionGroup Release ReleaseAsset License
LicenseRule Language IssueTemplate PullRequestTemplate RepositoryTopic Topic CodeOfConduct ContributingGuidelines
BranchProtectionRule RequiredStatusCheckDescription RefUpdateRule ProjectCard ProjectV2Item ProjectV2ItemFieldValue
ProjectV2ItemFieldSingleSelectValue PinnedIssue LinkedBranch CommitComment Comment Closable Assignable Labelable
`.split(/\s/u).filter((name) => name !== "")

/** Reached from an open type, these show who or what they are: they belong to nobody's repository, or perhaps to another one. */
export const identityTypes: ReadonlySet<string> = new Set(
  `
Repository User Bot Mannequin Organization EnterpriseUserAccount Actor RepositoryOwner Assignee Team RequestedReviewer App
Project ProjectColumn ProjectV2 ReactionActor
`.split(/\s/u).filter((name) => name !== "")
)

/** Fields of open types that lead to what may be in another repository, though its type is open. */
const leadsAway: ReadonlySet<string> = new Set([
  "associatedPullRequests",
  "closedByPullRequestsReferences",
  "closingIssuesReferences",
  "headRef",
  "matchingPullRequests",
  "parent",
  "subIssues",
  "trackedInIssues",
  "trackedIssues",
  "blockedBy",
  "blocking",
  "templateRepository"
])

/** What the table would have and nobody gets: a token, and who may do what. */
export const closedFields: ReadonlySet<string> = new Set([
  "Repository.tempCloneToken",
  "Repository.forks",
  "Ref.rules",
  "BranchProtectionRule.pushAllowances",
  "BranchProtectionRule.reviewDismissalAllowances",
  "BranchProtectionRule.bypassForcePushAllowances",
  "BranchProtectionRule.bypassPullRequestAllowances"
])

/** Words and numbers that say who or what something is. */
const identityLeaves: ReadonlySet<string> = new Set(
  `
__typename id databaseId fullDatabaseId name login slug combinedSlug nameWithOwner url resourcePath avatarUrl number title state
closed merged description isPrivate isFork isArchived isEmpty isInOrganization hasIssuesEnabled hasWikiEnabled
hasDiscussionsEnabled viewerPermission visibility mergeCommitAllowed rebaseMergeAllowed squashMergeAllowed prefix email
totalCount hasNextPage hasPreviousPage startCursor endCursor cursor createdAt color
`.split(/\s/u).filter((name) => name !== "")
)

/** What of an identity leads to another one. */
const identityBranches: ReadonlySet<string> = new Set([
  "owner",
  "organization",
  "repository",
  "defaultBranchRef",
  "nodes",
  "edges",
  "node",
  "pageInfo"
])

/** Where a selection stands: in an open type, or in something that only shows who it is. */
export type Standing = { readonly open: string } | "identity"

const types: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map(Object.entries(schema.types))

/** Version of `@octokit/graphql-schema` that the fields are from. */
export const graphqlSchemaVersion = schema.schema

export const isOpenType = (name: string): boolean => types.has(name)

/**
 * Where a field leads: a standing for what has fields of its own, `leaf` for what has none, undefined for what is refused.
 * `leaf` says what the schema says; a client that asks otherwise is refused by the caller.
 */
export const fieldOf = (standing: Standing, field: string): Standing | "leaf" | undefined => {
  if (field === "__typename") return "leaf"
  if (standing === "identity") {
    return identityLeaves.has(field) ? "leaf" : identityBranches.has(field) ? "identity" : undefined
  }
  const fields = types.get(standing.open)
  const type = fields !== undefined && Object.hasOwn(fields, field) ? fields[field] : undefined
  if (type === undefined) return undefined
  if (type === "") return "leaf"
  return identityTypes.has(type) || leadsAway.has(field) || !types.has(type) ? "identity" : { open: type }
}

/** Where `... on Type` leads. `atRoot`: the thing itself was found to be of an allowed repository. */
export const conditionOf = (standing: Standing, type: string, atRoot: boolean): Standing =>
  standing === "identity" || !types.has(type) || (identityTypes.has(type) && !atRoot && standing.open !== type)
    ? "identity"
    : { open: type }
