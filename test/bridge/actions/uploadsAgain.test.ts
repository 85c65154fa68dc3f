/** What an upload does about an earlier attempt of its own, and about the file it replaces. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { botUser, channel, limited, refused, type scriptedSlack, threadTs, unclear } from "../scripted.ts"
import { type Changes, info, shares, uploaded } from "./uploadScene.ts"

const message = (changes: object = {}, file: object = {}) => ({
  user: botUser,
  files: [{ id: "F1", name: "s1.jsonl.gz", title: "Session s1", permalink: "https://a.test/F1", ...file }],
  ...changes
})
const page = (...messages: ReadonlyArray<object>) => ({ ok: true, messages })
const again = (answers: Parameters<typeof scriptedSlack>[0], changes: Changes = {}) =>
  uploaded({ "files.info": info({ id: "F1" }), ...answers }, changes, { uncertainSince: 1_000_000 })

const replacing = (answers: Parameters<typeof scriptedSlack>[0], replaces = "F0") => uploaded(answers, { replaces })

describe("an upload that an earlier attempt may have done", () => {
  it.effect("is found by our bot's name, the file's name and its title", () =>
    Effect.gen(function*() {
      const found = yield* again({ "conversations.replies": page({}, message({ user: "U0OTHER001" }), message()) })
      assert.deepStrictEqual(found.file, { id: "F1", permalink: "https://a.test/F1" })
      assert.deepStrictEqual(found.argsOf("conversations.replies"), [
        { channel, oldest: "940.000000", limit: 200, ts: threadTs }
      ])
      assert.notInclude(found.methods(), "files.completeUploadExternal")
      const byBot = yield* again({ "conversations.replies": page({ bot_id: "B0BOT00001", files: message().files }) })
      assert.strictEqual(byBot.file?.id, "F1")
      assert.notInclude(byBot.methods(), "files.completeUploadExternal")
      for (
        const other of [
          message({ user: "U0OTHER001", bot_id: null }),
          message({}, { name: "another" }),
          message({}, { title: "another" }),
          { user: botUser }
        ]
      ) {
        const sent = yield* again({ "conversations.replies": page(other) })
        assert.lengthOf(sent.argsOf("files.completeUploadExternal"), 1)
      }
      const another = yield* again({ "conversations.replies": page(message()) }, { replaces: "F1" })
      assert.lengthOf(another.argsOf("files.completeUploadExternal"), 1)
      // A bot without an id of its own is not every bot without one.
      const nameless = yield* again({
        "auth.test": { ok: true, user_id: botUser, team_id: "T0TEAM0001" },
        "conversations.replies": page(message({ user: "U0OTHER001", bot_id: "" }))
      })
      assert.lengthOf(nameless.argsOf("files.completeUploadExternal"), 1)
    }))

  it.effect("is looked for in the channel where it has no thread, or the thread is gone", () =>
    Effect.gen(function*() {
      const open = yield* again({ "conversations.history": page(message()) }, { threadTs: undefined })
      assert.strictEqual(open.file?.id, "F1")
      assert.deepStrictEqual(open.argsOf("conversations.history"), [{ channel, oldest: "940.000000", limit: 200 }])
      const gone = yield* again({
        "conversations.replies": refused("thread_not_found"),
        "conversations.history": page(message()),
        "files.info": info({ id: "F1", shares: shares("1700000002.000005", null) })
      })
      assert.strictEqual(gone.refusal?.code, "thread_gone")
      assert.deepStrictEqual(gone.argsOf("files.delete"), [{ file: "F1" }])
      const empty = yield* again({ "conversations.replies": { ok: true } })
      assert.lengthOf(empty.argsOf("files.completeUploadExternal"), 1)
    }))

  it.effect("is not sent as long as nobody can look", () =>
    Effect.gen(function*() {
      for (
        const [failure, code, uncertain] of [
          [unclear("x"), "unavailable", true],
          [limited("x"), "rate_limited", true],
          [refused("channel_not_found"), "channel_not_found", false]
        ] as const
      ) {
        const no = yield* again({ "conversations.replies": failure })
        assert.deepInclude(no.refusal, { code, uncertain })
        assert.notInclude(no.methods(), "files.getUploadURLExternal")
      }
    }))
})

describe("a replaced file", () => {
  it.effect("goes after the new one, with the messages that showed it", () =>
    Effect.gen(function*() {
      const done = yield* replacing({})
      assert.deepStrictEqual(done.calls.slice(2), [
        { method: "files.info", args: { file: "F0" } },
        { method: "auth.test", args: {} },
        { method: "chat.delete", args: { channel, ts: "1700000002.000009" } },
        { method: "files.delete", args: { file: "F0" } }
      ])
      const same = yield* replacing({}, "F1")
      assert.notInclude(same.methods(), "files.delete")
    }))

  it.effect("stays when it is not our bot's, or stands in another channel too", () =>
    Effect.gen(function*() {
      for (
        const other of [
          { user: "U0OTHER001" },
          { user: undefined },
          { channels: [channel, "C0ELSE0001"] },
          { channels: [], groups: ["G0ELSE0001"] }
        ]
      ) {
        const changed = info(other)
        const { user, ...rest } = changed.file
        const done = yield* replacing({ "files.info": { ok: true, file: user === undefined ? rest : changed.file } })
        assert.strictEqual(done.file?.id, "F1")
        assert.notInclude(done.methods(), "files.delete", JSON.stringify(other))
        assert.notInclude(done.methods(), "chat.delete", JSON.stringify(other))
      }
      const { channels: _, ...unplaced } = info().file
      const bare = yield* replacing({ "files.info": { ok: true, file: unplaced } })
      assert.include(bare.methods(), "files.delete")
    }))

  it.effect("that is gone, or that Slack keeps for good, holds nothing up; any other failure is asked again", () =>
    Effect.gen(function*() {
      for (const error of ["file_not_found", "file_deleted", "cant_delete_file"]) {
        const done = yield* replacing({ "files.delete": refused(error) })
        assert.strictEqual(done.file?.id, "F1", error)
      }
      for (const error of ["message_not_found", "cant_delete_message"]) {
        const done = yield* replacing({ "chat.delete": refused(error) })
        assert.include(done.methods(), "files.delete", error)
      }
      const kept = yield* replacing({ "chat.delete": refused("is_archived") })
      assert.deepStrictEqual([kept.file?.id, kept.methods().includes("files.delete")], ["F1", false])
      const unknown = yield* replacing({ "files.info": refused("file_not_found") })
      assert.strictEqual(unknown.file?.id, "F1")
      for (const failure of [unclear("file_not_found"), limited("x")]) {
        const later = yield* replacing({ "files.delete": failure })
        assert.strictEqual(later.refusal?.uncertain, true)
        const early = yield* replacing({ "chat.delete": failure })
        assert.strictEqual(early.refusal?.uncertain, true)
      }
    }))
})
