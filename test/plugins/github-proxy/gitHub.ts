/**
 * What stands behind the proxy in its tests: real `git http-backend` and a little of the API, over TLS on loopback, under
 * GitHub's names. It takes the tokens it was told of and nothing else, and remembers every request.
 */
import { Effect, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import type { AddressInfo } from "node:net"
import * as Net from "node:net"
import * as Path from "node:path"
import { makeAuthority } from "../../../plugins/github-proxy/certificates/SandboxAuthority.ts"
import type { Outside } from "../../../plugins/github-proxy/outside/Outside.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"

export interface SeenRequest {
  readonly host: string
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

export interface GitHubDouble {
  readonly outside: Outside
  readonly requests: ReadonlyArray<SeenRequest>
  /** Names that were resolved, in order. */
  readonly resolved: ReadonlyArray<string>
  /** Addresses that were dialled, with their port. */
  readonly dialled: ReadonlyArray<string>
  /** Addresses of names; a public one for those that are not here. */
  readonly addresses: Map<string, ReadonlyArray<string>>
  /** Makes a bare repository `owner/name` with one commit on `main`; returns its directory. */
  readonly repository: (fullName: string) => string
  /** What answers before anything else does; true where it has. */
  intercept: (seen: SeenRequest, request: IncomingMessage, response: ServerResponse) => boolean
  /** Tokens that are taken. */
  readonly tokens: Set<string>
  /** Branches that a rule of the repository protects from force. */
  readonly ruled: Set<string>
  /** Where the TLS server listens on 127.0.0.1. */
  readonly port: number
}

const names = ["github.com", "githubusercontent.com", "amazonaws.com", "example.com"]

/** As GitHub takes them: Basic for git, Bearer for the API. */
const tokenOf = (request: SeenRequest): string | undefined => {
  const { authorization } = request.headers
  if (typeof authorization !== "string") return undefined
  if (request.host === "github.com") {
    const basic = /^Basic (\S+)$/.exec(authorization)?.[1]
    return basic === undefined ? "not basic" : Buffer.from(basic, "base64").toString().replace(/^x-access-token:/, "")
  }
  return /^Bearer (\S+)$/.exec(authorization)?.[1] ?? "not bearer"
}

const gitEnvironment = { PATH: "/usr/bin:/bin", HOME: "/nonexistent", GIT_CONFIG_NOSYSTEM: "1" }

const git = (directory: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...args], {
    cwd: directory,
    env: gitEnvironment,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"]
  }).trim()

const cgi = (
  root: string,
  request: IncomingMessage,
  response: ServerResponse
): void => {
  const [path = "", query = ""] = (request.url ?? "").split("?")
  const child = spawn("git", ["http-backend"], {
    env: {
      ...gitEnvironment,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: path.replace(/^\/([^/]+)\/([^/]+?)(?:\.git)?\//, "/$1/$2.git/"),
      QUERY_STRING: query,
      REQUEST_METHOD: request.method ?? "GET",
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      REMOTE_USER: "x",
      ...(request.headers["content-encoding"] === undefined
        ? {}
        : { HTTP_CONTENT_ENCODING: request.headers["content-encoding"] }),
      ...(request.headers["git-protocol"] === undefined
        ? {}
        : { GIT_PROTOCOL: String(request.headers["git-protocol"]) })
    },
    stdio: ["pipe", "pipe", "ignore"]
  })
  request.pipe(child.stdin)
  child.stdin.on("error", () => undefined)
  let head: Buffer | undefined = Buffer.alloc(0)
  child.stdout.on("data", (chunk: Buffer) => {
    if (head === undefined) {
      if (!response.write(chunk)) {
        child.stdout.pause()
        response.once("drain", () => child.stdout.resume())
      }
      return
    }
    head = Buffer.concat([head, chunk])
    const end = head.indexOf("\r\n\r\n")
    if (end < 0) return
    const rest = head.subarray(end + 4)
    let status = 200
    for (const line of head.subarray(0, end).toString().split("\r\n")) {
      const [name = "", value = ""] = line.split(/:\s*/, 2)
      if (name.toLowerCase() === "status") status = Number(value.slice(0, 3))
      else response.appendHeader(name, value)
    }
    head = undefined
    response.writeHead(status)
    response.write(rest)
  })
  child.once("close", () => response.end())
}

/** The API's few routes that the proxy itself asks, on the bare repositories below `root`. */
const api = (
  root: string,
  double: { readonly ruled: Set<string> },
  request: IncomingMessage,
  response: ServerResponse
): void => {
  const answer = (status: number, body?: unknown) => {
    response.writeHead(status, { "content-type": "application/json" })
    response.end(body === undefined ? "" : JSON.stringify(body))
  }
  const path = decodeURIComponent((request.url ?? "").split("?", 1)[0] ?? "")
  const [, owner, name, rest = ""] = /^\/repos\/([^/]+)\/([^/]+)\/?(.*)$/.exec(path) ?? []
  const directory = Path.join(root, `${owner}/${name}.git`)
  if (rest.startsWith("rules/branches/")) {
    const branch = rest.slice("rules/branches/".length)
    return answer(200, double.ruled.has(branch) ? [{ type: "non_fast_forward" }] : [])
  }
  if (rest.startsWith("git/matching-refs/")) {
    const refs = git(
      directory,
      "for-each-ref",
      "--format=%(refname)",
      `refs/${rest.slice("git/matching-refs/".length)}`
    )
    return answer(200, refs === "" ? [] : refs.split("\n").map((ref) => ({ ref })))
  }
  if (rest.startsWith("git/refs/")) {
    const ref = rest.slice("git/".length)
    if (request.method === "DELETE") {
      if (git(directory, "for-each-ref", ref) === "") return answer(422, { message: "Reference does not exist" })
      git(directory, "update-ref", "-d", ref)
      return answer(204)
    }
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      const { force, sha } = JSON.parse(Buffer.concat(chunks).toString()) as { force: boolean; sha: string }
      const before = git(directory, "rev-parse", ref)
      const forwards = git(directory, "merge-base", "--all", before, sha) === before
      if (!force && !forwards) return answer(422, { message: "Update is not a fast forward" })
      git(directory, "update-ref", ref, sha)
      return answer(200, { ref, object: { sha } })
    })
    return
  }
  return rest === "" && owner !== undefined
    ? answer(200, { full_name: `${owner}/${name}` })
    : answer(404, { message: "Not Found" })
}

export const gitHubDouble: Effect.Effect<GitHubDouble, never, Scope.Scope> = Effect.gen(function*() {
  const root = yield* temporaryDirectory
  const authority = makeAuthority(names, () => Date.now())
  const requests: Array<SeenRequest> = []
  const resolved: Array<string> = []
  const dialled: Array<string> = []
  const server = Https.createServer({
    SNICallback: (name, answer) => answer(null, authority.contextFor(name)),
    ALPNProtocols: ["http/1.1"]
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const { port } = server.address() as AddressInfo
  const double: GitHubDouble = {
    outside: {
      resolve: async (host) => {
        resolved.push(host)
        return double.addresses.get(host) ?? ["140.82.112.3"]
      },
      dial: (address, to) => {
        dialled.push(`${address}:${to}`)
        return Net.connect(port, "127.0.0.1")
      },
      authorities: [authority.certificate],
      privateHosts: [],
      loopback: new Map()
    },
    requests,
    resolved,
    dialled,
    addresses: new Map(),
    repository: (fullName) => {
      const bare = Path.join(root, `${fullName}.git`)
      Fs.mkdirSync(bare, { recursive: true })
      git(bare, "init", "-q", "--bare", "-b", "main")
      for (
        const [key, value] of [["http.receivepack", "true"], ["receive.advertisePushOptions", "true"], [
          "receive.certNonceSeed",
          "x"
        ]]
      ) {
        git(bare, "config", key ?? "", value ?? "")
      }
      const work = Fs.mkdtempSync(Path.join(root, "work-"))
      git(work, "clone", "-q", bare, ".")
      Fs.writeFileSync(Path.join(work, "README"), `${fullName}\n`)
      git(work, "checkout", "-q", "-b", "main")
      git(work, "add", "README")
      git(work, "commit", "-q", "-m", "first")
      git(work, "push", "-q", "origin", "main")
      return bare
    },
    intercept: () => false,
    tokens: new Set(["ghs_memory_read_1", "ghs_memory_write_1", "ghs_memory_read_2", "ghs_memory_write_2"]),
    ruled: new Set(),
    port
  }
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const host = (request.headers.host ?? "").split(":", 1)[0] ?? ""
    const seen: SeenRequest = { host, method: request.method ?? "", url: request.url ?? "", headers: request.headers }
    requests.push(seen)
    request.on("error", () => undefined)
    if (double.intercept(seen, request, response)) return
    const token = tokenOf(seen)
    if (token === undefined || !double.tokens.has(token)) {
      response.writeHead(401, { "www-authenticate": "Basic realm=\"GitHub\"" }).end("who are you?\n")
    } else if (host === "github.com") cgi(root, request, response)
    else api(root, double, request, response)
  }
  server.on("request", onRequest)
  return double
})
