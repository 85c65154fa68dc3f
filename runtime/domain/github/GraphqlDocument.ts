/**
 * A GraphQL request taken apart: the one operation that runs, its fragments put in their places, its variables resolved. What
 * is forwarded is printed from the same tree, so the server sees nothing that was not looked at.
 */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  Kind,
  type ObjectValueNode,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  print,
  type ValueNode
} from "graphql/language"
import { denied } from "./Denials.ts"
import type { Denied } from "./GitHubPolicy.ts"
import { isObject, type JsonObject, unknownNames } from "./JsonBody.ts"

/** Words of a document; those that gh sends have some hundred. */
const maxTokens = 10_000
/** Fields with all fragments put in; a fragment in a fragment can stand for many. */
export const maxFields = 5_000

export interface GraphqlRequest {
  readonly operation: OperationDefinitionNode
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>
  readonly variables: JsonObject
}

const malformed = (why: string): Denied => denied("graphql.malformed", why)

const parsed = (text: string): DocumentNode | Denied => {
  try {
    return parse(text, { noLocation: true, maxTokens })
  } catch (error) {
    return error instanceof RangeError || String(error).includes("tokens")
      ? denied("graphql.limit", `the document is deeper, or has more than ${maxTokens} words`)
      : malformed("the query is not a GraphQL document")
  }
}

const directivesKnown = new Set(["include", "skip"])

/**
 * Why the tree means something else to different readers: a directive that is not one of leaving out, which could only make a
 * selection smaller, or a name that stands twice where only one of them counts.
 */
const oddTree = (node: unknown, depth = 0): string | undefined => {
  if (depth > 1_000) return "it is nested too deep"
  if (Array.isArray(node)) return firstOdd(node, depth)
  if (!isObject(node)) return undefined
  if (node["kind"] === Kind.DIRECTIVE && !directivesKnown.has(nameIn(node["name"]))) {
    return "a directive is not include or skip"
  }
  for (const key of ["fields", "arguments", "variableDefinitions"]) {
    const list = node[key]
    if (Array.isArray(list) && new Set(list.map(ownName)).size < list.length) return "a name stands twice"
  }
  return firstOdd(Object.values(node), depth)
}

const firstOdd = (nodes: ReadonlyArray<unknown>, depth: number): string | undefined => {
  for (const inner of nodes) {
    const odd = oddTree(inner, depth + 1)
    if (odd !== undefined) return odd
  }
  return undefined
}

const nameIn = (node: unknown): string => isObject(node) && typeof node["value"] === "string" ? node["value"] : ""

/** Of an argument or a member of an object, or of the variable that is defined. */
const ownName = (node: unknown): string => {
  if (!isObject(node)) return ""
  const { name, variable } = node
  return isObject(variable) ? nameIn(variable["name"]) : nameIn(name)
}

/** `{ query, variables?, operationName? }`, as `POST /graphql` takes it. */
export const readGraphql = (body: unknown): GraphqlRequest | Denied => {
  if (!isObject(body)) return malformed("the body is not one request: a batch is not taken")
  const unknown = unknownNames(body, ["query", "variables", "operationName"])
  if (unknown !== undefined) return unknown
  const { operationName, query, variables } = body
  if (typeof query !== "string") return malformed("the body has no query: stored documents are not taken")
  if (variables !== undefined && variables !== null && !isObject(variables)) {
    return malformed("variables is not an object")
  }
  if (operationName !== undefined && operationName !== null && typeof operationName !== "string") {
    return malformed("operationName is not a name")
  }
  const document = parsed(query)
  if ("_tag" in document) return document
  const operations: Array<OperationDefinitionNode> = []
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition)
    else if (definition.kind !== Kind.FRAGMENT_DEFINITION) return malformed("the document defines types")
    else if (fragments.has(definition.name.value)) return malformed("a fragment is defined twice")
    else fragments.set(definition.name.value, definition)
  }
  const named = typeof operationName === "string" && operationName !== ""
  const chosen = named ? operations.filter((operation) => operation.name?.value === operationName) : operations
  const [operation] = chosen
  if (operation === undefined || chosen.length > 1) return malformed("the document selects no single operation")
  if (operation.operation === OperationTypeNode.SUBSCRIPTION) return malformed("subscriptions are not taken")
  const odd = oddTree(document)
  if (odd !== undefined) return malformed(odd)
  return { operation, fragments, variables: variables ?? {} }
}

/** What an argument is once variables and their defaults are in it; undefined where it is not given. */
export const valueOf = (request: GraphqlRequest, node: ValueNode | undefined): unknown => {
  if (node === undefined) return undefined
  switch (node.kind) {
    case Kind.VARIABLE: {
      const name = node.name.value
      if (Object.hasOwn(request.variables, name)) return request.variables[name]
      const definition = request.operation.variableDefinitions?.find(({ variable }) => variable.name.value === name)
      return definition?.defaultValue === undefined ? undefined : valueOf(request, definition.defaultValue)
    }
    case Kind.OBJECT:
      return objectOf(request, node)
    case Kind.LIST:
      return node.values.map((value) => valueOf(request, value))
    case Kind.NULL:
      return null
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value)
    case Kind.STRING:
    case Kind.BOOLEAN:
    case Kind.ENUM:
      return node.value
  }
}

const objectOf = (request: GraphqlRequest, node: ObjectValueNode): JsonObject =>
  Object.fromEntries(
    node.fields.map((field) => [field.name.value, valueOf(request, field.value)] as const).filter(([, value]) =>
      value !== undefined
    )
  )

/** The request written anew: the operation that runs, the fragments it uses, and its variables. */
export const writtenRequest = (
  { fragments, variables }: GraphqlRequest,
  operation: OperationDefinitionNode,
  used: ReadonlySet<string>
): string => {
  const kept = [...fragments.values()].filter(({ name }) => used.has(name.value))
  const query = [operation, ...kept].map((definition) => print(definition)).join("\n")
  const declared = new Set(operation.variableDefinitions?.map(({ variable }) => variable.name.value))
  const given = Object.fromEntries(Object.entries(variables).filter(([name]) => declared.has(name)))
  const name = operation.name?.value
  return JSON.stringify({ query, variables: given, ...(name === undefined ? {} : { operationName: name }) })
}
