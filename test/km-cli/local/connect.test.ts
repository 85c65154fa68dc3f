import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { objectOf } from "../../../km-cli/local/workspace/Json.ts"
import {
  cast,
  errorOf,
  type Received,
  slackClient,
  testWorkspaceWithEvents,
  tokenOf,
  userIdOf
} from "../../support/Workspace.ts"

const address = "eve@elsewhere.test"

const stage = Effect.fnUntraced(function*(input: Parameters<typeof testWorkspaceWithEvents>[0] = {}) {
  const { bot, receiver, workspace } = yield* testWorkspaceWithEvents(input)
  const made = yield* Effect.promise(() => bot.conversations.create({ name: "stage" }))
  const channel = made.channel?.id ?? ""
  const as = (name: string) => slackClient(workspace, tokenOf(workspace, name))
  const invite = () => bot.conversations.inviteShared({ channel, emails: [address] })
  const accept = (name: string, id: string | undefined) =>
    as(name).conversations.acceptSharedInvite({ channel_name: "shared", invite_id: id ?? "" })
  const heard = (type: string) =>
    Effect.promise(() => receiver.until(1, ({ event }: Received) => event["type"] === type)).pipe(
      Effect.map(([first]) => first?.event ?? {})
    )
  const members = Effect.map(
    Effect.promise(() => bot.conversations.members({ channel })),
    (answer) => answer.members ?? []
  )
  return { accept, as, bot, channel, heard, invite, members, workspace, eve: userIdOf(workspace, "eve") }
})

const refused = (call: () => Promise<unknown>) => Effect.promise(() => errorOf(call()))

describe("Slack Connect in the local workspace", () => {
  it.live("lets an accepted person in only when somebody approved", () =>
    Effect.gen(function*() {
      const { accept, as, eve, heard, invite, members } = yield* stage({ connect: { approvalRequired: true } })
      const { invite_id: id } = yield* Effect.promise(invite)
      yield* Effect.promise(() => accept("eve", id))
      const accepted = yield* heard("shared_channel_invite_accepted")
      assert.strictEqual(accepted["approval_required"], true)
      assert.deepInclude(objectOf(objectOf(accepted, "accepting_user"), "profile"), { email: address })
      assert.notInclude(yield* members, eve)
      yield* Effect.promise(() => as("ada").conversations.approveSharedInvite({ invite_id: id ?? "" }))
      const approved = yield* heard("shared_channel_invite_approved")
      assert.strictEqual(objectOf(approved, "invite")["recipient_email"], address)
      yield* heard("member_joined_channel")
      assert.include(yield* members, eve)
      assert.strictEqual(
        yield* refused(() => as("ada").conversations.approveSharedInvite({ invite_id: id ?? "" })),
        "invite_not_found"
      )
    }))

  it.live("lets nobody in who was declined, and allows another invitation then", () =>
    Effect.gen(function*() {
      const { accept, as, eve, heard, invite, members } = yield* stage({ connect: { approvalRequired: true } })
      const { invite_id: id } = yield* Effect.promise(invite)
      assert.strictEqual(yield* refused(invite), "connection_limit_exceeded_pending")
      yield* Effect.promise(() => accept("eve", id))
      yield* Effect.promise(() => as("ada").conversations.declineSharedInvite({ invite_id: id ?? "" }))
      assert.strictEqual(objectOf(yield* heard("shared_channel_invite_declined"), "invite")["id"], id)
      assert.notInclude(yield* members, eve)
      assert.strictEqual(yield* refused(() => accept("eve", id)), "invite_used")
      assert.isTrue((yield* Effect.promise(invite)).ok)
    }))

  it.live("tells the address of whoever accepts what was meant for another", () =>
    Effect.gen(function*() {
      const users = [...cast, { name: "mallory", realName: "Mallory", email: "mallory@far.test", external: true }]
      const strict = yield* stage({ users })
      const first = yield* Effect.promise(strict.invite)
      assert.strictEqual(yield* refused(() => strict.accept("mallory", first.invite_id)), "email_does_not_match")
      const open = yield* stage({ users, connect: { anyoneMayAccept: true } })
      const second = yield* Effect.promise(open.invite)
      yield* Effect.promise(() => open.accept("mallory", second.invite_id))
      const accepted = yield* open.heard("shared_channel_invite_accepted")
      assert.strictEqual(objectOf(accepted, "invite")["recipient_email"], address)
      assert.deepInclude(objectOf(objectOf(accepted, "accepting_user"), "profile"), { email: "mallory@far.test" })
    }))

  it.live("invites nobody on a free plan", () =>
    Effect.gen(function*() {
      const { invite } = yield* stage({ connect: { plan: "free" } })
      assert.strictEqual(yield* refused(invite), "not_paid")
    }))
})

describe("the app of the local workspace", () => {
  it.live("has the scopes of its last installation, and is out of its channels after it", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* stage()
      yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "before" }))
      yield* workspace.app.reinstall(["chat:write", "channels:join"])
      const who = yield* Effect.promise(() => bot.auth.test())
      assert.deepStrictEqual(who.response_metadata?.scopes, ["chat:write", "channels:join"])
      assert.strictEqual(yield* refused(() => bot.chat.postMessage({ channel, text: "x" })), "not_in_channel")
      assert.strictEqual(yield* refused(() => bot.conversations.history({ channel })), "missing_scope")
      yield* Effect.promise(() => bot.conversations.join({ channel }))
      assert.isTrue((yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "after" }))).ok)
    }))

  it.live("tells that its tokens are revoked, and is refused from then on", () =>
    Effect.gen(function*() {
      const { bot, heard, workspace } = yield* stage()
      yield* workspace.app.uninstall
      const revoked = yield* heard("tokens_revoked")
      assert.deepStrictEqual(revoked["tokens"], { oauth: [], bot: [workspace.botUserId] })
      yield* heard("app_uninstalled")
      assert.strictEqual(yield* refused(() => bot.auth.test()), "token_revoked")
    }))

  it.live("has one budget of chat.update for all channels together", () =>
    Effect.gen(function*() {
      const { bot, workspace } = yield* stage({ limits: {} })
      const places = yield* Effect.forEach(["one", "two"], (name) =>
        Effect.promise(async () => {
          const made = await bot.conversations.create({ name })
          const channel = made.channel?.id ?? ""
          const posted = await bot.chat.postMessage({ channel, text: "0" })
          return { channel, ts: posted.ts ?? "" }
        }))
      let taken = 0
      let answer = ""
      while (answer === "" && taken < 200) {
        const place = places[taken % 2] ?? { channel: "", ts: "" }
        answer = yield* Effect.promise(() =>
          bot.chat.update({ ...place, text: String(taken) }).then(() => "", () => "refused")
        )
        if (answer === "") taken += 1
      }
      // Tier 3: 50 a minute, and what comes back meanwhile; twice that, if each channel had its own.
      assert.isAtLeast(taken, 50)
      assert.isBelow(taken, 100)
      assert.isAbove(
        (yield* workspace.calls.list({ method: "chat.update" })).filter(({ status }) => status === 429).length,
        0
      )
    }))
})
