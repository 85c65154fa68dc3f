import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { slackClient, tokenOf } from "../../support/Workspace.ts"
import { bridgeOver, callV2, codeOf, download, furnish, sandbox, send } from "../world.ts"
import { bytes, filesIn, scene, upload } from "./scene.ts"

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
        const shown = filesIn(yield* workspace.thread(channel, ts))
        assert.lengthOf(shown.filter((each) => each.mode !== "tombstone"), 1, JSON.stringify(shown))
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
})
