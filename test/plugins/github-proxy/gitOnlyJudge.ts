/** Judges by repository alone: for tests of the transport, which must not depend on what the tables of routes say. */
import { denied, unlistedRepository } from "../../../runtime/domain/github/Denials.ts"
import type { JudgeRequest } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { pinnedByName, withoutGitSuffix } from "../../../runtime/domain/github/Repositories.ts"

export const gitOnlyJudge: JudgeRequest = (request, policy) => {
  const [owner = "", name = ""] = request.service === "api" ? request.path.slice(1) : request.path
  if (name === "") return denied("route.unknown", "the route is in no table")
  const repository = pinnedByName(policy, owner, name)
  if (repository === undefined) return unlistedRepository(policy, owner, withoutGitSuffix(name))
  if (request.path.at(-1) === "git-receive-pack") return { _tag: "NeedsCommands", repository }
  if (request.contentType === "application/json" && request.body === undefined) {
    return { _tag: "NeedsBody", maxBytes: 1_000 }
  }
  return {
    _tag: "Allowed",
    credential: "read",
    rule: "test",
    repositories: [repository],
    moves: [],
    download: true,
    audited: []
  }
}
