/** Public reports of others' bots in Slack, each with what this bridge does in its place. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Stream } from "effect"
import { LiveMessages } from "../../bridge/actions/LiveMessages.ts"
import { Messages } from "../../bridge/actions/Messages.ts"
import { classifyMessage } from "../../bridge/events/classifyEvent.ts"
import { Notes } from "../../bridge/events/Notes.ts"
import { SocketMode } from "../../bridge/socket/SocketMode.ts"
import { ChannelId, MessageTs, TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { refreshed, refreshes } from "../support/socketRefreshes.ts"
import { untilReal } from "../support/untilReal.ts"
import { slackClient, tokenOf, userIdOf } from "../support/Workspace.ts"
import { completed, info, shares, uploaded } from "./actions/uploadScene.ts"
import { bridgeOverScript, channel, requestId, scriptedSlack, threadTs } from "./scripted.ts"
import { bridgeOver, furnish, listen, room, sandbox, say, waiting } from "./world.ts"

const caller = { sender: sandbox, id: requestId }
const ts = MessageTs.make("1700000001.000009")

/** The same text by each way it can be said; the content of every call that said it. */
const saidBy = (markdown: string) => {
  let posted = 0
  const slack = scriptedSlack({
    "chat.postMessage": () => ({
      ok: true,
      ts: `1700000001.${String(++posted).padStart(6, "0")}`,
      message: { thread_ts: threadTs }
    })
  })
  return Effect.gen(function*() {
    const messages = yield* Messages
    yield* messages.post(caller, { action: "post", channel, threadTs, markdown }, undefined)
    yield* messages.update({ action: "update", channel, ts, markdown })
    const lives = yield* LiveMessages
    const live = { action: "live.set", channel, threadTs, live: "live-0000000000000001" } as const
    yield* lives.set(caller, { ...live, seq: 1, markdown: "a first text" })
    yield* lives.set(caller, { ...live, seq: 2, markdown })
    yield* (yield* Notes).put("key", { channel, threadTs }, markdown)
    yield* (yield* Errands).drain("Note")
    return [...slack.argsOf("chat.postMessage"), ...slack.argsOf("chat.update")]
      .filter((args) => !JSON.stringify(args).includes("a first text"))
      .map(({ blocks, link_names, mrkdwn, parse, text }) => ({ blocks, link_names, mrkdwn, parse, text }))
  }).pipe(Effect.provide(bridgeOverScript(slack)))
}

describe("a public report", () => {
  const sockets: ReadonlyArray<readonly [string, string, number, "heard throughout" | "caught up"]> = [
    ["openclaw#128809: thirty reconnects leave no sockets behind", "a drop", 30, "caught up"],
    [
      "node-slack-sdk#2752: TCP that stays after the closing handshake",
      "a refresh whose TCP stays",
      3,
      "heard throughout"
    ],
    ["python-slack-sdk#1701: a TCP session that died unnoticed", "a half-open connection", 3, "caught up"],
    ["visor#456: a warning before the disconnect", "a warning", 3, "heard throughout"]
  ]
  for (const [name, refresh, times, heard] of sockets) {
    it.effect(
      name,
      () =>
        Effect.gen(function*() {
          const found = refreshes.find((one) => one.name === refresh)
          if (found === undefined) return assert.fail(refresh)
          const { deafMillis, doubled, lost, mostOpen } = yield* refreshed(found, times)
          assert.deepStrictEqual({ doubled, lost }, { doubled: 0, lost: 0 })
          assert.isAtMost(mostOpen, 2)
          if (heard === "heard throughout") assert.strictEqual(deafMillis, 0)
        }),
      120_000
    )
  }

  it.live("node-slack-sdk#2656: a stop while it waits to connect again is a stop", () =>
    Effect.gen(function*() {
      const { channel: own, workspace } = yield* room({ sockets: { enabled: true } })
      yield* workspace.faults.add({ method: "apps.connections.open", times: 0, fault: { kind: "server-error" } })
      yield* Effect.gen(function*() {
        yield* furnish(workspace, own)
        const { run, status } = yield* SocketMode
        const running = yield* Effect.forkChild(run)
        yield* untilReal(
          "it waits",
          Effect.map(status, ({ state, trouble }) => state === "waiting" && trouble !== null ? true : undefined)
        )
        yield* Fiber.interrupt(running)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(running)))
        assert.strictEqual((yield* status).connections, 0)
      }).pipe(Effect.provide(bridgeOver(workspace, { transport: "socket" })))
    }))

  it.effect("bolt-js#2115: a file that is shown seconds after its upload is found, and is one file", () =>
    Effect.gen(function*() {
      const hidden = info({ id: "F1", shares: {} })
      const shown = info({ id: "F1", permalink: "https://a.test/F1", shares: shares("1700000002.000001") })
      const { argsOf, file } = yield* uploaded({
        "files.completeUploadExternal": completed({ shares: {} }),
        "files.info": [hidden, hidden, hidden, shown]
      })
      assert.deepStrictEqual(file, { id: "F1", permalink: "https://a.test/F1" })
      assert.lengthOf(argsOf("files.completeUploadExternal"), 1)
      assert.lengthOf(argsOf("files.info"), 4)
    }))

  it("dam#3272: a file of any kind and size comes with its message", () => {
    const files = [
      { id: "F1", name: "talk.vtt", mimetype: "text/vtt", size: 10 },
      { id: "F2", name: "a.bin", mimetype: "application/octet-stream", size: 40 * 1024 * 1024 },
      { id: "F3", name: "empty", size: 0 },
      { id: "F4" }
    ]
    const found = classifyMessage(
      {
        type: "message",
        subtype: "file_share",
        channel: ChannelId.make("C0CHANNEL1"),
        user: UserId.make("U0ADA00001"),
        text: "",
        ts,
        files
      },
      TeamId.make("T0TEAM0001"),
      undefined,
      { eventId: "", externalPossible: false }
    )
    const taken = found._tag === "Message" ? found.message.files : []
    assert.deepStrictEqual(taken.map(({ id, size }) => [id, size]), [["F1", 10], ["F2", 40 * 1024 * 1024], ["F3", 0], [
      "F4",
      0
    ]])
  })

  it.effect("hermes-agent#8554, #53893: an edit and every side path keep the formatting of the first post", () =>
    Effect.gen(function*() {
      const said = yield* saidBy("**bold**, `code`\n\n| a | b |\n|---|---|\n| 1 | 2 |")
      assert.lengthOf(said, 4)
      for (const content of said) assert.deepStrictEqual(content, said[0])
      assert.isNotEmpty(said[0]?.blocks)
    }))

  it.effect("claude-code-slack-channel#4: a mention in what a tool was given calls nobody", () =>
    Effect.gen(function*() {
      const said = yield* saidBy("*<!channel>* and <@U0ADA00001>")
      assert.lengthOf(said, 4)
      for (const { blocks, link_names, parse, text } of said) {
        assert.deepStrictEqual({ link_names, parse }, { link_names: false, parse: "none" })
        assert.notMatch(String(text), /<[!@#]/)
        assert.notInclude(JSON.stringify(blocks), "mrkdwn")
      }
    }))

  it.live("claude-code-slack-channel#4: an outsider neither asks nor stops", () =>
    Effect.gen(function*() {
      const { ada, bot, channel: own, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, own)
        yield* listen(workspace)
        const eve = slackClient(workspace, tokenOf(workspace, "eve"))
        const invited = yield* Effect.promise(() =>
          bot.conversations.inviteShared({ channel: own, emails: ["eve@elsewhere.test"] })
        )
        yield* Effect.promise(() =>
          eve.conversations.acceptSharedInvite({ channel_name: "shared", invite_id: invited.invite_id ?? "" })
        )
        const asked = yield* say(ada, own, "work on it")
        yield* workspace.eventsDelivered
        yield* say(eve, own, "!stop")
        yield* Effect.promise(() => eve.reactions.add({ channel: own, timestamp: asked, name: "octagonal_sign" }))
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 1)
        // The first that stops is who asked.
        yield* Effect.promise(() => ada.reactions.add({ channel: own, timestamp: asked, name: "octagonal_sign" }))
        yield* workspace.eventsDelivered
        const stop = yield* Stream.runHead((yield* Controls).watch(sandbox))
        assert.include(Option.getOrThrow(stop).id, userIdOf(workspace, "ada"))
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
