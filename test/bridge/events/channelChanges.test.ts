/** A sandbox's channel that changes in Slack without us: another id, archived by hand, taken up again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { Acceptance } from "../../../bridge/events/Acceptance.ts"
import { ChannelChanges } from "../../../bridge/events/ChannelChanges.ts"
import { classifyMessage } from "../../../bridge/events/classifyEvent.ts"
import { Corrections } from "../../../bridge/events/Corrections.ts"
import { Progress } from "../../../bridge/events/Progress.ts"
import {
  Alias,
  ChannelId,
  MessageTs,
  SessionId,
  slackTurnKey,
  TeamId,
  UserId
} from "../../../runtime/domain/sandbox/Ids.ts"
import { decodeNotice, noticePrefix } from "../../../runtime/domain/sandbox/Notice.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import { Facts } from "../../../runtime/ports/Facts.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { slackClient, tokenOf, userIdOf } from "../../support/Workspace.ts"
import {
  bridgeOver,
  callV2,
  codeOf,
  furnish,
  listen,
  otherSandbox,
  room,
  rowOf,
  sandbox,
  sendEvent,
  waiting
} from "../world.ts"

type World = Effect.Success<ReturnType<typeof room>>
const from = ChannelId.make("G0BEFORE001")
const threadTs = MessageTs.make("1700000000.000001")
const at = (n: number) => MessageTs.make(`1700000000.00000${n}`)
const session = SessionId.make("0b0a0c0d-0000-4000-8000-000000000001")

const event = (workspace: World["workspace"], body: object) =>
  Effect.map(
    sendEvent(
      workspace.signingSecret,
      JSON.stringify({
        type: "event_callback",
        team_id: workspace.teamId,
        api_app_id: workspace.appId,
        event_id: `Ev${Math.random()}`,
        event: body
      })
    ),
    ({ status }) => status
  )

/** Two sandboxes in a channel that was `from` until now, one with a thread, and a bridge that was not told yet. */
const before = Effect.fnUntraced(function*(world: World) {
  yield* furnish(world.workspace, from)
  const sandboxes = yield* Sandboxes
  yield* sandboxes.insert(rowOf(otherSandbox, from, { alias: Alias.make("second"), channelMode: "shared" }))
  yield* sandboxes.rememberChannel(Alias.make("second"), from)
  yield* (yield* Threads).put({ channel: from, threadTs, sandbox, session, createdAt: 1, lastTurnAt: Date.now() })
  return sandboxes
})

const after = Effect.fnUntraced(function*(to: ChannelId) {
  const sandboxes = yield* Sandboxes
  const threads = yield* Threads
  assert.lengthOf(yield* sandboxes.byChannel(from), 0)
  const rows = yield* sandboxes.byChannel(to)
  assert.deepStrictEqual(rows.map(({ formerChannels }) => formerChannels), [[from], [from]])
  assert.deepStrictEqual(yield* sandboxes.channelOfAlias(Alias.make("second")), Option.some(to))
  assert.deepStrictEqual(yield* threads.get(from, threadTs), Option.none())
  assert.strictEqual(Option.getOrThrow(yield* threads.get(to, threadTs)).session, session)
})

describe("a channel with another id", () => {
  it.live("takes rows, aliases and threads along, once, from wherever a crash left it", () =>
    Effect.gen(function*() {
      const world = yield* room()
      const to = world.channel
      const moved = { type: "channel_id_changed", old_channel_id: from, new_channel_id: to }
      /** As far as a bridge came that died. */
      const crashes: ReadonlyArray<Effect.Effect<unknown, unknown, ChannelChanges | Sandboxes | Threads>> = [
        Effect.void,
        Effect.flatMap(Threads, (threads) => threads.move(from, to)),
        Effect.gen(function*() {
          yield* (yield* Threads).move(from, to)
          yield* (yield* Sandboxes).update(sandbox, { channel: to, formerChannels: [from] })
        }),
        Effect.flatMap(ChannelChanges, (changes) => changes.moved({ _tag: "ChannelMoved", from, to }))
      ]
      for (const crash of crashes) {
        yield* Effect.gen(function*() {
          yield* before(world)
          yield* crash
          for (const _ of [1, 2]) {
            assert.strictEqual(yield* event(world.workspace, moved), 200)
            yield* after(to)
          }
        }).pipe(Effect.provide(bridgeOver(world.workspace)))
      }
    }))

  it.live("goes on for a turn that began before, and takes no message twice", () =>
    Effect.gen(function*() {
      const world = yield* room()
      const { bot, channel: to, workspace } = world
      yield* Effect.gen(function*() {
        yield* before(world)
        const take = Effect.fnUntraced(function*(channel: ChannelId) {
          const found = classifyMessage(
            { type: "message", channel, user: UserId.make(userIdOf(workspace, "ada")), text: "hello", ts: threadTs },
            TeamId.make(workspace.teamId),
            undefined,
            { eventId: "", externalPossible: false }
          )
          if (found._tag !== "Message") return found._tag
          return yield* (yield* Acceptance).take(found.message, undefined)
        })
        assert.strictEqual(yield* take(from), "queued")
        const progress = yield* Progress
        progress.takeMissed()
        yield* event(workspace, {
          type: "channel_id_changed",
          old_channel_id: ChannelId.make("G0NOBODY01"),
          new_channel_id: to
        })
        assert.isFalse(progress.takeMissed())
        yield* event(workspace, { type: "channel_id_changed", old_channel_id: from, new_channel_id: to })
        // What was written meanwhile came under an id that no sandbox had: it is looked for.
        assert.isTrue(progress.takeMissed())
        assert.strictEqual(yield* take(to), "repeated")
        assert.lengthOf(yield* waiting, 1)
        const posted = yield* callV2("answer", { action: "post", channel: from, markdown: "the answer" })
        assert.strictEqual(codeOf(posted), undefined, JSON.stringify(posted.json))
        const history = yield* Effect.promise(() => bot.conversations.history({ channel: to }))
        assert.include(JSON.stringify(history.messages), "the answer")
        const foreign = yield* callV2("elsewhere", { action: "post", channel: "C0OTHER0001", markdown: "no" })
        assert.strictEqual(codeOf(foreign), "forbidden")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("keeps its threads in order, and edits, deletions and stops reach what was written before", () =>
    Effect.gen(function*() {
      const world = yield* room()
      const { channel: to, workspace } = world
      yield* Effect.gen(function*() {
        yield* before(world)
        const acceptance = yield* Acceptance
        const corrections = yield* Corrections
        const team = TeamId.make(workspace.teamId)
        const user = UserId.make(userIdOf(workspace, "ada"))
        const take = Effect.fnUntraced(function*(channel: ChannelId, ts: MessageTs, text: string, thread?: MessageTs) {
          const found = classifyMessage(
            { type: "message", channel, user, text, ts, ...(thread === undefined ? {} : { thread_ts: thread }) },
            team,
            undefined,
            { eventId: "", externalPossible: false }
          )
          return found._tag === "Message" ? yield* acceptance.take(found.message, undefined) : found._tag
        })
        for (const n of [1, 2, 3]) assert.strictEqual(yield* take(from, at(n), `message ${n}`), "queued")
        yield* event(workspace, { type: "channel_id_changed", old_channel_id: from, new_channel_id: to })
        assert.strictEqual(yield* take(to, at(4), "a reply", at(1)), "queued")
        assert.strictEqual(yield* take(to, at(5), "another thread"), "queued")
        const groups = (yield* waiting).map(({ group }) => group)
        assert.deepStrictEqual(
          groups,
          [`${from}:${at(1)}`, `${from}:${at(2)}`, `${from}:${at(3)}`, `${from}:${at(1)}`, `${to}:${at(5)}`]
        )

        const place = { team, channel: to, eventId: "" }
        const edit = { ...place, ts: at(2), user, text: "edited" }
        assert.strictEqual(yield* corrections.edited({ _tag: "Edited", ...edit }), "replaced")
        assert.strictEqual(yield* corrections.deleted({ _tag: "Deleted", ...place, ts: at(3), user }), "withdrawn")
        const bodies = (yield* waiting).map(({ body }) => JSON.parse(body).text)
        assert.deepStrictEqual(bodies, ["message 1", "edited", "a reply", "another thread"])
        const mark = { ...place, ts: at(1), by: user, author: user }
        assert.strictEqual(yield* corrections.stopMark({ _tag: "StopMark", ...mark }), "stopped")
        assert.strictEqual(yield* take(to, at(6), "!stop", at(1)), "stopped")
        const sent = yield* Stream.runCollect(Stream.take((yield* Controls).watch(sandbox), 2))
        assert.deepStrictEqual(
          sent.map((control): unknown => control.kind === "stop" && (control.turn ?? control.group)),
          [slackTurnKey(team, from, at(1)), `${from}:${at(1)}`]
        )
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("that is none of ours changes nothing", () =>
    Effect.gen(function*() {
      const world = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(world.workspace, world.channel)
        const moved = { type: "channel_id_changed", old_channel_id: from, new_channel_id: "C0OTHER0001" }
        assert.strictEqual(yield* event(world.workspace, moved), 200)
        assert.strictEqual(yield* event(world.workspace, { ...moved, new_channel_id: "nowhere" }), 400)
        assert.lengthOf(yield* (yield* Sandboxes).byChannel(world.channel), 1)
      }).pipe(Effect.provide(bridgeOver(world.workspace)))
    }))
})

describe("a channel that is archived by hand", () => {
  it.live("is told to the operator by mail, once for each time; our own archiving is not", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const notices = Effect.flatMap(Facts, (facts) => facts.list(noticePrefix))
        for (const times of [1, 2]) {
          yield* Effect.promise(() => ada.conversations.archive({ channel }))
          yield* workspace.eventsDelivered
          const due = yield* notices
          assert.lengthOf(due, times)
          const notice = decodeNotice(due[0]?.value ?? "")
          assert.include(notice, { slack: "none", mail: "due" })
          assert.include(notice?.text, channel)
          const progress = yield* Progress
          progress.takeMissed()
          yield* Effect.promise(() =>
            slackClient(workspace, tokenOf(workspace, "ada")).conversations.unarchive({ channel })
          )
          yield* workspace.eventsDelivered
          assert.isTrue(progress.takeMissed())
        }
        yield* Effect.promise(() => bot.conversations.archive({ channel }))
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* notices, 2)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
