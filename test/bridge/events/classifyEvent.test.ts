import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { classifyEvent } from "../../../bridge/events/classifyEvent.ts"
import { ChannelId, isLater, TeamId } from "../../../runtime/domain/sandbox/Ids.ts"
import { SlackMessageEvent, SlackReactionEvent } from "../../../runtime/domain/slack/Slack.ts"

const team = TeamId.make("T0TEAM0001")
const bot = "U0BOT0001"
const classify = (event: unknown) => classifyEvent({ type: "event_callback", event_id: "Ev1", event }, team, bot)

/** Ids in what is expected are plain strings. */
const is = (actual: unknown, expected: unknown, message?: string) => assert.deepStrictEqual(actual, expected, message)

const encodeMessage = Schema.encodeSync(SlackMessageEvent)
const base = { type: "message", channel: "C0CHANNEL1", user: "U0ADA0001", text: "hello", ts: "1700000000.000100" }

const outside = (event: unknown, botUser: string | undefined = bot, envelope: object = {}) =>
  classifyEvent({ type: "event_callback", event_id: "Ev1", event, ...envelope }, team, botUser)
const isIgnored = (event: unknown, botUser: string | undefined = bot) =>
  assert.strictEqual(outside(event, botUser)?._tag, "Ignored", JSON.stringify(event))

const original = { ts: "1700000000.000100", user: "U0ADA0001", text: "new", thread_ts: "1700000000.000001" }
const editOf = (changes: object = {}, previous: object = {}) => ({
  ...base,
  ts: "1700000009.000100",
  subtype: "message_changed",
  message: { ...original, ...changes },
  previous_message: { ...original, text: "old", ...previous }
})
const where = { team, channel: "C0CHANNEL1", ts: "1700000000.000100", eventId: "Ev1" }

const oversized = (index: number) => ({
  id: `F${"1".repeat(120)}`,
  name: "n".repeat(300),
  mimetype: "m".repeat(120),
  size: index
})

describe("classifyEvent", () => {
  it.prop("makes a turn only of what a person said in a channel", [SlackMessageEvent], ([event]) => {
    const incoming = classify(encodeMessage(event))
    assert.isDefined(incoming)
    if (incoming?._tag !== "Message") return
    assert.isTrue(event.bot_id === undefined || event.bot_id === null || event.bot_id === "")
    assert.include([undefined, null, "", "thread_broadcast", "file_share"], event.subtype)
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

  it("hears who came into a channel and who left it, our bot apart", () => {
    const joined = { type: "member_joined_channel", user: bot, channel: base.channel, channel_type: "C", team }
    assert.deepStrictEqual(classify(joined), { _tag: "Returned", channel: ChannelId.make(base.channel) })
    const member = { _tag: "Member", channel: base.channel, user: base.user, present: true }
    assert.deepStrictEqual<unknown>(classify({ ...joined, user: base.user }), member)
    const left = { ...joined, type: "member_left_channel" }
    assert.deepStrictEqual<unknown>(classify({ ...left, user: base.user }), { ...member, present: false })
    isIgnored(left)
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

  it("keeps all of a message, and no more of it than a turn holds", () => {
    const incoming = classify({
      ...base,
      team: "T0TEAM0001",
      client_msg_id: "c".repeat(120),
      files: Array.from({ length: 30 }, (_, index) => oversized(index))
    })
    is(incoming, {
      _tag: "Message",
      message: {
        team,
        channel: "C0CHANNEL1",
        ts: "1700000000.000100",
        user: "U0ADA0001",
        userTeam: "T0TEAM0001",
        text: "hello",
        files: Array.from({ length: 25 }, (_, index) => ({
          id: `F${"1".repeat(99)}`,
          name: "n".repeat(255),
          mimeType: "m".repeat(100),
          size: index
        })),
        mention: false,
        externalPossible: true,
        gestures: ["event:Ev1", `client:C0CHANNEL1:U0ADA0001:${"c".repeat(100)}`]
      }
    })
  })

  it("knows a mention by the bot's id or the event's kind, an inside channel by Slack's word, gestures by what is there", () => {
    const messageOf = (event: object, botUser: string | undefined = bot, envelope: object = {}) => {
      const incoming = outside({ ...base, ...event }, botUser, envelope)
      return incoming?._tag === "Message" ? incoming.message : undefined
    }
    assert.isTrue(messageOf({ type: "app_mention" })?.mention)
    assert.isTrue(messageOf({ text: `a <@${bot}|km> b` })?.mention)
    assert.isFalse(messageOf({ text: "<@U0ADA0001>" })?.mention)
    assert.isFalse(messageOf({ text: "<@undefined>" }, undefined)?.mention)
    assert.isTrue(messageOf({ type: "app_mention" }, undefined)?.mention)
    assert.isFalse(messageOf({}, bot, { is_ext_shared_channel: false })?.externalPossible)
    assert.isTrue(messageOf({}, bot, { is_ext_shared_channel: true })?.externalPossible)
    is(messageOf({}, bot, { event_id: undefined })?.gestures, [])
    assert.notProperty(messageOf({}), "userTeam")
    assert.strictEqual(messageOf({ team: "T0OTHER001" })?.userTeam, "T0OTHER001")
    assert.strictEqual(messageOf({ subtype: "file_share", text: " ", files: [{ id: "F1" }] })?.files.length, 1)
    assert.strictEqual(messageOf({ bot_id: "" })?.text, "hello")
  })

  it("takes nothing for a message that no person said in a channel", () => {
    for (
      const event of [
        { bot_id: "B1" },
        { subtype: "channel_join" },
        { user: null },
        { user: bot },
        { user: "USLACKBOT" },
        { channel: "D0DIRECT01" },
        { text: " " },
        { text: "", files: [] },
        { type: "reaction_removed" }
      ]
    ) isIgnored({ ...base, ...event })
    assert.isUndefined(classify(undefined))
    assert.isUndefined(classify({ type: 1 }))
  })

  it("reads an edit's own message, thread and author, and leaves what changes no words", () => {
    is(classify(editOf()), {
      _tag: "Edited",
      ...where,
      threadTs: "1700000000.000001",
      user: "U0ADA0001",
      text: "new"
    })
    const emptied = classify(editOf({ text: null }))
    assert.strictEqual(emptied?._tag === "Edited" ? emptied.text : undefined, "")
    is(outside(editOf(), bot, { event_id: undefined }), {
      ...classify(editOf()),
      eventId: ""
    })
    for (const changes of [{ text: "old" }, { user: null }, { bot_id: "B1" }, { user: bot }]) isIgnored(editOf(changes))
    isIgnored({ ...editOf(), message: null })
    isIgnored({ ...base, subtype: "message_changed" })
    assert.strictEqual(outside(editOf({ bot_id: "" }))?._tag, "Edited")
    assert.strictEqual(outside(editOf(), undefined)?._tag, "Edited")
    // Nothing is known of what it said before.
    assert.strictEqual(classify({ ...editOf(), previous_message: null })?._tag, "Edited")
    isIgnored({ ...editOf({ text: "" }), previous_message: null })
  })

  it("reads a tombstone and a deletion alike: place, thread and author of what was there", () => {
    const gone = { ...where, _tag: "Deleted", threadTs: "1700000000.000001", user: "U0ADA0001" }
    const tombstone = editOf({ subtype: "tombstone", user: "USLACKBOT", thread_ts: null })
    is(classify(tombstone), gone)
    const { previous_message: _, ...unknown } = editOf({ subtype: "tombstone" })
    const { user: __, ...nameless } = gone
    is(classify(unknown), nameless)
    const deletion = {
      ...base,
      subtype: "message_deleted",
      deleted_ts: "1700000000.000100",
      previous_message: original
    }
    is(classify(deletion), gone)
    const { deleted_ts: ___, ...implied } = deletion
    is(classify(implied), gone)
    is(classify({ ...deletion, previous_message: null }), { ...where, _tag: "Deleted" })
    isIgnored({ ...base, subtype: "message_deleted" })
    isIgnored({ ...deletion, previous_message: { ...original, bot_id: "B1" } })
    isIgnored({ ...deletion, previous_message: { ...original, user: bot } })
  })

  it("reads each of Slack's names of the stop mark, on a message, from anybody but itself", () => {
    const reaction = {
      type: "reaction_added",
      user: "U0ADA0001",
      reaction: "octagonal_sign",
      item_user: "U0GRACE01",
      item: { type: "message", channel: "C0CHANNEL1", ts: "1700000000.000100" }
    }
    const stop = { ...where, _tag: "StopMark", by: "U0ADA0001", author: "U0GRACE01" }
    for (const name of ["octagonal_sign", "stop_sign", "stop"]) {
      is(classify({ ...reaction, reaction: name }), stop, name)
    }
    const { item_user: _, ...unowned } = reaction
    const { author: __, ...authorless } = stop
    is(classify(unowned), authorless)
    for (
      const changes of [
        { reaction: "heart" },
        { user: bot },
        { item: { ...reaction.item, type: "file" } },
        { item: { type: "message", ts: "1700000000.000100" } },
        { item: { type: "message", channel: "C0CHANNEL1" } }
      ]
    ) isIgnored({ ...reaction, ...changes })
    assert.isUndefined(classify({ ...reaction, user: 1 }))
  })

  it("reads an accepted invitation of our bot's, or of whom it cannot tell from it yet", () => {
    const accepted = {
      type: "shared_channel_invite_accepted",
      approval_required: false,
      invite: { id: "I0INVITE1", inviting_user: { id: bot }, recipient_email: "eve@elsewhere.test" },
      channel: { id: "C0CHANNEL1" },
      accepting_user: { id: "U0EVE0001" }
    }
    const joined = {
      _tag: "InviteAccepted",
      channel: "C0CHANNEL1",
      invite: "I0INVITE1",
      user: "U0EVE0001",
      invited: "eve@elsewhere.test",
      approvalRequired: false
    }
    is(classify(accepted), joined)
    // What is not said is not granted.
    const { approval_required: _, ...silent } = accepted
    is(classify(silent), { ...joined, approvalRequired: true })
    const own = (email: unknown) => ({ ...accepted, accepting_user: { id: "U0EVE0001", profile: { email } } })
    is(classify(own("max@elsewhere.test")), { ...joined, address: "max@elsewhere.test" })
    is(classify(own(null)), joined)
    const judged = {
      type: "shared_channel_invite_approved",
      invite: { id: "I0INVITE1" },
      channel: { id: "C0CHANNEL1" }
    }
    const verdict = { _tag: "InviteJudged", channel: "C0CHANNEL1", invite: "I0INVITE1", approved: true }
    is(classify(judged), verdict)
    is(classify({ ...judged, type: "shared_channel_invite_declined" }), { ...verdict, approved: false })
    assert.isUndefined(classify({ ...judged, invite: {} }))
    for (const type of ["shared_channel_invite_approved", "shared_channel_invite_declined"]) {
      const by = (inviter: unknown) => ({ ...judged, type, invite: { id: "I0INVITE1", inviting_user: inviter } })
      const expected = { ...verdict, approved: type.endsWith("approved") }
      is(classify(by({ id: bot })), expected)
      is(classify(by(null)), expected)
      isIgnored(by({ id: "U0GRACE01" }))
      is(
        classifyEvent({ type: "event_callback", event_id: "Ev1", event: by({ id: "U0GRACE01" }) }, team, undefined),
        expected
      )
    }
    const others = { ...accepted, invite: { ...accepted.invite, inviting_user: { id: "U0GRACE01" } } }
    isIgnored(others)
    is(classifyEvent({ type: "event_callback", event: others }, team, undefined), joined)
    isIgnored({ ...accepted, invite: { id: "I0INVITE1", inviting_user: { id: bot } } })
    isIgnored({ ...accepted, invite: { id: "I0INVITE1", inviting_user: { id: bot }, recipient_email: null } })
    assert.isUndefined(classify({ ...accepted, invite: {} }))
    assert.isUndefined(classify({ ...accepted, channel: {} }))
    assert.isUndefined(classify({ ...accepted, accepting_user: {} }))
    assert.isUndefined(classify({ ...accepted, invite: { inviting_user: {}, recipient_email: "a@b.test" } }))
  })
})
