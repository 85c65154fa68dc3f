/** What an upload asks of Slack, step by step, and what it makes of each answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { SlackFailure } from "../../../bridge/slack/SlackErrors.ts"
import { Uploads } from "../../../bridge/v2/Uploads.ts"
import type { UploadAction } from "../../../runtime/domain/BridgeProtocol.ts"
import { sha256Hex } from "../../../runtime/domain/Digest.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import {
  botUser,
  bridgeOverScript,
  channel,
  limited,
  refused,
  requestId,
  scriptedSlack,
  secretsStored,
  threadTs,
  unclear
} from "../scripted.ts"
import { sandbox } from "../world.ts"

const bytes = Buffer.from("a session".repeat(100))
const object = "sessions/s1.jsonl.gz"
const base: typeof UploadAction.Type = {
  action: "upload",
  channel,
  threadTs,
  object,
  filename: "s1.jsonl.gz",
  title: "Session s1",
  contentType: "application/gzip",
  size: bytes.length,
  sha256: sha256Hex(bytes)
}
const shares = (
  ts: string,
  thread: string | null = threadTs,
  kind: "public" | "private" = "public",
  where: string = channel
) => ({
  [kind]: { [where]: [{ ts, ...(thread === null ? {} : { thread_ts: thread }) }] }
})
const ticket = { ok: true, upload_url: "http://slack.test/up", file_id: "F1" }
const completed = (changes: object = {}) => ({
  ok: true,
  files: [{ id: "F1", permalink: "https://a.test/F1", shares: shares("1700000002.000001"), ...changes }]
})
const info = (changes: object = {}) => ({
  ok: true,
  file: { id: "F0", user: botUser, channels: [channel], shares: shares("1700000002.000009"), ...changes }
})

interface Options {
  readonly uncertainSince?: number
  readonly objects?: Layer.Layer<Objects>
  readonly transfer?: NonNullable<Parameters<typeof bridgeOverScript>[1]>["transfer"]
  readonly sender?: "operator"
}

/** `threadTs: undefined`: for the channel itself. */
type Changes = Partial<Omit<typeof UploadAction.Type, "threadTs">> & { readonly threadTs?: typeof threadTs | undefined }

const uploaded = (
  answers: Parameters<typeof scriptedSlack>[0] = {},
  changes: Changes = {},
  options: Options = {}
) => {
  const slack = scriptedSlack({
    "files.getUploadURLExternal": ticket,
    "files.completeUploadExternal": completed(),
    "files.info": info(),
    ...answers
  })
  const sent: Array<{ url: string; size: number; bytes: Buffer }> = []
  return Effect.gen(function*() {
    yield* TestClock.adjust(1_000_000)
    yield* secretsStored
    if (options.objects === undefined) yield* (yield* Objects).put(sandbox, object, Stream.make(bytes))
    const { threadTs: thread, ...rest } = { ...base, ...changes }
    const fiber = yield* Effect.forkChild(
      Effect.result((yield* Uploads).upload(
        { sender: options.sender ?? sandbox, id: requestId },
        { ...rest, ...(thread === undefined ? {} : { threadTs: thread }) },
        options.uncertainSince
      ))
    )
    for (let second = 0; second < 200 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
    const answer = yield* fiber.pollUnsafe() ?? Effect.die(new Error("the upload never ends"))
    return {
      ...slack,
      sent,
      file: answer._tag === "Success" ? answer.success.file : undefined,
      refusal: answer._tag === "Failure" ? answer.failure : undefined
    }
  }).pipe(Effect.provide(bridgeOverScript(slack, {
    ...(options.objects === undefined ? {} : { objects: options.objects }),
    transfer: options.transfer ??
      ((url, size, content) =>
        Stream.runFold(content, () => Buffer.alloc(0), (all, chunk) => Buffer.concat([all, chunk])).pipe(
          Effect.map((whole) => void sent.push({ url, size, bytes: whole }))
        ))
  })))
}

describe("an upload", () => {
  it.effect("asks for an address, sends the bytes there, and shows the file in the thread", () =>
    Effect.gen(function*() {
      const done = yield* uploaded()
      assert.deepStrictEqual(done.file, { id: "F1", permalink: "https://a.test/F1" })
      assert.deepStrictEqual(done.sent, [{ url: "http://slack.test/up", size: bytes.length, bytes }])
      assert.deepStrictEqual(done.calls, [
        { method: "files.getUploadURLExternal", args: { filename: "s1.jsonl.gz", length: bytes.length } },
        {
          method: "files.completeUploadExternal",
          args: { files: [{ id: "F1", title: "Session s1" }], channel_id: channel, thread_ts: threadTs }
        }
      ])
      const open = yield* uploaded(
        { "files.completeUploadExternal": completed({ shares: shares("1700000002.000001", null) }) },
        { threadTs: undefined }
      )
      assert.deepStrictEqual(open.file, { id: "F1", permalink: "https://a.test/F1" })
      assert.deepStrictEqual(open.argsOf("files.completeUploadExternal"), [
        { files: [{ id: "F1", title: "Session s1" }], channel_id: channel }
      ])
      const bare = yield* uploaded({
        "files.completeUploadExternal": {
          ok: true,
          files: [{ id: "F1", shares: shares("1700000002.000001", threadTs, "private") }]
        }
      })
      assert.deepStrictEqual([bare.file, bare.methods().length], [{ id: "F1" }, 2])
    }))

  it.effect("sends nothing but what was announced, and says which it was", () =>
    Effect.gen(function*() {
      for (
        const [changes, detail] of [
          [{ size: bytes.length - 1 }, "larger"],
          [{ size: bytes.length + 1 }, `${bytes.length} bytes, not ${bytes.length + 1}`],
          [{ sha256: "0".repeat(64) }, "digest"],
          [{ object: "none" }, "no object none"]
        ] as const
      ) {
        const { methods, refusal } = yield* uploaded({}, changes)
        assert.strictEqual(refusal?.code, "bad_object", detail)
        assert.include(refusal?.detail, detail)
        assert.notInclude(methods(), "files.completeUploadExternal")
      }
      const broken = new StoreError({ port: "Objects", operation: "get", reason: "Full", detail: "", cause: undefined })
      const objects = Layer.mock(Objects, { get: () => Stream.fail(broken) })
      const { refusal } = yield* uploaded({}, {}, { objects })
      assert.strictEqual(refusal?.code, "unavailable")
      const operator = yield* uploaded({}, {}, { sender: "operator" })
      assert.deepStrictEqual([operator.refusal?.code, operator.methods()], ["forbidden", []])
    }))

  it.effect("leaves no doubt before the last step, whatever goes wrong", () =>
    Effect.gen(function*() {
      for (const [failure, code] of [[unclear("x"), "unavailable"], [limited("x"), "rate_limited"]] as const) {
        const { refusal } = yield* uploaded({ "files.getUploadURLExternal": failure })
        assert.deepInclude(refusal, { code, uncertain: false })
      }
      const shapeless = yield* uploaded({ "files.getUploadURLExternal": { ok: true } })
      assert.deepInclude(shapeless.refusal, { code: "unavailable", uncertain: false })
      const lost = new SlackFailure({ method: "x", kind: "Uncertain", error: "reset", retryAfterMillis: 0 })
      const cut = yield* uploaded({}, {}, { transfer: () => Effect.fail(lost) })
      assert.deepInclude(cut.refusal, { code: "unavailable", detail: "reset", retryAfterMillis: 2_000 })
      assert.notStrictEqual(cut.refusal?.uncertain, true)
      const hanging = yield* uploaded({}, {}, { transfer: () => Effect.never })
      assert.deepInclude(hanging.refusal, { code: "unavailable", retryAfterMillis: 2_000 })
      assert.notStrictEqual(hanging.refusal?.uncertain, true)
    }))

  it.effect("gives its first two steps two minutes, and moves three files at a time", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "files.getUploadURLExternal": ticket, "files.completeUploadExternal": completed() })
      let open = 0
      yield* Effect.gen(function*() {
        yield* (yield* Objects).put(sandbox, object, Stream.make(bytes))
        const uploads = yield* Uploads
        const all = yield* Effect.forEach(
          [0, 1, 2, 3],
          () => Effect.forkChild(Effect.flip(uploads.upload({ sender: sandbox, id: requestId }, base, undefined)))
        )
        yield* TestClock.adjust(119_999)
        assert.strictEqual(open, 3)
        assert.isTrue(all.every((each) => each.pollUnsafe() === undefined))
        yield* TestClock.adjust(1)
        assert.isTrue(all.every((each) => each.pollUnsafe() !== undefined))
      }).pipe(Effect.provide(bridgeOverScript(slack, {
        transfer: () => Effect.andThen(Effect.sync(() => open++), Effect.never)
      })))
    }))

  it.effect("looks for its place until Slack shows it, for seven and a half seconds", () =>
    Effect.gen(function*() {
      const late = { "files.completeUploadExternal": completed({ shares: {} }) }
      const shown = info({ id: "F1", permalink: "https://a.test/F1", shares: shares("1700000002.000001") })
      const found = yield* uploaded({ ...late, "files.info": [{ ok: true, file: { id: "F1" } }, shown] })
      assert.deepStrictEqual(found.file, { id: "F1", permalink: "https://a.test/F1" })
      assert.deepStrictEqual(found.argsOf("files.info"), [{ file: "F1" }, { file: "F1" }])
      const failing = yield* uploaded({
        ...late,
        "files.info": [unclear("x"), info({ shares: shares("1", threadTs, "public", "C0ELSE0001") }), shown]
      })
      assert.strictEqual(failing.file?.id, "F1")
      assert.lengthOf(failing.argsOf("files.info"), 3)
      // Never shown: nothing says that it came beside the thread's end, but nothing says that it came in it either.
      const never = yield* uploaded({ ...late, "files.info": { ok: true, file: { id: "F1" } } }, {
        threadTs: undefined
      })
      assert.deepStrictEqual(never.file, { id: "F1", permalink: "https://a.test/F1" })
      assert.lengthOf(never.argsOf("files.info"), 5)
    }))

  it.effect("whose last answer is lost is looked for; what Slack refused is not", () =>
    Effect.gen(function*() {
      const lost = { "files.completeUploadExternal": unclear("timeout") }
      const found = yield* uploaded({ ...lost, "files.info": info({ id: "F1" }) })
      assert.deepStrictEqual(found.file, { id: "F1" })
      const open = yield* uploaded({ ...lost, "files.info": { ok: true, file: { id: "F1" } } })
      assert.deepInclude(open.refusal, { code: "unavailable", uncertain: true })
      assert.lengthOf(open.argsOf("files.info"), 5)
      for (
        const [failure, code] of [[refused("is_archived"), "is_archived"], [limited("x"), "rate_limited"]] as const
      ) {
        const no = yield* uploaded({ "files.completeUploadExternal": failure })
        assert.deepStrictEqual([no.refusal?.code, no.argsOf("files.info").length], [code, 0])
      }
      const odd = yield* uploaded({ "files.completeUploadExternal": { ok: true }, "files.info": info({ id: "F1" }) })
      assert.strictEqual(odd.file?.id, "F1")
    }))

  it.effect("becomes a link where the channel refuses files, in Slack Connect also when it says it is broken", () =>
    Effect.gen(function*() {
      for (
        const error of ["file_sharing_disabled", "not_allowed", "restricted_action", "channel_type_not_supported"]
      ) {
        const linked = yield* uploaded({ "files.completeUploadExternal": refused(error) })
        assert.strictEqual(linked.file?.id, "link", error)
        assert.match(linked.file?.link ?? "", /^http:\/\/bridge\.test\/files\//)
        const [post] = linked.argsOf("chat.postMessage")
        assert.deepInclude(post, { channel, thread_ts: threadTs })
        assert.include(JSON.stringify(post), "s1.jsonl.gz")
        assert.include(JSON.stringify(post), linked.file?.link ?? "no link")
        assert.notInclude(linked.methods(), "conversations.info")
      }
      const open = yield* uploaded({ "files.completeUploadExternal": refused("not_allowed") }, { threadTs: undefined })
      assert.notProperty(open.argsOf("chat.postMessage")[0], "thread_ts")
      const broken = {
        "files.completeUploadExternal": unclear("internal_error"),
        "files.info": { ok: true, file: { id: "F1" } }
      }
      const connected = yield* uploaded({
        ...broken,
        "conversations.info": { ok: true, channel: { is_ext_shared: true } }
      })
      assert.strictEqual(connected.file?.id, "link")
      assert.deepStrictEqual(connected.argsOf("conversations.info"), [{ channel }])
      for (
        const answer of [
          { ok: true, channel: { is_ext_shared: false } },
          { ok: true, channel: {} },
          { ok: true },
          unclear("x")
        ]
      ) {
        const no = yield* uploaded({ ...broken, "conversations.info": answer })
        assert.strictEqual(no.refusal?.code, "unavailable")
      }
    }))

  it.effect("that came beside its thread is taken back with its message", () =>
    Effect.gen(function*() {
      const beside = yield* uploaded({
        "files.completeUploadExternal": completed({ shares: shares("1700000002.000005", "") }),
        "files.info": info({ id: "F1", shares: shares("1700000002.000005", "") })
      })
      assert.strictEqual(beside.refusal?.code, "thread_gone")
      assert.deepStrictEqual(beside.argsOf("chat.delete"), [{ channel, ts: "1700000002.000005" }])
      assert.deepStrictEqual(beside.argsOf("files.delete"), [{ file: "F1" }])
    }))
})

describe("an upload that an earlier attempt may have done", () => {
  const message = (changes: object = {}, file: object = {}) => ({
    user: botUser,
    files: [{ id: "F1", name: "s1.jsonl.gz", title: "Session s1", permalink: "https://a.test/F1", ...file }],
    ...changes
  })
  const page = (...messages: ReadonlyArray<object>) => ({ ok: true, messages })
  const again = (answers: Parameters<typeof scriptedSlack>[0], changes: Changes = {}) =>
    uploaded({ "files.info": info({ id: "F1" }), ...answers }, changes, { uncertainSince: 1_000_000 })

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
      const replacing = yield* again({ "conversations.replies": page(message()) }, { replaces: "F1" })
      assert.lengthOf(replacing.argsOf("files.completeUploadExternal"), 1)
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
  const replacing = (answers: Parameters<typeof scriptedSlack>[0], replaces = "F0") => uploaded(answers, { replaces })

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
        const again = yield* replacing({ "files.delete": failure })
        assert.strictEqual(again.refusal?.uncertain, true)
        const early = yield* replacing({ "chat.delete": failure })
        assert.strictEqual(early.refusal?.uncertain, true)
      }
    }))
})
