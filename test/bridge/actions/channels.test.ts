/** What `channel.ensure`, `archive` and `purge` ask of Slack, call by call, and what they make of each answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Channels } from "../../../bridge/actions/Channels.ts"
import { ChannelId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { ChannelEnsureAction } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { profileWith, slackProfile } from "../../support/profiles.ts"
import { botUser, bridgeOverScript, channel, limited, refused, scriptedSlack, unclear } from "../scripted.ts"
import { otherSandbox, rowOf, sandbox } from "../world.ts"

type Action = typeof ChannelEnsureAction.Type
const base: Action = { action: "channel.ensure", sandbox, name: "sb-demo", private: true, topic: "", inviteEmails: [] }
const previous = ChannelId.make("C0BEFORE01")
const made = (id: string = channel, name = "sb-demo") => ({ ok: true, channel: { id, name } })

/** The answer and the calls; `row` says how the sandbox is known before. */
const ensured = (
  answers: Parameters<typeof scriptedSlack>[0],
  changes: Partial<Action> = {},
  options: { readonly uncertainSince?: number; readonly row?: Parameters<typeof rowOf> } = {}
) => {
  const slack = scriptedSlack({ "conversations.create": made(), ...answers })
  return Effect.gen(function*() {
    if (options.row !== undefined) yield* (yield* Sandboxes).insert(rowOf(...options.row))
    const answer = yield* Effect.result((yield* Channels).ensure({ ...base, ...changes }, options.uncertainSince))
    return {
      ...slack,
      channel: answer._tag === "Success" ? answer.success.channel : undefined,
      code: answer._tag === "Failure" ? answer.failure.code : undefined
    }
  }).pipe(Effect.provide(bridgeOverScript(slack)))
}
const warningsOf = (answer: { readonly channel: { readonly warnings?: ReadonlyArray<string> } | undefined }) =>
  answer.channel?.warnings

const listed = (changes: object = {}) => ({
  ok: true,
  channels: [
    { id: "C0NINTH001", name: "other", creator: botUser, created: 1_000 },
    { id: channel, name: "sb-demo", creator: botUser, created: 1_000, ...changes }
  ]
})

const page = (cursor?: string) => ({
  ok: true,
  channels: [],
  ...(cursor === undefined ? {} : { response_metadata: { next_cursor: cursor } })
})

describe("channel.ensure", () => {
  it.effect("says by a code of its own that the workspace lets nobody create channels, and tries no other name", () =>
    Effect.gen(function*() {
      for (const error of ["restricted_action", "no_permission", "user_is_restricted"]) {
        const { calls, code } = yield* ensured({ "conversations.create": refused(error) })
        assert.strictEqual(code, "creation_forbidden")
        assert.lengthOf(calls, 1)
      }
      assert.strictEqual((yield* ensured({ "conversations.create": refused("invalid_name") })).code, "slack_refused")
    }))

  it.effect("creates, sets the topic as it can be shown, and invites each address", () =>
    Effect.gen(function*() {
      const { calls, channel: answer } = yield* ensured(
        { "users.lookupByEmail": { ok: true, user: { id: "U1" } } },
        { topic: "a <b>\u200b & c", inviteEmails: ["ada@lab.test"] }
      )
      assert.deepStrictEqual(answer, { id: channel, name: "sb-demo", created: true, warnings: [] })
      assert.deepStrictEqual(calls, [
        { method: "conversations.create", args: { name: "sb-demo", is_private: true } },
        { method: "conversations.setTopic", args: { channel, topic: "a &lt;b&gt; &amp; c" } },
        { method: "users.lookupByEmail", args: { email: "ada@lab.test" } },
        { method: "conversations.invite", args: { channel, users: "U1" } }
      ])
      const bare = yield* ensured({}, { topic: " \n", private: false })
      assert.deepStrictEqual(bare.calls, [
        { method: "conversations.create", args: { name: "sb-demo", is_private: false } }
      ])
    }))

  it.effect("tells who was not invited and why, and goes on; who is there already needs no word", () =>
    Effect.gen(function*() {
      const emails = ["a@lab.test", "b@lab.test"]
      const user = { "users.lookupByEmail": { ok: true, user: { id: "U1" } } }
      for (const error of ["already_in_channel", "cant_invite_self"]) {
        const there = yield* ensured({ ...user, "conversations.invite": refused(error) }, { inviteEmails: emails })
        assert.deepStrictEqual(warningsOf(there), [], error)
      }
      const no = yield* ensured({ ...user, "conversations.invite": refused("ura_max_channels") }, {
        inviteEmails: emails
      })
      assert.deepStrictEqual(warningsOf(no), emails.map((email) => `${email} was not invited: ura_max_channels`))
      const odd = yield* ensured({ "users.lookupByEmail": refused("missing_scope") }, { inviteEmails: emails })
      assert.deepStrictEqual(warningsOf(odd), emails.map((email) => `${email} was not invited: missing_scope`))
      assert.notInclude(odd.methods(), "conversations.inviteShared")
      const topic = yield* ensured({ "conversations.setTopic": refused("too_long") }, { topic: "x" })
      assert.deepStrictEqual(warningsOf(topic), ["the topic was not set: too_long"])
    }))

  it.effect("invites by Slack Connect whom the workspace does not know", () =>
    Effect.gen(function*() {
      const unknown = { "users.lookupByEmail": refused("users_not_found") }
      const shared = yield* ensured(unknown, { inviteEmails: ["eve@elsewhere.test"] })
      assert.deepStrictEqual(warningsOf(shared), [])
      assert.deepStrictEqual(shared.calls.at(-1), {
        method: "conversations.inviteShared",
        args: { channel, emails: ["eve@elsewhere.test"], external_limited: true }
      })
      const no = yield* ensured({ ...unknown, "conversations.inviteShared": refused("not_paid") }, {
        inviteEmails: ["eve@elsewhere.test"]
      })
      assert.deepStrictEqual(warningsOf(no), ["eve@elsewhere.test was not invited by Slack Connect: not_paid"])
    }))

  it.effect("invites fifty people and no more", () =>
    Effect.gen(function*() {
      const inviteEmails = Array.from({ length: 52 }, (_, index) => `p${index}@lab.test`)
      const { argsOf } = yield* ensured({ "users.lookupByEmail": { ok: true, user: { id: "U1" } } }, { inviteEmails })
      assert.deepStrictEqual(argsOf("users.lookupByEmail").map(({ email }) => email), inviteEmails.slice(0, 50))
    }))

  it.effect("uses the channel of before while it is open, and joins it", () =>
    Effect.gen(function*() {
      const info = {
        "conversations.info": made(previous, "sb-before"),
        "users.lookupByEmail": { ok: true, user: { id: "U1" } }
      }
      const again = yield* ensured(info, { previous, topic: "t", inviteEmails: ["a@lab.test"] }, {
        row: [sandbox, "C0ELSE0001"]
      })
      assert.deepStrictEqual(again.channel, { id: previous, name: "sb-before", created: false, warnings: [] })
      assert.deepStrictEqual(again.calls.slice(0, 2), [
        { method: "conversations.info", args: { channel: previous } },
        { method: "conversations.join", args: { channel: previous } }
      ])
      assert.include(again.methods(), "conversations.setTopic")
      assert.include(again.methods(), "users.lookupByEmail")
      for (const error of ["method_not_supported_for_channel_type", "already_in_channel"]) {
        const quiet = yield* ensured({ ...info, "conversations.join": refused(error) }, { previous })
        assert.deepStrictEqual(warningsOf(quiet), [], error)
      }
      const shut = yield* ensured({ ...info, "conversations.join": refused("is_archived") }, { previous })
      assert.deepStrictEqual(warningsOf(shut), ["the bot could not join: is_archived"])
      // The row's own channel is left as it is, whoever owns the row.
      const own = yield* ensured(info, { previous, topic: "t", inviteEmails: ["a@lab.test"] }, {
        row: [sandbox, previous]
      })
      assert.deepStrictEqual(own.methods(), ["conversations.info", "conversations.join"])
      const unknown = yield* ensured(info, { previous, topic: "t", sandbox: "no id" })
      assert.include(unknown.methods(), "conversations.setTopic")
    }))

  it.effect("makes a new one for one that is archived, and links it; for one that is gone, without a link", () =>
    Effect.gen(function*() {
      const archived = { "conversations.info": { ok: true, channel: { id: previous, name: "x", is_archived: true } } }
      const linked = yield* ensured(archived, { previous })
      assert.deepStrictEqual(warningsOf(linked), [])
      assert.isTrue(linked.channel?.created)
      const [post] = linked.argsOf("chat.postMessage")
      assert.strictEqual(post?.["channel"], channel)
      assert.include(JSON.stringify(post), `<#${previous}>`)
      assert.include(JSON.stringify(post), `previous/${channel}/${previous}`)
      const unlinked = yield* ensured({ ...archived, "chat.postMessage": refused("restricted_action") }, { previous })
      assert.deepStrictEqual(warningsOf(unlinked), ["the earlier channel was not linked: restricted_action"])
      for (const error of ["channel_not_found", "not_in_channel"]) {
        const gone = yield* ensured({ "conversations.info": refused(error) }, { previous })
        assert.deepStrictEqual([gone.channel?.created, gone.methods()], [
          true,
          ["conversations.info", "conversations.create"]
        ])
      }
      const no = yield* ensured({ "conversations.info": refused("token_revoked") }, { previous })
      assert.deepStrictEqual([no.code, no.methods()], ["token_revoked", ["conversations.info"]])
      const later = yield* ensured({ "conversations.info": unclear("channel_not_found") }, { previous })
      assert.strictEqual(later.code, "unavailable")
    }))

  it.effect("tries thirty names that Slack can hold, and gives up", () =>
    Effect.gen(function*() {
      const long = "x".repeat(80)
      const all = yield* ensured({ "conversations.create": refused("name_taken") }, { name: long })
      assert.strictEqual(all.code, "slack_refused")
      assert.deepStrictEqual(
        all.argsOf("conversations.create").map(({ name }) => name),
        [
          long,
          ...Array.from({ length: 29 }, (_, index) => `${long.slice(0, index < 8 ? 78 : 77)}-${index + 2}`)
        ]
      )
      const second = yield* ensured({
        "conversations.create": [refused("name_taken"), made("C0SECOND01", "sb-demo-2")]
      })
      assert.strictEqual(second.channel?.created, true)
      assert.notInclude(second.methods(), "conversations.list")
      for (
        const [failure, code] of [[refused("restricted_action"), "creation_forbidden"], [
          limited("x"),
          "rate_limited"
        ]] as const
      ) {
        const no = yield* ensured({ "conversations.create": failure })
        assert.deepStrictEqual([no.code, no.methods()], [code, ["conversations.create"]])
      }
    }))

  const taken = [refused("name_taken"), made("C0SECOND01", "sb-demo-2")]

  it.effect("takes a taken name for its own only when this very request can have made it", () =>
    Effect.gen(function*() {
      const tried = (list: object, uncertainSince: number) =>
        ensured({ "conversations.create": taken, "conversations.list": list }, {}, { uncertainSince })
      // Created a minute before the doubt began, which two clocks may differ by.
      const ours = yield* tried(listed(), 1_060_000)
      assert.deepStrictEqual(ours.channel, { id: channel, name: "sb-demo", created: true, warnings: [] })
      assert.deepStrictEqual(ours.calls[1], {
        method: "conversations.list",
        args: { types: "public_channel,private_channel", exclude_archived: true, limit: 1_000 }
      })
      const older = yield* tried(listed(), 1_060_001)
      assert.strictEqual(older.channel?.name, "sb-demo-2")
      const others = yield* tried(listed({ creator: "U0OTHER001" }), 1_060_000)
      assert.strictEqual(others.channel?.name, "sb-demo-2")
      const undated = yield* tried({ ok: true, channels: [{ id: channel, name: "sb-demo", creator: botUser }] }, 60_001)
      assert.strictEqual(undated.channel?.name, "sb-demo-2")
      const unlisted = yield* tried({ ok: true, channels: [] }, 0)
      assert.strictEqual(unlisted.channel?.name, "sb-demo-2")
      const unknown = yield* ensured(
        { "conversations.create": taken, "conversations.list": unclear("x") },
        {},
        { uncertainSince: 0 }
      )
      assert.strictEqual(unknown.code, "unavailable")
    }))

  it.effect("reads twenty pages for a name", () =>
    Effect.gen(function*() {
      const options = { uncertainSince: 0 }
      const found = yield* ensured(
        { "conversations.create": taken, "conversations.list": [page("a"), page("b"), listed()] },
        {},
        options
      )
      assert.strictEqual(found.channel?.id, channel)
      assert.deepStrictEqual(found.argsOf("conversations.list").map(({ cursor }) => cursor), [undefined, "a", "b"])
      for (const [list, reads] of [[page("on"), 20], [page(""), 1], [page(), 1]] as const) {
        const none = yield* ensured({ "conversations.create": taken, "conversations.list": list }, {}, options)
        assert.lengthOf(none.argsOf("conversations.list"), reads)
      }
    }))

  it.effect("takes an answer of another shape for doubt", () =>
    Effect.gen(function*() {
      for (const odd of [{ ok: true }, { ok: true, channel: {} }, { ok: true, channel: { id: 1, name: 2 } }]) {
        assert.strictEqual((yield* ensured({ "conversations.create": odd })).code, "unavailable")
        assert.strictEqual((yield* ensured({ "conversations.info": odd }, { previous })).code, "unavailable")
      }
      for (
        const odd of [{ ok: true }, { ok: true, channels: [{}] }, {
          ok: true,
          channels: [],
          response_metadata: { next_cursor: 1 }
        }]
      ) {
        const script = { "conversations.create": taken, "conversations.list": odd }
        assert.strictEqual((yield* ensured(script, {}, { uncertainSince: 0 })).code, "unavailable")
      }
      for (const odd of [{ ok: true }, { ok: true, user: {} }]) {
        const asked = yield* ensured({ "users.lookupByEmail": odd }, { inviteEmails: ["a@lab.test"] })
        assert.deepStrictEqual(warningsOf(asked), ["a@lab.test was not invited: an answer of an unknown shape"])
      }
    }))

  it.effect("shares one channel among the sandboxes that share, whoever made it", () =>
    Effect.gen(function*() {
      const shared = profileWith({ notifySlackEnabled: true })
      const script = { "conversations.create": taken, "conversations.list": listed({ creator: "U0OTHER001" }) }
      const found = yield* ensured(script, {}, { row: [sandbox, undefined, {}, shared] })
      assert.deepStrictEqual(found.channel, { id: channel, name: "sb-demo", created: false, warnings: [] })
      assert.deepStrictEqual(found.argsOf("conversations.join"), [{ channel }])
      const own = yield* ensured(script, {}, { row: [sandbox, undefined, {}, slackProfile] })
      assert.strictEqual(own.channel?.name, "sb-demo-2")
    }))
})

const archived = (answer: object, ...rows: ReadonlyArray<Parameters<typeof rowOf>>) => {
  const slack = scriptedSlack({ "conversations.archive": answer })
  return Effect.gen(function*() {
    for (const row of rows) yield* (yield* Sandboxes).insert(rowOf(...row))
    const result = yield* Effect.result((yield* Channels).archive({ action: "archive", channel }))
    return { calls: slack.calls, code: result._tag === "Failure" ? result.failure.code : "ok" }
  }).pipe(Effect.provide(bridgeOverScript(slack)))
}

describe("archive and purge", () => {
  it.effect("archive a sandbox's own channel, once, and no channel that is shared or somebody else's", () =>
    Effect.gen(function*() {
      const { calls, code } = yield* archived({ ok: true }, [sandbox, channel])
      assert.deepStrictEqual([code, calls], ["ok", [
        { method: "conversations.archive", args: { channel } }
      ]])
      assert.strictEqual((yield* archived(refused("already_archived"))).code, "ok")
      assert.strictEqual((yield* archived(refused("channel_not_found"))).code, "channel_not_found")
      for (const channelMode of ["shared", "override"] as const) {
        const no = yield* archived({ ok: true }, [sandbox, channel], [otherSandbox, channel, { channelMode }])
        assert.deepStrictEqual([no.code, no.calls], ["forbidden", []], channelMode)
      }
    }))

  it.effect("purge nothing for what is no sandbox", () =>
    Effect.gen(function*() {
      const channels = yield* Channels
      const no = yield* Effect.flip(channels.purge({ action: "purge", sandbox: "operator" }))
      assert.strictEqual(no.code, "bad_request")
    }).pipe(Effect.provide(bridgeOverScript(scriptedSlack()))))
})
