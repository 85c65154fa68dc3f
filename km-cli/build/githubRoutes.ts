/**
 * The routes of GitHub's REST API, from GitHub's own OpenAPI description: `runtime/domain/github/routes.json`.
 * `make routes` compares what is committed with the version it names, `make routes OPENAPI=24.0.0` with another one, and lists
 * what is new, gone and changed; a route that is new is refused until `RouteRules.ts` names it. `WRITE=1` takes it over.
 *
 * The package has 385 MB unpacked and is needed for this alone, so it is no dependency: npm fetches it, and one file of it is read.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const target = fileURLToPath(new URL("../../runtime/domain/github/routes.json", import.meta.url))
const packageName = "@octokit/openapi"
const description = "package/generated/api.github.com.json"

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

const fetched = (version: string): OpenApi => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "km-openapi-"))
  try {
    const archive = execFileSync("npm", ["pack", `${packageName}@${version}`, "--silent"], {
      cwd: folder,
      encoding: "utf8"
    })
    execFileSync("tar", ["xzf", archive.trim(), description], { cwd: folder })
    return JSON.parse(readFileSync(path.join(folder, description), "utf8"))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const say = (text: string) => process.stdout.write(`${text}\n`)

const committed: Routes = JSON.parse(readFileSync(target, "utf8"))
const version = process.env["OPENAPI"] || committed.openapi
if (!/^\d+\.\d+\.\d+$/u.test(version)) throw new Error("OPENAPI is an exact version, such as 23.0.2")
const current = makeRoutes(version, fetched(version))
const same = (key: string) => JSON.stringify(current.operations[key]) === JSON.stringify(committed.operations[key])
const differences = [
  ...Object.keys(current.operations).filter((key) => !(key in committed.operations)).map((key) => `new      ${key}`),
  ...Object.keys(committed.operations).filter((key) => !(key in current.operations)).map((key) => `gone     ${key}`),
  ...Object.keys(current.operations).filter((key) => key in committed.operations && !same(key)).map((key) =>
    `changed  ${key}`
  )
]
for (const line of differences) say(line)
say(
  `${
    Object.keys(current.operations).length
  } operations in ${version}, ${differences.length} differences from ${committed.openapi}`
)
if (process.env["WRITE"] === "1") writeFileSync(target, written(current))
else if (differences.length > 0) process.exitCode = 1
