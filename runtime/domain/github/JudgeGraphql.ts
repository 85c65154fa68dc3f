/** GitHub's GraphQL API, judged on its syntax tree: one operation, its root fields, and how far each selection goes. */
import {
  type FieldNode,
  Kind,
  type ObjectFieldNode,
  type OperationDefinitionNode,
  OperationTypeNode,
  type SelectionNode
} from "graphql/language"
import { accessByName, publicOnly } from "./Access.ts"
import { denied, shown } from "./Denials.ts"
import type {
  Denied,
  Facts,
  GitHubPolicy,
  HeldPull,
  JudgeGraphql,
  Judgement,
  Lookup,
  PinnedRepository
} from "./GitHubPolicy.ts"
import { type GraphqlRequest, readGraphql, valueOf, writtenRequest } from "./GraphqlDocument.ts"
import { isUnknowns, type MutationContext, mutationMoves, nodeOf, subjectsOf } from "./GraphqlMoves.ts"
import { type MutationRule, mutationRules } from "./GraphqlMutations.ts"
import { type FlatField, flatFields, isDenied, refusedSelection, startWalk, type Walk } from "./GraphqlSelection.ts"
import { isObject, type JsonObject, parseJson, unknownNames } from "./JsonBody.ts"
import { allowed, judgeMoves, lacking } from "./JudgeRest.ts"
import type { Move } from "./RouteMoves.ts"

/** Of a whole request, bytes. A commit on a branch carries its files. */
const maxBytes = 16 * 1_048_576
/** Root fields of one operation, and ids of one `nodes(ids:)`. */
const maxRoots = 50

/** What one request was found to be about so far. */
interface Found {
  readonly repositories: Map<number, PinnedRepository>
  readonly lookups: Array<Lookup>
  readonly moves: Array<Move>
  readonly pulls: Array<HeldPull>
}

interface Context {
  readonly request: GraphqlRequest
  readonly policy: GitHubPolicy
  readonly facts: Facts
  readonly walk: Walk
  readonly found: Found
}

const argument = (context: Context, node: FieldNode, name: string): unknown =>
  valueOf(context.request, node.arguments?.find((given) => given.name.value === name)?.value)

const closed = (name: string): Denied => denied("graphql.field", `${shown(name)} is open to no sandbox`)

/** Fields that belong to no repository, with what may be asked of them; `__schema` and `__type` describe GitHub alone. */
const openRoots: ReadonlyMap<string, ReadonlySet<string> | "all"> = new Map<string, ReadonlySet<string> | "all">([
  ["__typename", new Set()],
  ["__schema", "all"],
  ["__type", "all"],
  ["rateLimit", "all"],
  ["viewer", new Set(["__typename", "login", "id", "databaseId", "name", "url"])]
])

const openRoot = (context: Context, { name, node }: FlatField): Denied | undefined => {
  const inner = openRoots.get(name)
  if (inner === undefined || node.selectionSet === undefined) return inner === undefined ? closed(name) : undefined
  const fields = flatFields(context.walk, node.selectionSet)
  if (isDenied(fields)) return fields
  if (inner === "all") {
    const deeper = fields.map((field) => field.node.selectionSet).filter((set) => set !== undefined)
    return countedOnly(context, deeper)
  }
  const odd = fields.find((field) => !inner.has(field.name) || field.node.selectionSet !== undefined)
  return odd === undefined ? undefined : closed(`${name}.${odd.name}`)
}

/** Introspection leads nowhere but into the schema; it is walked for its fragments and its size. */
const countedOnly = (
  context: Context,
  sets: ReadonlyArray<NonNullable<FieldNode["selectionSet"]>>
): Denied | undefined => {
  for (const set of sets) {
    const fields = flatFields(context.walk, set)
    if (isDenied(fields)) return fields
    const refused = countedOnly(
      context,
      fields.map(({ node }) => node.selectionSet).filter((inner) => inner !== undefined)
    )
    if (refused !== undefined) return refused
  }
  return undefined
}

const repositoryRoot = (context: Context, { node }: FlatField): Denied | undefined => {
  const owner = argument(context, node, "owner")
  const name = argument(context, node, "name")
  if (typeof owner !== "string" || typeof name !== "string") {
    return denied("graphql.malformed", "a repository is named by the texts owner and name")
  }
  const access = accessByName(context.policy, owner, name)
  if (access._tag === "Denied") return access
  if (access._tag === "Anonymous") return access.audited[0] ?? publicOnly(context.policy, shown(owner), shown(name))
  context.found.repositories.set(access.repository.id, access.repository)
  return node.selectionSet === undefined
    ? denied("graphql.malformed", "repository has no fields")
    : refusedSelection(context.walk, node.selectionSet, { open: "Repository" }, true)
}

/** `node` and `nodes`: each id is looked up, and read as what it was found to be. */
const nodeRoot = (context: Context, { name, node }: FlatField): Denied | undefined => {
  const given = name === "node" ? [argument(context, node, "id")] : argument(context, node, "ids")
  if (!Array.isArray(given) || given.length === 0 || given.length > maxRoots) {
    return denied("graphql.malformed", `${name} names 1 to ${maxRoots} ids`)
  }
  if (node.selectionSet === undefined) return denied("graphql.malformed", `${name} has no fields`)
  for (const id of given) {
    if (typeof id !== "string" || id === "" || id.length > 256) {
      return denied("graphql.malformed", "an id is not a text")
    }
    const fact = nodeOf({ input: {}, policy: context.policy, facts: context.facts }, id)
    if (isUnknowns(fact)) {
      context.found.lookups.push(...fact.missing)
      continue
    }
    if (!("pinned" in fact)) return fact
    context.found.repositories.set(fact.pinned.id, fact.pinned)
  }
  return refusedSelection(context.walk, node.selectionSet, { open: "Node" }, true)
}

const queryRoot = (context: Context, field: FlatField): Denied | undefined => {
  if (field.name === "repository") return repositoryRoot(context, field)
  if (field.name === "node" || field.name === "nodes") return nodeRoot(context, field)
  return openRoot(context, field)
}

/** What is to be written into the input of a root field, by the field. */
type Additions = ReadonlyMap<FieldNode, JsonObject>

const inputOf = (context: Context, node: FieldNode, rule: MutationRule): JsonObject | Denied => {
  const given = node.arguments ?? []
  const [only] = given
  if (only === undefined || given.length > 1 || only.name.value !== "input") {
    return denied("graphql.malformed", "a mutation has one argument, input")
  }
  const input = valueOf(context.request, only.value)
  if (!isObject(input)) return denied("graphql.malformed", "the input is not an object")
  return unknownNames(input, [...rule.subjects, ...rule.others]) ?? input
}

const mutationRoot = (
  context: Context,
  { name, node }: FlatField,
  additions: Map<FieldNode, JsonObject>
): Denied | undefined => {
  const rule = mutationRules.get(name)
  if (rule === undefined) return denied("graphql.mutation", `the mutation ${shown(name)} is open to no sandbox`)
  const lack = lacking(rule.needs, context.policy)
  if (lack !== undefined) return lack
  const input = inputOf(context, node, rule)
  if (isDenied(input)) return input
  const mutation: MutationContext = { input, policy: context.policy, facts: context.facts }
  const subjects = subjectsOf(mutation, rule)
  if (isDenied(subjects)) return subjects
  if (isUnknowns(subjects)) {
    context.found.lookups.push(...subjects.missing)
    return undefined
  }
  const moved = mutationMoves(rule.kind, mutation, subjects)
  if (moved._tag === "Denied") return moved
  if (moved._tag === "Unknowns") {
    context.found.lookups.push(...moved.missing)
    return undefined
  }
  for (const { pinned } of subjects.values()) context.found.repositories.set(pinned.id, pinned)
  for (const move of moved.moves) context.found.repositories.set(move.repository.id, move.repository)
  context.found.moves.push(...moved.moves)
  if (moved.pull !== undefined) context.found.pulls.push(moved.pull)
  additions.set(node, moved.body)
  return node.selectionSet === undefined
    ? undefined
    : refusedSelection(context.walk, node.selectionSet, { open: payloadOf(name) }, false)
}

/** `createRef` answers a `CreateRefPayload`: GitHub's rule for all of its mutations. */
const payloadOf = (name: string): string => `${name.slice(0, 1).toUpperCase()}${name.slice(1)}Payload`

/** The operation with what was added to its inputs; a variable that gives a whole input is replaced by what it stands for. */
const withAdditions = (
  context: Context,
  additions: Additions
): { operation: OperationDefinitionNode; variables: JsonObject } => {
  const { operation } = context.request
  let { variables } = context.request
  const changed = (selection: SelectionNode): SelectionNode => {
    if (selection.kind !== Kind.FIELD) return selection
    const added = additions.get(selection)
    const [only] = selection.arguments ?? []
    if (added === undefined || only === undefined || Object.keys(added).length === 0) return selection
    if (only.value.kind === Kind.VARIABLE) {
      const name = only.value.name.value
      const whole = valueOf(context.request, only.value)
      variables = { ...variables, [name]: { ...(isObject(whole) ? whole : {}), ...added } }
      return selection
    }
    if (only.value.kind !== Kind.OBJECT) return selection
    const fields = only.value.fields.filter((field) => {
      // A variable that is declared and no longer used would be an error, so it is given the value instead.
      if (!Object.hasOwn(added, field.name.value)) return true
      if (field.value.kind !== Kind.VARIABLE) return false
      variables = { ...variables, [field.value.name.value]: added[field.name.value] }
      return true
    })
    const there = new Set(fields.map(({ name }) => name.value))
    const more = Object.entries(added).filter(([name]) => !there.has(name)).map(([name, value]): ObjectFieldNode => ({
      kind: Kind.OBJECT_FIELD,
      name: { kind: Kind.NAME, value: name },
      value: typeof value === "boolean" ? { kind: Kind.BOOLEAN, value } : { kind: Kind.STRING, value: String(value) }
    }))
    return { ...selection, arguments: [{ ...only, value: { ...only.value, fields: [...fields, ...more] } }] }
  }
  const selections = operation.selectionSet.selections.map(changed)
  return { operation: { ...operation, selectionSet: { ...operation.selectionSet, selections } }, variables }
}

const judgeOperation = (context: Context): Judgement => {
  const { operation } = context.request
  const fields = flatFields(context.walk, operation.selectionSet)
  if (isDenied(fields)) return fields
  if (fields.length > maxRoots) return denied("graphql.limit", `the operation has more than ${maxRoots} root fields`)
  const mutates = operation.operation === OperationTypeNode.MUTATION
  // What is added to an input is put where it stands; in a fragment it could stand for several.
  const inFragment = mutates && operation.selectionSet.selections.some(({ kind }) => kind !== Kind.FIELD)
  if (inFragment) return denied("graphql.malformed", "a mutation stands in a fragment")
  const additions = new Map<FieldNode, JsonObject>()
  for (const field of fields) {
    const refused = mutates && field.name !== "__typename"
      ? mutationRoot(context, field, additions)
      : queryRoot(context, field)
    if (refused !== undefined) return refused
  }
  const { found, policy, walk } = context
  if (found.lookups.length > 0) return { _tag: "Needs", lookups: found.lookups }
  const verdict = judgeMoves(found.moves, policy)
  if ("_tag" in verdict) return verdict
  const [pull, ...others] = found.pulls
  // Who waited for two turns could wait for ever.
  if (others.some(({ number, repository }) => number !== pull?.number || repository.id !== pull.repository.id)) {
    return denied("graphql.limit", "one operation merges or moves one pull request at most")
  }
  const written = withAdditions(context, additions)
  return allowed({
    ...verdict,
    credential: mutates ? "write" : "read",
    rule: `${operation.operation} ${[...new Set(fields.map(({ name }) => name))].join(", ")}`.slice(0, 200),
    repositories: [...found.repositories.values()],
    ...(pull === undefined ? {} : { pull }),
    body: writtenRequest({ ...context.request, variables: written.variables }, written.operation, walk.used)
  })
}

export const judgeGraphql: JudgeGraphql = (request, policy, facts) => {
  if (request.method !== "POST" || request.query.length > 0 || request.path.length !== 1) {
    return denied("request.malformed", "GraphQL is asked by POST /graphql, with everything in the body")
  }
  if (request.body === undefined) return { _tag: "NeedsBody", maxBytes }
  const json = parseJson(request.body)
  if ("_tag" in json) return json
  const read = readGraphql(json.value)
  if (isDenied(read)) return read
  return judgeOperation({
    request: read,
    policy,
    facts,
    walk: startWalk(read),
    found: { repositories: new Map(), lookups: [], moves: [], pulls: [] }
  })
}
