/** The plugin as its host starts it, before that GitHub, beside a real agent with a scripted model. */
import { Effect, Layer, Option } from "effect"
import type { GithubProxyConfig } from "../../../plugins/github-proxy/GithubProxyConfig.ts"
import { githubProxyPlugin } from "../../../plugins/github-proxy/GithubProxyPlugin.ts"
import { Jail } from "../../../runtime/adapters/jail/Bubblewrap.ts"
import { InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Agent } from "../../../runtime/ports/Agent.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import * as MemoryAudit from "../../../runtime/ports/memory/MemoryAudit.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { makeMemoryRepositoryTokensState, RepositoryTokens } from "../../../runtime/ports/RepositoryTokens.ts"
import { SandboxInfo } from "../../../runtime/ports/SandboxInfo.ts"
import { ThisInstall } from "../../../runtime/ports/ThisInstall.ts"
import { sandbox } from "../../bridge/world.ts"
import { exampleInstall } from "../../support/installs.ts"
import { profileWith } from "../../support/profiles.ts"
import { pullBridge } from "../../support/pullBridge.ts"
import { networkOf, scriptedAgent } from "../../support/ScriptedModel.ts"
import { type GitHubDouble, gitHubDouble } from "./gitHub.ts"

export const exampleConfig: GithubProxyConfig = {
  allowedRepos: ["my-org/api"],
  allowedRefs: ["feature/*"],
  allowDelete: false,
  allowForce: false,
  publicRead: [],
  capabilities: [],
  allowedHosts: ["registry.example.com"],
  mode: "allowlist"
}

export const pluginWorld = Effect.fnUntraced(function*(options: {
  readonly config?: Partial<GithubProxyConfig>
  readonly jail?: Layer.Layer<Jail>
  /** Shared by several sandboxes. */
  readonly gitHub?: GitHubDouble
} = {}) {
  const gitHub = options.gitHub ?? (yield* gitHubDouble)
  const { agent, directories } = yield* scriptedAgent({
    jail: options.jail ?? Jail.layer,
    readOnly: [process.execPath],
    network: networkOf("proxy")
  })
  const audit = MemoryAudit.makeMemoryAuditState()
  const tokens = makeMemoryRepositoryTokensState([
    { host: "github.com", owner: "my-org", name: "api", id: 7, installation: 1 }
  ])
  const context = yield* Layer.build(Layer.mergeAll(
    Layer.succeed(Agent, agent),
    MemoryAudit.layerOver(audit, "runtime"),
    Redaction.layer,
    Layer.succeed(Bridge, (yield* pullBridge).of(sandbox)),
    Layer.succeed(ThisInstall)(exampleInstall),
    RepositoryTokens.memory(tokens),
    Layer.succeed(
      SandboxInfo,
      SandboxInfo.of({
        id: SandboxId.make("sb-0a1b2c3d"),
        install: InstallName.make("km"),
        profile: profileWith(),
        channel: undefined,
        label: "sb-0a1b2c3d",
        directories: { ...directories }
      })
    )
  ))
  const plugin = yield* githubProxyPlugin(() => gitHub.outside).start({ ...exampleConfig, ...options.config }).pipe(
    Effect.provideContext(context)
  )
  return {
    gitHub,
    agent,
    directories,
    audit,
    tokens,
    plugin,
    contribution: Option.getOrThrow(Option.fromNullishOr(plugin.agent))
  }
})
