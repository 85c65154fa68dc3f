/** What an upload asks of Slack, step by step, and what it makes of each answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import { Uploads } from "../../../bridge/actions/Uploads.ts"
import { SlackFailure } from "../../../bridge/slack/SlackErrors.ts"
import { makeMemoryFactsState } from "../../../runtime/ports/memory/MemoryFacts.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import {
  bridgeOverScript,
  channel,
  limited,
  refused,
  requestId,
  scriptedSlack,
  threadTs,
  unclear
} from "../scripted.ts"
import { sandbox } from "../world.ts"
import { base, bytes, completed, info, object, shares, ticket, uploaded } from "./uploadScene.ts"

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
      // At once, then after half a second, one, two and four.
      const slack = scriptedSlack({
        "files.getUploadURLExternal": ticket,
        ...late,
        "files.info": { ok: true, file: { id: "F1" } }
      })
      yield* Effect.gen(function*() {
        yield* (yield* Objects).put(sandbox, object, Stream.make(bytes))
        const uploads = yield* Uploads
        yield* Effect.forkChild(uploads.upload({ sender: sandbox, id: requestId }, base, undefined))
        yield* TestClock.adjust(1)
        for (const [pause, looks] of [[499, 2], [1_000, 3], [2_000, 4], [4_000, 5]] as const) {
          yield* TestClock.adjust(pause - 1)
          assert.lengthOf(slack.argsOf("files.info"), looks - 1)
          yield* TestClock.adjust(1)
          assert.lengthOf(slack.argsOf("files.info"), looks)
        }
      }).pipe(Effect.provide(bridgeOverScript(slack, { transfer: (_url, _size, content) => Stream.runDrain(content) })))
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

  it.effect("node-slack-sdk#2301: goes unpacked where Slack Connect refuses its kind, else as a link, and that is kept", () =>
    Effect.gen(function*() {
      const lines = Buffer.from("{\"a\":1}\n".repeat(500))
      const packed = gzipSync(lines)
      const sha256 = createHash("sha256").update(packed).digest("hex")
      const changes = { size: packed.length, sha256, filename: "s1.jsonl.gz" }
      for (const refusal of [unclear("internal_error"), refused("slack_connect_blocked_file_type")]) {
        const names: Array<unknown> = []
        const rejects = (kinds: ReadonlyArray<string>) => ({
          "conversations.info": { ok: true, channel: { is_ext_shared: true } },
          "files.info": { ok: true, file: { id: "F1" } },
          "files.getUploadURLExternal": (args: Readonly<Record<string, unknown>>) => {
            names.push(args["filename"])
            return ticket
          },
          "files.completeUploadExternal": () =>
            kinds.some((kind) => String(names.at(-1)).endsWith(kind)) ? refusal : completed()
        })
        const facts = makeMemoryFactsState()
        const plain = yield* uploaded(rejects([".gz"]), changes, { content: packed, facts })
        assert.deepStrictEqual(names, ["s1.jsonl.gz", "s1.jsonl"])
        assert.strictEqual(plain.file?.id, "F1")
        assert.deepStrictEqual(plain.sent.at(-1)?.bytes, lines)
        assert.strictEqual(plain.sent.at(-1)?.size, lines.length)
        names.length = 0
        yield* uploaded(rejects([".gz"]), changes, { content: packed, facts })
        assert.deepStrictEqual(names, ["s1.jsonl"])
        names.length = 0
        const none = yield* uploaded(rejects([".gz", ".jsonl"]), changes, { content: packed, facts })
        assert.deepStrictEqual([none.file?.id, names], ["link", ["s1.jsonl"]])
        names.length = 0
        const again = yield* uploaded(rejects([]), changes, { content: packed, facts })
        assert.deepStrictEqual([again.file?.id, names], ["link", []])
      }
    }))

  it.effect("names the operator's command where nobody can open a link", () =>
    Effect.gen(function*() {
      const session = "0b0b0b0b-1111-4222-8333-444444444444"
      const place = `transcripts/${session}/${"a".repeat(32)}.jsonl.gz`
      const told = yield* uploaded({ "files.completeUploadExternal": refused("not_allowed") }, {
        object: place
      }, { keyless: true, at: place })
      assert.deepStrictEqual(told.file, { id: "link" })
      const [post] = told.argsOf("chat.postMessage")
      assert.include(JSON.stringify(post), `km transcript ${sandbox} ${session} > ${session}.jsonl`)
      assert.include(JSON.stringify(post), "1 kB")
      const sized = Effect.fnUntraced(function*(size: number) {
        const content = Buffer.alloc(size, "x")
        const sha256 = createHash("sha256").update(content).digest("hex")
        const plain = yield* uploaded({ "files.completeUploadExternal": refused("not_allowed") }, { size, sha256 }, {
          keyless: true,
          content
        })
        return String(plain.argsOf("chat.postMessage")[0]?.["text"])
      })
      for (const [size, words] of [[1_001, "2 kB"], [999_999, "1000 kB"], [1_000_000, "1.0 MB"]] as const) {
        const said = yield* sized(size)
        assert.include(said, `(${words}) is kept.`)
        assert.notInclude(said, "km transcript")
        assert.match(said, /is kept\.$/)
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
