/** The two programs beside the client in the proxy's bench, each in a process of its own: a GitHub, and the plugin before it. */
import { Effect, Layer } from "effect"
import * as fs from "node:fs"
import { connect } from "node:net"
import * as path from "node:path"
import { githubProxyPlugin } from "../../plugins/github-proxy/GithubProxyPlugin.ts"
import { InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import * as FileAudit from "../../runtime/engines/embedded/FileAudit.ts"
import * as FileInstallStore from "../../runtime/engines/embedded/FileInstallStore.ts"
import { Agent } from "../../runtime/ports/Agent.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { makeMemoryRepositoryTokensState, RepositoryTokens } from "../../runtime/ports/RepositoryTokens.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { ThisInstall } from "../../runtime/ports/ThisInstall.ts"
import { gitHubDouble } from "../plugins/github-proxy/gitHub.ts"
import { exampleInstall } from "../support/installs.ts"
import { profileWith } from "../support/profiles.ts"

const say = (message: object): void => void process.send?.(message)

/** Says its port, its authority and where the repository lies; takes every push for good and forgets it. */
const gitHub = Effect.gen(function*() {
  const double = yield* gitHubDouble
  const bare = double.repository("my-org/api")
  double.intercept = (seen, request, response) => {
    if (seen.method !== "POST" || !seen.url.endsWith("git-receive-pack")) return false
    request.resume()
    request.once("end", () => {
      response.writeHead(200, { "content-type": "application/x-git-receive-pack-result" })
      response.end("000eunpack ok\n001dok refs/heads/feature/x\n0000")
    })
    return true
  }
  say({ port: double.port, authority: double.outside.authorities[0], bare })
  return yield* Effect.never
})

interface Before {
  readonly port: number
  readonly authority: string
  readonly state: string
}

/** Says the address that an agent is given; policy and journal are those of a sandbox. */
const proxy = ({ authority, port, state }: Before) =>
  Effect.gen(function*() {
    fs.mkdirSync(path.join(state, "audit"), { recursive: true, mode: 0o700 })
    const context = yield* Layer.build(Layer.mergeAll(
      Layer.mock(Agent, { confinement: Effect.succeed({ confined: false, detail: "" }) }),
      Layer.provide(FileAudit.layer(state, "runtime"), FileInstallStore.layer(state)),
      Layer.mock(Bridge, {}),
      Redaction.layer,
      Layer.succeed(ThisInstall)(exampleInstall),
      RepositoryTokens.memory(makeMemoryRepositoryTokensState([
        { host: "github.com", owner: "my-org", name: "api", id: 7, installation: 1 }
      ])),
      Layer.succeed(
        SandboxInfo,
        SandboxInfo.of({
          id: SandboxId.make("sb-0a1b2c3d"),
          install: InstallName.make("km"),
          profile: profileWith(),
          channel: undefined,
          label: "bench",
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
      allowedRepos: ["my-org/api"],
      allowedRefs: ["feature/*", "fix/*", "!feature/release"],
      allowDelete: false,
      allowForce: false,
      publicRead: [],
      capabilities: [],
      allowedHosts: [],
      mode: "allowlist"
    }).pipe(Effect.provideContext(context))
    say({ env: plugin.agent?.env })
    return yield* Effect.never
  })

const [role = "", given = "{}"] = process.argv.slice(2)
process.on("disconnect", () => process.exit(0))
await Effect.runPromise(Effect.scoped(role === "gitHub" ? gitHub : proxy(JSON.parse(given))))
