/** Which agent a sandbox has, and what each of them is given of this process. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { agentSettings } from "../../hooks/Settings.ts"
import { type AgentKind, agentKinds } from "../adapters/agents.ts"
import * as ClaudeAgent from "../adapters/claude/ClaudeAgent.ts"
import * as SessionFile from "../adapters/claude/SessionFile.ts"
import { fileError, writeFileAtomically } from "../adapters/disk/PrivateFiles.ts"
import { ownPaths, sandboxPaths } from "../adapters/disk/StateDirectory.ts"
import * as HookListener from "../adapters/hooks/HookListener.ts"
import { confinementOf, Jail } from "../adapters/jail/Bubblewrap.ts"
import { doorOrigin, doorPorts } from "../adapters/jail/Doors.ts"
import type { ModelDoor } from "../adapters/model/ModelDoor.ts"
import type { SandboxRow } from "../domain/sandbox/Sandbox.ts"
import type { Agent } from "../ports/Agent.ts"
import { HookEvents } from "../ports/HookEvents.ts"
import { SandboxInfo } from "../ports/SandboxInfo.ts"
import type { Sessions } from "../ports/Sessions.ts"
import type { StoreError } from "../ports/StoreError.ts"
import { RuntimeConfig } from "./RuntimeConfig.ts"

/** The sandbox was made by a build that had an agent which this one has not. */
export class AgentNotHere extends Schema.TaggedError<AgentNotHere>()("AgentNotHere", { kind: Schema.String }) {
  override get message(): string {
    return `this build has no agent ${JSON.stringify(this.kind)}, which the sandbox's profile names; ` +
      `it has ${agentKinds.join(", ")}`
  }
}

/** Where unconfined agents' own file tools must not look; a jailed one does not see them at all. */
const unreadable = (state: string, directory: string): ReadonlyArray<string> => {
  const own = sandboxPaths(directory)
  return [...ownPaths(state), own.ledger, own.runs, own.run, path.join(directory, "hooks.json")]
}

/** Claude Code behind the model door, told by its settings to call our hooks. */
const claude = (row: SandboxRow) =>
  Layer.unwrap(Effect.gen(function*() {
    const config = yield* RuntimeConfig
    const { directories } = yield* SandboxInfo
    const hooks = yield* HookEvents
    const endpoint = yield* HookListener.HookEndpoint
    const { agent, network } = row.profile.spec
    const hasDoors = confinementOf(yield* Jail, network.mode).network === "none"
    return ClaudeAgent.layer({
      command: config.claude,
      home: directories.home,
      workspace: directories.workspace,
      locks: path.join(directories.state, "locks"),
      spendFile: path.join(directories.state, "spend.json"),
      policy: {
        permissions: agent.permissions,
        model: agent.model,
        trustRepoSettings: agent.trustRepoSettings
      },
      budgetUsd: agent.budgetUsd,
      unconfinedAccepted: row.unconfined,
      nestedSandboxes: agent.nestedSandboxes,
      readOnly: config.hookFiles,
      settings: (run) =>
        Effect.map(hooks.issue(run.session, run.turn === undefined), ({ token }) => ({
          ...agentSettings({
            listener: hasDoors ? doorOrigin("hooks") : endpoint.origin,
            token,
            hookCommand: config.hookCommand,
            unreadable: unreadable(config.state, directories.state)
          })
        })),
      network: {
        mode: network.mode,
        entrypoint: config.entrypoint,
        doors: (run) => [{
          name: "hooks",
          port: doorPorts.hooks,
          attach: (listener) => endpoint.attach(listener, run.session)
        }]
      }
    })
  }))

/**
 * For whoever starts the agent by hand in the sandbox's workspace: `claude --settings run/claude-settings.json` shows
 * that session in the channel too. Port and token live as long as the sandbox, so the file stays good over restarts.
 */
const interactiveSettings = Layer.effectDiscard(Effect.gen(function*() {
  const config = yield* RuntimeConfig
  const { directories } = yield* SandboxInfo
  const endpoint = yield* HookListener.HookEndpoint
  const settings = agentSettings({
    listener: endpoint.origin,
    token: Redacted.value(endpoint.sandboxToken),
    hookCommand: config.hookCommand
  })
  yield* Effect.try({
    try: () =>
      writeFileAtomically(
        path.join(sandboxPaths(directories.state).run, "claude-settings.json"),
        `${JSON.stringify(settings, undefined, 2)}\n`
      ),
    catch: fileError("Agents", "settings")
  })
}))

const claudeSessions = Layer.unwrap(Effect.map(SandboxInfo, ({ directories }) => SessionFile.layer(directories)))

/** What an agent can be given of this process and its sandbox. */
type Surroundings = HookEvents | HookListener.HookEndpoint | Jail | ModelDoor | RuntimeConfig | SandboxInfo

const agents: Record<AgentKind, (row: SandboxRow) => Layer.Layer<Agent | Sessions, StoreError, Surroundings>> = {
  claude: (row) => Layer.mergeAll(claude(row), claudeSessions, interactiveSettings)
}

const isAgentKind = (kind: string): kind is AgentKind => Object.hasOwn(agents, kind)

/** The agent that the sandbox's profile names. */
export const agentLayer = (row: SandboxRow): Layer.Layer<Agent | Sessions, AgentNotHere | StoreError, Surroundings> => {
  const { kind } = row.profile.spec.agent
  return isAgentKind(kind) ? agents[kind](row) : Layer.unwrap(Effect.fail(new AgentNotHere({ kind })))
}
