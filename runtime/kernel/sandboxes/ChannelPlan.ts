/** Which channel a sandbox gets, and the request that makes it: pure, so that create, repair and teardown agree. */
import { ChannelId } from "../../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import type { BridgeAction } from "../../domain/slack/BridgeProtocol.ts"
import { channelNameOf, sharedChannelName } from "./ChannelName.ts"

/** An override needs no request; the other two are asked of the bridge under `key`. */
export type ChannelPlan =
  | { readonly mode: "override"; readonly channel: ChannelId }
  | {
    readonly mode: "perSandbox" | "shared"
    readonly name: string
    readonly key: string
    readonly action: BridgeAction
  }

type Planned = Pick<SandboxRow, "id" | "alias" | "install" | "profile" | "createdAt">

/** `undefined` when the profile has Slack off. `previous` is the channel that the alias used last. */
export const channelPlanOf = (row: Planned, previous?: ChannelId): ChannelPlan | undefined => {
  const { cli } = row.profile.spec
  if (!cli.notifySlackEnabled) return undefined
  if (cli.notifySlackChannelOverride !== "") {
    return { mode: "override", channel: ChannelId.make(cli.notifySlackChannelOverride) }
  }
  const mode = cli.notifySlackPerSandbox ? "perSandbox" : "shared"
  const name = mode === "shared"
    ? sharedChannelName(row.install)
    : channelNameOf(row.alias === undefined ? { id: row.id } : { id: row.id, alias: row.alias })
  return {
    mode,
    name,
    // The creation time keeps a second life of the same id from being given the first life's channel.
    key: `create/${row.id}/${row.createdAt}/channel`,
    action: {
      action: "channel.ensure",
      sandbox: row.id,
      name,
      private: mode === "perSandbox" && cli.notifySlackPrivate,
      ...(previous === undefined ? {} : { previous }),
      topic: mode === "shared" ? `Sandboxes of ${row.install}` : `Sandbox ${row.alias ?? row.id}`,
      inviteEmails: cli.notifySlackInviteEmails
    }
  }
}

/** Who has a channel as its own, but for one id. */
export const ownersOfChannels = (
  rows: ReadonlyArray<Pick<SandboxRow, "id" | "channel" | "channelMode">>,
  except?: string
) => {
  const owners = new Map(
    rows.flatMap((row) =>
      row.channelMode === "perSandbox" && row.channel !== undefined && row.id !== except
        ? [[String(row.channel), String(row.id)] as const]
        : []
    )
  )
  return (channel: string): string | undefined => owners.get(channel)
}
