import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { makeMemoryIdempotencyState } from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { bridgeOver, callsOf, callV2, codeOf, furnish, install, sandbox } from "../world.ts"
import { bytes, partsOf, scene, upload } from "./scene.ts"

describe("POST /v2 once", () => {
  it.live("answers a repeated request from its record and another body with what was done", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const post = { action: "post", channel, threadTs: ts, markdown: "once" }
        const first = yield* callV2("answer", post)
        const again = yield* callV2("answer", post)
        assert.deepStrictEqual(partsOf(again), partsOf(first))
        assert.strictEqual(again.headers.get("km-replayed"), "true")
        const other = yield* callV2("answer", { ...post, markdown: "twice" })
        assert.deepStrictEqual([other.status, codeOf(other)], [409, "already_done"])
        assert.deepNestedInclude(other.json, { "recorded.parts[0].ts": partsOf(first)[0] })
        assert.strictEqual(yield* callsOf(workspace, "chat.postMessage"), 2)
        // Ada's message is the other call.
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("says in_progress while a request with the id is carried out", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("busy"), "hash", 20_000)
        const answer = yield* callV2("busy", { action: "post", channel, threadTs: ts, markdown: "x" })
        assert.deepStrictEqual([answer.status, codeOf(answer)], [409, "in_progress"])
        assert.isAbove(Number(answer.headers.get("retry-after")), 0)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("posts exactly one message whatever Slack does to the call", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const faults = [
          { kind: "drop-after" },
          { kind: "drop-before" },
          { kind: "server-error" },
          { kind: "rate-limit", retryAfterSeconds: 1 },
          { kind: "refuse", error: "internal_error" },
          { kind: "refuse", error: "invalid_blocks" },
          { kind: "refuse", error: "invalid_attachments" }
        ] as const
        for (const [index, fault] of faults.entries()) {
          yield* workspace.faults.add({ method: "chat.postMessage", channel, fault })
          const markdown = `message ${index}`
          const answer = yield* callV2(`fault-${index}`, { action: "post", channel, threadTs: ts, markdown })
          assert.strictEqual(answer.status, 200, fault.kind)
          const shown = (yield* workspace.thread(channel, ts))?.replies.filter(({ message }) =>
            message["text"] === markdown
          )
          assert.deepStrictEqual(shown?.map((reply) => reply.ts), [...partsOf(answer)], JSON.stringify(fault))
        }
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("posts exactly one message when Slack hangs after taking it", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* workspace.faults.add({ method: "chat.postMessage", channel, fault: { kind: "hang-after" } })
        const answer = yield* callV2("hang", { action: "post", channel, threadTs: ts, markdown: "slow" })
        assert.strictEqual(answer.status, 200)
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map((reply) => reply.ts), [...partsOf(answer)])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live(
    "finds what a bridge did before it died, by the message's metadata and by the file's name and title",
    () =>
      Effect.gen(function*() {
        const { channel, ts, workspace } = yield* scene
        const memory = makeMemoryIdempotencyState()
        yield* Effect.gen(function*() {
          yield* furnish(workspace, channel)
          const post = { action: "post", channel, threadTs: ts, markdown: "unclear" }
          yield* workspace.faults.add({ method: "chat.postMessage", channel, fault: { kind: "drop-after" } })
          yield* workspace.faults.add({ method: "conversations.replies", fault: { kind: "server-error" } })
          const unclear = yield* callV2("unclear", post)
          assert.deepStrictEqual([unclear.status, codeOf(unclear)], [503, "unavailable"])
          assert.strictEqual(codeOf(yield* callV2("unclear", post)), "in_progress")
          // The lease of whoever died runs out.
          for (const [id, record] of memory.records) memory.records.set(id, { ...record, leaseUntil: 0 })
          const settled = yield* callV2("unclear", post)
          assert.strictEqual(settled.status, 200, JSON.stringify(settled.json))
          const thread = yield* workspace.thread(channel, ts)
          assert.deepStrictEqual(thread?.replies.map((reply) => reply.ts), [...partsOf(settled)])
          // Found or posted, it is the sender's to edit.
          const [own] = partsOf(settled)
          assert.strictEqual(
            (yield* callV2("edit", { action: "update", channel, ts: own, markdown: "clear" })).status,
            200
          )

          // A pending record of a request that never reached Slack: it is posted now.
          yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("never"), "", 0)
          assert.strictEqual((yield* callV2("never", { ...post, markdown: "now" })).status, 200)

          yield* (yield* Objects).put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes))
          const first = yield* callV2("up-1", upload(channel, ts))
          yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("up-2"), "", 0)
          const second = yield* callV2("up-2", upload(channel, ts))
          assert.nestedPropertyVal(second.json, "file.id", Object(first.json["file"]).id)
          assert.strictEqual(yield* callsOf(workspace, "files.completeUploadExternal"), 1)
        }).pipe(Effect.provide(bridgeOver(workspace, { idempotency: memory })))
      })
  )

  it.live("edits only what it posted, marks twice without a fault, and reports what Slack refuses for good", () =>
    Effect.gen(function*() {
      const { bot, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const [own] = partsOf(yield* callV2("a", { action: "post", channel, threadTs: ts, markdown: "draft" }))
        assert.strictEqual((yield* callV2("b", { action: "update", channel, ts: own, markdown: "final" })).status, 200)
        for (const [index, action] of ["react", "react", "unreact", "unreact"].entries()) {
          assert.strictEqual(
            (yield* callV2(`mark-${index}`, { action, channel, ts, emoji: "eyes" })).status,
            200,
            action
          )
        }
        const link = yield* callV2("c", { action: "permalink", channel, ts })
        assert.match(String(link.json["permalink"]), /archives/)
        yield* Effect.promise(() => bot.conversations.archive({ channel }))
        const archived = yield* callV2("d", { action: "post", channel, threadTs: ts, markdown: "late" })
        assert.deepStrictEqual([archived.status, codeOf(archived)], [422, "is_archived"])
        yield* workspace.revoke(workspace.botToken)
        assert.strictEqual(codeOf(yield* callV2("e", { action: "post", channel, markdown: "x" })), "token_revoked")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("splits a long answer whole, one table a message, pinging nobody", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const table = "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        const markdown = `<!channel> ${"A paragraph of text. ".repeat(40)}\n\n`.repeat(20) + table + table
        const answer = yield* callV2("long", { action: "post", channel, threadTs: ts, markdown })
        assert.strictEqual(answer.status, 200, JSON.stringify(answer.json))
        const thread = yield* workspace.thread(channel, ts)
        const texts = thread?.replies.map(({ message }) => JSON.stringify(message["blocks"])) ?? []
        assert.deepStrictEqual(thread?.replies.map((reply) => reply.ts), [...partsOf(answer)])
        assert.isAtLeast(texts.length, 3)
        assert.notInclude(texts.join(""), "<!channel>")
        assert.deepStrictEqual(
          partsOf(yield* callV2("long", { action: "post", channel, threadTs: ts, markdown })),
          partsOf(answer)
        )
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
