/** Which refs a REST route moves, by its path, its body, and what must be looked up. */
import { denied, shown } from "./Denials.ts"
import {
  type Denied,
  type Fact,
  type Facts,
  type GitHubPolicy,
  type HeldPull,
  type Lookup,
  lookupKey,
  type PinnedRepository,
  type PullRequestFact
} from "./GitHubPolicy.ts"
import { type JsonObject, member } from "./JsonBody.ts"
import type { RefChange } from "./JudgeRefs.ts"
import { branchRef, isRefName, tagRef } from "./RefNames.ts"
import { pinnedById, repositoryKey } from "./Repositories.ts"
import type { MoveKind } from "./RouteRules.ts"

/** One ref that would move. */
export interface Move {
  readonly repository: PinnedRepository
  readonly ref: string
  readonly change: RefChange
  readonly force: boolean
}

export interface Moves {
  readonly _tag: "Moves"
  readonly moves: ReadonlyArray<Move>
  /** What to add to the body, so that nothing of it is left to a default. */
  readonly body: JsonObject
  /** The pull request whose ends must not change meanwhile. */
  readonly pull?: HeldPull
}

/** What else must be known. */
export interface Missing {
  readonly _tag: "Missing"
  readonly lookup: Lookup
}

export type Moved = Moves | Missing | Denied

export interface RouteContext {
  readonly repository: PinnedRepository
  readonly parameters: ReadonlyMap<string, string>
  readonly body: JsonObject
  readonly policy: GitHubPolicy
  readonly facts: Facts
}

type Found<A> = { readonly value: A } | Missing | Denied

const found = (fact: Facts, lookup: Lookup): Found<Fact> => {
  const known = fact.get(lookupKey(lookup))
  if (known === undefined) return { _tag: "Missing", lookup }
  return known.kind === "missing"
    ? denied("lookup.missing", "GitHub does not show what the request is about; it may not exist")
    : { value: known }
}

const lost = denied("lookup.missing", "what GitHub shows is not what the request is about")

export const moves = (list: ReadonlyArray<Move>, body: JsonObject = {}): Moves => ({ _tag: "Moves", moves: list, body })

const badBranch = (name: string): Denied =>
  denied("ref.malformed", `${shown(name)} is not the bare name of a branch; give it without refs/heads/`)

/** A member of the body that names a branch; absent where `required` is not. */
const branch = (
  { body }: RouteContext,
  name: string,
  required: boolean
): { readonly value: string | undefined } | Denied => {
  const given = member<string>(body, name, "string")
  if ("_tag" in given) return given
  if (given.value === undefined) {
    return required ? denied("body.malformed", `the body names no ${name}`) : { value: undefined }
  }
  const ref = branchRef(given.value)
  return ref === undefined ? badBranch(given.value) : { value: ref }
}

const defaultBranch = (context: RouteContext): Found<string> => {
  const fact = found(context.facts, { kind: "defaultBranch", repository: context.repository })
  if ("_tag" in fact) return fact
  return fact.value.kind === "defaultBranch" ? { value: fact.value.ref } : lost
}

const number = (context: RouteContext, name: string): number | undefined => {
  const text = context.parameters.get(name) ?? ""
  return /^[1-9]\d{0,14}$/u.test(text) ? Number(text) : undefined
}

const unnumbered = denied("request.malformed", "a pull request is named by its number")

const pullRequest = (context: RouteContext): Found<PullRequestFact> => {
  const pull = number(context, "pull_number")
  if (pull === undefined) return unnumbered
  const fact = found(context.facts, { kind: "pullRequest", repository: context.repository, number: pull })
  if ("_tag" in fact) return fact
  return fact.value.kind === "pullRequest" ? { value: fact.value.pullRequest } : lost
}

/** One branch of this repository, moved forward. */
const one = (context: RouteContext, ref: string, change: RefChange = "update", force = false): Moves =>
  moves([{ repository: context.repository, ref, change, force }])

/** The head that is merged or moved: the one that was judged, or the one that the client names in full. */
export const pinnedHead = (body: JsonObject, name: string, judged: string): string | Denied => {
  const given = member<string>(body, name, "string")
  if ("_tag" in given) return given
  if (given.value === undefined) return judged
  // GitHub takes an empty text for none.
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/u.test(given.value)
    ? given.value
    : denied("body.malformed", `${name} is not the whole id of a commit, in lower case`)
}

const pathRef = (context: RouteContext): string => `refs/${context.parameters.get("ref") ?? ""}`

const refCreate = (context: RouteContext): Moved => {
  const ref = member<string>(context.body, "ref", "string")
  if ("_tag" in ref) return ref
  return ref.value === undefined || !isRefName(ref.value)
    ? denied("ref.malformed", `${shown(ref.value ?? "")} is not the full name of a ref, such as refs/heads/feature/x`)
    : one(context, ref.value, "create")
}

const refUpdate = (context: RouteContext): Moved => {
  const force = member<boolean>(context.body, "force", "boolean")
  if ("_tag" in force) return force
  const forced = force.value === true
  return { ...one(context, pathRef(context), "update", forced), body: { force: forced } }
}

const contents = (context: RouteContext): Moved => {
  const given = branch(context, "branch", false)
  if ("_tag" in given) return given
  if (given.value !== undefined) return one(context, given.value)
  const standard = defaultBranch(context)
  return "_tag" in standard ? standard : named(context, standard.value)
}

/** The default branch, named in the body: it may be another one a moment later. */
const named = (context: RouteContext, ref: string): Moves => ({
  ...one(context, ref),
  body: { branch: ref.replace(/^refs\/heads\//u, "") }
})

const byMember = (name: string) => (context: RouteContext): Moved => {
  const given = branch(context, name, true)
  return "_tag" in given ? given : one(context, given.value ?? "")
}

/** The old name is gone afterwards, so it is a delete of it; the new one is created. */
const rename = (context: RouteContext): Moved => {
  const old = branchRef(context.parameters.get("branch") ?? "")
  if (old === undefined) return badBranch(context.parameters.get("branch") ?? "")
  const given = branch(context, "new_name", true)
  if ("_tag" in given) return given
  const { repository } = context
  return moves([
    { repository, ref: old, change: "delete", force: false },
    { repository, ref: given.value ?? "", change: "create", force: false }
  ])
}

/**
 * Opening one moves no ref and its base is judged when it is merged; but it must be from this repository to this repository, or
 * somebody else's commits would run here as the sandbox's own.
 */
const pullOpen = (context: RouteContext): Moved => {
  const { body, repository } = context
  const base = branch(context, "base", true)
  if ("_tag" in base) return base
  const head = member<string>(body, "head", "string")
  if ("_tag" in head) return head
  const [first = "", ...rest] = (head.value ?? "").split(":")
  const name = rest.length === 0 ? first : rest.join(":")
  if (branchRef(name) === undefined) return badBranch(head.value ?? "")
  const from = member<string>(body, "head_repo", "string")
  if ("_tag" in from) return from
  const here = repositoryKey(repository.owner, repository.name)
  const sameOwner = rest.length === 0 || repositoryKey(first, repository.name) === here
  const sameName = from.value === undefined || repositoryKey(repository.owner, from.value) === here
  return sameOwner && sameName
    ? moves([])
    : denied("repository.unlisted", `a pull request may come from ${repository.owner}/${repository.name} itself only`)
}

/** A new base is where somebody's auto-merge would put it, so it is judged as if it moved. */
const pullEdit = (context: RouteContext): Moved => {
  const base = branch(context, "base", false)
  if ("_tag" in base) return base
  if (base.value === undefined) return moves([])
  const pull = number(context, "pull_number")
  return pull === undefined
    ? unnumbered
    : { ...one(context, base.value), pull: { repository: context.repository, number: pull } }
}

const pullMerge = (context: RouteContext): Moved => {
  const pull = pullRequest(context)
  if ("_tag" in pull) return pull
  const { base, head, number: held } = pull.value
  const sha = pinnedHead(context.body, "sha", head.sha)
  if (typeof sha !== "string") return sha
  const { repository } = context
  return base.repositoryId === repository.id
    ? { ...one(context, base.ref), body: { sha }, pull: { repository, number: held } }
    : lost
}

/** The head moves, which may be in a fork. */
const pullUpdateBranch = (context: RouteContext): Moved => {
  const pull = pullRequest(context)
  if ("_tag" in pull) return pull
  const { head, number: held } = pull.value
  const repository = pinnedById(context.policy, head.repositoryId)
  const sha = pinnedHead(context.body, "expected_head_sha", head.sha)
  if (typeof sha !== "string") return sha
  return repository === undefined
    ? denied("repository.unlisted", "the branch of that pull request is in a repository that is not this sandbox's")
    : {
      ...one({ ...context, repository }, head.ref),
      body: { expected_head_sha: sha },
      pull: { repository: context.repository, number: held }
    }
}

const reviewEvent = (required: boolean) => (context: RouteContext): Moved => {
  const event = member<string>(context.body, "event", "string")
  if ("_tag" in event) return event
  if (event.value === undefined && required) return denied("body.malformed", "the body names no event")
  const harmless = event.value === undefined || event.value === "COMMENT" || event.value === "REQUEST_CHANGES"
  const mayApprove = event.value === "APPROVE" && context.policy.capabilities.includes("approve")
  return harmless || mayApprove
    ? moves([])
    : event.value === "APPROVE"
    ? denied("route.capability", "approving needs the capability approve", capabilityHint(["approve"]))
    : denied("body.malformed", `${shown(event.value ?? "")} is not an event of a review`)
}

export const capabilityHint = (names: ReadonlyArray<string>): string =>
  `add ${names.join(" or ")} to spec.sourceAccess.github.capabilities`

/** GitHub makes the tag when the release is published and the tag is not there. */
const releaseCreate = (context: RouteContext): Moved => {
  const tag = releaseTag(context)
  if ("_tag" in tag) return tag
  return tag.value === undefined
    ? denied("body.malformed", "the body names no tag_name")
    : one(context, tag.value, "create")
}

const releaseTag = ({ body }: RouteContext): { readonly value: string | undefined } | Denied => {
  const given = member<string>(body, "tag_name", "string")
  if ("_tag" in given || given.value === undefined) return given
  const ref = tagRef(given.value)
  return ref === undefined
    ? denied("ref.malformed", `${shown(given.value)} is not the bare name of a tag`)
    : { value: ref }
}

/** Publishing a draft makes the tag that the draft has, so both the tag that it has and the new one are judged. */
const releaseEdit = (context: RouteContext): Moved => {
  const release = number(context, "release_id")
  if (release === undefined) return denied("request.malformed", "a release is named by its number")
  const tag = releaseTag(context)
  if ("_tag" in tag) return tag
  const fact = found(context.facts, { kind: "release", repository: context.repository, release })
  if ("_tag" in fact) return fact
  if (fact.value.kind !== "release") return lost
  const refs = [...new Set([fact.value.ref, ...(tag.value === undefined ? [] : [tag.value])])]
  return moves(refs.map((ref) => ({ repository: context.repository, ref, change: "create", force: false })))
}

/** Without `auto_merge: false`, GitHub merges the default branch into the ref that is deployed. */
const deployment = (context: RouteContext): Moved => {
  const merge = member<boolean>(context.body, "auto_merge", "boolean")
  if ("_tag" in merge) return merge
  if (merge.value !== true) return moves([], { auto_merge: false })
  const ref = branch(context, "ref", true)
  return "_tag" in ref ? ref : one(context, ref.value ?? "")
}

const kinds: Readonly<Record<MoveKind, (context: RouteContext) => Moved>> = {
  plain: () => moves([]),
  refCreate,
  refUpdate,
  refDelete: (context) => one(context, pathRef(context), "delete"),
  contents,
  merges: byMember("base"),
  mergeUpstream: byMember("branch"),
  rename,
  pullOpen,
  pullEdit,
  pullMerge,
  pullMergeLater: pullMerge,
  pullUpdateBranch,
  reviewCreate: reviewEvent(false),
  reviewSubmit: reviewEvent(true),
  releaseCreate,
  releaseEdit,
  deployment
}

export const routeMoves = (kind: MoveKind, context: RouteContext): Moved => kinds[kind](context)
