/**
 * The `emulate` package's GitHub: contents, pull requests, issues, comments and checks, on an inner loopback port that only
 * the front talks to. It knows one App of its own, installed everywhere; for each token that the front issued, an inner one
 * with the same repositories and permissions is made when it is first used, so that its own checks hold.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import * as net from "node:net"
import { send } from "../workspace/InnerHttp.ts"
import { isJson, numberOf, objectOf, parseJson, textOf } from "../workspace/Json.ts"
import type { Answer } from "./Answer.ts"
import { signJwt } from "./AppJwt.ts"
import { type Account, makeAppKey, type Repository } from "./AppTable.ts"
import type { AccountSeed } from "./GithubOptions.ts"
import type { IssuedToken } from "./TokenTable.ts"

/** The local GitHub did not start, or what is behind it does not answer. */
export class GithubFailed extends Schema.TaggedError<GithubFailed>()("LocalGithubFailed", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the local GitHub failed in ${this.operation}: ${this.detail}; start it again`
  }
}

export interface Emulator {
  readonly accounts: ReadonlyArray<Account>
  readonly repositories: ReadonlyArray<Repository>
  /** Passes a REST request on, as the token's (and its installation's account), or as nobody's. */
  readonly pass: (
    as: { readonly token: IssuedToken; readonly account: Account } | undefined,
    request: { readonly method: string; readonly path: string; readonly contentType?: string; readonly body: Buffer }
  ) => Effect.Effect<Answer, GithubFailed>
}

const innerApp = 1

/** Whatever an App of ours may be granted, so that the inner one is never what refuses. */
const innerPermissions = Object.fromEntries(
  [
    "actions",
    "administration",
    "checks",
    "contents",
    "deployments",
    "environments",
    "issues",
    "metadata",
    "pages",
    "pull_requests",
    "secrets",
    "statuses",
    "workflows"
  ].map((name) => [name, "write"])
)

const failed = (operation: string) => (cause: unknown) =>
  new GithubFailed({ operation, detail: cause instanceof Error ? cause.message : "unknown cause" })

const freePort = Effect.callback<number, GithubFailed>((resume) => {
  const server = net.createServer()
  server.once("error", (error) => resume(Effect.fail(failed("listen")(error))))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Starts it for the life of the scope. `apiUrl` is what its answers name as their own address. */
export const startEmulator = Effect.fn("GithubEmulator.start")(function*(options: {
  readonly apiUrl: string
  readonly accounts: ReadonlyArray<AccountSeed>
}): Effect.fn.Return<Emulator, GithubFailed, Scope.Scope> {
  const { accounts, apiUrl } = options
  const starter = yield* Effect.promise(() => import("emulate"))
  const key = yield* Effect.tryPromise({ try: makeAppKey, catch: failed("key") })
  const logins = (kind: AccountSeed["kind"]) =>
    accounts.filter((one) => one.kind === kind).map(({ login }) => ({ login }))
  const seed = {
    users: logins("User"),
    orgs: logins("Organization"),
    repos: accounts.flatMap(({ login, repositories }) =>
      repositories.map((one) => ({ owner: login, name: one.name, private: one.private ?? false }))
    ),
    apps: [{
      app_id: innerApp,
      slug: "km-inner",
      name: "inner",
      private_key: key,
      permissions: innerPermissions,
      installations: accounts.map(({ login }, index) => ({ installation_id: index + 1, account: login }))
    }]
  }
  const attempt = Effect.gen(function*() {
    const port = yield* freePort
    const running = yield* Effect.tryPromise({
      try: () =>
        starter.createEmulator({
          service: "github",
          port,
          hostname: "127.0.0.1",
          baseUrl: apiUrl,
          seed: { github: seed }
        }),
      catch: failed("start")
    })
    return { port, running }
  })
  const { port } = yield* Effect.acquireRelease(
    // Another program may take the port between the look and the start.
    Effect.retry(attempt, { times: 3 }),
    ({ running }) => Effect.promise(() => running.close().catch(() => undefined))
  )
  const agent = yield* Effect.acquireRelease(
    Effect.sync(() => new http.Agent({ keepAlive: false, maxSockets: 32 })),
    (pool) => Effect.sync(() => pool.destroy())
  )

  const call = (method: string, path: string, authorization: string | undefined, body?: Buffer, contentType?: string) =>
    send(agent, {
      url: `http://127.0.0.1:${port}${path}`,
      method,
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        ...(contentType === undefined ? {} : { "content-type": contentType }),
        accept: "application/vnd.github+json"
      },
      ...(body === undefined ? {} : { body })
    }).pipe(Effect.mapError(failed(`${method} ${path}`)))

  /** A token of the inner App, good for an hour, which is longer than any of ours still lives. */
  const innerToken = Effect.fnUntraced(function*(installation: number, narrowed: unknown) {
    const now = Math.floor(Date.now() / 1_000)
    const jwt = signJwt({ iss: String(innerApp), iat: now - 30, exp: now + 300 }, { pem: key })
    const reply = yield* call(
      "POST",
      `/app/installations/${installation}/access_tokens`,
      `Bearer ${jwt}`,
      Buffer.from(JSON.stringify(narrowed)),
      "application/json"
    )
    const answer = parseJson(reply.body.toString("utf8"))
    const token = isJson(answer) ? textOf(answer, "token") : undefined
    return token ?? (yield* new GithubFailed({ operation: "token", detail: `status ${reply.status}` }))
  })

  /** The accounts and repositories with the numbers that the emulator gave them. */
  const found = yield* Effect.forEach(accounts, (account, index) =>
    Effect.gen(function*() {
      const token = yield* innerToken(index + 1, {})
      const get = (path: string) =>
        Effect.map(call("GET", path, `Bearer ${token}`), ({ body }) => {
          const answer = parseJson(body.toString("utf8"))
          return isJson(answer) ? answer : {}
        })
      const own = yield* get(`/${account.kind === "User" ? "users" : "orgs"}/${account.login}`)
      // People and organisations are numbered apart in the emulator, and together on GitHub.
      const id = (numberOf(own, "id") ?? 0) + (account.kind === "User" ? 10_000 : 20_000)
      const known: Account = { id, login: account.login, kind: account.kind }
      const repositories = yield* Effect.forEach(account.repositories, (one) =>
        Effect.map(get(`/repos/${account.login}/${one.name}`), (answer): Repository => ({
          id: numberOf(answer, "id") ?? 0,
          account: known,
          name: one.name,
          private: one.private ?? false,
          rules: new Map()
        })))
      return { known, repositories }
    }))

  const all = found.flatMap(({ repositories }) => repositories)
  const missing = all.find(({ id }) => id === 0)
  if (missing !== undefined) {
    return yield* new GithubFailed({ operation: "start", detail: `${missing.name} is not in the emulator` })
  }

  /** By our token; what an inner token opens is what ours opens. */
  const inner = new Map<string, string>()

  const pass: Emulator["pass"] = Effect.fnUntraced(function*(as, { body, contentType, method, path }) {
    let authorization: string | undefined
    if (as !== undefined) {
      const { account, token } = as
      let known = inner.get(token.token)
      if (known === undefined) {
        known = yield* innerToken(found.findIndex((one) => one.known === account) + 1, {
          permissions: token.permissions,
          ...(token.repositories === undefined ? {} : { repository_ids: token.repositories })
        })
        inner.set(token.token, known)
      }
      authorization = `Bearer ${known}`
    }
    const reply = yield* call(method, path, authorization, body.length === 0 ? undefined : body, contentType)
    const answer = parseJson(reply.body.toString("utf8"))
    // Source: docs.github.com, "Troubleshooting the REST API", "Resource not accessible".
    const refused = reply.status === 403 &&
      textOf(objectOf({ answer }, "answer"), "message")?.includes("rate limit") !== true
    return {
      status: reply.status,
      headers: { "content-type": reply.headers["content-type"] ?? "application/json; charset=utf-8" },
      body: refused
        ? Buffer.from(JSON.stringify({
          message: "Resource not accessible by integration",
          documentation_url: "https://docs.github.com/rest",
          status: "403"
        }))
        : reply.body
    }
  })

  return { accounts: found.map(({ known }) => known), repositories: all, pass }
})
