import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { gzipSync } from "node:zlib"
import { objectOf, objectsOf, textOf } from "../../../km-cli/local/workspace/Json.ts"
import {
  errorOf,
  slackClient,
  testWorkspace,
  testWorkspaceWithEvents,
  tokenOf,
  userIdOf
} from "../../support/Workspace.ts"

const channelOf = async (bot: ReturnType<typeof slackClient>, name: string): Promise<string> => {
  const made = await bot.conversations.create({ name })
  return made.channel?.id ?? ""
}

describe("local workspace, one message's way", () => {
  it.live("delivers a person's message, signed and whole, and shows the bot's reply in its thread", () =>
    Effect.gen(function*() {
      const { bot, receiver, workspace } = yield* testWorkspaceWithEvents()
      const ada = slackClient(workspace, tokenOf(workspace, "ada"))
      const channel = yield* Effect.promise(() => channelOf(bot, "sb-demo"))
      yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "ada") }))
      const asked = yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "fix a & b <now>" }))
      const [delivery] = yield* Effect.promise(() =>
        receiver.until(1, ({ event }) => event["type"] === "message" && event["ts"] === asked.ts)
      )
      assert.isTrue(delivery?.verified)
      const body = delivery?.body ?? {}
      assert.strictEqual(body["type"], "event_callback")
      assert.strictEqual(body["team_id"], workspace.teamId)
      assert.strictEqual(body["context_team_id"], workspace.teamId)
      assert.strictEqual(body["api_app_id"], workspace.appId)
      assert.strictEqual(body["is_ext_shared_channel"], false)
      assert.match(String(body["event_id"]), /^Ev[A-Z0-9]{9}$/)
      assert.isString(body["event_context"])
      assert.deepStrictEqual(objectsOf(body, "authorizations")[0], {
        enterprise_id: null,
        team_id: workspace.teamId,
        user_id: workspace.botUserId,
        is_bot: true,
        is_enterprise_install: false
      })
      const event = delivery?.event ?? {}
      assert.strictEqual(event["text"], "fix a &amp; b &lt;now&gt;")
      assert.strictEqual(event["user"], userIdOf(workspace, "ada"))
      assert.strictEqual(event["channel_type"], "channel")
      assert.strictEqual(event["event_ts"], asked.ts)
      assert.strictEqual(event["team"], workspace.teamId)
      assert.isString(event["client_msg_id"])
      assert.strictEqual(objectsOf(event, "blocks")[0]?.["type"], "rich_text")
      assert.isUndefined(event["bot_id"])

      const answer = yield* Effect.promise(() =>
        bot.chat.postMessage({ channel, thread_ts: asked.ts ?? "", text: "working" })
      )
      yield* Effect.promise(() => bot.reactions.add({ channel, timestamp: asked.ts ?? "", name: "eyes" }))
      yield* Effect.promise(() => bot.chat.update({ channel, ts: answer.ts ?? "", text: "done" }))
      const thread = yield* Effect.promise(() => bot.conversations.replies({ channel, ts: asked.ts ?? "" }))
      const [root, reply] = thread.messages ?? []
      assert.strictEqual(root?.reply_count, 1)
      assert.strictEqual(root?.latest_reply, answer.ts)
      assert.deepStrictEqual(root?.reactions, [{ name: "eyes", users: [workspace.botUserId], count: 1 }])
      assert.strictEqual(reply?.text, "done")
      assert.strictEqual(reply?.bot_id, workspace.botId)
      assert.strictEqual(reply?.app_id, workspace.appId)
      assert.strictEqual(reply?.bot_profile?.id, workspace.botId)
      assert.strictEqual(reply?.parent_user_id, userIdOf(workspace, "ada"))
      // The app hears of what its own bot does, marked as such.
      const [own] = yield* Effect.promise(() => receiver.until(1, (each) => each.event["ts"] === answer.ts))
      assert.strictEqual(own?.event["bot_id"], workspace.botId)
      const [changed] = yield* Effect.promise(() =>
        receiver.until(1, (each) => each.event["subtype"] === "message_changed")
      )
      assert.strictEqual(textOf(objectOf(changed?.event ?? {}, "message"), "text"), "done")
      assert.strictEqual(textOf(objectOf(changed?.event ?? {}, "previous_message"), "text"), "working")
      const [reacted] = yield* Effect.promise(() =>
        receiver.until(1, (each) => each.event["type"] === "reaction_added")
      )
      assert.strictEqual(reacted?.event["item_user"], userIdOf(workspace, "ada"))
      assert.isTrue(receiver.received.every((each) => each.verified))
    }))

  it.live("keeps a file shared into a thread and gives it back byte for byte", () =>
    Effect.gen(function*() {
      const { bot, receiver, workspace } = yield* testWorkspaceWithEvents()
      const channel = yield* Effect.promise(() => channelOf(bot, "sb-files"))
      const root = yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "root" }))
      const bytes = gzipSync("{\"type\":\"user\"}\n".repeat(1000))
      yield* Effect.promise(() =>
        bot.filesUploadV2({
          channel_id: channel,
          thread_ts: root.ts ?? "",
          file: bytes,
          filename: "claude-transcript-1.jsonl.gz",
          title: "transcript"
        })
      )
      const [shared] = yield* Effect.promise(() => receiver.until(1, (each) => each.event["subtype"] === "file_share"))
      assert.strictEqual(shared?.event["thread_ts"], root.ts)
      assert.strictEqual(shared?.event["bot_id"], workspace.botId)
      const thread = yield* Effect.promise(() => bot.conversations.replies({ channel, ts: root.ts ?? "" }))
      const file = thread.messages?.[1]?.files?.[0]
      assert.strictEqual(file?.name, "claude-transcript-1.jsonl.gz")
      const address = file?.url_private ?? ""
      const got = yield* Effect.promise(() =>
        fetch(address, { headers: { authorization: `Bearer ${workspace.botToken}` } }).then((reply) => reply.bytes())
      )
      assert.deepStrictEqual(Buffer.from(got), bytes)
      const stranger = yield* Effect.promise(() => fetch(address, { redirect: "manual" }))
      assert.strictEqual(stranger.status, 302)
    }))

  it.live("refuses missing and wrong tokens, and methods that do not exist", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      const bot = slackClient(workspace, workspace.botToken)
      const me = yield* Effect.promise(() => bot.auth.test())
      assert.strictEqual(me.user_id, workspace.botUserId)
      assert.strictEqual(me.bot_id, workspace.botId)
      const wrong = slackClient(workspace, "xoxb-wrong")
      assert.strictEqual(yield* Effect.promise(() => errorOf(wrong.auth.test())), "invalid_auth")
      const none = yield* Effect.promise(() =>
        fetch(`${workspace.apiUrl}auth.test`, { method: "POST" }).then((r) => r.json())
      )
      assert.deepStrictEqual(none, { ok: false, error: "not_authed" })
      assert.strictEqual(yield* Effect.promise(() => errorOf(bot.apiCall("files.upload"))), "unknown_method")
    }))

  it.live("closes by itself: nothing answers afterwards", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      yield* workspace.close
      const outcome = yield* Effect.promise(() =>
        fetch(`${workspace.apiUrl}auth.test`).then(() => "answered", () => "gone")
      )
      assert.strictEqual(outcome, "gone")
    }))
})
