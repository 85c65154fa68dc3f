/**
 * The routes of GitHub's REST API, from GitHub's own OpenAPI description (`runtime/domain/github/routes.json`), and the fields
 * of its GraphQL types that are open (`graphql.json`). `make routes` compares what is committed with the versions it names,
 * `make routes OPENAPI=24.0.0 SCHEMA=16.0.0` with others, and lists what is new, gone and changed: a route that is new is
 * refused until `RouteRules.ts` names it. `WRITE=1` takes it over.
 *
 * The packages (385 MB unpacked, and 11) are needed for this alone, so they are no dependencies: npm fetches them, and one file
 * of each is read.
 */
import { type FieldDefinitionNode, Kind, parse, type TypeNode } from "graphql"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { mutationRules } from "../../runtime/domain/github/GraphqlMutations.ts"
import { closedFields, identityTypes, openTypes } from "../../runtime/domain/github/GraphqlTypes.ts"

interface Routes {
  readonly openapi: string
  /** By `METHOD template`: the names that the body may have at its top; null where there is no body, or not an object. */
  readonly operations: Readonly<Record<string, ReadonlyArray<string> | null>>
}

interface JsonSchema {
  readonly $ref?: string
  readonly properties?: Readonly<Record<string, unknown>>
  readonly oneOf?: ReadonlyArray<JsonSchema>
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly allOf?: ReadonlyArray<JsonSchema>
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: JsonSchema }>> }
}

const methods = ["get", "post", "put", "patch", "delete"]

const makeRoutes = (openapi: string, api: OpenApi): Routes => {
  const resolved = (schema: JsonSchema): JsonSchema => {
    if (schema.$ref === undefined) return schema
    const [, , group = "", name = ""] = schema.$ref.split("/")
    return resolved((api.components[group]?.[name] ?? {}) as JsonSchema)
  }
  const names = (given: JsonSchema): ReadonlyArray<string> => {
    const schema = resolved(given)
    const parts = [...(schema.oneOf ?? []), ...(schema.anyOf ?? []), ...(schema.allOf ?? [])]
    return [...Object.keys(schema.properties ?? {}), ...parts.flatMap(names)]
  }
  const entries = Object.entries(api.paths).flatMap(([template, operations]) =>
    Object.entries(operations).filter(([method]) => methods.includes(method)).map(([method, operation]) => {
      const schema = operation.requestBody?.content["application/json"]?.schema
      const found = schema === undefined ? [] : [...new Set(names(schema))].toSorted()
      return [`${method.toUpperCase()} ${template}`, found.length === 0 ? null : found] as const
    })
  )
  return { openapi, operations: Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1))) }
}

/** One operation a line, so that a new version reads as a diff. */
const written = ({ openapi, operations }: Routes): string => {
  const lines = Object.entries(operations).map(([key, names]) => `    ${JSON.stringify(key)}: ${JSON.stringify(names)}`)
  return `{\n  "openapi": ${JSON.stringify(openapi)},\n  "operations": {\n${lines.join(",\n")}\n  }\n}\n`
}

/** One file of a package, as text. */
const fetched = (name: string, version: string, file: string): string => {
  if (!/^\d+\.\d+\.\d+$/u.test(version)) throw new Error(`${name}: give an exact version, such as 23.0.2`)
  const folder = mkdtempSync(path.join(os.tmpdir(), "km-github-"))
  try {
    const archive = execFileSync("npm", ["pack", `${name}@${version}`, "--silent"], { cwd: folder, encoding: "utf8" })
    execFileSync("tar", ["xzf", archive.trim(), file], { cwd: folder })
    return readFileSync(path.join(folder, file), "utf8")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

type Fields = Readonly<Record<string, string>>
interface GraphqlTypes {
  readonly schema: string
  /** By type and field: the type that it leads to, empty for a value without fields. */
  readonly types: Readonly<Record<string, Fields>>
}

const namedType = (type: TypeNode): string => (type.kind === Kind.NAMED_TYPE ? type.name.value : namedType(type.type))

/** The open types with their connections and edges, and what the open mutations answer. */
const makeTypes = (version: string, text: string): GraphqlTypes => {
  const definitions = parse(text).definitions.filter((definition) =>
    definition.kind === Kind.OBJECT_TYPE_DEFINITION || definition.kind === Kind.INTERFACE_TYPE_DEFINITION ||
    definition.kind === Kind.UNION_TYPE_DEFINITION
  )
  const known = new Map(definitions.map((definition) => [definition.name.value, definition]))
  const fieldsOf = (name: string): ReadonlyArray<FieldDefinitionNode> => {
    const definition = known.get(name)
    return definition === undefined || definition.kind === Kind.UNION_TYPE_DEFINITION ? [] : definition.fields ?? []
  }
  const answers = fieldsOf("Mutation").filter(({ name }) => mutationRules.has(name.value)).map(({ type }) =>
    namedType(type)
  )
  const missing = [...mutationRules.keys()].filter((name) =>
    !fieldsOf("Mutation").some((field) => field.name.value === name)
  )
  if (missing.length > 0) throw new Error(`GitHub has no mutation ${missing.join(", ")}`)
  const open = new Set([
    ...openTypes.flatMap((name) => [name, `${name}Connection`, `${name}Edge`]).filter((name) => known.has(name)),
    "PageInfo",
    ...answers
  ])
  // Lists of repositories: their ends would count as this repository.
  for (const name of ["RepositoryConnection", "RepositoryEdge"]) open.delete(name)
  const entries = [...open].toSorted().map((name) => {
    const kept = fieldsOf(name).flatMap((field): ReadonlyArray<readonly [string, string]> => {
      const type = namedType(field.type)
      if (closedFields.has(`${name}.${field.name.value}`)) return []
      if (!known.has(type)) return [[field.name.value, ""]]
      const listed = type === "UserConnection" || type === "ActorConnection"
      return open.has(type) || identityTypes.has(type) || listed ? [[field.name.value, type]] : []
    })
    return [name, Object.fromEntries(kept)] as const
  })
  return { schema: version, types: Object.fromEntries(entries) }
}

const writtenTypes = ({ schema, types }: GraphqlTypes): string => {
  const lines = Object.entries(types).map(([name, fields]) => `    ${JSON.stringify(name)}: ${JSON.stringify(fields)}`)
  return `{\n  "schema": ${JSON.stringify(schema)},\n  "types": {\n${lines.join(",\n")}\n  }\n}\n`
}

const say = (text: string) => process.stdout.write(`${text}\n`)

type Lines = Readonly<Record<string, unknown>>

/** What differs, a line each. */
const differences = (was: Lines, is: Lines): ReadonlyArray<string> => {
  const same = (key: string) => JSON.stringify(is[key]) === JSON.stringify(was[key])
  return [
    ...Object.keys(is).filter((key) => !Object.hasOwn(was, key)).map((key) => `new      ${key}`),
    ...Object.keys(was).filter((key) => !Object.hasOwn(is, key)).map((key) => `gone     ${key}`),
    ...Object.keys(is).filter((key) => Object.hasOwn(was, key) && !same(key)).map((key) => `changed  ${key}`)
  ]
}

const here = (file: string): string => fileURLToPath(new URL(`../../runtime/domain/github/${file}`, import.meta.url))

/** Compares, tells, and writes where that was asked for; whether both were the same. */
const settled = (file: string, what: string, was: Lines, is: Lines, text: string): boolean => {
  const found = differences(was, is)
  for (const line of found) say(line)
  say(`${Object.keys(is).length} ${what}, ${found.length} differences`)
  if (process.env["WRITE"] === "1") writeFileSync(here(file), text)
  return found.length === 0 || process.env["WRITE"] === "1"
}

const committed: Routes = JSON.parse(readFileSync(here("routes.json"), "utf8"))
const openapi = process.env["OPENAPI"] || committed.openapi
const routes = makeRoutes(
  openapi,
  JSON.parse(fetched("@octokit/openapi", openapi, "package/generated/api.github.com.json"))
)
const committedTypes: GraphqlTypes = JSON.parse(readFileSync(here("graphql.json"), "utf8"))
const schema = process.env["SCHEMA"] || committedTypes.schema
const types = makeTypes(schema, fetched("@octokit/graphql-schema", schema, "package/schema.graphql"))

const same = [
  settled("routes.json", `operations in ${openapi}`, committed.operations, routes.operations, written(routes)),
  settled("graphql.json", `types in ${schema}`, committedTypes.types, types.types, writtenTypes(types))
]
if (same.includes(false)) process.exitCode = 1
