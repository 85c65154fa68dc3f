/**
 * A GitHub for this machine: Apps from manifests, installations, narrowed tokens that expire, repositories that real Git
 * clones and pushes, and what the `emulate` package knows of the REST API. It answers on 127.0.0.1 alone.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import * as https from "node:https"
import { type App, AppTable, type Installation, makeAppKey, type Repository } from "./AppTable.ts"
import { GithubFailed, startEmulator } from "./Emulator.ts"
import { type FaultRule, Faults } from "./Faults.ts"
import { front } from "./Front.ts"
import type { GithubOptions, Permissions } from "./GithubOptions.ts"
import { askGit, type GitFailed, makeRepository } from "./GitRepositories.ts"
import { ManifestPages } from "./ManifestPages.ts"
import { type IssuedToken, TokenTable } from "./TokenTable.ts"

/** A running one, and what happens at GitHub without us. */
export interface LocalGithub {
  /** `127.0.0.1:{port}`: what `--host` takes. */
  readonly host: string
  readonly port: number
  /** Without a trailing slash. */
  readonly url: string
  readonly apiUrl: string
  readonly apps: () => ReadonlyArray<App>
  readonly repository: (fullName: string) => Repository | undefined
  /** An App without a browser, with these permissions. */
  readonly register: (options: {
    readonly name: string
    readonly owner: string
    readonly permissions: Permissions
    readonly public?: boolean
  }) => Effect.Effect<App>
  /** The owner of an account installs the App, on all repositories unless some are named (`owner/name`). */
  readonly install: (app: App, account: string, repositories?: ReadonlyArray<string>) => Installation
  readonly suspend: (installation: Installation, suspended: boolean) => void
  readonly uninstall: (installation: Installation) => void
  /** The App asks for more; each account still has to accept it. */
  readonly widen: (app: App, permissions: Permissions) => void
  /** A new key; the old ones are good until they are taken away. Returns its PEM. */
  readonly rotateKey: (app: App) => Effect.Effect<string>
  readonly rename: (fullName: string, name: string) => void
  /** The owner has a ruleset for a branch, of these types, such as `pull_request`; none takes it away. */
  readonly protect: (fullName: string, branch: string, rules: ReadonlyArray<string>) => void
  /** Full name of each ref and the commit it names; empty for a repository that is not there. */
  readonly refs: (fullName: string) => Effect.Effect<ReadonlyMap<string, string>, GitFailed>
  readonly tokens: () => ReadonlyArray<IssuedToken>
  /** GitHub's clock goes this much ahead, milliseconds. */
  readonly advance: (millis: number) => void
  readonly faults: { readonly add: (rule: FaultRule) => void; readonly clear: () => void }
  /** `METHOD /path` of each request, the oldest first. */
  readonly calls: () => ReadonlyArray<string>
}

const listen = (server: http.Server | https.Server, port: number) =>
  Effect.callback<number, GithubFailed>((resume) => {
    server.once(
      "error",
      (cause) => resume(Effect.fail(new GithubFailed({ operation: "listen", detail: cause.message })))
    )
    server.listen(port, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** Starts it for the life of the scope. Needs the program `git`. */
export const startGithub = Effect.fn("LocalGithub.start")(function*(
  options: GithubOptions
): Effect.fn.Return<LocalGithub, GithubFailed | GitFailed, Scope.Scope> {
  let ahead = 0
  const now = () => Date.now() + ahead
  const person = options.accounts.find(({ kind }) => kind === "User")
  if (person === undefined) {
    return yield* new GithubFailed({ operation: "start", detail: "nobody is there to sign in: no account is a User's" })
  }
  const server = options.tls === undefined ? http.createServer() : https.createServer({ ...options.tls })
  const port = yield* Effect.acquireRelease(
    listen(server, options.port ?? 0),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  const host = `127.0.0.1:${port}`
  const url = `${options.tls === undefined ? "http" : "https"}://${host}`
  const apiUrl = `${url}/api/v3`
  const emulator = yield* startEmulator({ apiUrl, accounts: options.accounts })
  const apps = new AppTable(emulator.accounts, emulator.repositories, now)
  const seeds = options.accounts.flatMap(({ login, repositories }) => repositories.map((seed) => ({ login, seed })))
  yield* Effect.forEach(seeds, ({ login, seed }) => {
    const repository = apps.repository(login, seed.name)
    return repository === undefined ? Effect.void : makeRepository(options.directory, repository, seed)
  }, { concurrency: 2, discard: true })
  const tokens = new TokenTable(now, options.tokens ?? "short")
  const parts = { apps, tokens, now, apiUrl, webUrl: url }
  const faults = new Faults()
  const self = apps.account(person.login)
  if (self === undefined) return yield* new GithubFailed({ operation: "start", detail: `${person.login} is missing` })
  const answer = front({
    ...parts,
    emulator,
    manifests: new ManifestPages(parts, self),
    faults,
    directory: options.directory
  })
  const scope = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context<never>())
  server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
    // The date is this GitHub's own, which clients with a wrong clock go by.
    response.setHeader("date", new Date(now()).toUTCString())
    const handled = answer(request, response).pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(
          Effect.logError("the local GitHub could not answer", cause),
          Effect.sync(() => response.headersSent ? response.destroy() : response.writeHead(500).end())
        )
      )
    )
    run(Effect.forkIn(handled, scope))
  })
  const known = (fullName: string) => {
    const [owner = "", name = ""] = fullName.split("/")
    return apps.repository(owner, name)
  }
  return {
    host,
    port,
    url,
    apiUrl,
    apps: () => apps.apps,
    repository: known,
    register: ({ name, owner, permissions, public: isPublic = false }) =>
      Effect.promise(() => apps.register({ name, owner: apps.account(owner) ?? self, permissions, public: isPublic })),
    install: (app, account, repositories) =>
      apps.install(
        app,
        apps.account(account) ?? self,
        repositories?.flatMap((one) => known(one)?.id ?? []) ?? "all"
      ),
    suspend: (installation, suspended) => {
      installation.suspendedAt = suspended ? now() : undefined
    },
    uninstall: (installation) => {
      tokens.revoke((token) => token.installation === installation.id)
      apps.uninstall(installation)
    },
    widen: (app, permissions) => {
      app.permissions = { ...app.permissions, ...permissions }
    },
    rotateKey: (app) =>
      Effect.map(Effect.promise(makeAppKey), (key) => {
        app.keys = [key]
        return key
      }),
    rename: (fullName, name) => {
      const repository = known(fullName)
      if (repository !== undefined) repository.name = name
    },
    protect: (fullName, branch, rules) => void known(fullName)?.rules.set(branch, rules),
    refs: Effect.fnUntraced(function*(fullName) {
      const repository = known(fullName)
      const text = repository === undefined
        ? undefined
        : yield* askGit(options.directory, repository, ["for-each-ref", "--format=%(refname) %(objectname)"])
      return new Map(
        (text ?? "").split("\n").flatMap((line) => {
          const [name, commit] = line.split(" ")
          return name === undefined || commit === undefined ? [] : [[name, commit] as const]
        })
      )
    }),
    tokens: () => tokens.all(),
    advance: (millis) => {
      ahead += millis
    },
    faults: { add: (rule) => faults.add(rule), clear: () => faults.clear() },
    calls: () => faults.calls
  }
})
