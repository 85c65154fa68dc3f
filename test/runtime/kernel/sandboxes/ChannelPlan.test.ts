/** Which channel a profile asks for, and what the bridge is asked to make. */
import { assert, describe, it } from "@effect/vitest"
import type { Profile } from "../../../../runtime/domain/profile/Profile.ts"
import { Alias, ChannelId, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { channelNameOf, sharedChannelName } from "../../../../runtime/kernel/sandboxes/ChannelName.ts"
import { channelPlanOf, ownersOfChannels } from "../../../../runtime/kernel/sandboxes/ChannelPlan.ts"
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
    assert.deepStrictEqual(plan?.mode === "shared" ? plan : undefined, {
      mode: "shared",
      name: "km-notifications",
      key: "create/sb-1a2b3c4d/17/channel",
      action: {
        action: "channel.ensure",
        sandbox: SandboxId.make("sb-1a2b3c4d"),
        name: "km-notifications",
        private: false,
        topic: "Sandboxes of km",
        inviteEmails: []
      }
    })
  })

  it("names a channel without an alias after the id, once", () => {
    const plan = channelPlanOf(row({ notifySlackEnabled: true, notifySlackPerSandbox: true }))
    assert.strictEqual(plan?.mode === "perSandbox" ? plan.name : "", "sb-1a2b3c4d")
  })
})

const has = (name: string, channel: string, channelMode: "perSandbox" | "shared" | "override") => ({
  id: SandboxId.make(name),
  channel: ChannelId.make(channel),
  channelMode
})

describe("ownersOfChannels", () => {
  it("knows who has a channel as its own: nobody a shared or a named one, nor one that is not there yet", () => {
    const owners = ownersOfChannels([
      has("sb-00000001", "C0001", "perSandbox"),
      has("sb-00000002", "C0002", "shared"),
      has("sb-00000003", "C0003", "override"),
      { id: SandboxId.make("sb-00000004"), channelMode: "perSandbox" }
    ])
    assert.deepStrictEqual(["C0001", "C0002", "C0003", "undefined"].map(owners), [
      "sb-00000001",
      undefined,
      undefined,
      undefined
    ])
  })

  it("but for one id, whose own channel is no other's", () => {
    const rows = [has("sb-00000001", "C0001", "perSandbox"), has("sb-00000002", "C0002", "perSandbox")]
    const others = ownersOfChannels(rows, "sb-00000001")
    assert.isUndefined(others("C0001"))
    assert.strictEqual(others("C0002"), "sb-00000002")
  })
})

describe("the names of channels", () => {
  it("are those of alias or id, with single hyphens and none at the end", () => {
    const id = SandboxId.make("sb-1a2b3c4d")
    const named = (alias: string) => channelNameOf({ id, alias: Alias.make(alias) })
    assert.strictEqual(named("a".repeat(40)), `sb-${"a".repeat(40)}`)
    assert.strictEqual(named("a--b-"), "sb-a-b")
    assert.strictEqual(named("sb-x"), "sb-x")
    assert.strictEqual(channelNameOf({ id: SandboxId.make("box-1") }), "sb-box-1")
    assert.strictEqual(sharedChannelName(InstallName.make("km")), "km-notifications")
  })
})
