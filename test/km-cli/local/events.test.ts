import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Json, objectOf, objectsOf, textOf } from "../../../km-cli/local/workspace/Json.ts"
import {
  errorOf,
  type Received,
  slackClient,
  startReceiver,
  testWorkspace,
  testWorkspaceWithEvents,
  tokenOf,
  userIdOf
} from "../../support/Workspace.ts"

const stage = Effect.fnUntraced(function*(input: Parameters<typeof testWorkspaceWithEvents>[0] = {}) {
  const { bot, receiver, workspace } = yield* testWorkspaceWithEvents(input)
  const ada = slackClient(workspace, tokenOf(workspace, "ada"))
  const made = yield* Effect.promise(() => bot.conversations.create({ name: "stage" }))
  const channel = made.channel?.id ?? ""
  yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "ada") }))
  return { ada, bot, channel, receiver, workspace, adaId: userIdOf(workspace, "ada") }
})

const refused = (call: () => Promise<unknown>) => Effect.promise(() => errorOf(call()))

const ofType = (type: string, subtype?: string) => ({ event }: Received) =>
  event["type"] === type && event["subtype"] === subtype

const kindsOf = (received: ReadonlyArray<Received>) =>
  received.map(({ event }) => [event["type"], event["subtype"]].filter((part) => part !== undefined).join("/"))

describe("events of the local workspace", () => {
  it.live("tell of edits and deletions with the text that was there before", () =>
    Effect.gen(function*() {
      const { ada, adaId, channel, receiver } = yield* stage()
      const posted = yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "first" }))
      const ts = posted.ts ?? ""
      yield* Effect.promise(() => ada.chat.update({ channel, ts, text: "second" }))
      yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
      const [edit] = yield* Effect.promise(() => receiver.until(1, ofType("message", "message_changed")))
      const message = objectOf(edit?.event ?? {}, "message")
      assert.deepInclude(message, { text: "second", user: adaId, ts })
      assert.deepInclude(objectOf(message, "edited"), { user: adaId })
      assert.deepInclude(objectOf(edit?.event ?? {}, "previous_message"), { text: "first", user: adaId, ts })
      assert.strictEqual(message["client_msg_id"], objectOf(edit?.event ?? {}, "previous_message")["client_msg_id"])
      assert.deepInclude(edit?.event, { channel, hidden: true, channel_type: "channel" })
      assert.notStrictEqual(edit?.event["ts"], ts)
      const [deletion] = yield* Effect.promise(() => receiver.until(1, ofType("message", "message_deleted")))
      assert.deepInclude(deletion?.event, { deleted_ts: ts, channel, hidden: true })
      assert.deepInclude(objectOf(deletion?.event ?? {}, "previous_message"), { text: "second" })
    }))

  it.live("tell of two edits at once with texts that follow from each other", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, receiver, workspace } = yield* stage()
      const posted = yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "0" }))
      const ts = posted.ts ?? ""
      const again = slackClient(workspace, workspace.botToken)
      const texts = ["1", "2", "3", "4", "5", "6", "7", "8"]
      yield* Effect.promise(() =>
        Promise.all(texts.map((text, index) => (index % 2 === 0 ? bot : again).chat.update({ channel, ts, text })))
      )
      const edits = yield* Effect.promise(() => receiver.until(8, ofType("message", "message_changed")))
      let before = "0"
      for (const { event } of edits) {
        assert.strictEqual(textOf(objectOf(event, "previous_message"), "text"), before)
        before = textOf(objectOf(event, "message"), "text") ?? ""
      }
      const history = yield* Effect.promise(() => ada.conversations.history({ channel }))
      assert.strictEqual(history.messages?.[0]?.text, before)
    }))

  it.live("tell of reactions, with the author of what was reacted to", () =>
    Effect.gen(function*() {
      const { ada, adaId, bot, channel, receiver, workspace } = yield* stage()
      const posted = yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "x" }))
      const timestamp = posted.ts ?? ""
      yield* Effect.promise(() => bot.reactions.add({ channel, timestamp, name: "eyes" }))
      yield* Effect.promise(() => bot.reactions.remove({ channel, timestamp, name: "eyes" }))
      for (const type of ["reaction_added", "reaction_removed"]) {
        const [told] = yield* Effect.promise(() => receiver.until(1, ofType(type)))
        assert.deepInclude(told?.event, { user: workspace.botUserId, reaction: "eyes", item_user: adaId })
        assert.deepStrictEqual(told?.event["item"], { type: "message", channel, ts: timestamp })
      }
    }))

  it.live("tell of a mention twice: as a message and as a mention, and never of the bot's own", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, receiver, workspace } = yield* stage()
      const text = `<@${workspace.botUserId}> please`
      const posted = yield* Effect.promise(() => ada.chat.postMessage({ channel, text }))
      const [mention] = yield* Effect.promise(() => receiver.until(1, ofType("app_mention")))
      const [message] = yield* Effect.promise(() => receiver.until(1, ({ event }) => event["ts"] === posted.ts))
      assert.deepInclude(mention?.event, { text, ts: posted.ts, channel, event_ts: posted.ts })
      assert.strictEqual(mention?.event["client_msg_id"], message?.event["client_msg_id"])
      assert.notStrictEqual(mention?.body["event_id"], message?.body["event_id"])
      const own = yield* Effect.promise(() => bot.chat.postMessage({ channel, text }))
      yield* Effect.promise(() => receiver.until(1, ({ event }) => event["ts"] === own.ts))
      yield* workspace.eventsDelivered
      assert.strictEqual(receiver.received.filter(ofType("app_mention")).length, 1)
    }))

  it.live("tell of files by a message, and of each file", () =>
    Effect.gen(function*() {
      const { ada, adaId, channel, receiver } = yield* stage()
      yield* Effect.promise(() =>
        ada.filesUploadV2({
          channel_id: channel,
          initial_comment: "look",
          file_uploads: [
            { file: Buffer.from("one"), filename: "one.txt" },
            { file: Buffer.from("two"), filename: "two.txt" }
          ]
        })
      )
      const [share] = yield* Effect.promise(() => receiver.until(1, ofType("message", "file_share")))
      assert.deepInclude(share?.event, { text: "look", user: adaId, channel, channel_type: "channel" })
      assert.deepStrictEqual(objectsOf(share?.event ?? {}, "files").map((file) => file["name"]).toSorted(), [
        "one.txt",
        "two.txt"
      ])
      yield* Effect.promise(() => receiver.until(2, ofType("file_shared")))
      yield* Effect.promise(() => receiver.until(2, ofType("file_created")))
    }))

  it.live("tell of people and of the channel itself", () =>
    Effect.gen(function*() {
      const { ada, adaId, bot, channel, receiver, workspace } = yield* stage()
      const [joined] = yield* Effect.promise(() => receiver.until(1, ofType("member_joined_channel")))
      assert.deepInclude(joined?.event, {
        user: adaId,
        channel,
        channel_type: "C",
        inviter: workspace.botUserId,
        team: workspace.teamId
      })
      yield* Effect.promise(() => receiver.until(1, ofType("message", "channel_join")))
      yield* Effect.promise(() => ada.conversations.leave({ channel }))
      yield* Effect.promise(() => receiver.until(1, ofType("member_left_channel")))
      yield* Effect.promise(() => bot.conversations.setTopic({ channel, topic: "km" }))
      yield* Effect.promise(() => receiver.until(1, ofType("message", "channel_topic")))
      yield* Effect.promise(() => bot.conversations.rename({ channel, name: "renamed" }))
      const [renamed] = yield* Effect.promise(() => receiver.until(1, ofType("channel_rename")))
      assert.strictEqual(objectOf(renamed?.event ?? {}, "channel")["name"], "renamed")
      yield* Effect.promise(() => bot.conversations.archive({ channel }))
      const [archived] = yield* Effect.promise(() => receiver.until(1, ofType("channel_archive")))
      assert.deepInclude(archived?.event, { channel, user: workspace.botUserId })
      yield* Effect.promise(() => ada.conversations.unarchive({ channel }))
      yield* Effect.promise(() => receiver.until(1, ofType("channel_unarchive")))
      const history = yield* Effect.promise(() => bot.conversations.history({ channel }))
      assert.isTrue(history.messages?.some((message) => message.subtype === "channel_archive"))
    }))

  it.live("tell of direct messages as such, and not as mentions", () =>
    Effect.gen(function*() {
      const { ada, receiver, workspace } = yield* stage()
      const opened = yield* Effect.promise(() => ada.conversations.open({ users: workspace.botUserId }))
      const channel = opened.channel?.id ?? ""
      const posted = yield* Effect.promise(() =>
        ada.chat.postMessage({ channel, text: `<@${workspace.botUserId}> psst` })
      )
      const [told] = yield* Effect.promise(() => receiver.until(1, ({ event }) => event["ts"] === posted.ts))
      assert.deepInclude(told?.event, { channel, channel_type: "im" })
      yield* workspace.eventsDelivered
      assert.isFalse(receiver.received.some(ofType("app_mention")))
    }))

  it.live("come only from channels where the bot is a member", () =>
    Effect.gen(function*() {
      const { ada, channel, receiver, workspace } = yield* stage()
      const own = yield* Effect.promise(() => ada.conversations.create({ name: "without-bot" }))
      const elsewhere = own.channel?.id ?? ""
      yield* Effect.promise(() => ada.chat.postMessage({ channel: elsewhere, text: "unheard" }))
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "heard" }))
      yield* workspace.eventsDelivered
      const texts = receiver.received.map(({ event }) => event["text"])
      assert.include(texts, "heard")
      assert.notInclude(texts, "unheard")
      yield* Effect.promise(() => ada.conversations.invite({ channel: elsewhere, users: workspace.botUserId }))
      yield* Effect.promise(() => ada.chat.postMessage({ channel: elsewhere, text: "heard too" }))
      yield* workspace.eventsDelivered
      assert.include(receiver.received.map(({ event }) => event["text"]), "heard too")
      yield* Effect.promise(() => ada.conversations.kick({ channel: elsewhere, user: workspace.botUserId }))
      yield* Effect.promise(() => ada.chat.postMessage({ channel: elsewhere, text: "unheard again" }))
      yield* workspace.eventsDelivered
      assert.include(kindsOf(receiver.received), "channel_left")
      assert.notInclude(receiver.received.map(({ event }) => event["text"]), "unheard again")
    }))

  it.live("name the outsider's own team, once an invitation by Slack Connect was accepted", () =>
    Effect.gen(function*() {
      const { bot, channel, receiver, workspace } = yield* stage()
      const eve = slackClient(workspace, tokenOf(workspace, "eve"))
      const eveId = userIdOf(workspace, "eve")
      // To an outsider no channel of ours exists.
      assert.strictEqual(yield* refused(() => eve.conversations.join({ channel })), "channel_not_found")
      assert.strictEqual(yield* refused(() => bot.conversations.invite({ channel, users: eveId })), "cant_invite")
      const invite = yield* Effect.promise(() =>
        bot.conversations.inviteShared({ channel, emails: ["eve@elsewhere.test"] })
      )
      assert.strictEqual(yield* refused(() => eve.chat.postMessage({ channel, text: "x" })), "channel_not_found")
      const accept = () =>
        eve.conversations.acceptSharedInvite({ channel_name: "shared", invite_id: invite.invite_id ?? "" })
      yield* Effect.promise(accept)
      assert.strictEqual(yield* refused(accept), "invite_used")
      const [accepted] = yield* Effect.promise(() => receiver.until(1, ofType("shared_channel_invite_accepted")))
      assert.strictEqual(objectOf(accepted?.event ?? {}, "accepting_user")["id"], eveId)
      const posted = yield* Effect.promise(() => eve.chat.postMessage({ channel, text: "let me drive" }))
      const [told] = yield* Effect.promise(() => receiver.until(1, ({ event }) => event["ts"] === posted.ts))
      const event: Json = told?.event ?? {}
      assert.strictEqual(told?.body["is_ext_shared_channel"], true)
      assert.strictEqual(told?.body["team_id"], workspace.teamId)
      assert.strictEqual(objectsOf(told?.body ?? {}, "authorizations")[0]?.["team_id"], workspace.teamId)
      assert.notStrictEqual(event["user_team"], workspace.teamId)
      assert.strictEqual(event["user_team"], event["team"])
      assert.strictEqual(event["source_team"], event["team"])
      const info = yield* Effect.promise(() => bot.conversations.info({ channel }))
      assert.isTrue(info.channel?.is_ext_shared)
    }))

  it.live("are sent again three times, the same bytes with a fresh signature, until somebody says 200", () =>
    Effect.gen(function*() {
      const { ada, channel, receiver, workspace } = yield* stage()
      yield* workspace.eventsDelivered
      const before = receiver.received.length
      receiver.answerWith(({ retryNum }) => ({ status: retryNum === "2" ? 200 : 500 }))
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "once more" }))
      yield* workspace.eventsDelivered
      const attempts = receiver.received.slice(before)
      assert.deepStrictEqual(attempts.map(({ retryNum }) => retryNum), [undefined, "1", "2"])
      assert.deepStrictEqual(attempts.map(({ retryReason }) => retryReason), [undefined, "http_error", "http_error"])
      assert.strictEqual(new Set(attempts.map(({ raw }) => raw)).size, 1)
      assert.isTrue(attempts.every(({ verified }) => verified))
      receiver.answerWith(() => ({ status: 503 }))
      const rest = receiver.received.length
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "in vain" }))
      yield* workspace.eventsDelivered
      assert.strictEqual(receiver.received.length - rest, 4)
    }))

  it.live("are sent again while the first handler still runs, after the time Slack waits", () =>
    Effect.gen(function*() {
      const { ada, channel, receiver, workspace } = yield* stage({ eventTimeoutMillis: 50 })
      yield* workspace.eventsDelivered
      const before = receiver.received.length
      receiver.answerWith(({ retryNum }) => ({ hang: retryNum === undefined }))
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "slow" }))
      yield* workspace.eventsDelivered
      assert.deepStrictEqual(
        receiver.received.slice(before).map(({ retryNum, retryReason }) => [retryNum, retryReason]),
        [[undefined, undefined], ["1", "http_timeout"]]
      )
    }))

  it.live("are not sent again where the receiver forbids it", () =>
    Effect.gen(function*() {
      const { ada, channel, receiver, workspace } = yield* stage()
      yield* workspace.eventsDelivered
      const before = receiver.received.length
      receiver.answerWith(() => ({ status: 500, headers: { "x-slack-no-retry": "1" } }))
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "enough" }))
      yield* workspace.eventsDelivered
      assert.strictEqual(receiver.received.length - before, 1)
    }))

  it.live("are sent again when the receiver cannot be reached", () =>
    Effect.gen(function*() {
      const { ada, channel, receiver, workspace } = yield* stage()
      yield* workspace.eventsDelivered
      const from = yield* workspace.lastChange
      const closed = yield* Effect.scoped(
        startReceiver(workspace.signingSecret).pipe(
          Effect.tap((second) => workspace.setEventsUrl(second.url))
        )
      )
      yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "nobody home" }))
      yield* workspace.eventsDelivered
      const last = yield* workspace.waitFor(
        (change) => change.kind === "delivery" && change.data["attempt"] === 3,
        from
      )
      assert.strictEqual(last.data["reason"], "connection_failed")
      assert.strictEqual(closed.received.length, 0)
      assert.notInclude(receiver.received.map(({ event }) => event["text"]), "nobody home")
    }))

  it.live("go only to an address that answered the challenge", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      const stranger = yield* startReceiver("another secret")
      const failure = yield* Effect.flip(workspace.setEventsUrl(stranger.url))
      assert.strictEqual(failure.reason, "events-url")
      const nobody = yield* Effect.flip(workspace.setEventsUrl("http://127.0.0.1:1/events"))
      assert.include(nobody.message, "url_verification")
      const receiver = yield* startReceiver(workspace.signingSecret)
      yield* workspace.setEventsUrl(receiver.url)
    }))
})
