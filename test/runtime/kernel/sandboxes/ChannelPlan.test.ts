/** Which channel a profile asks for, and what the bridge is asked to make. */
import { assert, describe, it } from "@effect/vitest"
import type { Profile } from "../../../../runtime/domain/profile/Profile.ts"
import { Alias, ChannelId, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { channelPlanOf } from "../../../../runtime/kernel/sandboxes/ChannelPlan.ts"
import { slackProfile } from "../../../support/profiles.ts"

const row = (changes: Partial<Profile["spec"]["cli"]>, alias?: string) => ({
  id: SandboxId.make("sb-1a2b3c4d"),
  install: InstallName.make("km"),
  createdAt: 17,
  profile: { ...slackProfile, spec: { ...slackProfile.spec, cli: { ...slackProfile.spec.cli, ...changes } } },
  ...alias === undefined ? {} : { alias: Alias.make(alias) }
})

describe("channelPlanOf", () => {
  it("is nothing where Slack is off, and the named channel where one is named", () => {
    assert.isUndefined(channelPlanOf(row({ notifySlackEnabled: false, notifySlackChannelOverride: "C0009" })))
    assert.deepStrictEqual(channelPlanOf(row({ notifySlackEnabled: true, notifySlackChannelOverride: "C0009" })), {
      mode: "override",
      channel: ChannelId.make("C0009")
    })
  })

  it("is a channel of the sandbox's own, private where the profile says so", () => {
    const own = { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackPrivate: true }
    const plan = channelPlanOf(
      row({ ...own, notifySlackInviteEmails: ["a@example.com"] }, "demo"),
      ChannelId.make("C0007")
    )
    assert.deepStrictEqual(plan, {
      mode: "perSandbox",
      name: "sb-demo",
      key: "create/sb-1a2b3c4d/17/channel",
      action: {
        action: "channel.ensure",
        sandbox: SandboxId.make("sb-1a2b3c4d"),
        name: "sb-demo",
        private: true,
        previous: ChannelId.make("C0007"),
        topic: "Sandbox demo",
        inviteEmails: ["a@example.com"]
      }
    })
    const nameless = channelPlanOf(row({ ...own, notifySlackPrivate: false }))
    assert.deepInclude(nameless?.mode === "perSandbox" ? nameless.action : undefined, {
      private: false,
      topic: "Sandbox sb-1a2b3c4d"
    })
  })

  it("is the install's channel otherwise, which is never private", () => {
    const plan = channelPlanOf(
      row({ notifySlackEnabled: true, notifySlackPerSandbox: false, notifySlackPrivate: true }, "demo")
    )
    assert.strictEqual(plan?.mode, "shared")
    assert.deepInclude(plan?.mode === "shared" ? plan.action : undefined, {
      private: false,
      topic: "Sandboxes of km"
    })
    assert.notProperty(plan?.mode === "shared" ? plan.action : {}, "previous")
  })
})
