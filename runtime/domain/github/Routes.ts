/** From a path to GitHub's route: the most literal template of `routes.json` that fits, as GitHub itself tells them apart. */
import routes from "./routes.json" with { type: "json" }

/** Version of `@octokit/openapi` that the routes are from. */
export const openApiVersion = routes.openapi

const operations: ReadonlyMap<string, ReadonlyArray<string> | null> = new Map(Object.entries(routes.operations))

export const isRoute = (key: string): boolean => operations.has(key)

/** Names that the JSON body of a route may have at its top. */
export const bodyNames = (key: string): ReadonlyArray<string> => operations.get(key) ?? []

export interface RouteMatch {
  /** `PATCH /repos/{owner}/{repo}/git/refs/{ref}`. */
  readonly key: string
  readonly parameters: ReadonlyMap<string, string>
}

interface Node {
  readonly literal: Map<string, Node>
  readonly named: Map<string, Node>
  template?: string
}

/** Parameters that may hold slashes where they come last: paths of files, names of refs. */
const wide = new Set(["path", "ref", "dir", "basehead", "tag", "branch"])

const emptyNode = (): Node => ({ literal: new Map(), named: new Map() })

const childOf = (children: Map<string, Node>, name: string): Node => {
  const child = children.get(name) ?? emptyNode()
  children.set(name, child)
  return child
}

const treesOf = (): ReadonlyMap<string, Node> => {
  const trees = new Map<string, Node>()
  for (const key of operations.keys()) {
    const [method = "", template = ""] = key.split(" ")
    let node = childOf(trees, method)
    for (const segment of template.split("/").filter((part) => part !== "")) {
      const [, name] = /^\{(\w+)\}$/u.exec(segment) ?? []
      node = name === undefined ? childOf(node.literal, segment) : childOf(node.named, name)
    }
    node.template = template
  }
  return trees
}

let built: ReadonlyMap<string, Node> | undefined
/** Made at the first look: not every program that can judge does. */
const trees = (): ReadonlyMap<string, Node> => (built ??= treesOf())

type Found = { readonly template: string; readonly parameters: ReadonlyArray<readonly [string, string]> }

const descend = (node: Node, path: ReadonlyArray<string>, at: number): Found | undefined => {
  const segment = path[at]
  if (segment === undefined) {
    // `contents/` is the root of the tree, whose path is empty.
    const root = node.named.get("path")?.template
    return node.template !== undefined
      ? { template: node.template, parameters: [] }
      : root === undefined
      ? undefined
      : { template: root, parameters: [["path", ""]] }
  }
  const literal = node.literal.get(segment)
  const exact = literal === undefined ? undefined : descend(literal, path, at + 1)
  if (exact !== undefined) return exact
  for (const [name, child] of node.named) {
    const found = descend(child, path, at + 1)
    if (found !== undefined) return { ...found, parameters: [[name, segment], ...found.parameters] }
  }
  for (const [name, child] of node.named) {
    if (wide.has(name) && child.template !== undefined) {
      return { template: child.template, parameters: [[name, path.slice(at).join("/")]] }
    }
  }
  return undefined
}

/** The route of a request, undefined where GitHub's description has none. `HEAD` is `GET`. */
export const matchRoute = (method: string, path: ReadonlyArray<string>): RouteMatch | undefined => {
  const asked = method === "HEAD" ? "GET" : method
  const tree = trees().get(asked)
  const found = tree === undefined ? undefined : descend(tree, path, 0)
  return found === undefined
    ? undefined
    : { key: `${asked} ${found.template}`, parameters: new Map(found.parameters) }
}
