/** `km policy test`: the verdict of the evaluator that the proxy uses, on a profile or a sandbox, without a network. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readProfile, verdict as verdictOf } from "../../profiles/ProfileFile.ts"
import {
  type CanonicalRequest,
  type Denied,
  type GitHubPolicy,
  type GitHubService,
  type Judgement,
  type Lookup,
  noFacts
} from "../../runtime/domain/github/GitHubPolicy.ts"
import { isAudited, refJudge } from "../../runtime/domain/github/JudgeRefs.ts"
import { judgeRequest } from "../../runtime/domain/github/JudgeRequest.ts"
import { type SourceAccess, supposedPolicy, usualHost } from "../../runtime/domain/github/ProfilePolicy.ts"
import { fullName, repositoryKey } from "../../runtime/domain/github/Repositories.ts"
import type { Backend } from "../Backend.ts"
import { pathFrom } from "../Configuration.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { resolve } from "../Reference.ts"

export interface PolicyTestInput {
  readonly reference: Option.Option<string>
  readonly profile: Option.Option<string>
  readonly push: Option.Option<string>
  readonly repo: Option.Option<string>
  readonly delete: boolean
  readonly force: boolean
  readonly request: Option.Option<string>
  readonly body: Option.Option<string>
}

const usage = (what: string) => kmError("KM-CLI-001", what, "", "km policy test --help")

const sourceOf = Effect.fnUntraced(function*(input: PolicyTestInput, backend: Backend) {
  if (Option.isSome(input.profile) === Option.isSome(input.reference)) {
    return yield* usage("give a sandbox, or a profile's file with --profile")
  }
  if (Option.isSome(input.profile)) {
    const file = yield* pathFrom(input.profile.value, "the profile")
    const report = yield* readProfile(file, { agents: backend.agents, ownerOfChannel: () => undefined })
    return report.profile?.spec.sourceAccess ??
      (yield* kmError("KM-CLI-006", verdictOf(report), "", `km validate ${file}`))
  }
  yield* backend.install
  const row = yield* resolve(Option.getOrElse(input.reference, () => "")).pipe(Effect.provide(backend.ports("short")))
  return row.profile.spec.sourceAccess
})

const hosts: ReadonlyMap<string, GitHubService> = new Map([
  ["api.github.com", "api"],
  ["uploads.github.com", "uploads"],
  ["codeload.github.com", "codeload"],
  ["raw.githubusercontent.com", "raw"],
  ["media.githubusercontent.com", "media"],
  ["github.com", "git"]
])

const mediaTypes: ReadonlyMap<string, string> = new Map([
  ["git-upload-pack", "application/x-git-upload-pack-request"],
  ["git-receive-pack", "application/x-git-receive-pack-request"],
  ["batch", "application/vnd.git-lfs+json"]
])

/** `METHOD /path?query`, or with the address of one of GitHub's hosts; a path alone is the API's. */
const requestOf = Effect.fnUntraced(function*(line: string, body: string | undefined) {
  const [, method = "", target = ""] = /^([A-Za-z]+) +(\S+)$/u.exec(line) ?? []
  const [, host = "api.github.com", path = "", search = ""] =
    /^(?:https:\/\/([^/?#]+))?(\/[^?#]*)(?:\?([^#]*))?$/u.exec(target) ?? []
  const service = hosts.get(host.toLowerCase())
  if (path === "") return yield* usage(`${JSON.stringify(line)} is not a method and a path, such as "GET /repos/o/r"`)
  if (service === undefined) return yield* usage(`${host} is not one of GitHub's hosts`)
  const segments = yield* Effect.try({
    try: () => path.split("/").slice(1).map(decodeURIComponent),
    catch: () => usage(`${JSON.stringify(path)} is not percent-encoded as an address is`)
  })
  const contentType = mediaTypes.get(segments.at(-1) ?? "")
  const request: CanonicalRequest = {
    service,
    method: method.toUpperCase(),
    path: segments.at(-1) === "" ? segments.slice(0, -1) : segments,
    query: [...new URLSearchParams(search)],
    ...(contentType === undefined ? {} : { contentType }),
    ...(body === undefined ? {} : { body })
  }
  return request
})

/** The repository that a request names, to be supposed installed; the judge finds it by itself. */
const namedIn = ({ path, service }: CanonicalRequest) => {
  const [owner, name] = service === "api" || service === "uploads" || service === "media" ? path.slice(1) : path
  return owner !== undefined && name !== undefined && repositoryKey(owner, name) !== undefined ? [{ owner, name }] : []
}

/** Every repository that the profile names as such: what a GraphQL document may be about. */
const namedOutright = ({ github }: SourceAccess) =>
  github.allowedRepos.flatMap((pattern) => {
    const [owner = "", name = "", ...rest] = pattern.split("/")
    return rest.length === 0 && name !== "*" ? [{ owner, name }] : []
  })

const lookupText = (lookup: Lookup): string => {
  switch (lookup.kind) {
    case "defaultBranch":
      return `which branch is the default one of ${fullName(lookup.repository)}`
    case "pullRequest":
      return `the base and the head of ${fullName(lookup.repository)}#${lookup.number}`
    case "release":
      return `the tag of release ${lookup.release} of ${fullName(lookup.repository)}`
    case "node":
      return `what ${lookup.id} is, and of which repository`
  }
}

interface Told {
  readonly verdict: "allowed" | "refused" | "depends"
  readonly lines: ReadonlyArray<string>
  readonly json: object
  readonly denied?: Denied
}

const auditedLines = (audited: ReadonlyArray<Denied>): ReadonlyArray<string> =>
  audited.map(({ message, rule }) => `  audit: would be refused by ${rule}: ${message}`)

const allowedTold = (what: string, lines: ReadonlyArray<string>, json: object): Told => ({
  verdict: "allowed",
  lines: [`allowed: ${what}`, ...lines],
  json
})

const refusedTold = (what: string, denied: Denied): Told => ({
  verdict: "refused",
  lines: [
    `refused: ${what}`,
    `  rule   ${denied.rule}`,
    `  why    ${denied.message}`,
    ...(denied.allow === "" ? [] : [`  allow  ${denied.allow}`])
  ],
  json: { rule: denied.rule, message: denied.message, allow: denied.allow },
  denied
})

const dependsTold = (what: string, lookups: ReadonlyArray<string>): Told => ({
  verdict: "depends",
  lines: [`depends: ${what}`, ...lookups.map((lookup) => `  on  ${lookup}`)],
  json: { lookups }
})

const pushTold = (input: PolicyTestInput, policy: GitHubPolicy, given: string, repository: string): Told => {
  const ref = given.startsWith("refs/") ? given : `refs/heads/${given}`
  const what = `${input.delete ? "delete" : input.force ? "force" : "push"} ${ref} ${
    input.delete ? "from" : "to"
  } ${repository}`
  const [owner = "", name = ""] = repository.split("/")
  const access = judgeRequest(
    { service: "git", method: "GET", path: [owner, name, "info", "refs"], query: [["service", "git-receive-pack"]] },
    policy,
    noFacts
  )
  if (access._tag === "Denied") return refusedTold(what, access)
  const refused = refJudge(policy).judge(ref, input.delete ? "delete" : "any", input.force)
  if (refused !== undefined && !(policy.mode === "audit" && isAudited(refused))) return refusedTold(what, refused)
  const audited = refused === undefined ? [] : [refused]
  const straight = input.delete || policy.allowForce || policy.mode === "audit"
  return allowedTold(
    what,
    [...auditedLines(audited), ...(straight ? [] : ["  an update passes only where it fast-forwards"])],
    { ref, fastForwardOnly: !straight, audited }
  )
}

const requestTold = (what: string, judgement: Judgement): Told => {
  switch (judgement._tag) {
    case "Denied":
      return refusedTold(what, judgement)
    case "Needs":
      return dependsTold(what, judgement.lookups.map(lookupText))
    case "NeedsBody":
      return dependsTold(what, ["the body; give it with --body"])
    case "NeedsCommands":
      return dependsTold(what, ["the refs that are pushed; try them with --push"])
    case "Allowed":
      return allowedTold(
        what,
        [
          `  token  ${judgement.credential}`,
          `  rule   ${judgement.rule}`,
          ...judgement.moves.map(({ change, ref, repository }) =>
            `  moves  ${ref} of ${fullName(repository)} (${change})`
          ),
          ...auditedLines(judgement.audited)
        ],
        {
          rule: judgement.rule,
          credential: judgement.credential,
          moves: judgement.moves.map(({ change, ref, repository }) => ({
            repository: fullName(repository),
            ref,
            change
          })),
          audited: judgement.audited
        }
      )
  }
}

const told = Effect.fnUntraced(function*(input: PolicyTestInput, access: SourceAccess) {
  if (Option.isSome(input.push) === Option.isSome(input.request)) {
    return yield* usage("give a ref with --push, or a request with --request")
  }
  if (Option.isSome(input.push)) {
    if (Option.isNone(input.repo)) return yield* usage("--push needs --repo, such as my-org/api")
    const [owner = "", name = "", ...rest] = input.repo.value.split("/")
    if (rest.length > 0 || repositoryKey(owner, name) === undefined) {
      return yield* usage(`${JSON.stringify(input.repo.value)} is no repository; give owner/repo`)
    }
    const policy = supposedPolicy(access, usualHost, [{ owner, name }])
    return pushTold(input, policy, input.push.value, `${owner}/${name}`)
  }
  if (input.delete || input.force || Option.isSome(input.repo)) {
    return yield* usage("--repo, --delete and --force are for --push")
  }
  const line = Option.getOrElse(input.request, () => "")
  const request = yield* requestOf(line, Option.getOrUndefined(input.body))
  const policy = supposedPolicy(access, usualHost, [...namedIn(request), ...namedOutright(access)])
  return requestTold(line, judgeRequest(request, policy, noFacts))
})

export const policyTest = Effect.fn("km.policy.test")(function*(input: PolicyTestInput) {
  const { backend } = yield* opened
  const { denied, json, lines, verdict } = yield* told(input, yield* sourceOf(input, backend))
  yield* data(lines, { ok: verdict !== "refused", verdict, ...json })
  if (denied !== undefined) return yield* kmError("KM-CLI-050", denied.message, denied.rule, denied.allow || undefined)
})
