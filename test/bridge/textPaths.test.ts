/** Every path by which a text of ours reaches Slack: nothing in it becomes a mention or a link by Slack's own reading. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { Channels } from "../../bridge/actions/Channels.ts"
import { LiveMessages } from "../../bridge/actions/LiveMessages.ts"
import { Messages } from "../../bridge/actions/Messages.ts"
import { SelfTest } from "../../bridge/actions/SelfTest.ts"
import { Notes } from "../../bridge/events/Notes.ts"
import { MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { bridgeOverScript, channel, refused, requestId, scriptedSlack, threadTs } from "./scripted.ts"
import { sandbox } from "./world.ts"

/** Slack's methods that take a text from us to people. */
const speaking =
  /"(chat\.(?:postMessage|update|postEphemeral|meMessage|scheduleMessage|startStream|appendStream|stopStream|unfurl)|views\.\w+|conversations\.set(?:Topic|Purpose)|files\.completeUploadExternal)"/g

const ts = MessageTs.make("1700000001.000009")
const caller = { sender: sandbox, id: requestId }
const evil = "<!channel> @here #general https://example.com\n\n| a | b |\n|---|---|\n| 1 | 2 |"

/** Each way of speaking, by name. */
const paths = {
  post: Effect.flatMap(
    Messages,
    (messages) => messages.post(caller, { action: "post", channel, threadTs, markdown: evil.repeat(400) }, undefined)
  ),
  update: Effect.flatMap(Messages, (messages) => messages.update({ action: "update", channel, ts, markdown: evil })),
  live: Effect.flatMap(
    LiveMessages,
    (lives) =>
      Effect.forEach(
        [evil, `${evil} more`, evil.repeat(100)],
        (markdown, seq) =>
          lives.set(caller, { action: "live.set", channel, threadTs, live: "live-0000000000000001", seq, markdown })
      )
  ),
  note: Effect.flatMap(Notes, (notes) => notes.put("key", { channel, threadTs }, evil)).pipe(
    Effect.andThen(Effect.flatMap(Errands, (errands) => errands.drain("Note")))
  ),
  channel: Effect.flatMap(Channels, (channels) =>
    channels.ensure({
      action: "channel.ensure",
      sandbox,
      name: "sb-demo",
      private: false,
      previous: channel,
      topic: "",
      inviteEmails: []
    }, undefined)),
  selfTest: Effect.flatMap(SelfTest, (test) => test.run({ action: "test", channel }))
}

describe("a text on its way to Slack", () => {
  it("is posted and edited in one file, which every other goes through", () => {
    const found = new Map<string, ReadonlyArray<string>>()
    for (const name of fs.readdirSync("bridge", { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts")) continue
      const methods = [...fs.readFileSync(path.join("bridge", name), "utf8").matchAll(speaking)].map((match) =>
        match[1] ?? ""
      )
      if (methods.length > 0) found.set(name, [...new Set(methods)].toSorted())
    }
    assert.deepStrictEqual(Object.fromEntries(found), {
      // A topic is escaped, a file's title is no text that Slack reads.
      "actions/Channels.ts": ["conversations.setTopic"],
      "actions/Uploads.ts": ["files.completeUploadExternal"],
      // Asks for a place in the budget; the Poster makes the call.
      "actions/LiveMessages.ts": ["chat.update"],
      // To one person, in words of ours.
      "questions/Whispers.ts": ["chat.postEphemeral"],
      "slack/Poster.ts": ["chat.postMessage", "chat.update"]
    })
  })

  for (const [name, speak] of Object.entries(paths)) {
    for (const form of ["blocks", "plain"] as const) {
      it.live(`is read by Slack as it stands: ${name}, ${form}`, () => {
        let posted = 0
        const plainly = (args: Readonly<Record<string, unknown>>) => {
          const blocks = args["blocks"]
          if (Array.isArray(blocks) && blocks.length > 0) return refused("invalid_blocks")
          return { ok: true, ts: `1700000001.${String(++posted).padStart(6, "0")}`, message: { thread_ts: threadTs } }
        }
        const slack = scriptedSlack({
          "conversations.create": { ok: true, channel: { id: "C0NEW00001", name: "sb-demo" } },
          "conversations.info": { ok: true, channel: { id: channel, name: "sb-demo", is_archived: true } },
          ...(form === "plain" ? { "chat.postMessage": plainly, "chat.update": plainly } : {})
        })
        return Effect.gen(function*() {
          yield* Effect.ignore(speak)
          const said = [...slack.argsOf("chat.postMessage"), ...slack.argsOf("chat.update")]
          assert.isAbove(said.length, 0)
          for (const args of said) {
            assert.deepInclude(args, { parse: "none", link_names: false })
            if (form === "plain") continue
            // One builder: a Markdown block and its words for notifications, which Slack takes whole; a table at most.
            const blocks: ReadonlyArray<{ readonly type: string; readonly text: string }> = Object(args["blocks"])
            assert.deepStrictEqual(blocks.map(({ type }) => type), ["markdown"])
            assert.isAtMost(blocks[0]?.text.length ?? 0, 12_000)
            assert.isAtMost(blocks[0]?.text.split("|---|---|").length ?? 0, 2)
            assert.isAtMost(String(args["text"]).length, 4_000)
          }
        }).pipe(Effect.provide(bridgeOverScript(slack)))
      })
    }
  }
})
