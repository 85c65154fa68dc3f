/** Which of a sandbox's rights a repository has: none, reading as anybody can, or a token. */
import { asListed, denied, unlistedRepository } from "./Denials.ts"
import type { Denied, GitHubPolicy, PinnedRepository } from "./GitHubPolicy.ts"
import { anyPatternMatches, pinnedById, pinnedByName } from "./Repositories.ts"

export type Access =
  | { readonly _tag: "Pinned"; readonly repository: PinnedRepository }
  /** Without a token. `audited` is what `mode: audit` let pass for it. */
  | { readonly _tag: "Anonymous"; readonly audited: ReadonlyArray<Denied> }
  | Denied

/** A repository that a token reaches is reached with it, also where `publicRead` names it. */
export const accessByName = (policy: GitHubPolicy, owner: string, name: string): Access => {
  const repository = pinnedByName(policy, owner, name)
  if (repository !== undefined) return { _tag: "Pinned", repository }
  if (anyPatternMatches(policy.publicRead, owner, name)) return { _tag: "Anonymous", audited: [] }
  const refused = unlistedRepository(policy, owner, name)
  return policy.mode === "audit" && refused.rule === "repository.unlisted"
    ? { _tag: "Anonymous", audited: [refused] }
    : refused
}

export const accessById = (policy: GitHubPolicy, text: string): Access => {
  const repository = /^[1-9]\d{0,15}$/u.test(text) ? pinnedById(policy, Number(text)) : undefined
  return repository === undefined
    ? denied(
      "repository.unlisted",
      `repository ${/^\d{1,16}$/u.test(text) ? text : "of that id"} is not one of this sandbox`,
      "add the repository to spec.sourceAccess.github.allowedRepos"
    )
    : { _tag: "Pinned", repository }
}

/** Writing to what is read without a token. */
export const publicOnly = (policy: GitHubPolicy, owner: string, name: string): Denied =>
  denied(
    "repository.public",
    `${owner}/${name} may only be read, without a token`,
    `add ${asListed(policy, `${owner}/${name}`)} to spec.sourceAccess.github.allowedRepos`
  )
