/**
 * The front: what clients meet. REST below `/api/v3` (a host of its own, as GitHub Enterprise Server has it) or at the root
 * where the `Host` header begins with `api.`, Git over HTTP at `/{owner}/{repo}.git`, pages for people at the rest.
 */
import * as Effect from "effect/Effect"
import type * as http from "node:http"
import { parseJson } from "../workspace/Json.ts"
import { type Answer, badCredentials, json, notFound, problem } from "./Answer.ts"
import { type AppParts, appRoutes, installationOf, repositoriesOf } from "./AppRoutes.ts"
import type { Repository } from "./AppTable.ts"
import type { Emulator, GithubFailed } from "./Emulator.ts"
import type { Faults } from "./Faults.ts"
import { type GitFailed, serveGit } from "./GitRepositories.ts"
import type { ManifestPages } from "./ManifestPages.ts"
import { refRoutes } from "./RefRoutes.ts"
import type { IssuedToken } from "./TokenTable.ts"

export interface FrontParts extends AppParts {
  readonly emulator: Emulator
  readonly manifests: ManifestPages
  readonly faults: Faults
  /** Where the bare repositories are. */
  readonly directory: string
}

/** Bytes of a request that is not Git's. */
const maxBodyBytes = 16 * 1024 * 1024

const readBody = (request: http.IncomingMessage): Effect.Effect<Buffer | undefined> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    request.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBodyBytes) chunks.push(chunk)
    })
    request.on("end", () => resume(Effect.succeed(size <= maxBodyBytes ? Buffer.concat(chunks) : undefined)))
    request.on("close", () => resume(Effect.undefined))
  })

const credentialOf = (header: string | undefined) => {
  const [, scheme, value] = /^(bearer|token|basic)\s+(\S+)\s*$/iu.exec(header ?? "") ?? []
  if (scheme === undefined || value === undefined) return { scheme: undefined, token: undefined }
  if (scheme.toLowerCase() !== "basic") return { scheme: "bearer" as const, token: value }
  const text = Buffer.from(value, "base64").toString("utf8")
  return { scheme: "basic" as const, token: text.slice(text.indexOf(":") + 1) }
}

const write = (response: http.ServerResponse, answer: Answer): Effect.Effect<void> =>
  Effect.sync(() => {
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
  })

const text = (status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  body
})

const covers = (parts: AppParts, token: IssuedToken, repository: Repository): boolean =>
  repositoriesOf(parts, token).includes(repository)

/** Why Git gets no answer from its program; undefined when it does. */
const gitRefusal = (
  parts: FrontParts,
  repository: Repository | undefined,
  service: string,
  header: string | undefined
): Answer | undefined => {
  // Source: docs.github.com, "Authenticating as a GitHub App installation": HTTP-based Git access is Basic, x-access-token.
  const denied = text(
    401,
    "Invalid username or token. Password authentication is not supported for Git operations.\n",
    {
      "www-authenticate": "Basic realm=\"GitHub\""
    }
  )
  const { scheme, token: secret } = credentialOf(header)
  if (header !== undefined && scheme !== "basic") return denied
  const token = secret === undefined ? undefined : parts.tokens.find(secret)
  if (secret !== undefined && (token === undefined || installationOf(parts, token) === undefined)) return denied
  const isWrite = service === "git-receive-pack"
  // Nobody is told whether a private repository is there.
  if (token === undefined && (repository === undefined || repository.private || isWrite)) return denied
  if (repository === undefined) return text(404, "Repository not found.\n")
  const isCovered = token !== undefined && covers(parts, token, repository)
  if (repository.private && !isCovered) return text(404, "Repository not found.\n")
  const level = token?.permissions["contents"]
  if (isWrite && (!isCovered || level !== "write")) return text(403, "Write access to repository not granted.\n")
  return repository.private && level === undefined ? text(403, "Permission to contents denied.\n") : undefined
}

const git = Effect.fnUntraced(function*(
  parts: FrontParts,
  url: URL,
  match: RegExpExecArray,
  request: http.IncomingMessage,
  response: http.ServerResponse
) {
  const [, owner = "", name = "", path = ""] = match
  const service = path === "/info/refs" ? url.searchParams.get("service") ?? "" : path.slice(1)
  if (service !== "git-upload-pack" && service !== "git-receive-pack") return yield* write(response, notFound)
  const repository = parts.apps.repository(owner, name)
  const refusal = gitRefusal(parts, repository, service, request.headers["authorization"])
  if (refusal !== undefined || repository === undefined) return yield* write(response, refusal ?? notFound)
  yield* serveGit(parts.directory, repository, path, request, response)
})

/** Percent-decoded; as it came where that cannot be done. */
const decoded = (path: string): string => {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** `/repositories/{id}/…` as `/repos/{owner}/{name}/…`, as GitHub has both; an unknown number stays. */
const byName = (parts: AppParts, path: string): string => {
  const [, id, rest = ""] = /^\/repositories\/(\d{1,15})(\/.*)?$/u.exec(path) ?? []
  const found = id === undefined ? undefined : parts.apps.repositories.find((one) => one.id === Number(id))
  return found === undefined ? path : `/repos/${found.account.login}/${found.name}${rest}`
}

/** The repository that a REST path names, if it is one's. */
const named = (parts: AppParts, path: string): Repository | "none" | undefined => {
  const [, owner, name] = /^\/repos\/([^/]+)\/([^/]+)(?:\/|$)/u.exec(path) ?? []
  if (owner === undefined || name === undefined) return "none"
  return parts.apps.repository(owner, name)
}

const rest = Effect.fnUntraced(function*(
  parts: FrontParts,
  path: string,
  url: URL,
  request: http.IncomingMessage,
  body: Buffer
): Effect.fn.Return<Answer, GithubFailed | GitFailed> {
  const method = request.method ?? "GET"
  const [, code] = /^\/app-manifests\/([^/]+)\/conversions$/u.exec(path) ?? []
  if (method === "POST" && code !== undefined) return parts.manifests.convert(code)
  if (method === "GET" && path === "/meta") return json(200, { verifiable_password_authentication: true })
  const { token: secret } = credentialOf(request.headers["authorization"])
  const asApp = appRoutes(parts)({
    method,
    path,
    url,
    bearer: secret,
    body: parseJson(body.toString("utf8"))
  })
  if (asApp !== undefined) return asApp
  const token = secret === undefined ? undefined : parts.tokens.find(secret)
  if (secret !== undefined && token === undefined) return badCredentials
  const installation = token === undefined ? undefined : installationOf(parts, token)
  if (token !== undefined && installation === undefined) {
    return problem(403, "This installation has been suspended")
  }
  const repository = named(parts, path)
  if (repository === undefined) return notFound
  let as = token === undefined || installation === undefined ? undefined : { token, account: installation.account }
  if (repository !== "none" && (token === undefined || !covers(parts, token, repository))) {
    // What is private is not there for those who may not see it; what is public may be read by everybody.
    if (repository.private) return notFound
    if (method !== "GET" && method !== "HEAD") return problem(403, "Resource not accessible by integration")
    as = undefined
  }
  if (repository !== "none") {
    const answer = yield* refRoutes(parts.directory, repository, {
      method,
      path: decoded(path.replace(/^\/repos\/[^/]+\/[^/]+/u, "")),
      body: body.toString("utf8"),
      contents: as?.token.permissions["contents"]
    })
    if (answer !== undefined) return answer
  }
  const contentType = request.headers["content-type"]
  return yield* parts.emulator.pass(as, {
    method,
    path: path + url.search,
    body,
    ...(contentType === undefined ? {} : { contentType })
  })
})

const pages = (parts: FrontParts, url: URL, method: string, body: Buffer): Effect.Effect<Answer> => {
  const [, organization] = /^\/organizations\/([^/]+)\/settings\/apps\/new$/u.exec(url.pathname) ?? []
  if (method === "POST" && (organization !== undefined || url.pathname === "/settings/apps/new")) {
    return Effect.promise(() => parts.manifests.register(organization, body.toString("utf8"), url))
  }
  const [, slug] = /^\/apps\/([a-z0-9-]+)\/installations\/new$/u.exec(url.pathname) ?? []
  return Effect.succeed(slug === undefined ? notFound : parts.manifests.install(slug, method, body.toString("utf8")))
}

/** Answers one request, to its end. */
export const front = (parts: FrontParts) =>
  Effect.fnUntraced(function*(request: http.IncomingMessage, response: http.ServerResponse) {
    const method = request.method ?? "GET"
    const url = URL.parse(request.url ?? "/", parts.webUrl)
    if (url === null) return yield* write(response, notFound)
    const isApiHost = (request.headers.host ?? "").startsWith("api.")
    const asked = isApiHost ? url.pathname : /^\/api\/v3(\/.*)$/u.exec(url.pathname)?.[1]
    const path = asked === undefined ? undefined : byName(parts, asked)
    const early = yield* parts.faults.before(`${method} ${path ?? url.pathname}`)
    if (early === "hang") return yield* Effect.never
    if (early === "drop") return yield* Effect.sync(() => request.socket.destroy())
    if (early !== undefined) return yield* write(response, early)
    const match = path === undefined
      ? /^\/([^/]+)\/([^/]+?)(?:\.git)?(\/info\/refs|\/git-upload-pack|\/git-receive-pack)$/u.exec(url.pathname)
      : null
    if (match !== null) return yield* git(parts, url, match, request, response)
    const body = yield* readBody(request)
    if (body === undefined) return yield* write(response, problem(413, "The request is too large."))
    yield* write(
      response,
      yield* path === undefined ? pages(parts, url, method, body) : rest(parts, path, url, request, body)
    )
  })
