/** Profiles as files: reads YAML, follows `extends`, and says of every fault in which file and line it stands. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isMap, isNode, isScalar, isSeq, type Node } from "yaml"
import type { Profile } from "../runtime/domain/profile/Profile.ts"
import { decodeProfile, dotted } from "../runtime/domain/profile/ProfileDecode.ts"
import { type ProfileCode, ProfileFinding } from "../runtime/domain/profile/ProfileErrors.ts"
import { mergeProfiles, resolveAdds, writeOutShorthands } from "../runtime/domain/profile/ProfileExtends.ts"
import { profileFindings } from "../runtime/domain/profile/ProfileRules.ts"
import { type ReadYaml, readYaml } from "./Yaml.ts"

/** Bytes; a profile is a page of text, and YAML aliases make larger ones out of small files. */
const maxProfileBytes = 256 * 1024

/** Files in one chain, as in the reference. */
const maxChain = 10

/** A finding with its place. `line` and `column` count from 1; absent when the fault is in no line. */
export const LocatedFinding = Schema.Struct({
  ...ProfileFinding.fields,
  file: Schema.String,
  line: Schema.optionalKey(Schema.Int),
  column: Schema.optionalKey(Schema.Int)
})
export type LocatedFinding = typeof LocatedFinding.Type

/** What came of a file: the profile when nothing is wrong, and everything there is to say about it. */
export interface ProfileReport {
  readonly file: string
  readonly profile: Profile | undefined
  readonly findings: ReadonlyArray<LocatedFinding>
}

interface Source extends ReadYaml {
  readonly file: string
}

const broken = (code: ProfileCode, file: string, message: string, place: Partial<LocatedFinding> = {}) =>
  ({ severity: "error", code, path: [], message, file, ...place }) as const satisfies LocatedFinding

const position = (source: Source, offset: number) => {
  const { line, col } = source.lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

/** The offset of the key at `path`, or of the nearest enclosing key that the file has, and how deep that is. */
const locate = (source: Source, path: ReadonlyArray<string | number>) => {
  let node: Node | null = source.document.contents
  let depth = 0
  let offset = node?.range?.[0] ?? 0
  for (const step of path) {
    const next = childOf(node, step)
    if (next === undefined) break
    depth += 1
    offset = next.offset
    node = next.value
  }
  return { depth, offset }
}

const childOf = (node: Node | null, step: string | number) => {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) ? String(item.key.value) === String(step) : false)
    if (pair === undefined) return undefined
    const value = isNode(pair.value) ? pair.value : null
    return { offset: isNode(pair.key) ? pair.key.range?.[0] ?? 0 : 0, value }
  }
  if (isSeq(node) && typeof step === "number") {
    const value = node.items[step]
    return isNode(value) ? { offset: value.range?.[0] ?? 0, value } : undefined
  }
  return undefined
}

/** The file that says most about the path; of equals the last one, whose word counted. */
const placed = (chain: ReadonlyArray<Source>, found: ProfileFinding): LocatedFinding => {
  const places = chain.toReversed().map((source) => ({ source, ...locate(source, found.path) }))
  const deepest = Math.max(...places.map(({ depth }) => depth))
  const best = places.find(({ depth }) => depth === deepest)
  return best === undefined
    ? { ...found, file: "" }
    : { ...found, file: best.source.file, ...position(best.source, best.offset) }
}

const parse = (file: string, text: string): Result.Result<Source, ReadonlyArray<LocatedFinding>> =>
  readYaml(text).pipe(
    Result.map((read) => ({ file, ...read })),
    Result.mapError((faults) => faults.map(({ message, ...place }) => broken("KM-PRO-002", file, message, place)))
  )

const withoutExtends = (raw: unknown): unknown =>
  typeof raw === "object" && raw !== null && !Array.isArray(raw)
    ? Object.fromEntries(Object.entries(raw).filter(([key]) => key !== "extends"))
    : raw

const parentsOf = (source: Source): Result.Result<ReadonlyArray<string>, ReadonlyArray<LocatedFinding>> => {
  const { raw } = source
  const value: unknown = typeof raw === "object" && raw !== null && Object.hasOwn(raw, "extends")
    ? Reflect.get(raw, "extends")
    : []
  const list = typeof value === "string" ? [value] : value
  if (Array.isArray(list) && list.every((item) => typeof item === "string" && item !== "")) return Result.succeed(list)
  return Result.fail([
    broken("KM-PRO-005", source.file, "expected a path or a list of paths", {
      path: ["extends"],
      ...position(source, locate(source, ["extends"]).offset)
    })
  ])
}

/** Parents first, each as often as it is named; the file itself last. */
const readChain: (
  file: string,
  above: ReadonlyArray<string>,
  from: LocatedFinding | undefined
) => Effect.Effect<ReadonlyArray<Source>, ReadonlyArray<LocatedFinding>, FileSystem.FileSystem | Path.Path> = Effect
  .fnUntraced(function*(file, above, from) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const unreadable = (
      why: string
    ) => [from === undefined ? broken("KM-PRO-001", file, why) : { ...from, message: why }]
    const real = yield* Effect.mapError(fs.realPath(file), () => unreadable(`there is no readable file ${file}`))
    if (above.includes(real)) {
      return yield* Effect.fail([
        { ...(from ?? broken("KM-PRO-007", file, "")), code: "KM-PRO-007" as const, message: `${file} extends itself` }
      ])
    }
    if (above.length >= maxChain) {
      return yield* Effect.fail([
        {
          ...(from ?? broken("KM-PRO-008", file, "")),
          code: "KM-PRO-008" as const,
          message: `more than ${maxChain} profiles extend each other`
        }
      ])
    }
    const info = yield* Effect.mapError(fs.stat(real), () => unreadable(`${file} cannot be read`))
    if (info.type !== "File") return yield* Effect.fail(unreadable(`${file} is no regular file`))
    if (info.size > maxProfileBytes) {
      return yield* Effect.fail([broken("KM-PRO-002", file, `larger than ${maxProfileBytes / 1024} KiB`)])
    }
    const text = yield* Effect.mapError(fs.readFileString(real), () => unreadable(`${file} cannot be read`))
    const source = yield* Effect.fromResult(parse(file, text))
    const parents = yield* Effect.fromResult(parentsOf(source))
    const chains = yield* Effect.forEach(
      parents,
      (parent) =>
        readChain(path.join(path.dirname(file), parent), [...above, real], {
          ...broken("KM-PRO-006", file, ""),
          path: ["extends"],
          ...position(source, locate(source, ["extends"]).offset)
        })
    )
    return [...chains.flat(), source]
  })

const hasPath = (raw: unknown, path: string): boolean => {
  let value = raw
  for (const step of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return false
    value = Reflect.get(value, step)
  }
  return true
}

/** What a profile is judged by beside itself. */
export interface Surroundings {
  /** Names of the agents that this build has. */
  readonly agents: ReadonlyArray<string>
  /** Which sandbox owns a channel, where an install is at hand. */
  readonly ownerOfChannel: (channel: string) => string | undefined
}

/** Reads, merges, decodes and judges one file. Never fails: what is wrong is in the findings, errors before warnings. */
export const readProfile = Effect.fn("ProfileFile.read")(function*(
  file: string,
  { agents, ownerOfChannel }: Surroundings
) {
  const chain = yield* Effect.result(readChain(file, [], undefined))
  if (Result.isFailure(chain)) return { file, profile: undefined, findings: chain.failure } satisfies ProfileReport
  const sources = chain.success
  const merged = resolveAdds(sources.map(({ raw }) => writeOutShorthands(withoutExtends(raw))).reduce(mergeProfiles))
  const decoded = decodeProfile(merged, agents)
  if (Result.isFailure(decoded)) {
    return { file, profile: undefined, findings: decoded.failure.map((found) => placed(sources, found)) }
  }
  const findings = profileFindings(decoded.success, { given: (path) => hasPath(merged, path), ownerOfChannel })
  return {
    file,
    profile: findings.some(({ severity }) => severity === "error") ? undefined : decoded.success,
    findings: findings.map((found) => placed(sources, found))
  }
})

/** `profiles/demo.yaml:12:5 error KM-PRO-003 spec.cli.x: unknown key; …`, as compilers write it. */
export const findingLine = (found: LocatedFinding): string => {
  const place = found.line === undefined ? found.file : `${found.file}:${found.line}:${found.column ?? 1}`
  const path = found.path.length === 0 ? "" : ` ${dotted(found.path)}:`
  return `${place} ${found.severity} ${found.code}${path} ${found.message}`
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`

/** `profiles/x.yaml is valid, 1 warning`, or how many errors there are. */
export const verdict = (report: ProfileReport): string => {
  const errors = report.findings.filter(({ severity }) => severity === "error").length
  const warnings = report.findings.length - errors
  const rest = warnings === 0 ? "" : `, ${count(warnings, "warning")}`
  return errors === 0 ? `${report.file} is valid${rest}` : `${report.file} has ${count(errors, "error")}${rest}`
}
