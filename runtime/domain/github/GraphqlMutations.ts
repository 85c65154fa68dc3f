/** The mutations that are open: what each needs, which of its ids must be of an allowed repository, and what it may say. */
import type { Needed } from "./RouteRules.ts"

/** How the refs that a mutation moves are found (`GraphqlMoves.ts`). */
export type MutationKind =
  | "plain"
  | "createRef"
  | "updateRef"
  | "updateRefs"
  | "deleteRef"
  | "commitOnBranch"
  | "mergeBranch"
  | "mergePull"
  | "mergePullLater"
  | "updatePullBranch"
  | "openPull"
  | "editPull"
  | "linkedBranch"
  | "review"
  | "submitReview"

export interface MutationRule {
  readonly needs: Needed
  readonly kind: MutationKind
  /** Members of `input` that are ids of things in a repository; at least one of them must be given. */
  readonly subjects: ReadonlyArray<string>
  /** Members that are taken as they are. */
  readonly others: ReadonlyArray<string>
}

const words = (text: string): ReadonlyArray<string> => text.split(" ").filter((word) => word !== "")

const rule = (
  name: string,
  needs: Needed,
  kind: MutationKind,
  subjects: string,
  others = ""
): readonly [string, MutationRule] => [
  name,
  { needs, kind, subjects: words(subjects), others: ["clientMutationId", ...words(others)] }
]

const pulls: Needed = ["pulls"]
const issues: Needed = ["issues"]
/** A pull request is an issue too; which of them a token may write, GitHub tells apart by its permissions. */
const both: Needed = ["pulls", "issues"]
const later: Needed = ["merge-later"]

const mergeWords = "authorEmail commitBody commitHeadline expectedHeadOid mergeMethod"
const pullWords = "title body state maintainerCanModify assigneeIds labelIds milestoneId baseRefName"

export const mutationRules: ReadonlyMap<string, MutationRule> = new Map([
  rule("createRef", "push", "createRef", "repositoryId", "name oid"),
  rule("updateRef", "push", "updateRef", "refId", "oid force"),
  rule("updateRefs", "push", "updateRefs", "repositoryId", "refUpdates"),
  rule("deleteRef", "push", "deleteRef", "refId"),
  rule("createCommitOnBranch", "push", "commitOnBranch", "", "branch fileChanges message expectedHeadOid"),
  rule("mergeBranch", "push", "mergeBranch", "repositoryId", "base head commitMessage authorEmail"),
  rule("createLinkedBranch", "push", "linkedBranch", "issueId repositoryId", "name oid"),
  rule("mergePullRequest", ["merge"], "mergePull", "pullRequestId", mergeWords),
  rule("enablePullRequestAutoMerge", later, "mergePullLater", "pullRequestId", mergeWords),
  rule("enqueuePullRequest", later, "mergePullLater", "pullRequestId", "jump expectedHeadOid"),
  rule("disablePullRequestAutoMerge", later, "plain", "pullRequestId"),
  rule("dequeuePullRequest", later, "plain", "id"),
  rule("updatePullRequestBranch", pulls, "updatePullBranch", "pullRequestId", "expectedHeadOid updateMethod"),
  rule(
    "createPullRequest",
    pulls,
    "openPull",
    "repositoryId headRepositoryId",
    "baseRefName headRefName title body draft maintainerCanModify"
  ),
  rule("updatePullRequest", pulls, "editPull", "pullRequestId", pullWords),
  rule("closePullRequest", pulls, "plain", "pullRequestId"),
  rule("reopenPullRequest", pulls, "plain", "pullRequestId"),
  rule("markPullRequestReadyForReview", pulls, "plain", "pullRequestId"),
  rule("convertPullRequestToDraft", pulls, "plain", "pullRequestId"),
  rule("requestReviews", pulls, "plain", "pullRequestId", "userIds teamIds botIds union"),
  rule("addPullRequestReview", pulls, "review", "pullRequestId", "commitOID body event comments threads"),
  rule("submitPullRequestReview", pulls, "submitReview", "pullRequestId pullRequestReviewId", "event body"),
  rule("updatePullRequestReview", pulls, "plain", "pullRequestReviewId", "body"),
  rule("deletePullRequestReview", pulls, "plain", "pullRequestReviewId"),
  rule(
    "addPullRequestReviewThread",
    pulls,
    "plain",
    "pullRequestId pullRequestReviewId",
    "path body line side startLine startSide subjectType"
  ),
  rule("addPullRequestReviewThreadReply", pulls, "plain", "pullRequestReviewId pullRequestReviewThreadId", "body"),
  rule("updatePullRequestReviewComment", pulls, "plain", "pullRequestReviewCommentId", "body"),
  rule("deletePullRequestReviewComment", pulls, "plain", "id"),
  rule("resolveReviewThread", pulls, "plain", "threadId"),
  rule("unresolveReviewThread", pulls, "plain", "threadId"),
  rule("addComment", both, "plain", "subjectId", "body"),
  rule("updateIssueComment", both, "plain", "id", "body"),
  rule("deleteIssueComment", both, "plain", "id"),
  rule("addReaction", both, "plain", "subjectId", "content"),
  rule("removeReaction", both, "plain", "subjectId", "content"),
  rule("addLabelsToLabelable", both, "plain", "labelableId", "labelIds"),
  rule("removeLabelsFromLabelable", both, "plain", "labelableId", "labelIds"),
  rule("addAssigneesToAssignable", both, "plain", "assignableId", "assigneeIds"),
  rule("removeAssigneesFromAssignable", both, "plain", "assignableId", "assigneeIds"),
  rule("createIssue", issues, "plain", "repositoryId", "title body assigneeIds labelIds milestoneId issueTemplate"),
  rule("updateIssue", issues, "plain", "id", "title body state assigneeIds labelIds milestoneId"),
  rule("closeIssue", issues, "plain", "issueId", "stateReason"),
  rule("reopenIssue", issues, "plain", "issueId")
])
