/** What is not the API: git over HTTP, LFS, archives, files and the downloads of releases. */
import { type Access, accessByName, publicOnly } from "./Access.ts"
import { denied, readonlyPolicy } from "./Denials.ts"
import type {
  CanonicalRequest,
  Denied,
  Facts,
  GitHubPolicy,
  JudgeGit,
  Judgement,
  PinnedRepository
} from "./GitHubPolicy.ts"
import { lookupKey } from "./GitHubPolicy.ts"
import { isObject, type JsonObject, member, parseJson, unknownNames } from "./JsonBody.ts"
import { allowed, judgeMoves } from "./JudgeRest.ts"
import { branchRef, isRefName } from "./RefNames.ts"

/** Of one LFS batch: about 100 objects of 100 bytes, and much room. */
const lfsBytes = 1_048_576
const lfsType = "application/vnd.git-lfs+json"

const unknown = (request: CanonicalRequest): Denied =>
  denied("route.unknown", `${request.method} on this path is nothing that git, LFS or a download asks for`)

const reading = (access: Exclude<Access, Denied>, rule: string, download = false): Judgement =>
  access._tag === "Pinned"
    ? allowed({ credential: "read", rule, repositories: [access.repository], download })
    : allowed({ credential: "none", rule, download, audited: access.audited })

/** What may be written to, or why not. */
const writing = (
  access: Exclude<Access, Denied>,
  owner: string,
  name: string,
  policy: GitHubPolicy
): { readonly repository: PinnedRepository } | Denied => {
  if (access._tag === "Anonymous") return access.audited[0] ?? publicOnly(policy, owner, name)
  return policy.allowedRefs.length === 0 && policy.mode === "enforce"
    ? readonlyPolicy
    : { repository: access.repository }
}

interface RepositoryRequest {
  readonly request: CanonicalRequest
  readonly access: Exclude<Access, Denied>
  readonly owner: string
  readonly name: string
  readonly policy: GitHubPolicy
  readonly facts: Facts
}

/** `GET info/refs`: one service in the query and nothing else, or it is the dumb protocol. */
const infoRefs = ({ access, name, owner, policy, request }: RepositoryRequest): Judgement => {
  const [first, ...rest] = request.query
  if (first === undefined || first[0] !== "service" || rest.length > 0) {
    return denied("request.malformed", "info/refs names one service and nothing else")
  }
  if (first[1] === "git-upload-pack") return reading(access, "GET info/refs git-upload-pack")
  if (first[1] !== "git-receive-pack") return denied("route.unknown", "git's service is not known")
  const writable = writing(access, owner, name, policy)
  return "_tag" in writable
    ? writable
    : allowed({ credential: "write", rule: "GET info/refs git-receive-pack", repositories: [writable.repository] })
}

const service = (given: RepositoryRequest, program: string): Judgement => {
  const { access, name, owner, policy, request } = given
  if (request.query.length > 0 || request.contentType !== `application/x-${program}-request`) {
    return denied("request.malformed", `a request to ${program} has the media type of one, and no query`)
  }
  if (program === "git-upload-pack") return reading(access, "POST git-upload-pack")
  const writable = writing(access, owner, name, policy)
  return "_tag" in writable ? writable : { _tag: "NeedsCommands", repository: writable.repository }
}

/** The names that each kind of LFS request has; what is not among them is refused, as its meaning is not known. */
const lfsNames = {
  batch: ["operation", "transfers", "ref", "objects", "hash_algo"],
  locks: ["path", "ref"],
  verify: ["ref", "cursor", "limit"],
  unlock: ["force", "ref"]
} as const

/** The ref of an LFS request: named in full, or the default branch. */
const lfsRef = (body: JsonObject, repository: PinnedRepository, facts: Facts): Judgement | { readonly ref: string } => {
  if (Object.hasOwn(body, "ref")) {
    const { ref } = body
    const name = isObject(ref) && typeof ref["name"] === "string" ? ref["name"] : ""
    const full = name.startsWith("refs/") ? name : branchRef(name) ?? ""
    return isRefName(full) ? { ref: full } : denied("ref.malformed", "ref.name of the body is not the name of a ref")
  }
  const lookup = { kind: "defaultBranch", repository } as const
  const fact = facts.get(lookupKey(lookup))
  if (fact === undefined) return { _tag: "Needs", lookups: [lookup] }
  return fact.kind === "defaultBranch"
    ? { ref: fact.ref }
    : denied("lookup.missing", "GitHub does not show the default branch")
}

const lfsWrite = (given: RepositoryRequest, rule: string, body: JsonObject, force: boolean): Judgement => {
  const { access, facts, name, owner, policy } = given
  const writable = writing(access, owner, name, policy)
  if ("_tag" in writable) return writable
  const { repository } = writable
  const ref = lfsRef(body, repository, facts)
  if ("_tag" in ref) return ref
  const verdict = judgeMoves([{ repository, ref: ref.ref, change: "update", force }], policy)
  // Objects and locks move no ref; the ref is what they are for.
  return "_tag" in verdict ? verdict : allowed({
    credential: "write",
    rule,
    repositories: [repository],
    audited: verdict.audited,
    download: true,
    body: JSON.stringify({ ...body, ref: { name: ref.ref } })
  })
}

const lfsBody = (
  request: CanonicalRequest,
  names: ReadonlyArray<string>
): Judgement | { readonly body: JsonObject } => {
  if (request.query.length > 0 || (request.contentType !== lfsType && request.contentType !== "application/json")) {
    return denied("request.malformed", "a request to LFS has the media type of one, and no query")
  }
  if (request.body === undefined) return { _tag: "NeedsBody", maxBytes: lfsBytes }
  const json = parseJson(request.body)
  if ("_tag" in json) return json
  if (!isObject(json.value)) return denied("body.malformed", "the body is not a JSON object")
  return unknownNames(json.value, names) ?? { body: json.value }
}

const lfs = (given: RepositoryRequest, rest: ReadonlyArray<string>): Judgement => {
  const { access, policy, request } = given
  const path = rest.join("/")
  if (path === "locks" && (request.method === "GET" || request.method === "HEAD")) {
    return reading(access, "GET lfs/locks")
  }
  if (request.method !== "POST") return unknown(request)
  if (path === "objects/batch") {
    const found = lfsBody(request, lfsNames.batch)
    if ("_tag" in found) return found
    const operation = member<string>(found.body, "operation", "string")
    if ("_tag" in operation) return operation
    if (operation.value === "upload") return lfsWrite(given, "POST lfs/objects/batch upload", found.body, false)
    if (operation.value !== "download") return denied("body.malformed", "the operation is neither download nor upload")
    const verdict = reading(access, "POST lfs/objects/batch download", true)
    return verdict._tag === "Allowed" ? { ...verdict, body: JSON.stringify(found.body) } : verdict
  }
  if (path === "locks/verify") {
    const found = lfsBody(request, lfsNames.verify)
    if ("_tag" in found) return found
    // Whose locks are whose is told to those who may write; git-lfs asks before each push and goes on without an answer.
    const writable = writing(access, given.owner, given.name, policy)
    return "_tag" in writable ? writable : allowed({
      credential: "write",
      rule: "POST lfs/locks/verify",
      repositories: [writable.repository],
      body: JSON.stringify(found.body)
    })
  }
  if (path === "locks") {
    const found = lfsBody(request, lfsNames.locks)
    return "_tag" in found ? found : lfsWrite(given, "POST lfs/locks", found.body, false)
  }
  if (/^locks\/[A-Za-z0-9-]{1,64}\/unlock$/u.test(path)) {
    const found = lfsBody(request, lfsNames.unlock)
    if ("_tag" in found) return found
    const force = member<boolean>(found.body, "force", "boolean")
    // Breaking somebody else's lock is the force of LFS.
    return "_tag" in force ? force : lfsWrite(given, "POST lfs/locks/{id}/unlock", found.body, force.value === true)
  }
  return unknown(request)
}

const isGet = ({ method }: CanonicalRequest): boolean => method === "GET" || method === "HEAD"

/** Downloads of `github.com`: what leads to codeload, raw and the stores of releases. */
const download = (given: RepositoryRequest, rest: ReadonlyArray<string>): Judgement => {
  const [first, second] = rest
  const known = (first === "archive" && rest.length >= 2) ||
    ((first === "tarball" || first === "zipball" || first === "raw") && rest.length >= 2) ||
    (first === "releases" && second === "download" && rest.length === 4) ||
    (first === "releases" && second === "latest" && rest[2] === "download" && rest.length === 4)
  return known && given.request.query.length === 0
    ? reading(given.access, `GET ${first}`, true)
    : unknown(given.request)
}

const ofGitHost = (given: RepositoryRequest, rest: ReadonlyArray<string>): Judgement => {
  const { request } = given
  const path = rest.join("/")
  if (path === "info/refs" && request.method === "GET") return infoRefs(given)
  if (path === "git-upload-pack" && request.method === "POST") return service(given, "git-upload-pack")
  if (path === "git-receive-pack" && request.method === "POST") return service(given, "git-receive-pack")
  if (rest[0] === "info" && rest[1] === "lfs") return lfs(given, rest.slice(2))
  return isGet(request) ? download(given, rest) : unknown(request)
}

const archiveKinds = new Set(["tar.gz", "zip", "legacy.tar.gz", "legacy.zip"])

export const judgeGit: JudgeGit = (request, policy, facts) => {
  const path = request.service === "media" ? request.path.slice(1) : request.path
  if (request.service === "media" && request.path[0] !== "media") return unknown(request)
  const [owner = "", name = "", ...rest] = path
  if (rest.length === 0) return unknown(request)
  const access = accessByName(policy, owner, name)
  if (access._tag === "Denied") return access
  if (request.service === "git") return ofGitHost({ request, access, owner, name, policy, facts }, rest)
  if (!isGet(request)) return unknown(request)
  if (request.service === "codeload") {
    return archiveKinds.has(rest[0] ?? "") && rest.length >= 2
      ? reading(access, "GET codeload", true)
      : unknown(request)
  }
  return rest.length >= 2 ? reading(access, `GET ${request.service}`, true) : unknown(request)
}
