import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema, Stream } from "effect"
import { Marks } from "../../bridge/events/Marks.ts"
import type { WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import { GroupId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { slackClient, tokenOf, userIdOf } from "../support/Workspace.ts"
import { bridgeOver, callsOf, furnish, listen, room, sandbox, say, waiting } from "./world.ts"

const decodeRequest = Schema.decodeUnknownSync(Schema.fromJsonString(TurnRequest))

/** Takes the oldest message as a runtime does. */
const receive = Effect.flatMap(
  TurnQueue,
  (queue) => queue.receive(sandbox, { wait: Duration.zero, visibility: Duration.minutes(2) })
)

/** The first `count` stop requests. */
const stops = (count: number) =>
  Effect.flatMap(Controls, (controls) => Stream.runCollect(Stream.take(controls.watch(sandbox), count)))

/** Replies that the bridge wrote itself, once they are there. */
const noteIn = Effect.fnUntraced(function*(workspace: WorkspaceHandle, channel: string, pattern: RegExp) {
  const change = yield* workspace.waitFor(
    ({ data, kind }) => kind === "message" && pattern.test(JSON.stringify(data)),
    0
  )
  const all = (yield* workspace.messages(channel)).flatMap((message) => [message, ...message.replies])
  return { change, count: all.filter(({ message }) => pattern.test(String(message["text"]))).length }
})

describe("what people do to a message after sending it", () => {
  it.live("an edit replaces the waiting text and keeps the rest of the request", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const ts = yield* say(ada, channel, "first")
        yield* workspace.eventsDelivered
        const before = decodeRequest((yield* waiting)[0]?.body)
        yield* Effect.promise(() => ada.chat.update({ channel, ts, text: `second &amp; <@${workspace.botUserId}>` }))
        yield* workspace.eventsDelivered
        const after = decodeRequest((yield* waiting)[0]?.body)
        assert.deepStrictEqual({ ...after, text: "" }, { ...before, text: "" })
        assert.match(after.text, /^second & @/)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("an edit and a deletion of a message that the agent has are answered with a note", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const ts = yield* say(ada, channel, "first")
        yield* workspace.eventsDelivered
        assert.strictEqual((yield* receive)._tag, "Some")
        // Four deliveries of the edit: one note.
        yield* workspace.faults.add({ event: "message/message_changed", fault: { kind: "duplicate", copies: 4 } })
        yield* Effect.promise(() => ada.chat.update({ channel, ts, text: "second" }))
        yield* workspace.eventsDelivered
        const edited = yield* noteIn(workspace, channel, /edit does not reach it/)
        assert.deepStrictEqual([edited.change.threadTs, edited.count], [ts, 1])
        yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
        yield* workspace.eventsDelivered
        const deleted = yield* noteIn(workspace, channel, /deleting it does not stop it/)
        assert.strictEqual(deleted.change.threadTs, ts)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("the same of a message that has joined the turn of another, until that is over", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel, profileWith({ ...slackProfile.spec.cli, slackBusyPolicy: "debounce" }))
        yield* listen(workspace)
        const first = yield* say(ada, channel, "first")
        const ts = yield* say(ada, channel, "and", first)
        yield* workspace.eventsDelivered
        const queue = yield* TurnQueue
        assert.strictEqual((yield* receive)._tag, "Some")
        const [joined] = (yield* waiting).filter(({ body }) => decodeRequest(body).text === "and")
        assert.isDefined(joined)
        if (joined === undefined) return
        assert.strictEqual(yield* queue.claim(sandbox, joined.key, joined.body), "claimed")
        const reports = yield* Reports
        yield* reports.put(sandbox, { open: [{ key: joined.key, state: "joined", since: 1 }] })
        yield* Effect.promise(() => ada.chat.update({ channel, ts, text: "but" }))
        yield* workspace.eventsDelivered
        const edited = yield* noteIn(workspace, channel, /edit does not reach it/)
        assert.deepStrictEqual([edited.change.threadTs, edited.count], [first, 1])
        yield* reports.put(sandbox, { open: [] })
        yield* Effect.promise(() => ada.chat.update({ channel, ts, text: "or" }))
        yield* workspace.eventsDelivered
        assert.strictEqual((yield* noteIn(workspace, channel, /edit does not reach it/)).count, 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a deletion withdraws a waiting message and says so where it can be seen", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const root = yield* say(ada, channel, "stays")
        const reply = yield* say(ada, channel, "goes", root)
        yield* workspace.eventsDelivered
        yield* Effect.promise(() => ada.chat.delete({ channel, ts: reply }))
        yield* workspace.eventsDelivered
        assert.deepStrictEqual((yield* waiting).map(({ body }) => decodeRequest(body).text), ["stays"])
        const note = yield* noteIn(workspace, channel, /withdrew a message/)
        assert.strictEqual(note.change.threadTs, root)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("a message whose deletion arrives first is never taken", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        yield* workspace.faults.add({ event: "message", fault: { kind: "hold-back", behind: 1 } })
        const ts = yield* say(ada, channel, "gone before it came")
        yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 0)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("!stop in a thread asks for that thread, once, gets its mark and is no turn", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const ts = yield* say(ada, channel, "work")
        yield* workspace.faults.add({ event: "message", fault: { kind: "duplicate", copies: 3 } })
        const stop = yield* say(ada, channel, ` <@${workspace.botUserId}> !STOP `, ts)
        yield* workspace.eventsDelivered
        yield* (yield* Marks).drain
        const [request] = yield* stops(1)
        assert.deepInclude(request, { group: GroupId.make(`${channel}:${ts}`), by: "ada" })
        assert.lengthOf(yield* waiting, 1)
        const marked = yield* Effect.promise(() => bot.reactions.get({ channel, timestamp: stop }))
        assert.deepStrictEqual(marked.message?.reactions?.map(({ name }) => name), ["octagonal_sign"])
        // Words about stopping are words.
        yield* say(ada, channel, "please !stop doing that", ts)
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 2)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("🛑 counts from the author, not from others", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const grace = slackClient(workspace, tokenOf(workspace, "grace"))
        yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "grace") }))
        const hers = yield* say(grace, channel, "grace asks")
        const ts = yield* say(ada, channel, "ada asks")
        yield* workspace.eventsDelivered
        yield* Effect.promise(() => grace.reactions.add({ channel, timestamp: ts, name: "octagonal_sign" }))
        yield* Effect.promise(() => ada.reactions.add({ channel, timestamp: ts, name: "heart" }))
        yield* Effect.promise(() => grace.reactions.add({ channel, timestamp: hers, name: "octagonal_sign" }))
        yield* workspace.eventsDelivered
        const [first] = yield* stops(1)
        assert.deepInclude(first, { turn: TurnKey.make(`${workspace.teamId}:${channel}:${hers}`), by: "grace" })
        assert.strictEqual(first?.id, `mark-${workspace.teamId}:${channel}:${hers}-${userIdOf(workspace, "grace")}`)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("🛑 counts from an operator on anybody's message", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const grace = slackClient(workspace, tokenOf(workspace, "grace"))
        yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "grace") }))
        const ts = yield* say(ada, channel, "ada asks")
        yield* workspace.eventsDelivered
        yield* Effect.promise(() => grace.reactions.add({ channel, timestamp: ts, name: "octagonal_sign" }))
        const [first] = yield* stops(1)
        assert.deepInclude(first, { turn: TurnKey.make(`${workspace.teamId}:${channel}:${ts}`), by: "grace" })
      }).pipe(Effect.provide(bridgeOver(workspace, { operators: [userIdOf(workspace, "grace")] })))
    }))

  it.live("a live message's own edits start nothing", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const posted = yield* say(bot, channel, "from the bot")
        yield* Effect.promise(() => bot.chat.update({ channel, ts: posted, text: "edited by the bot" }))
        yield* Effect.promise(() => bot.chat.delete({ channel, ts: posted }))
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 0)
        assert.strictEqual(yield* callsOf(workspace, "reactions.add"), 0)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
