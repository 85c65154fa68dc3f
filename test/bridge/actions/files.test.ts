import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { makeMemoryIdempotencyState } from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { slackClient, tokenOf } from "../../support/Workspace.ts"
import { bridgeOver, callsOf, callV2, codeOf, download, furnish, install, sandbox, send } from "../world.ts"
import { bytes, filesIn, scene, upload } from "./scene.ts"

const stored = Effect.flatMap(Objects, (objects) => objects.put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes)))
const idOf = (json: Readonly<Record<string, unknown>>): string => String(Object(json["file"]).id)

describe("files", () => {
  it.live("are checked, shared in the thread, and replace the one before", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Objects).put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes))
        for (const wrong of [{ size: bytes.length - 1 }, { sha256: "0".repeat(64) }, { object: "sessions/none" }]) {
          const answer = yield* callV2(`wrong-${Object.keys(wrong)[0]}`, upload(channel, ts, wrong))
          assert.deepStrictEqual([answer.status, codeOf(answer)], [400, "bad_object"], JSON.stringify(wrong))
        }
        assert.lengthOf(filesIn(yield* workspace.thread(channel, ts)), 0)
        const first = yield* callV2("up-1", upload(channel, ts))
        assert.strictEqual(first.status, 200, JSON.stringify(first.json))
        const file: { id?: string } = Object(first.json["file"])
        const second = yield* callV2("up-2", upload(channel, ts, { replaces: file.id }))
        assert.strictEqual(second.status, 200)
        const thread = yield* workspace.thread(channel, ts)
        const shown = filesIn(thread)
        // The message that showed the first file has gone with it: no "This file was deleted." is left.
        assert.deepStrictEqual(shown.map(({ id }) => id), [Object(second.json["file"]).id])
        assert.lengthOf(thread?.replies ?? [], 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("become a link that expires where the channel refuses files", () =>
    Effect.gen(function*() {
      const { bot, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Objects).put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes))
        yield* workspace.faults.add({
          method: "files.completeUploadExternal",
          times: 2,
          fault: { kind: "refuse", error: "internal_error" }
        })
        // In a channel of our own it only means that something is broken …
        assert.strictEqual(codeOf(yield* callV2("up-broken", upload(channel, ts))), "unavailable")
        // … in a shared one that files are refused.
        const invite = yield* Effect.promise(() =>
          bot.conversations.inviteShared({ channel, emails: ["eve@elsewhere.test"] })
        )
        const eve = slackClient(workspace, tokenOf(workspace, "eve"))
        yield* Effect.promise(() =>
          eve.conversations.acceptSharedInvite({ channel_name: "shared", invite_id: invite.invite_id ?? "" })
        )
        const answer = yield* callV2("up-link", upload(channel, ts))
        const file: { link?: string } = Object(answer.json["file"])
        assert.match(file.link ?? "", /^http:\/\/bridge\.test\/files\//)
        const path = new URL(file.link ?? "").pathname
        const served = yield* download(path)
        assert.deepStrictEqual([served.status, served.bytes.equals(bytes)], [200, true])
        assert.strictEqual(
          served.headers.get("content-disposition"),
          "attachment; filename=\"claude-transcript-s1.jsonl.gz\""
        )
        const [text = "", mac = ""] = path.slice("/files/".length).split(".")
        const named = JSON.parse(Buffer.from(text, "base64url").toString("utf8"))
        const prolonged = Buffer.from(JSON.stringify({ ...named, until: named.until + 1 })).toString("base64url")
        for (const token of [`${prolonged}.${mac}`, `${text}.${Buffer.alloc(32).toString("base64url")}`, text, ""]) {
          const wrong = yield* send("GET", `/files/${token}`, {}, undefined)
          assert.deepStrictEqual([wrong.status, codeOf(wrong)], [404, "KM-SLK-040"], token)
        }
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  for (
    const [what, method, fault] of [
      ["no address", "files.getUploadURLExternal", { kind: "server-error" }],
      ["an address that is lost", "files.getUploadURLExternal", { kind: "drop-after" }],
      ["an address that never comes", "files.getUploadURLExternal", { kind: "hang-after" }],
      ["a refused transfer", "upload", { kind: "server-error" }],
      ["a transfer without an answer", "upload", { kind: "drop-after" }]
    ] as const
  ) {
    it.live(`before anything is visible, ${what} leaves the id free at once`, () =>
      Effect.gen(function*() {
        const { channel, ts, workspace } = yield* scene
        yield* Effect.gen(function*() {
          yield* furnish(workspace, channel)
          yield* stored
          yield* workspace.faults.add({ method, fault })
          assert.strictEqual(codeOf(yield* callV2("up", upload(channel, ts))), "unavailable")
          const again = yield* callV2("up", upload(channel, ts))
          assert.strictEqual(again.status, 200, JSON.stringify(again.json))
          assert.deepStrictEqual(filesIn(yield* workspace.thread(channel, ts)).map(({ id }) => id), [idOf(again.json)])
        }).pipe(Effect.provide(bridgeOver(workspace)))
      }))
  }

  it.live("a lost answer of the last step is looked for, and the file is not sent twice", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* stored
        yield* workspace.faults.add({ method: "files.completeUploadExternal", fault: { kind: "drop-after" } })
        const answer = yield* callV2("up", upload(channel, ts))
        assert.strictEqual(answer.status, 200, JSON.stringify(answer.json))
        assert.deepStrictEqual(filesIn(yield* workspace.thread(channel, ts)).map(({ id }) => id), [idOf(answer.json)])
        assert.strictEqual(yield* callsOf(workspace, "files.completeUploadExternal"), 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live(
    "a last step in doubt holds the id for seconds, not for the length of an upload, and is then settled",
    () =>
      Effect.gen(function*() {
        const { channel, ts, workspace } = yield* scene
        const memory = makeMemoryIdempotencyState()
        yield* Effect.gen(function*() {
          yield* furnish(workspace, channel)
          yield* stored
          const first = yield* callV2("up-1", upload(channel, ts))
          // It happens, its answer is lost, and Slack cannot be asked.
          yield* workspace.faults.add({ method: "files.completeUploadExternal", fault: { kind: "drop-after" } })
          yield* workspace.faults.add({ method: "files.info", times: 5, fault: { kind: "server-error" } })
          const replacing = upload(channel, ts, { replaces: idOf(first.json) })
          assert.strictEqual(codeOf(yield* callV2("up-2", replacing)), "unavailable")
          const waiting = yield* callV2("up-2", replacing)
          assert.strictEqual(codeOf(waiting), "in_progress")
          assert.isAtMost(Number(waiting.headers.get("retry-after")), 10)
          for (const [id, record] of memory.records) memory.records.set(id, { ...record, leaseUntil: 0 })
          // The file to be replaced has the same name and title, and is not taken for the new one.
          const second = yield* callV2("up-2", replacing)
          assert.strictEqual(second.status, 200, JSON.stringify(second.json))
          assert.notStrictEqual(idOf(second.json), idOf(first.json))
          assert.deepStrictEqual(filesIn(yield* workspace.thread(channel, ts)).map(({ id }) => id), [idOf(second.json)])
          assert.strictEqual(yield* callsOf(workspace, "files.completeUploadExternal"), 2)
        }).pipe(Effect.provide(bridgeOver(workspace, { idempotency: memory })))
      }),
    30_000
  )

  for (const method of ["files.info", "chat.delete", "files.delete"] as const) {
    it.live(`a replaced file is deleted in the end, though ${method} fails at first`, () =>
      Effect.gen(function*() {
        const { channel, ts, workspace } = yield* scene
        const memory = makeMemoryIdempotencyState()
        yield* Effect.gen(function*() {
          yield* furnish(workspace, channel)
          yield* stored
          const first = yield* callV2("up-1", upload(channel, ts))
          yield* workspace.faults.add({ method, fault: { kind: "server-error" } })
          const replacing = upload(channel, ts, { replaces: idOf(first.json) })
          // Not answered as done, so that the sender's outbox asks again, after a restart of either side too.
          assert.strictEqual(codeOf(yield* callV2("up-2", replacing)), "unavailable")
          for (const [id, record] of memory.records) memory.records.set(id, { ...record, leaseUntil: 0 })
          const second = yield* callV2("up-2", replacing)
          assert.strictEqual(second.status, 200, JSON.stringify(second.json))
          const thread = yield* workspace.thread(channel, ts)
          assert.deepStrictEqual(filesIn(thread).map(({ id }) => id), [idOf(second.json)])
          assert.lengthOf(thread?.replies ?? [], 1)
          assert.strictEqual(yield* callsOf(workspace, "files.completeUploadExternal"), 2)
        }).pipe(Effect.provide(bridgeOver(workspace, { idempotency: memory })))
      }))
  }

  it.live("a replaced file that is gone already, or that Slack never deletes, holds nothing up", () =>
    Effect.gen(function*() {
      const { bot, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* stored
        const first = yield* callV2("up-1", upload(channel, ts))
        yield* Effect.promise(() => bot.files.delete({ file: idOf(first.json) }))
        const second = yield* callV2("up-2", upload(channel, ts, { replaces: idOf(first.json) }))
        assert.strictEqual(second.status, 200, JSON.stringify(second.json))
        yield* workspace.faults.add({ method: "files.delete", fault: { kind: "refuse", error: "cant_delete_file" } })
        const third = yield* callV2("up-3", upload(channel, ts, { replaces: idOf(second.json) }))
        assert.strictEqual(third.status, 200, JSON.stringify(third.json))
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live(
    "a file whose thread is gone is taken back, at once or when the answer was lost",
    () =>
      Effect.gen(function*() {
        const { ada, channel, ts, workspace } = yield* scene
        yield* Effect.gen(function*() {
          yield* furnish(workspace, channel)
          yield* stored
          yield* Effect.promise(() => ada.chat.delete({ channel, ts }))
          const answer = yield* callV2("up-1", upload(channel, ts))
          assert.deepStrictEqual([answer.status, codeOf(answer)], [422, "thread_gone"], JSON.stringify(answer.json))
          yield* workspace.faults.add({ method: "files.completeUploadExternal", fault: { kind: "drop-after" } })
          assert.strictEqual(codeOf(yield* callV2("up-2", upload(channel, ts))), "thread_gone")
          // A bridge that died after Slack took it.
          yield* workspace.faults.add({ method: "chat.delete", fault: { kind: "server-error" } })
          assert.strictEqual(codeOf(yield* callV2("up-3", upload(channel, ts))), "unavailable")
          yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("up-4"), "", 0)
          assert.strictEqual(codeOf(yield* callV2("up-4", upload(channel, ts))), "thread_gone")
          assert.deepStrictEqual(yield* workspace.messages(channel), [])
        }).pipe(Effect.provide(bridgeOver(workspace)))
      }),
    30_000
  )
})
