import { assert, describe, it } from "@effect/vitest"
import type { WebClient } from "@slack/web-api"
import { Effect } from "effect"
import { errorOf, slackClient, testWorkspace, tokenOf, userIdOf } from "../../support/Workspace.ts"

const room = Effect.fnUntraced(function*(name = "room") {
  const workspace = yield* testWorkspace()
  const bot = slackClient(workspace, workspace.botToken)
  const ada = slackClient(workspace, tokenOf(workspace, "ada"))
  const made = yield* Effect.promise(() => bot.conversations.create({ name }))
  return { workspace, bot, ada, channel: made.channel?.id ?? "" }
})

const refused = (call: () => Promise<unknown>) => Effect.promise(() => errorOf(call()))

const post = (client: WebClient, channel: string, text: string, threadTs?: string) =>
  Effect.promise(() =>
    client.chat.postMessage({ channel, text, ...(threadTs === undefined ? {} : { thread_ts: threadTs }) })
  ).pipe(Effect.map((answer) => answer.ts ?? ""))

const section = (text: string) => ({ type: "section", text: { type: "mrkdwn", text } })

const sections = (count: number) => Array.from({ length: count }, (_, index) => section(`s${index}`))

const table = (text: string) => ({ type: "table", rows: [[{ type: "raw_text", text }]] })

const raw = (url: string, token: string, body: string, contentType: string) =>
  Effect.promise(async () => {
    const reply = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": contentType },
      body
    })
    const answer: unknown = await reply.json()
    return { answer, headers: reply.headers }
  })

describe("local workspace, as strict as Slack", () => {
  it.live("lets nobody post or react where they are not a member, and hides private channels from strangers", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      const ts = yield* post(bot, channel, "hello")
      assert.strictEqual(yield* refused(() => ada.chat.postMessage({ channel, text: "hi" })), "not_in_channel")
      assert.strictEqual(
        yield* refused(() => ada.reactions.add({ channel, timestamp: ts, name: "eyes" })),
        "not_in_channel"
      )
      // People may read public channels they are not in; bots may not.
      yield* Effect.promise(() => ada.conversations.history({ channel }))
      const own = yield* Effect.promise(() => ada.conversations.create({ name: "adas" }))
      const adas = own.channel?.id ?? ""
      assert.strictEqual(yield* refused(() => bot.conversations.history({ channel: adas })), "not_in_channel")
      assert.strictEqual(yield* refused(() => bot.chat.postMessage({ channel: adas, text: "x" })), "not_in_channel")
      yield* Effect.promise(() => bot.conversations.join({ channel: adas }))
      yield* post(bot, adas, "now I may")
      const hidden = yield* Effect.promise(() => ada.conversations.create({ name: "hidden", is_private: true }))
      const secret = hidden.channel?.id ?? ""
      for (
        const call of [
          () => bot.conversations.info({ channel: secret }),
          () => bot.chat.postMessage({ channel: secret, text: "x" }),
          () => bot.conversations.history({ channel: secret }),
          () => bot.conversations.members({ channel: secret }),
          () => bot.conversations.join({ channel: secret })
        ]
      ) assert.strictEqual(yield* refused(call), "channel_not_found")
      const listed = yield* Effect.promise(() => bot.conversations.list({ types: "public_channel,private_channel" }))
      assert.isFalse(listed.channels?.some((each) => each.id === secret))
      yield* Effect.promise(() => ada.conversations.invite({ channel: secret, users: workspace.botUserId }))
      yield* post(bot, secret, "invited")
    }))

  it.live("takes channel names only as Slack does, and keeps the name of an archived channel taken", () =>
    Effect.gen(function*() {
      const { bot, channel } = yield* room("sb-one")
      const create = (name: string) => refused(() => bot.conversations.create({ name }))
      assert.strictEqual(yield* create("SB-two"), "invalid_name_specials")
      assert.strictEqual(yield* create("sb two"), "invalid_name_specials")
      assert.strictEqual(yield* create("sb.two"), "invalid_name_specials")
      assert.strictEqual(yield* create("--"), "invalid_name_punctuation")
      assert.strictEqual(yield* create("a".repeat(81)), "invalid_name_maxlength")
      assert.strictEqual(yield* create("sb-one"), "name_taken")
      yield* Effect.promise(() => bot.conversations.create({ name: "a".repeat(80) }))
      yield* Effect.promise(() => bot.conversations.archive({ channel }))
      assert.strictEqual(yield* create("sb-one"), "name_taken")
      assert.strictEqual(yield* refused(() => bot.conversations.archive({ channel })), "already_archived")
      assert.strictEqual(yield* refused(() => bot.chat.postMessage({ channel, text: "x" })), "is_archived")
      assert.strictEqual(yield* refused(() => bot.conversations.unarchive({ channel })), "not_allowed_token_type")
    }))

  it.live("lets a person unarchive, and a bot not", () =>
    Effect.gen(function*() {
      const { ada, bot, channel } = yield* room()
      yield* Effect.promise(() => bot.conversations.archive({ channel }))
      yield* Effect.promise(() => ada.conversations.unarchive({ channel }))
      yield* post(bot, channel, "back again")
    }))

  it.live("writes the author's fields itself, whatever the caller sends", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.promise(() => ada.conversations.join({ channel }))
      const forged = { bot_id: "B0FORGED00", app_id: "A0FORGED00", client_msg_id: "mine" }
      yield* Effect.promise(() => ada.apiCall("chat.postMessage", { channel, text: "person", ...forged }))
      yield* Effect.promise(() => bot.apiCall("chat.postMessage", { channel, text: "bot", ...forged }))
      const { messages } = yield* Effect.promise(() => bot.conversations.history({ channel }))
      const [fromBot, fromPerson] = messages ?? []
      assert.strictEqual(fromBot?.bot_id, workspace.botId)
      assert.strictEqual(fromBot?.app_id, workspace.appId)
      assert.strictEqual(fromBot?.bot_profile?.app_id, workspace.appId)
      assert.isUndefined(fromBot?.client_msg_id)
      assert.isUndefined(fromPerson?.bot_id)
      assert.match(fromPerson?.client_msg_id ?? "", /^[0-9a-f-]{36}$/)
      assert.strictEqual(fromPerson?.blocks?.[0]?.type, "rich_text")
      assert.strictEqual(
        yield* refused(() => bot.chat.postMessage({ channel, text: "x", username: "someone" })),
        "missing_scope"
      )
    }))

  it.live("shows metadata only to who asks, and checks its form", () =>
    Effect.gen(function*() {
      const { ada, bot, channel } = yield* room()
      const metadata = { event_type: "km_turn", event_payload: { key: "k1" } }
      const posted = yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "root", metadata }))
      const ts = posted.ts ?? ""
      const quiet = yield* Effect.promise(() => bot.conversations.replies({ channel, ts }))
      assert.isUndefined(quiet.messages?.[0]?.metadata)
      const asked = yield* Effect.promise(() => bot.conversations.replies({ channel, ts, include_all_metadata: true }))
      assert.deepStrictEqual(asked.messages?.[0]?.metadata, metadata)
      const history = yield* Effect.promise(() => bot.conversations.history({ channel, include_all_metadata: true }))
      assert.deepStrictEqual(history.messages?.[0]?.metadata, metadata)
      // Kept by an edit that says nothing of it, removed by an empty object.
      yield* Effect.promise(() => bot.chat.update({ channel, ts, text: "edited" }))
      const kept = yield* Effect.promise(() => bot.conversations.history({ channel, include_all_metadata: true }))
      assert.deepStrictEqual(kept.messages?.[0]?.metadata, metadata)
      yield* Effect.promise(() => bot.apiCall("chat.update", { channel, ts, metadata: {} }))
      const gone = yield* Effect.promise(() => bot.conversations.history({ channel, include_all_metadata: true }))
      assert.isUndefined(gone.messages?.[0]?.metadata)
      const send = (value: unknown) => () => bot.apiCall("chat.postMessage", { channel, text: "x", metadata: value })
      assert.strictEqual(yield* refused(send("nonsense")), "invalid_metadata_format")
      assert.strictEqual(yield* refused(send({ event_type: "x" })), "invalid_metadata_schema")
      assert.strictEqual(
        yield* refused(send({ event_type: "x", event_payload: { big: "x".repeat(20_000) } })),
        "metadata_too_large"
      )
      yield* Effect.promise(() => ada.conversations.join({ channel }))
      assert.strictEqual(
        yield* refused(() => ada.chat.postMessage({ channel, text: "x", metadata })),
        "metadata_must_be_sent_from_app"
      )
    }))

  it.live("keeps the limits of blocks and text on both sides", () =>
    Effect.gen(function*() {
      const { bot, channel } = yield* room()
      const send = (blocks: unknown) => bot.apiCall("chat.postMessage", { channel, text: "fallback", blocks })
      yield* Effect.promise(() => send(sections(50)))
      assert.strictEqual(yield* refused(() => send(sections(51))), "invalid_blocks")
      yield* Effect.promise(() => send([section("x".repeat(3000))]))
      assert.strictEqual(yield* refused(() => send([section("x".repeat(3001))])), "invalid_blocks")
      assert.strictEqual(yield* refused(() => send([section("")])), "invalid_blocks")
      assert.strictEqual(yield* refused(() => send([{ type: "sectoin" }])), "invalid_blocks")
      assert.strictEqual(yield* refused(() => send({ type: "section" })), "invalid_blocks_format")
      assert.strictEqual(
        yield* refused(() => send([{ ...section("a"), block_id: "b" }, { ...section("b"), block_id: "b" }])),
        "invalid_blocks"
      )
      yield* Effect.promise(() => send([{ type: "markdown", text: "m".repeat(12_000) }]))
      assert.strictEqual(yield* refused(() => send([{ type: "markdown", text: "m".repeat(12_001) }])), "invalid_blocks")
      yield* Effect.promise(() => send([table("cell")]))
      assert.strictEqual(yield* refused(() => send([table("")])), "invalid_blocks")
      assert.strictEqual(yield* refused(() => send([table("a"), table("b")])), "invalid_attachments")
      assert.strictEqual(
        yield* refused(() => send([{ type: "table", rows: [[{ type: "raw_number", value: 1 }]] }])),
        "invalid_blocks"
      )
      const markdown = (markdown_text: string, more: object = {}) => () =>
        bot.apiCall("chat.postMessage", { channel, markdown_text, ...more })
      yield* Effect.promise(markdown("m".repeat(12_000)))
      assert.strictEqual(yield* refused(markdown("m".repeat(12_001))), "msg_too_long")
      assert.strictEqual(yield* refused(markdown("m", { text: "t" })), "markdown_text_conflict")
      assert.strictEqual(yield* refused(() => bot.chat.postMessage({ channel, text: " " })), "no_text")
      const whole = yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "é".repeat(40_000) }))
      assert.isUndefined(whole.response_metadata?.warnings)
      const cut = yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "é".repeat(40_001) }))
      assert.deepStrictEqual(cut.response_metadata?.warnings, ["message_truncated"])
      assert.strictEqual(cut.message?.text?.length, 40_000)
    }))

  it.live("lets an edit carry 4,000 bytes of escaped text and no more, and only its author make it", () =>
    Effect.gen(function*() {
      const { ada, bot, channel } = yield* room()
      const ts = yield* post(bot, channel, "x")
      yield* Effect.promise(() => bot.chat.update({ channel, ts, text: "a".repeat(4000) }))
      assert.strictEqual(
        yield* refused(() => bot.chat.update({ channel, ts, text: "a".repeat(4001) })),
        "msg_too_long"
      )
      // "&" counts as "&amp;", "é" as two.
      yield* Effect.promise(() => bot.chat.update({ channel, ts, text: "&".repeat(800) }))
      assert.strictEqual(yield* refused(() => bot.chat.update({ channel, ts, text: "&".repeat(801) })), "msg_too_long")
      assert.strictEqual(yield* refused(() => bot.chat.update({ channel, ts, text: "é".repeat(2001) })), "msg_too_long")
      yield* Effect.promise(() => ada.conversations.join({ channel }))
      assert.strictEqual(yield* refused(() => ada.chat.update({ channel, ts, text: "x" })), "cant_update_message")
      assert.strictEqual(yield* refused(() => ada.chat.delete({ channel, ts })), "cant_delete_message")
      assert.strictEqual(
        yield* refused(() => bot.chat.update({ channel, ts: "1.000001", text: "x" })),
        "message_not_found"
      )
      const blocks = [{ type: "markdown", text: "**whole**" }]
      yield* Effect.promise(() => bot.apiCall("chat.update", { channel, ts, text: "whole", blocks }))
      const byBlocks = yield* Effect.promise(() => bot.conversations.history({ channel }))
      assert.isUndefined(byBlocks.messages?.[0]?.edited)
      assert.strictEqual(byBlocks.messages?.[0]?.blocks?.[0]?.type, "markdown")
      yield* Effect.promise(() => bot.chat.update({ channel, ts, text: "plain" }))
      const byText = yield* Effect.promise(() => bot.conversations.history({ channel }))
      assert.isDefined(byText.messages?.[0]?.edited)
      assert.strictEqual(byText.messages?.[0]?.blocks?.[0]?.type, "rich_text")
      yield* Effect.promise(() => bot.conversations.archive({ channel }))
      assert.strictEqual(yield* refused(() => bot.chat.update({ channel, ts, text: "x" })), "is_inactive")
    }))

  it.live("reads history in windows and pages", () =>
    Effect.gen(function*() {
      const { bot, channel } = yield* room()
      const all: Array<string> = []
      for (let index = 0; index < 7; index++) all.push(yield* post(bot, channel, `m${index}`))
      yield* post(bot, channel, "a reply is not in the history", all[3])
      const texts = (args: object) =>
        Effect.promise(() => bot.conversations.history({ channel, ...args })).pipe(
          Effect.map((answer) => answer.messages?.map((message) => message.text))
        )
      assert.deepStrictEqual(yield* texts({}), ["m6", "m5", "m4", "m3", "m2", "m1", "m0"])
      assert.deepStrictEqual(yield* texts({ oldest: all[4] }), ["m6", "m5"])
      assert.deepStrictEqual(yield* texts({ oldest: all[4], inclusive: true }), ["m6", "m5", "m4"])
      assert.deepStrictEqual(yield* texts({ latest: all[2] }), ["m1", "m0"])
      assert.deepStrictEqual(yield* texts({ latest: all[2], oldest: all[1], inclusive: true }), ["m2", "m1"])
      assert.deepStrictEqual(yield* texts({ latest: all[2], inclusive: true, limit: 1 }), ["m2"])
      const pages: Array<string | undefined> = []
      let cursor: string | undefined = undefined
      do {
        const page: Awaited<ReturnType<typeof bot.conversations.history>> = yield* Effect.promise(() =>
          bot.conversations.history({ channel, limit: 3, ...(cursor === undefined ? {} : { cursor }) })
        )
        pages.push(page.messages?.map((message) => message.text).join(","))
        assert.strictEqual(page.has_more, page.response_metadata?.next_cursor !== undefined)
        cursor = page.response_metadata?.next_cursor
      } while (cursor !== undefined)
      assert.deepStrictEqual(pages, ["m6,m5,m4", "m3,m2,m1", "m0"])
      assert.strictEqual(
        yield* refused(() => bot.conversations.history({ channel, cursor: "bogus" })),
        "invalid_cursor"
      )
      assert.strictEqual(yield* refused(() => bot.conversations.history({ channel, limit: 1000 })), "invalid_limit")
      assert.strictEqual(
        yield* refused(() => bot.conversations.history({ channel, oldest: "yesterday" })),
        "invalid_ts_oldest"
      )
    }))

  it.live("pages a thread, knows its root from any of its messages, and no thread that is not there", () =>
    Effect.gen(function*() {
      const { bot, channel } = yield* room()
      const root = yield* post(bot, channel, "root")
      const first = yield* post(bot, channel, "r0", root)
      // A reply to a reply joins the thread of its root.
      const second = yield* post(bot, channel, "r1", first)
      for (let index = 2; index < 5; index++) yield* post(bot, channel, `r${index}`, root)
      const texts = (args: object) =>
        Effect.promise(() => bot.conversations.replies({ channel, ts: second, ...args })).pipe(
          Effect.map((answer) => answer.messages?.map((message) => message.text))
        )
      assert.deepStrictEqual(yield* texts({}), ["root", "r0", "r1", "r2", "r3", "r4"])
      assert.deepStrictEqual(yield* texts({ oldest: second }), ["root", "r2", "r3", "r4"])
      const page = yield* Effect.promise(() => bot.conversations.replies({ channel, ts: root, limit: 3 }))
      assert.deepStrictEqual(page.messages?.map((message) => message.text), ["root", "r0", "r1"])
      assert.isTrue(page.has_more)
      const rest = yield* texts({ cursor: page.response_metadata?.next_cursor, limit: 100 })
      assert.deepStrictEqual(rest, ["root", "r2", "r3", "r4"])
      assert.strictEqual(
        yield* refused(() => bot.conversations.replies({ channel, ts: "1.000001" })),
        "thread_not_found"
      )
      assert.strictEqual(
        yield* refused(() => bot.chat.postMessage({ channel, text: "x", thread_ts: "1.000001" })),
        "thread_not_found"
      )
      assert.strictEqual(
        yield* refused(() => bot.chat.postMessage({ channel, text: "x", thread_ts: "0" })),
        "invalid_thread_ts"
      )
      // A deleted root stays as a tombstone while it has replies.
      yield* Effect.promise(() => bot.chat.delete({ channel, ts: root }))
      const after = yield* Effect.promise(() => bot.conversations.replies({ channel, ts: root }))
      assert.propertyVal(after.messages?.[0], "subtype", "tombstone")
      assert.strictEqual(after.messages?.length, 6)
    }))

  it.live("shows a broadcast reply in the channel too", () =>
    Effect.gen(function*() {
      const { bot, channel } = yield* room()
      const root = yield* post(bot, channel, "root")
      yield* Effect.promise(() =>
        bot.chat.postMessage({ channel, text: "for all", thread_ts: root, reply_broadcast: true })
      )
      const { messages } = yield* Effect.promise(() => bot.conversations.history({ channel }))
      assert.deepStrictEqual(messages?.map((message) => [message.text, message.subtype]), [
        ["for all", "thread_broadcast"],
        ["root", undefined]
      ])
    }))

  it.live("knows emoji by name", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace({ customEmoji: ["parrot"] })
      const bot = slackClient(workspace, workspace.botToken)
      const made = yield* Effect.promise(() => bot.conversations.create({ name: "emoji" }))
      const channel = made.channel?.id ?? ""
      const timestamp = yield* post(bot, channel, "react")
      const names = ["eyes", "white_check_mark", "hourglass_flowing_sand", "x", "octagonal_sign", "no_entry_sign"]
      for (const name of [...names, "parrot", "+1::skin-tone-3"]) {
        yield* Effect.promise(() => bot.reactions.add({ channel, timestamp, name }))
      }
      for (const name of [":eyes:", "no_such_emoji", "Eyes", "eyes::skin-tone-9", ""]) {
        assert.strictEqual(
          yield* refused(() => bot.apiCall("reactions.add", { channel, timestamp, name })),
          "invalid_name"
        )
      }
      const again = () => bot.reactions.add({ channel, timestamp, name: "eyes" })
      assert.strictEqual(yield* refused(again), "already_reacted")
      yield* Effect.promise(() => bot.reactions.remove({ channel, timestamp, name: "eyes" }))
      assert.strictEqual(
        yield* refused(() => bot.reactions.remove({ channel, timestamp, name: "eyes" })),
        "no_reaction"
      )
      assert.strictEqual(
        yield* refused(() => bot.reactions.add({ channel, timestamp: "1.000001", name: "eyes" })),
        "message_not_found"
      )
      const seen = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp }))
      assert.strictEqual(seen.channel, channel)
    }))

  it.live("says which scopes there are and which are needed", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace({ bot: { name: "small", scopes: ["chat:write", "channels:manage"] } })
      const bot = slackClient(workspace, workspace.botToken)
      const made = yield* Effect.promise(() => bot.conversations.create({ name: "scopes" }))
      const channel = made.channel?.id ?? ""
      const timestamp = yield* post(bot, channel, "x")
      const answer = yield* raw(
        `${workspace.apiUrl}reactions.add`,
        workspace.botToken,
        new URLSearchParams({ channel, timestamp, name: "eyes" }).toString(),
        "application/x-www-form-urlencoded"
      )
      assert.deepStrictEqual(answer.answer, {
        ok: false,
        error: "missing_scope",
        needed: "reactions:write",
        provided: "chat:write,channels:manage"
      })
      assert.strictEqual(answer.headers.get("x-oauth-scopes"), "chat:write,channels:manage")
      assert.strictEqual(answer.headers.get("x-accepted-oauth-scopes"), "reactions:write")
      assert.match(answer.headers.get("x-slack-req-id") ?? "", /^[a-z0-9]{32}$/)
      assert.isAtLeast(Number(answer.headers.get("x-km-workspace-millis")), 0)
    }))

  it.live("reads arguments in every encoding that Slack reads, and names the others", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      const url = `${workspace.apiUrl}chat.postMessage`
      const body = JSON.stringify({ channel, text: "json" })
      const json = yield* raw(url, workspace.botToken, body, "application/json")
      assert.deepInclude(json.answer, { ok: true, warning: "missing_charset" })
      const charset = yield* raw(url, workspace.botToken, body, "application/json; charset=utf-8")
      assert.notProperty(charset.answer, "warning")
      const broken = yield* raw(url, workspace.botToken, "{", "application/json; charset=utf-8")
      assert.deepStrictEqual(broken.answer, { ok: false, error: "invalid_json" })
      const plain = yield* raw(url, workspace.botToken, "hello", "text/plain")
      assert.deepStrictEqual(plain.answer, { ok: false, error: "invalid_post_type" })
      const inBody = yield* Effect.promise(() =>
        fetch(url, {
          method: "POST",
          body: new URLSearchParams({ token: workspace.botToken, channel: "#room", text: "form" })
        }).then((reply) => reply.json())
      )
      assert.deepInclude(inBody, { ok: true, channel })
      const inJson = yield* Effect.promise(() =>
        fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json; charset=utf-8" },
          body: JSON.stringify({ token: workspace.botToken, channel, text: "x" })
        }).then((reply) => reply.json())
      )
      assert.deepStrictEqual(inJson, { ok: false, error: "not_authed" })
      const form = new FormData()
      form.set("channel", channel)
      form.set("text", "multipart")
      const multipart = yield* Effect.promise(() =>
        fetch(url, { method: "POST", headers: { authorization: `Bearer ${workspace.botToken}` }, body: form })
          .then((reply) => reply.json())
      )
      assert.deepInclude(multipart, { ok: true })
      // conversations.info reads no JSON.
      const info = yield* raw(
        `${workspace.apiUrl}conversations.info`,
        workspace.botToken,
        JSON.stringify({ channel }),
        "application/json; charset=utf-8"
      )
      assert.deepStrictEqual(info.answer, { ok: false, error: "channel_not_found" })
    }))

  it.live("knows people: names, teams, addresses in any case, and who is an outsider", () =>
    Effect.gen(function*() {
      const { bot, workspace } = yield* room()
      const ada = yield* Effect.promise(() => bot.users.info({ user: userIdOf(workspace, "ada") }))
      assert.strictEqual(ada.user?.name, "ada")
      assert.strictEqual(ada.user?.real_name, "Ada Lovelace")
      assert.strictEqual(ada.user?.team_id, workspace.teamId)
      assert.strictEqual(ada.user?.profile?.email, "ada@lab.test")
      const eve = yield* Effect.promise(() => bot.users.info({ user: userIdOf(workspace, "eve") }))
      assert.notStrictEqual(eve.user?.team_id, workspace.teamId)
      assert.isUndefined(eve.user?.profile?.email)
      const found = yield* Effect.promise(() => bot.users.lookupByEmail({ email: "ADA@lab.test" }))
      assert.strictEqual(found.user?.id, userIdOf(workspace, "ada"))
      assert.strictEqual(yield* refused(() => bot.users.lookupByEmail({ email: "no@one.test" })), "users_not_found")
      assert.strictEqual(yield* refused(() => bot.users.info({ user: "U0NOBODY" })), "user_not_found")
      const me = yield* Effect.promise(() => bot.users.info({ user: workspace.botUserId }))
      assert.isTrue(me.user?.is_bot)
    }))

  it.live("goes on after 5,000 calls with one token", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      const call = Effect.promise(() =>
        fetch(`${workspace.apiUrl}conversations.info?channel=${channel}`, {
          headers: { authorization: `Bearer ${workspace.botToken}` }
        }).then((reply) => reply.text())
      )
      const answers = yield* Effect.all(Array.from({ length: 5001 }, () => call), { concurrency: 20 })
      assert.strictEqual(answers.filter((answer) => answer.startsWith("{\"ok\":true")).length, 5001)
    }))

  it.live("deletes a file and leaves its tombstone", () =>
    Effect.gen(function*() {
      const { bot, channel } = yield* room()
      const ts = yield* post(bot, channel, "root")
      yield* Effect.promise(() =>
        bot.filesUploadV2({ channel_id: channel, thread_ts: ts, file: Buffer.from("x"), filename: "a.txt" })
      )
      const before = yield* Effect.promise(() => bot.conversations.replies({ channel, ts }))
      const file = before.messages?.[1]?.files?.[0]?.id ?? ""
      yield* Effect.promise(() => bot.files.delete({ file }))
      assert.strictEqual(yield* refused(() => bot.files.info({ file })), "file_not_found")
      const after = yield* Effect.promise(() => bot.conversations.replies({ channel, ts }))
      assert.deepStrictEqual(after.messages?.[1]?.files, [{ id: file, mode: "tombstone" }])
    }))
})
