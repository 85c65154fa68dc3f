/** GitHub's REST API: the route is found in GitHub's own list, then in ours, and what it moves is judged like a push. */
import { accessById, accessByName, publicOnly } from "./Access.ts"
import { denied, readonlyPolicy } from "./Denials.ts"
import type {
  Allowed,
  CanonicalRequest,
  Denied,
  Facts,
  GitHubPolicy,
  Judgement,
  JudgeRest,
  PinnedRepository
} from "./GitHubPolicy.ts"
import { isObject, parseJson, unknownNames } from "./JsonBody.ts"
import { isAudited, refJudge } from "./JudgeRefs.ts"
import { capabilityHint, type Move, routeMoves } from "./RouteMoves.ts"
import { type Needed, type RouteRule, routeRules, uploadRoute } from "./RouteRules.ts"
import { bodyNames, isRoute, matchRoute, type RouteMatch } from "./Routes.ts"

export const allowed = (given: Partial<Allowed> & Pick<Allowed, "credential" | "rule">): Allowed => ({
  _tag: "Allowed",
  repositories: [],
  moves: [],
  download: false,
  audited: [],
  ...given
})

/** Moves judged by the ref policy: the refusal, or what to allow and what `mode: audit` let pass. */
export const judgeMoves = (
  moves: ReadonlyArray<Move>,
  policy: GitHubPolicy
): Denied | Pick<Allowed, "moves" | "audited"> => {
  const { judge } = refJudge(policy)
  const audited: Array<Denied> = []
  for (const { change, force, ref } of moves) {
    const refused = judge(ref, change, force)
    if (refused === undefined) continue
    if (policy.mode !== "audit" || !isAudited(refused)) return refused
    audited.push(refused)
  }
  return { moves: moves.map(({ change, ref, repository }) => ({ repository, ref, change })), audited }
}

/** Why the policy lacks what a route needs. */
export const lacking = (needs: Needed, policy: GitHubPolicy): Denied | undefined => {
  if (needs === "push") return policy.allowedRefs.length === 0 && policy.mode === "enforce" ? readonlyPolicy : undefined
  return needs.some((name) => policy.capabilities.includes(name))
    ? undefined
    : denied("route.capability", `the request needs the capability ${needs.join(" or ")}`, capabilityHint(needs))
}

/** Names of queries that are credentials, or that make another method of a request. */
const forbiddenQuery = /^(?:access_token|client_id|client_secret|_method)(?:\[|$)/iu

const write = (
  request: CanonicalRequest,
  match: RouteMatch,
  rule: Extract<RouteRule, { readonly kind: "write" }>,
  repository: PinnedRepository,
  policy: GitHubPolicy,
  facts: Facts
): Judgement => {
  // GitHub takes a parameter from the query where the body has none.
  if (request.query.length > 0) {
    return denied("request.malformed", "a request that writes has its parameters in the body")
  }
  const lack = lacking(rule.needs, policy)
  if (lack !== undefined) return lack
  if (request.body === undefined) return { _tag: "NeedsBody", maxBytes: rule.maxBytes }
  const json = parseJson(request.body)
  if ("_tag" in json) return json
  const { value } = json
  if (!isObject(value) && !(Array.isArray(value) && rule.moves === "plain")) {
    return denied("body.malformed", "the body is not a JSON object")
  }
  const body = isObject(value) ? value : {}
  const unknown = unknownNames(body, bodyNames(match.key))
  if (unknown !== undefined) return unknown
  const moved = routeMoves(rule.moves, { repository, parameters: match.parameters, body, policy, facts })
  if (moved._tag === "Denied") return moved
  if (moved._tag === "Missing") return { _tag: "Needs", lookups: [moved.lookup] }
  const verdict = judgeMoves(moved.moves, policy)
  if ("_tag" in verdict) return verdict
  const whole = isObject(value) ? { ...value, ...moved.body } : value
  return allowed({
    ...verdict,
    credential: "write",
    rule: match.key,
    repositories: [repository],
    ...(moved.pull === undefined ? {} : { pull: moved.pull }),
    body: request.body.trim() === "" && Object.keys(moved.body).length === 0 ? "" : JSON.stringify(whole)
  })
}

/** `/repositories/{id}/…` as `/repos/{owner}/{repo}/…`, where the id is one of ours. */
const byName = (path: ReadonlyArray<string>, policy: GitHubPolicy): ReadonlyArray<string> | Denied => {
  if (path[0] !== "repositories") return path
  const access = accessById(policy, path[1] ?? "")
  return access._tag === "Pinned"
    ? ["repos", access.repository.owner, access.repository.name, ...path.slice(2)]
    : access._tag === "Denied"
    ? access
    : denied("repository.unlisted", "the repository is not one of this sandbox")
}

const isDenied = (value: ReadonlyArray<string> | Denied): value is Denied => "_tag" in value

const unknownRoute = (request: CanonicalRequest): Denied =>
  denied("route.unknown", `${request.method} on this path is no route of GitHub's API that is known here`)

/** Comparing with another owner's branch reads that owner's repository. */
const hops = (match: RouteMatch): boolean => match.parameters.get("basehead")?.includes(":") === true

export const judgeRest: JudgeRest = (request, policy, facts) => {
  if (request.query.some(([name]) => forbiddenQuery.test(name))) {
    return denied("request.malformed", "the query names a credential or another method")
  }
  const path = byName(request.path, policy)
  if (isDenied(path)) return path
  const match = matchRoute(request.method, path)
  if (request.service === "uploads") return upload(request, path, match, policy)
  if (match === undefined) return unknownRoute(request)
  const rule = routeRules.get(match.key)
  if (rule?.kind === "open") return openRoute(request, match.key)
  const [owner, name] = [match.parameters.get("owner"), match.parameters.get("repo")]
  if (owner === undefined || name === undefined || rule === undefined) return never(match.key)
  const access = accessByName(policy, owner, name)
  if (access._tag === "Denied") return access
  if (rule.kind === "read") {
    if (hops(match)) return denied("repository.unlisted", "branches of other owners are not compared with")
    return access._tag === "Pinned"
      ? allowed({ credential: "read", rule: match.key, repositories: [access.repository], download: rule.download })
      : allowed({ credential: "none", rule: match.key, download: rule.download, audited: access.audited })
  }
  return access._tag === "Pinned"
    ? write(request, match, rule, access.repository, policy, facts)
    : access.audited[0] ?? publicOnly(policy, owner, name)
}

const never = (key: string): Denied => denied("route.never", `${key} is open to no sandbox`)

const openRoute = (request: CanonicalRequest, key: string): Judgement => {
  if (request.method === "GET" || request.method === "HEAD") return allowed({ credential: "read", rule: key })
  if (request.body === undefined) return { _tag: "NeedsBody", maxBytes: 1_048_576 }
  const json = parseJson(request.body)
  if ("_tag" in json) return json
  const unknown = isObject(json.value)
    ? unknownNames(json.value, bodyNames(key))
    : denied("body.malformed", "the body is not a JSON object")
  return unknown ?? allowed({ credential: "read", rule: key, body: JSON.stringify(json.value) })
}

/** The one route of the uploads server; its body is the asset and passes unread, its name stands in the query. */
const upload = (
  request: CanonicalRequest,
  path: ReadonlyArray<string>,
  match: RouteMatch | undefined,
  policy: GitHubPolicy
): Judgement => {
  if (match?.key !== uploadRoute || !isRoute(uploadRoute)) return unknownRoute(request)
  if (request.query.some(([name]) => name !== "name" && name !== "label")) {
    return denied("request.malformed", "an upload has a name and a label, and nothing else, in its query")
  }
  const access = accessByName(policy, path[1] ?? "", path[2] ?? "")
  if (access._tag === "Denied") return access
  if (access._tag === "Anonymous") return access.audited[0] ?? publicOnly(policy, path[1] ?? "", path[2] ?? "")
  return lacking(["releases"], policy) ??
    allowed({ credential: "write", rule: match.key, repositories: [access.repository] })
}
