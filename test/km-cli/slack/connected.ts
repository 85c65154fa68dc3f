/** A connected install over a local workspace that stands for Slack: what the commands of `km slack` are tried on. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { WorkspaceInput } from "../../../km-cli/local/workspace/WorkspaceOptions.ts"
import type { Install } from "../../../runtime/domain/install/Install.ts"
import { Alias, ChannelId, InstallName, SandboxId, TeamId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../runtime/domain/sandbox/Sandbox.ts"
import { World } from "../../support/ControlWorld.ts"
import { slackProfile } from "../../support/profiles.ts"
import { type Ran, TestKm } from "../../support/TestKm.ts"
import { slackClient, testWorkspace } from "../../support/Workspace.ts"

export const sandbox = SandboxId.make("sb-1a2b3c4d")

export const demoRow = (channel: ChannelId | undefined, changes: Partial<SandboxRow> = {}): SandboxRow => ({
  id: sandbox,
  install: InstallName.make("km"),
  profile: slackProfile,
  alias: Alias.make("demo"),
  desired: "running",
  status: "running",
  ...(channel === undefined ? {} : { channel }),
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: [],
  ...changes
})

/** With a shared channel that the bot has made, and a sandbox that works there. */
export const connected = Effect.fnUntraced(function*(
  input: Partial<WorkspaceInput> = {},
  changes: Partial<Install> = {}
) {
  const workspace = yield* testWorkspace(input)
  const bot = slackClient(workspace, workspace.botToken)
  const made = yield* Effect.promise(() => bot.conversations.create({ name: "km-notifications" }))
  const shared = ChannelId.make(made.channel?.id ?? "")
  const world = new World()
  world.secrets.set("slack/bot-token", workspace.botToken)
  world.secrets.set("slack/signing-secret", workspace.signingSecret)
  world.rows.set(sandbox, demoRow(shared))
  const km = new TestKm(world, {
    local: false,
    slackApiUrl: workspace.apiUrl,
    teamId: TeamId.make(workspace.teamId),
    appId: workspace.appId,
    botUserId: workspace.botUserId,
    slackTransport: "http",
    slack: { sharedChannel: { id: shared, name: "km-notifications" } },
    ...changes
  })
  km.env = { HOME: "/nowhere", CI: "1" }
  return { workspace, bot, shared, world, km }
})

/** That a command ended with this code, an exit status that says so, and a next step. */
export const endedWith = (code: string, { err, exit, out }: Ran): void => {
  assert.notStrictEqual(exit, 0, out.join("\n"))
  assert.isTrue(err.some((line) => line.startsWith(`error ${code}: `)), err.join("\n"))
  assert.match(err.at(-1) ?? "", /^ {2}next: \S/)
}
