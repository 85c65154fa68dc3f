import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { classifyEvent } from "../../../bridge/events/classifyEvent.ts"
import { ChannelId, isLater, TeamId } from "../../../runtime/domain/Ids.ts"
import { SlackMessageEvent, SlackReactionEvent } from "../../../runtime/domain/Slack.ts"

const team = TeamId.make("T0TEAM0001")
const bot = "U0BOT0001"
const classify = (event: unknown) => classifyEvent({ type: "event_callback", event_id: "Ev1", event }, team, bot)

const encodeMessage = Schema.encodeSync(SlackMessageEvent)
const base = { type: "message", channel: "C0CHANNEL1", user: "U0ADA0001", text: "hello", ts: "1700000000.000100" }

describe("classifyEvent", () => {
  it.prop("makes a turn only of what a person said in a channel", [SlackMessageEvent], ([event]) => {
    const incoming = classify(encodeMessage(event))
    assert.isDefined(incoming)
    if (incoming?._tag !== "Message") return
    assert.isTrue(event.bot_id === undefined || event.bot_id === null || event.bot_id === "")
    assert.include([undefined, "", "thread_broadcast", "file_share"], event.subtype)
    assert.notInclude([undefined, bot], event.user)
    assert.isFalse(event.channel.startsWith("D"))
  }, { arbitrary: { runs: 500 } })

  it.prop(
    "takes any JSON without throwing",
    [Schema.Record(Schema.String, Schema.Json), SlackReactionEvent],
    ([junk, reaction]) => {
      classify(junk)
      classify({ ...base, ...junk })
      classify({ ...reaction, ...junk })
      classify({ ...base, subtype: "message_changed", message: junk, previous_message: junk })
      classify({ ...base, subtype: "message_deleted", previous_message: junk })
    },
    { arbitrary: { runs: 300 } }
  )

  it("reads a message's thread, author, mention and gestures", () => {
    const incoming = classify({
      ...base,
      text: `<@${bot}> hello`,
      thread_ts: "1700000000.000001",
      team: "T0TEAM0001",
      user_team: "T0OTHER001",
      client_msg_id: "c-1"
    })
    assert.deepInclude(incoming?._tag === "Message" ? incoming.message : {}, {
      threadTs: "1700000000.000001",
      userTeam: "T0OTHER001",
      mention: true,
      externalPossible: true,
      gestures: ["event:Ev1", "client:C0CHANNEL1:U0ADA0001:c-1"]
    })
    const root = classify({ ...base, thread_ts: base.ts })
    assert.notProperty(root?._tag === "Message" ? root.message : { threadTs: "" }, "threadTs")
  })

  it("hears that our bot, and nobody else, was invited into a channel", () => {
    const joined = { type: "member_joined_channel", user: bot, channel: base.channel, channel_type: "C", team }
    assert.deepStrictEqual(classify(joined), { _tag: "Returned", channel: ChannelId.make(base.channel) })
    assert.strictEqual(classify({ ...joined, user: base.user })?._tag, "Ignored")
    assert.isUndefined(classify({ ...joined, channel: 7 }))
  })

  it("takes null in an optional field for one that is left out, and any size of a file", () => {
    const nulls = Object.fromEntries(
      [
        "subtype",
        "thread_ts",
        "client_msg_id",
        "bot_id",
        "app_id",
        "team",
        "user_team",
        "event_ts",
        "channel_type",
        "files",
        "hidden",
        "deleted_ts",
        "message",
        "previous_message"
      ].map((field) => [field, null])
    )
    assert.deepStrictEqual(classify({ ...base, ...nulls }), classify(base))
    const file = { id: "F1", name: null, mimetype: null, file_access: null }
    for (const [size, whole] of [[null, 0], [1e300, Number.MAX_SAFE_INTEGER], [-5, 0], ["12", 0], [2.5, 2]] as const) {
      const incoming = classify({ ...base, text: null, subtype: "file_share", files: [{ ...file, size }] })
      assert.deepInclude(incoming?._tag === "Message" ? incoming.message : {}, {
        text: "",
        files: [{ id: "F1", name: "file", mimeType: "application/octet-stream", size: whole }]
      })
    }
    const inner = {
      ts: base.ts,
      user: "U0ADA0001",
      text: "new",
      thread_ts: null,
      bot_id: null,
      subtype: null,
      edited: null
    }
    const edit = { ...base, subtype: "message_changed", message: inner, previous_message: { ...inner, text: null } }
    assert.strictEqual(classify(edit)?._tag, "Edited")
    assert.strictEqual(
      classify({ ...base, subtype: "message_deleted", deleted_ts: base.ts, previous_message: null })?._tag,
      "Deleted"
    )
    const mark = {
      type: "reaction_added",
      user: "U0ADA0001",
      reaction: "octagonal_sign",
      item_user: null,
      event_ts: null
    }
    const item = { type: "message", channel: "C0CHANNEL1", ts: base.ts }
    assert.strictEqual(classify({ ...mark, item })?._tag, "StopMark")
    assert.strictEqual(classify({ ...mark, item: { ...item, ts: null } })?._tag, "Ignored")
  })

  it("takes a tombstone for a deletion and an unfurl for nothing", () => {
    const message = { ts: base.ts, user: "U0ADA0001", text: "hello" }
    const tombstone = classify({
      ...base,
      subtype: "message_changed",
      message: { ts: base.ts, subtype: "tombstone", text: "This message was deleted." },
      previous_message: message
    })
    assert.strictEqual(tombstone?._tag, "Deleted")
    const unfurl = classify({ ...base, subtype: "message_changed", message, previous_message: message })
    assert.strictEqual(unfurl?._tag, "Ignored")
  })

  it("has no answer for an event of a kind it reads in a shape it does not know", () => {
    assert.isUndefined(classify({ ...base, ts: 1 }))
    assert.isUndefined(classify("nothing"))
    assert.strictEqual(classify({ type: "app_home_opened" })?._tag, "Ignored")
  })

  it("orders timestamps by time, not by letters", () => {
    assert.isTrue(isLater("10000000000.000001", "9999999999.000001"))
    assert.isFalse(isLater("1700000000.000001", "1700000000.000001"))
  })
})
