/**
 * The proxy of one unjailed sandbox as a process of its own, which a test may kill: `node proxyProcess.ts '{"port":…}'`.
 * Everything that it dials is the test's GitHub on that port. Says what its agent is given, and ends with its parent.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { connect } from "node:net"
import * as path from "node:path"
import process from "node:process"
import { githubProxyPlugin } from "../../plugins/github-proxy/GithubProxyPlugin.ts"
import { InstallName, SandboxId, SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import * as FileAudit from "../../runtime/engines/embedded/FileAudit.ts"
import * as FileInstallStore from "../../runtime/engines/embedded/FileInstallStore.ts"
import { Agent } from "../../runtime/ports/Agent.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { makeMemoryRepositoryTokensState, RepositoryTokens } from "../../runtime/ports/RepositoryTokens.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { ThisInstall } from "../../runtime/ports/ThisInstall.ts"
import { exampleInstall } from "./installs.ts"
import { profileWith } from "./profiles.ts"

export interface ProxyProcess {
  readonly sandbox: string
  /** Of the GitHub, which speaks TLS. */
  readonly port: number
  /** PEM of who certified it. */
  readonly authority: string
  /** The sandbox's own directory, which outlives the process. */
  readonly state: string
  readonly allowedRefs: ReadonlyArray<string>
  /** `owner/name` and GitHub's number of it. */
  readonly repository: string
  readonly id: number
}

const serve = ({ allowedRefs, authority, id, port, repository, sandbox, state }: ProxyProcess) =>
  Effect.gen(function*() {
    fs.mkdirSync(path.join(state, "audit"), { recursive: true, mode: 0o700 })
    const [owner = "", name = ""] = repository.split("/")
    const context = yield* Layer.build(Layer.mergeAll(
      Layer.mock(Agent, { confinement: Effect.succeed({ confined: false, detail: "" }) }),
      Layer.provide(FileAudit.layer(state, "runtime"), FileInstallStore.layer(state)),
      Layer.mock(Bridge, {}),
      Redaction.layer,
      Layer.succeed(ThisInstall)(exampleInstall),
      RepositoryTokens.memory(makeMemoryRepositoryTokensState([
        { host: "github.com", owner, name, id, installation: 1 }
      ])),
      Layer.succeed(
        SandboxInfo,
        SandboxInfo.of({
          id: SandboxId.make(sandbox),
          install: InstallName.make("km"),
          profile: profileWith(),
          channel: undefined,
          label: sandbox,
          directories: { state, home: state, workspace: state, runs: state }
        })
      )
    ))
    const plugin = yield* githubProxyPlugin(() => ({
      resolve: () => Promise.resolve(["140.82.112.3"]),
      dial: () => connect(port, "127.0.0.1"),
      authorities: [authority],
      privateHosts: [],
      loopback: new Map()
    })).start({
      allowedRepos: [repository],
      allowedRefs,
      allowDelete: false,
      allowForce: false,
      publicRead: [],
      capabilities: [],
      allowedHosts: [],
      mode: "allowlist"
    }).pipe(Effect.provideContext(context))
    const session = SessionId.make("0b0a0c0d-0000-4000-8000-000000000001")
    process.send?.({ env: { ...plugin.agent?.env, ...plugin.agent?.runEnv?.({ session, turn: undefined }) } })
    return yield* plugin.run ?? Effect.never
  })

process.on("disconnect", () => process.exit(0))
await Effect.runPromise(Effect.scoped(serve(JSON.parse(process.argv[2] ?? "{}"))))
