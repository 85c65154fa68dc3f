/** One sandbox's proxy before that GitHub, and the programs that an agent runs, in an environment made from nothing. */
import { Effect, Layer, type Scope } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import type { AddressInfo } from "node:net"
import * as Net from "node:net"
import * as Path from "node:path"
import { makeAuthority, type SandboxAuthority } from "../../../plugins/github-proxy/certificates/SandboxAuthority.ts"
import type { Outside } from "../../../plugins/github-proxy/outside/Outside.ts"
import { makeUpstream, type Upstream } from "../../../plugins/github-proxy/outside/Upstream.ts"
import type { Decision, ProxyContext } from "../../../plugins/github-proxy/proxy/Context.ts"
import { askApi } from "../../../plugins/github-proxy/proxy/Lookups.ts"
import { makeProxyServer, type ProxyServer } from "../../../plugins/github-proxy/proxy/ProxyServer.ts"
import { pullHolds } from "../../../plugins/github-proxy/proxy/PullHolds.ts"
import { stagedRefs } from "../../../plugins/github-proxy/proxy/StagedRefs.ts"
import { makeDownloads } from "../../../plugins/github-proxy/request/Downloads.ts"
import { certifiedNames } from "../../../plugins/github-proxy/request/GitHubHosts.ts"
import type { GitHubPolicy, JudgeRequest } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { judgePush } from "../../../runtime/domain/github/JudgeRefs.ts"
import { judgeRequest } from "../../../runtime/domain/github/JudgeRequest.ts"
import { parseHostPattern } from "../../../runtime/domain/profile/HostPatterns.ts"
import type { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import {
  makeMemoryRepositoryTokensState,
  type MemoryRepositoryTokensState,
  RepositoryTokens
} from "../../../runtime/ports/RepositoryTokens.ts"
import { sandbox as exampleSandbox } from "../../bridge/world.ts"
import { type PullBridge, pullBridge } from "../../support/pullBridge.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"
import { type GitHubDouble, gitHubDouble } from "./gitHub.ts"

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProxyWorld {
  readonly gitHub: GitHubDouble
  readonly server: ProxyServer
  readonly authority: SandboxAuthority
  readonly tokens: MemoryRepositoryTokensState
  readonly decisions: ReadonlyArray<Decision>
  /** Of the door, on 127.0.0.1. */
  readonly port: number
  /** Of the listener that asks for the credential. */
  readonly strangerPort: number
  readonly home: string
  readonly environment: Readonly<Record<string, string>>
  /** Runs a program in `home`, or below it. */
  readonly run: (command: ReadonlyArray<string>, more?: RunOptions) => Effect.Effect<Ran>
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: Buffer
}

/** Of the run `t-2`, as long as a test lets it. */
export const runCredential = "of-this-run"

export const examplePolicy: GitHubPolicy = {
  host: "github.com",
  allowedRepos: ["my-org/api"],
  repositories: [{ id: 7, owner: "my-org", name: "api" }],
  capabilities: [],
  allowedRefs: ["feature/*"],
  allowDelete: false,
  allowForce: false,
  publicRead: [],
  mode: "enforce"
}

const listen = (onSocket: (socket: Net.Socket) => void): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((socket) => onSocket(socket.setNoDelay(true)))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => void server.close())
  ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))

export const proxyWorld = Effect.fnUntraced(function*(options: {
  readonly policy?: Partial<GitHubPolicy>
  readonly allowedHosts?: ReadonlyArray<string>
  readonly outside?: (outside: Outside) => Outside
  readonly judge?: JudgeRequest
  /** Shared by the proxies of several sandboxes. */
  readonly gitHub?: GitHubDouble
  readonly bridge?: PullBridge
  readonly sandbox?: SandboxId
  /** How long GitHub may not begin to answer, milliseconds; as the proxy has it unless given. */
  readonly patience?: number
} = {}): Effect.fn.Return<ProxyWorld, never, Scope.Scope> {
  const gitHub = options.gitHub ?? (yield* gitHubDouble)
  const bridge = options.bridge ?? (yield* pullBridge)
  const sandbox = options.sandbox ?? exampleSandbox
  const home = yield* temporaryDirectory
  const policy: GitHubPolicy = { ...examplePolicy, ...options.policy }
  const state = makeMemoryRepositoryTokensState(policy.repositories.map(({ id, name, owner }) => ({
    host: policy.host,
    owner: owner.toLowerCase(),
    name: name.toLowerCase(),
    id,
    installation: 1
  })))
  const built = yield* Layer.build(RepositoryTokens.memory(state))
  const tokens = yield* RepositoryTokens.pipe(Effect.provideContext(built))
  const outside = (options.outside ?? ((same) => same))(gitHub.outside)
  const made = yield* makeUpstream(outside)
  const { patience } = options
  const upstream: Upstream = patience === undefined ? made : {
    send: (request, sink) => made.send({ ...request, headersMillis: patience }, sink),
    ask: (request) => made.ask({ ...request, headersMillis: patience })
  }
  const decisions: Array<Decision> = []
  const context: ProxyContext = {
    github: policy.host,
    sandbox,
    policy: Effect.succeed(policy),
    judgeRequest: options.judge ?? judgeRequest,
    judgePush,
    tokens,
    upstream,
    ask: askApi(upstream, tokens, policy.host),
    downloads: makeDownloads(() => Date.now()),
    staged: stagedRefs(Path.join(home, ".staged")),
    holds: pullHolds(bridge.of(sandbox), { host: policy.host, sandbox, now: () => Date.now() }),
    journal: (decision) => Effect.sync(() => void decisions.push(decision)),
    now: () => Date.now()
  }
  const authority = makeAuthority(certifiedNames(policy.host), () => Date.now())
  const server = yield* makeProxyServer({
    contexts: [context],
    authority,
    outside,
    allowedHosts: (options.allowedHosts ?? []).flatMap((text) => {
      const pattern = parseHostPattern(text)
      return pattern._tag === "Success" ? [pattern.success] : []
    }),
    runOf: (credential) => credential === runCredential ? { turn: "t-2" } : undefined
  })
  const port = yield* listen((socket) => server.take(socket, { turn: "t-1" }))
  const strangerPort = yield* listen(server.takeStranger)
  const bundle = Path.join(home, "bundle.pem")
  Fs.writeFileSync(bundle, authority.certificate)
  const proxy = `http://127.0.0.1:${port}`
  const environment = {
    PATH: "/usr/bin:/bin",
    HOME: home,
    LANG: "C.UTF-8",
    HTTPS_PROXY: proxy,
    https_proxy: proxy,
    HTTP_PROXY: proxy,
    http_proxy: proxy,
    GIT_SSL_CAINFO: bundle,
    CURL_CA_BUNDLE: bundle,
    SSL_CERT_FILE: bundle,
    NODE_EXTRA_CA_CERTS: bundle,
    NODE_USE_ENV_PROXY: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@a",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@a"
  }
  return {
    gitHub,
    server,
    authority,
    tokens: state,
    decisions,
    port,
    strangerPort,
    home,
    environment,
    run: ([program = "", ...args], { cwd = home, env = {}, input } = {}) =>
      Effect.callback<Ran>((resume) => {
        const child = spawn(program, args, { cwd, env: { ...environment, ...env }, stdio: ["pipe", "pipe", "pipe"] })
        let stdout = ""
        let stderr = ""
        child.stdout.on("data", (chunk: Buffer) => stdout += chunk.toString("utf8"))
        child.stderr.on("data", (chunk: Buffer) => stderr += chunk.toString("utf8"))
        child.stdin.on("error", () => undefined)
        child.stdin.end(input ?? "")
        child.once("error", (error) => resume(Effect.die(error)))
        child.once("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
        return Effect.sync(() => void child.kill("SIGKILL"))
      })
  }
})
