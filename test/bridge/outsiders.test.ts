import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Marks } from "../../bridge/events/Marks.ts"
import { profileWith } from "../support/profiles.ts"
import { slackClient, tokenOf, userIdOf } from "../support/Workspace.ts"
import { bridgeOver, furnish, listen, room, say, waiting } from "./world.ts"

const address = "eve@elsewhere.test"

/** Eve of another workspace accepts our bot's invitation to the channel and asks something; what became of it. */
const eveAsks = Effect.fnUntraced(function*(inviteEmails: ReadonlyArray<string>) {
  const { bot, channel, workspace } = yield* room()
  return yield* Effect.gen(function*() {
    yield* furnish(
      workspace,
      channel,
      profileWith({
        notifySlackEnabled: true,
        notifySlackPerSandbox: true,
        notifySlackInboundEnabled: true,
        notifySlackInviteEmails: inviteEmails
      })
    )
    yield* listen(workspace)
    const eve = slackClient(workspace, tokenOf(workspace, "eve"))
    const invite = yield* Effect.promise(() => bot.conversations.inviteShared({ channel, emails: [address] }))
    yield* Effect.promise(() =>
      eve.conversations.acceptSharedInvite({ channel_name: "shared", invite_id: invite.invite_id ?? "" })
    )
    yield* workspace.eventsDelivered
    const ts = yield* say(eve, channel, "may I?")
    yield* workspace.eventsDelivered
    yield* (yield* Marks).drain
    const marked = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp: ts }))
    const entries = yield* waiting
    return {
      marks: marked.message?.reactions?.map(({ name }) => name),
      bodies: entries.map(({ body }) => body),
      eve: userIdOf(workspace, "eve")
    }
  }).pipe(Effect.provide(bridgeOver(workspace)))
})

describe("a person of another workspace", () => {
  it.live("may drive the agent when the profile invited that address and Slack confirms it", () =>
    Effect.gen(function*() {
      const { bodies, eve, marks } = yield* eveAsks(["Eve@elsewhere.test"])
      assert.deepStrictEqual(marks, ["eyes"])
      assert.lengthOf(bodies, 1)
      assert.include(bodies[0], eve)
    }))

  it.live("gets 🚫 when somebody else's invitation let them in", () =>
    Effect.gen(function*() {
      const { bodies, marks } = yield* eveAsks(["grace@lab.test"])
      assert.deepStrictEqual(marks, ["no_entry_sign"])
      assert.lengthOf(bodies, 0)
    }))
})
