/** Which sandbox this runtime serves: given at start by the composition root, constant while it runs. */
import * as Context from "effect/Context"
import type { Profile } from "../domain/profile/Profile.ts"
import type { ChannelId, InstallName, SandboxId } from "../domain/sandbox/Ids.ts"

export class SandboxInfo extends Context.Service<SandboxInfo, {
  readonly id: SandboxId
  readonly install: InstallName
  readonly profile: Profile
  readonly channel: ChannelId | undefined
  /** The person's name for it, or its id. */
  readonly label: string
  readonly directories: {
    /** 0700; ledger, runs; never visible to the agent. */
    readonly state: string
    /** The agent's home (its `HOME`). */
    readonly home: string
    /** The agent's working directory, the same for every turn. */
    readonly workspace: string
    /** Under `state`: one directory per attempt. */
    readonly runs: string
  }
}>()("km/runtime/ports/SandboxInfo") {}
