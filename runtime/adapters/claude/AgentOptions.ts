/** What one sandbox's agent is made of. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { NetworkMode } from "../../domain/profile/Profile.ts"
import type { DoorRun } from "../../ports/Agent.ts"
import type { Door, Entrypoint } from "../jail/Doors.ts"
import type { LaunchLimits, LaunchPolicy } from "./Launch.ts"

export interface ClaudeAgentOptions {
  /** Absolute path of the CLI; links are followed, and its directory is mounted read-only in the jail. */
  readonly command: string
  /** The agent's home: absolute, exists, 0700. Its `.claude` holds the conversations. */
  readonly home: string
  /** The agent's working directory: absolute, exists. One per sandbox, always the same. */
  readonly workspace: string
  /** Where session locks are kept; made when missing. Never inside `home` or `workspace`. */
  readonly locks: string
  /** Where it is kept what the sandbox has spent. Never inside `home` or `workspace`. */
  readonly spendFile: string
  readonly policy: LaunchPolicy
  /** US dollars in the sandbox's life; 0 means no limit. */
  readonly budgetUsd: number
  /** `--unconfined` was given: a real model may run without a jail. */
  readonly unconfinedAccepted: boolean
  /** Further files and directories that the agent may read, such as Node and `km-hook`. */
  readonly readOnly: ReadonlyArray<string>
  /** The settings of one run (hooks and their token), made before its doors; released when the run's scope closes. */
  readonly settings: (run: DoorRun) => Effect.Effect<Readonly<Record<string, unknown>>, never, Scope.Scope>
  readonly network: AgentNetwork
  /** The agent's programs may make user namespaces. Default false. */
  readonly nestedSandboxes?: boolean
  readonly limits?: LaunchLimits
}

/** What the agent's jail is connected to. Without a jail the machine's network is all there is. */
export interface AgentNetwork {
  readonly mode: NetworkMode
  /** Opens the doors of a jail without a network; its files are shown in the jail. */
  readonly entrypoint: Entrypoint
  /** Of each run, beside the model's. Used only where the jail has no network. */
  readonly doors: (run: DoorRun) => ReadonlyArray<Door>
}
