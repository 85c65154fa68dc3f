/** Which refs a mutation moves, by its input and what its ids were found to be. */
import { denied, shown } from "./Denials.ts"
import {
  type Denied,
  type Fact,
  type Facts,
  type GitHubPolicy,
  type HeldPull,
  lookupKey,
  type PinnedRepository
} from "./GitHubPolicy.ts"
import type { MutationKind, MutationRule } from "./GraphqlMutations.ts"
import { isObject, type JsonObject, member } from "./JsonBody.ts"
import { isZero } from "./ReceivePack.ts"
import { branchRef, isRefName } from "./RefNames.ts"
import { pinnedById, pinnedByName, repositoryKey } from "./Repositories.ts"
import { capabilityHint, type Missing, type Move, type Moves, moves, pinnedHead } from "./RouteMoves.ts"

/** Several look-ups at once, so that one round is enough for a mutation. */
export interface Unknowns {
  readonly _tag: "Unknowns"
  readonly missing: ReadonlyArray<Missing["lookup"]>
}

export interface MutationContext {
  readonly input: JsonObject
  readonly policy: GitHubPolicy
  readonly facts: Facts
}

export type NodeFact = Extract<Fact, { readonly kind: "node" }> & { readonly pinned: PinnedRepository }

const malformed = (why: string): Denied => denied("body.malformed", why)

/** A thing of an allowed repository, by its id. */
export const nodeOf = ({ facts, policy }: MutationContext, id: string): NodeFact | Unknowns | Denied => {
  const lookup = { kind: "node", id } as const
  const fact = facts.get(lookupKey(lookup))
  if (fact === undefined) return { _tag: "Unknowns", missing: [lookup] }
  if (fact.kind !== "node") return denied("lookup.missing", "GitHub does not show what an id of the request names")
  const pinned = fact.repositoryId === undefined ? undefined : pinnedById(policy, fact.repositoryId)
  return pinned === undefined
    ? denied(
      "repository.unlisted",
      `an id of the request names a ${shown(fact.type)} outside this sandbox's repositories`
    )
    : { ...fact, pinned }
}

/** Every id of a mutation, known and of an allowed repository. */
export const subjectsOf = (
  context: MutationContext,
  rule: MutationRule
): ReadonlyMap<string, NodeFact> | Unknowns | Denied => {
  const found = new Map<string, NodeFact>()
  const missing: Array<Unknowns["missing"][number]> = []
  for (const name of rule.subjects) {
    const id = member<string>(context.input, name, "string")
    if ("_tag" in id) return id
    if (id.value === undefined) continue
    const node = nodeOf(context, id.value)
    if (isUnknowns(node)) missing.push(...node.missing)
    else if ("pinned" in node) found.set(name, node)
    else return node
  }
  if (missing.length > 0) return { _tag: "Unknowns", missing }
  return rule.subjects.length > 0 && found.size === 0 ? malformed("the input names nothing that it is about") : found
}

export const isUnknowns = (value: object): value is Unknowns => "_tag" in value && value._tag === "Unknowns"

type Subjects = ReadonlyMap<string, NodeFact>
type Judge = (context: MutationContext, subjects: Subjects) => Moves | Unknowns | Denied

const one = (repository: PinnedRepository, ref: string, change: Move["change"], force = false): Moves =>
  moves([{ repository, ref, change, force }])

const text = (input: JsonObject, name: string): string | Denied => {
  const given = member<string>(input, name, "string")
  if ("_tag" in given) return given
  return given.value ?? malformed(`the input names no ${name}`)
}

const boolean = (input: JsonObject, name: string): boolean | Denied => {
  const given = member<boolean>(input, name, "boolean")
  return "_tag" in given ? given : given.value === true
}

const badRef = (name: string): Denied =>
  denied("ref.malformed", `${shown(name)} is not a name of a ref that is taken here`)

/** A member that names a branch, without `refs/heads/`. */
const branch = (input: JsonObject, name: string): { readonly ref: string } | Denied => {
  const given = text(input, name)
  if (typeof given !== "string") return given
  const ref = branchRef(given)
  return ref === undefined ? badRef(given) : { ref }
}

const subject = (subjects: Subjects, name: string): NodeFact | Denied =>
  subjects.get(name) ?? malformed(`the input names no ${name}`)

const ofType = (subjects: Subjects, name: string, type: string): NodeFact | Denied => {
  const node = subject(subjects, name)
  return "_tag" in node || node.type === type ? node : malformed(`${name} is not the id of a ${type}`)
}

const createRef: Judge = ({ input }, subjects) => {
  const repository = ofType(subjects, "repositoryId", "Repository")
  if ("_tag" in repository) return repository
  const name = text(input, "name")
  if (typeof name !== "string") return name
  return isRefName(name) ? one(repository.pinned, name, "create") : badRef(name)
}

const refOf = (subjects: Subjects): { readonly node: NodeFact; readonly ref: string } | Denied => {
  const node = ofType(subjects, "refId", "Ref")
  if ("_tag" in node) return node
  return node.ref === undefined ? denied("lookup.missing", "GitHub does not show that ref") : { node, ref: node.ref }
}

const updateRef: Judge = ({ input }, subjects) => {
  const found = refOf(subjects)
  if ("_tag" in found) return found
  const force = boolean(input, "force")
  return typeof force === "boolean" ? { ...one(found.node.pinned, found.ref, "update", force), body: { force } } : force
}

const deleteRef: Judge = (_, subjects) => {
  const found = refOf(subjects)
  return "_tag" in found ? found : one(found.node.pinned, found.ref, "delete")
}

/** What one of `refUpdates` may say. */
const updateNames = new Set(["name", "beforeOid", "afterOid", "force"])

const updateRefs: Judge = ({ input }, subjects) => {
  const repository = ofType(subjects, "repositoryId", "Repository")
  if ("_tag" in repository) return repository
  const { refUpdates } = input
  if (!Array.isArray(refUpdates) || refUpdates.length === 0 || refUpdates.length > 100) {
    return malformed("refUpdates is not a list of 1 to 100 updates")
  }
  const list: Array<Move> = []
  for (const update of refUpdates) {
    if (!isObject(update) || Object.keys(update).some((name) => !updateNames.has(name))) {
      return malformed("an update of refUpdates is not known")
    }
    const [name, after, force] = [text(update, "name"), text(update, "afterOid"), boolean(update, "force")]
    if (typeof name !== "string") return name
    if (typeof after !== "string") return after
    if (typeof force !== "boolean") return force
    if (!isRefName(name)) return badRef(name)
    list.push({ repository: repository.pinned, ref: name, change: isZero(after) ? "delete" : "any", force })
  }
  return moves(list)
}

/** The branch by its id, or by repository and name; both at once would be two. */
const commitOnBranch: Judge = (context) => {
  const { branch: given } = context.input
  if (!isObject(given)) return malformed("the input names no branch")
  const names = Object.keys(given).toSorted().join(" ")
  if (names === "id") {
    const id = text(given, "id")
    if (typeof id !== "string") return id
    const node = nodeOf(context, id)
    if (isUnknowns(node) || !("pinned" in node)) return node
    return node.type === "Ref" && node.ref !== undefined
      ? one(node.pinned, node.ref, "update")
      : malformed("branch.id is no ref")
  }
  if (names !== "branchName repositoryNameWithOwner") {
    return malformed("a branch is named by its id, or by repositoryNameWithOwner and branchName")
  }
  const full = text(given, "repositoryNameWithOwner")
  const name = text(given, "branchName")
  if (typeof full !== "string") return full
  if (typeof name !== "string") return name
  const [owner = "", repository = "", ...rest] = full.split("/")
  const pinned = rest.length > 0 ? undefined : pinnedByName(context.policy, owner, repository)
  if (pinned === undefined) return denied("repository.unlisted", `${shown(full)} is not a repository of this sandbox`)
  // GitHub takes both forms here.
  const ref = name.startsWith("refs/heads/") ? branchRef(name.slice(11)) : branchRef(name)
  return ref === undefined ? badRef(name) : one(pinned, ref, "update")
}

const mergeBranch: Judge = ({ input }, subjects) => {
  const repository = ofType(subjects, "repositoryId", "Repository")
  if ("_tag" in repository) return repository
  const base = branch(input, "base")
  return "_tag" in base ? base : one(repository.pinned, base.ref, "update")
}

/** Without a name GitHub makes one up. */
const linkedBranch: Judge = ({ input }, subjects) => {
  const issue = subject(subjects, "issueId")
  if ("_tag" in issue) return issue
  const name = branch(input, "name")
  return "_tag" in name ? name : one((subjects.get("repositoryId") ?? issue).pinned, name.ref, "create")
}

const pullOf = (subjects: Subjects) => {
  const node = ofType(subjects, "pullRequestId", "PullRequest")
  if ("_tag" in node) return node
  return node.pullRequest === undefined
    ? denied("lookup.missing", "GitHub does not show that pull request")
    : { node, pull: node.pullRequest }
}

type Pull = Exclude<ReturnType<typeof pullOf>, Denied>

const held = ({ node, pull }: Pull): HeldPull => ({ repository: node.pinned, number: pull.number })

const mergePull: Judge = ({ input }, subjects) => {
  const found = pullOf(subjects)
  if ("_tag" in found) return found
  const { base, head } = found.pull
  const expectedHeadOid = pinnedHead(input, "expectedHeadOid", head.sha)
  if (typeof expectedHeadOid !== "string") return expectedHeadOid
  return base.repositoryId === found.node.pinned.id
    ? { ...one(found.node.pinned, base.ref, "update"), body: { expectedHeadOid }, pull: held(found) }
    : denied("lookup.missing", "GitHub shows another base than the pull request's own repository")
}

const updatePullBranch: Judge = ({ input, policy }, subjects) => {
  const found = pullOf(subjects)
  if ("_tag" in found) return found
  const expectedHeadOid = pinnedHead(input, "expectedHeadOid", found.pull.head.sha)
  if (typeof expectedHeadOid !== "string") return expectedHeadOid
  const pinned = pinnedById(policy, found.pull.head.repositoryId)
  return pinned === undefined
    ? denied("repository.unlisted", "the branch of that pull request is in a repository that is not this sandbox's")
    : { ...one(pinned, found.pull.head.ref, "update"), body: { expectedHeadOid }, pull: held(found) }
}

const openPull: Judge = ({ input }, subjects) => {
  const repository = ofType(subjects, "repositoryId", "Repository")
  if ("_tag" in repository) return repository
  const base = branch(input, "baseRefName")
  if ("_tag" in base) return base
  const head = text(input, "headRefName")
  if (typeof head !== "string") return head
  const [first = "", ...rest] = head.split(":")
  const name = rest.length === 0 ? first : rest.join(":")
  if (branchRef(name) === undefined) return badRef(head)
  const { pinned } = repository
  const here = repositoryKey(pinned.owner, pinned.name)
  const sameOwner = rest.length === 0 || repositoryKey(first, pinned.name) === here
  const sameRepository = (subjects.get("headRepositoryId")?.pinned ?? pinned).id === pinned.id
  return sameOwner && sameRepository
    ? moves([])
    : denied("repository.unlisted", `a pull request may come from ${pinned.owner}/${pinned.name} itself only`)
}

const editPull: Judge = ({ input }, subjects) => {
  const found = pullOf(subjects)
  if ("_tag" in found) return found
  if (!Object.hasOwn(input, "baseRefName")) return moves([])
  const base = branch(input, "baseRefName")
  return "_tag" in base ? base : { ...one(found.node.pinned, base.ref, "update"), pull: held(found) }
}

const review = (required: boolean): Judge => ({ input, policy }) => {
  const event = member<string>(input, "event", "string")
  if ("_tag" in event) return event
  if (event.value === undefined) return required ? malformed("the input names no event") : moves([])
  if (event.value === "COMMENT" || event.value === "REQUEST_CHANGES") return moves([])
  if (event.value !== "APPROVE") return malformed("the event of a review is not known here")
  return policy.capabilities.includes("approve")
    ? moves([])
    : denied("route.capability", "approving needs the capability approve", capabilityHint(["approve"]))
}

const kinds: Readonly<Record<MutationKind, Judge>> = {
  plain: () => moves([]),
  createRef,
  updateRef,
  updateRefs,
  deleteRef,
  commitOnBranch,
  mergeBranch,
  mergePull,
  mergePullLater: mergePull,
  updatePullBranch,
  openPull,
  editPull,
  linkedBranch,
  review: review(false),
  submitReview: review(true)
}

export const mutationMoves = (kind: MutationKind, context: MutationContext, subjects: Subjects) =>
  kinds[kind](context, subjects)
