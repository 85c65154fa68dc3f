/** A sandbox's row: what create recorded and the inventory that teardown follows; and what its runtime reports. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { maxRepositories, RepositoryGrant } from "../github/Grant.ts"
import { GithubHost, RepositoryId } from "../github/Repository.ts"
import { Profile } from "../profile/Profile.ts"
import { maxOpenTurns, OpenTurn } from "../turn/TurnRecord.ts"
import { Alias, ChannelId, InstallName, MessageTs, SandboxId } from "./Ids.ts"

/** What the operator wants; the host brings it about. */
export const DesiredState = Schema.Literals(["running", "stopped", "destroyed"])
/** What is so. From `destroying` on nothing is taken for it any more and nothing is made for it. */
export const SandboxStatus = Schema.Literals(["creating", "starting", "running", "stopped", "destroying", "failed"])
export type SandboxStatus = typeof SandboxStatus.Type

/**
 * One thing that create made and teardown must unmake. `ref` names it to the adapter that made it. Recorded before it
 * is made, so that a crash in between leaves a name to look for, never a thing without a name.
 */
export const InventoryItem = Schema.Struct({
  kind: Schema.Literals([
    "alias",
    "queue",
    "channel",
    "identity",
    "secret",
    "directory",
    "objects",
    "threads",
    "mailbox",
    "github",
    "runtime"
  ]),
  ref: Schema.String,
  /** `planned` before it is made, `made` after. */
  state: Schema.Literals(["planned", "made"])
})
export type InventoryItem = typeof InventoryItem.Type

export const SandboxRow = Schema.Struct({
  id: SandboxId,
  install: InstallName,
  alias: Schema.optionalKey(Alias),
  profile: Profile,
  desired: DesiredState,
  status: SandboxStatus,
  channel: Schema.optionalKey(ChannelId),
  channelName: Schema.optionalKey(Schema.String),
  /** Ids that Slack gave this same channel before; what is known under them is this channel's. */
  formerChannels: Schema.optionalKey(Schema.Array(ChannelId)),
  /** `shared` and `override` channels are never archived. */
  channelMode: Schema.optionalKey(Schema.Literals(["shared", "perSandbox", "override"])),
  /** True when an earlier sandbox of the same alias had used the channel: a create that fails leaves it as it was. */
  channelReused: Schema.optionalKey(Schema.Boolean),
  /** Why it is being destroyed; set by the teardown that began first and kept by those that continue it. */
  endReason: Schema.optionalKey(Schema.Literals(["destroyed", "ttl", "idle", "create-failed"])),
  /** Where mail reaches it, its own id first; absent where mail is off. */
  mailAddresses: Schema.optionalKey(Schema.Array(Schema.String)),
  /** True when the operator accepted an agent without a jail. */
  unconfined: Schema.Boolean,
  /** Unix milliseconds; absent when the profile's ttl is 0. */
  expiresAt: Schema.optionalKey(Schema.Int),
  createdAt: Schema.Int,
  /** When it was last resumed after a pause; idleness is counted from there. */
  resumedAt: Schema.optionalKey(Schema.Int),
  /** Another one for each life of an id: what was decided about one life holds for no other. "" for rows older than this. */
  generation: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed(""))),
  /** What it may reach on GitHub; absent without. Its tokens lie among its secrets. */
  github: Schema.optionalKey(Schema.Array(RepositoryGrant)),
  /** When its proxy last asked for fresh tokens, Unix milliseconds. */
  tokensWantedAt: Schema.optionalKey(Schema.Int),
  /** The bridge's catch-up starts here: newest Slack `ts` it accepted for this channel. */
  lastAcceptedTs: Schema.optionalKey(MessageTs),
  inventory: Schema.Array(InventoryItem)
})
export type SandboxRow = typeof SandboxRow.Type

/** Two items are the same thing when kind and name agree, whatever their state. */
export const isSameItem = (a: Pick<InventoryItem, "kind" | "ref">, b: Pick<InventoryItem, "kind" | "ref">): boolean =>
  a.kind === b.kind && a.ref === b.ref

/** True from the first step of its end on: it takes no messages, and nothing more is made for it. */
export const isEnding = (row: Pick<SandboxRow, "desired" | "status">): boolean =>
  row.status === "destroying" || row.desired === "destroyed"

/** What a sandbox's runtime says of itself: never part of its row, which decides what it may do. */
export const SandboxReport = Schema.Struct({
  ready: Schema.Boolean,
  plugins: Schema.Array(Schema.Struct({ id: Schema.String, state: Schema.String, detail: Schema.String })),
  /** Whether the agent's runs are jailed. Absent before the first report. */
  confined: Schema.optionalKey(Schema.Boolean),
  /** Why it is not ready; "" when it is. */
  failureReason: Schema.optionalKey(Schema.String),
  /** Unix milliseconds: when an agent last worked or a person wrote, and when the runtime last reported. */
  lastActiveAt: Schema.optionalKey(Schema.Int),
  lastSeenAt: Schema.optionalKey(Schema.Int),
  /** Repositories for which a token was last given out, and when (Unix milliseconds): the newest 500. */
  repositoriesUsed: Schema.optionalKey(
    Schema.Array(Schema.Struct({ host: GithubHost, id: RepositoryId, at: Schema.Int })).check(
      Schema.isMaxLength(maxRepositories)
    )
  ),
  /** US dollars that its agents have spent on the model in its life, by the model door's own count. */
  spentUsd: Schema.optionalKey(Schema.Finite),
  /** Turns that are not over, the oldest first and at most 50 of them; absent before the first report. */
  open: Schema.optionalKey(Schema.Array(OpenTurn).check(Schema.isMaxLength(maxOpenTurns)))
})
export type SandboxReport = typeof SandboxReport.Type

/** Before anything was reported. */
export const noReport: SandboxReport = { ready: false, plugins: [] }

/** A row beside what its runtime says. */
export type ReportedSandbox = SandboxRow & SandboxReport
