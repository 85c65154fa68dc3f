/**
 * The agent's only way to GitHub and to the hosts that its profile names: a proxy outside its reach that judges each
 * request, holds the tokens, and says why where it refuses.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { createServer, type Socket } from "node:net"
import * as Path from "node:path"
import { judgePush } from "../../runtime/domain/github/JudgeRefs.ts"
import { judgeRequest } from "../../runtime/domain/github/JudgeRequest.ts"
import { parseHostPattern } from "../../runtime/domain/profile/HostPatterns.ts"
import { Agent, type AgentContribution, type AgentDoor } from "../../runtime/ports/Agent.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Plugin } from "../../runtime/ports/Plugin.ts"
import { PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { RepositoryTokens } from "../../runtime/ports/RepositoryTokens.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { ThisInstall } from "../../runtime/ports/ThisInstall.ts"
import { makeAuthority } from "./certificates/SandboxAuthority.ts"
import { GithubProxyConfig } from "./GithubProxyConfig.ts"
import { machine, type Outside, type OwnGitHubs } from "./outside/Outside.ts"
import { makeUpstream } from "./outside/Upstream.ts"
import { gitHubsOf, ownGitHubs, policyLines, policyOf } from "./policyOf.ts"
import type { Decision, ProxyContext } from "./proxy/Context.ts"
import { askApi } from "./proxy/Lookups.ts"
import { makeProxyServer, type ProxyServer } from "./proxy/ProxyServer.ts"
import { pullHolds } from "./proxy/PullHolds.ts"
import { stagedRefs } from "./proxy/StagedRefs.ts"
import { sweep } from "./proxy/Staging.ts"
import { Refusals } from "./Refusals.ts"
import { makeDownloads } from "./request/Downloads.ts"
import { certifiedNames } from "./request/GitHubHosts.ts"
import { proxyEnvironment, trustEnvironment, writeTrust } from "./trust.ts"

export type GithubProxyPorts = Agent | Audit | Bridge | Redaction | RepositoryTokens | SandboxInfo | ThisInstall

/** On the jail's loopback; beside the model's and the hooks'. */
export const proxyPort = 4703

/** Without a blank in it, whatever the state directory is called. */
const javaStoreInJail = "/run/km/certificates.jks"

const id = PluginId.make("github-proxy")

const failed = (operation: string) => (error: unknown) =>
  new PluginError({
    plugin: id,
    operation,
    reason: "Unavailable",
    detail: error instanceof Error ? error.message : String(error)
  })

/** Listens on 127.0.0.1 for a sandbox without a jail; every local process can connect, so its URL has a credential. */
const listen = (take: (socket: Socket) => void): Effect.Effect<number, PluginError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>, PluginError>((resume) => {
      const server = createServer((socket) => take(socket.setNoDelay(true)))
      server.once("error", (error) => resume(Effect.fail(failed("listen")(error))))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => void server.close())
  ).pipe(Effect.map((server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }))

/**
 * What the agent gets: by a door of its jail, or by an address with a credential where it has none. The name in it is the
 * run's, so that people are told of its refusals; runs that share a user could use each other's.
 */
const contribution = Effect.fnUntraced(function*(
  server: ProxyServer,
  password: string,
  javaStore: string
): Effect.fn.Return<AgentContribution, PluginError, Agent | Scope.Scope> {
  const { confined } = yield* (yield* Agent).confinement
  if (!confined) {
    const port = yield* listen(server.takeStranger)
    return {
      runEnv: ({ session, turn }) => {
        const address = new URL(`http://127.0.0.1:${port}`)
        address.username = Buffer.from(turn ?? `session ${session}`).toString("base64url")
        address.password = password
        return proxyEnvironment(address.href.replace(/\/$/, ""), javaStore)
      }
    }
  }
  const door: AgentDoor = {
    name: "proxy",
    port: proxyPort,
    env: proxyEnvironment(`http://127.0.0.1:${proxyPort}`, javaStoreInJail),
    open: (run) =>
      Effect.succeed((connection) => server.take(connection, { turn: run.turn ?? `session ${run.session}` }))
  }
  return { doors: [door] }
})

/** The plugin before a world that is not the machine's own: for tests. */
export const githubProxyPlugin = (
  outside: (own: OwnGitHubs) => Outside
): Plugin<GithubProxyConfig, GithubProxyPorts> => ({
  id,
  after: [],
  // Without it the agent has no network, and everything it does there fails for a reason that it cannot see.
  essential: true,
  enabled: ({ spec }) => spec.network.mode === "proxy",
  config: GithubProxyConfig,
  configure: ({ spec: { network, sourceAccess } }) => ({
    ...sourceAccess.github,
    ...(sourceAccess.mode === "none" ? { allowedRepos: [], publicRead: [] } : {}),
    allowedHosts: network.allowedHosts,
    mode: sourceAccess.mode
  }),
  start: Effect.fn("GithubProxyPlugin.start")(function*(config) {
    const audit = yield* Audit
    const bridge = yield* Bridge
    const info = yield* SandboxInfo
    const redaction = yield* Redaction
    const tokens = yield* RepositoryTokens
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const gitHubs = gitHubsOf(config)
    const { github: apps = [] } = yield* ThisInstall
    const reached = outside(ownGitHubs(gitHubs, apps.map(({ host }) => host)))
    const upstream = yield* makeUpstream(reached)
    const refusals = new Refusals()
    const counts = { allowed: 0, refused: 0 }
    const journal = (decision: Decision) => {
      counts[decision.verdict]++
      if (decision.verdict === "refused" && decision.run !== undefined) {
        const { rule, run: { turn }, subject, told = `it is refused (${rule})` } = decision
        refusals.add(turn, told.includes(subject) ? told : `${subject}: ${told}`)
      }
      const entry = {
        actor: info.id,
        action: "proxy.request",
        subject: decision.subject,
        rule: decision.rule,
        verdict: decision.verdict,
        detail: `${decision.run?.turn ?? "no turn"}; ${now() - decision.since} ms; ${decision.detail}`
      }
      return decision.verdict === "refused" ? audit.record(entry) : audit.note(entry)
    }
    const own = Path.join(info.directories.state, "proxy")
    const contextOf = (github: string): ProxyContext => ({
      github,
      sandbox: info.id,
      policy: Effect.map(tokens.repositories, (repositories) => policyOf(config, github, repositories)),
      judgeRequest,
      judgePush,
      tokens,
      upstream,
      ask: askApi(upstream, tokens, github),
      downloads: makeDownloads(now),
      staged: stagedRefs(Path.join(own, "staged", github)),
      holds: pullHolds(bridge, { host: github, sandbox: info.id, now }),
      journal,
      now
    })
    const [first, ...others] = gitHubs
    const contexts = [contextOf(first), ...others.map(contextOf)] as const
    const authority = makeAuthority([...new Set(gitHubs.flatMap(certifiedNames))], now)
    const password = randomBytes(24).toString("base64url")
    yield* redaction.add(Redacted.make(password))
    const underWay = new Set<string>()
    const runNamed = (user: string) => {
      const turn = Buffer.from(user, "base64url").toString("utf8")
      return underWay.has(turn) ? { turn } : undefined
    }
    const allowedHosts = yield* Effect.forEach(config.allowedHosts, (text) =>
      Result.match(parseHostPattern(text), {
        onSuccess: Effect.succeed,
        onFailure: (why) =>
          new PluginError({ plugin: id, operation: "start", reason: "BadConfig", detail: `${text}: ${why}` })
      }))
    const server = yield* makeProxyServer({ contexts, authority, outside: reached, allowedHosts, password, runNamed })
    const trust = yield* Effect.try({
      try: () => writeTrust(own, authority.certificate, now()),
      catch: failed("trust")
    })
    const way = yield* contribution(server, password, trust.javaStore)

    return {
      run: Effect.forEach(contexts, sweep, { concurrency: "unbounded", discard: true }).pipe(
        Effect.andThen(Effect.never)
      ),
      agent: {
        ...way,
        env: trustEnvironment(trust.bundle, gitHubs),
        readOnly: [trust.bundle, ...trust.shown, { source: trust.javaStore, target: javaStoreInJail }]
      },
      notices: ({ key }) => Effect.sync(() => refusals.lines(key)),
      observers: [{
        starting: ({ key }) => Effect.sync(() => void underWay.add(key)),
        started: () => Effect.void,
        exited: ({ key }) =>
          Effect.sync(() => {
            underWay.delete(key)
            return []
          }),
        posted: ({ key }) => Effect.sync(() => refusals.forget(key))
      }],
      promptLines: () => Effect.succeed(policyLines(config)),
      detail: Effect.sync(() =>
        `${counts.allowed} allowed, ${counts.refused} refused${config.mode === "audit" ? "; refs not enforced" : ""}`
      )
    }
  })
})

export const GithubProxyPlugin = githubProxyPlugin(machine)
