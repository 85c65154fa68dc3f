import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { signRevocation } from "../../runtime/domain/Certificate.ts"
import { sha256Hex } from "../../runtime/domain/Digest.ts"
import { signingKeyFromSeed } from "../../runtime/domain/Ed25519.ts"
import { ChannelId, MessageTs, requestIdOf, UserId } from "../../runtime/domain/Ids.ts"
import { Idempotency, makeMemoryIdempotencyState } from "../../runtime/ports/Idempotency.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Leases } from "../../runtime/ports/Leases.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { userIdOf } from "../support/Workspace.ts"
import {
  type Answer,
  bridgeOver,
  callsOf,
  callV2,
  certified,
  certifier,
  codeOf,
  download,
  furnish,
  install,
  otherSandbox,
  room,
  sandbox,
  say,
  send
} from "./world.ts"

const partsOf = (answer: Answer): ReadonlyArray<string> => {
  const parts = answer.json["parts"]
  return Array.isArray(parts) ? parts.map((part: { ts: string }) => part.ts) : []
}

const bytes = Buffer.from("a session".repeat(1_000))
const upload = (channel: string, threadTs: string, changes: object = {}) => ({
  action: "upload",
  channel,
  threadTs,
  object: "sessions/s1.jsonl.gz",
  filename: "claude-transcript-s1.jsonl.gz",
  title: "Session s1",
  contentType: "application/gzip",
  size: bytes.length,
  sha256: sha256Hex(bytes),
  ...changes
})

const filesIn = (
  thread: { readonly replies: ReadonlyArray<{ readonly message: Record<string, unknown> }> } | undefined
) => (thread?.replies ?? []).flatMap(({ message }) => Array.isArray(message["files"]) ? message["files"] : [])

const operate = (key: string, action: object) => callV2(key, action, { sender: "operator" })

/** A furnished bridge over a workspace with Ada's first message. */
const scene = room().pipe(
  Effect.flatMap((made) => Effect.map(say(made.ada, made.channel, "hello"), (ts) => ({ ...made, ts })))
)

describe("POST /v2 refuses", () => {
  it.live("in the order of the protocol, with a stable code, and stores nothing", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const stranger = signingKeyFromSeed(new Uint8Array(32).fill(9))
        const now = Math.floor(Date.now() / 1000)
        const post = { action: "post", channel, threadTs: ts, markdown: "x" }
        const foreign = { ...post, channel: "C0FOREIGN1" }
        const cases: ReadonlyArray<readonly [string, number, string, ReturnType<typeof callV2>]> = [
          ["over the cap", 413, "too_large", callV2("a", post, { body: " ".repeat(1024 * 1024 + 1) })],
          ["a missing header", 400, "bad_header", callV2("a", post, { headers: { "km-id": "short" } })],
          ["stale", 401, "stale_timestamp", callV2("a", post, { timestamp: now - 302 })],
          ["future", 401, "stale_timestamp", callV2("a", post, { timestamp: now + 302 })],
          ["an unknown sender", 401, "unauthenticated", callV2("a", post, { sender: otherSandbox })],
          ["another key", 401, "unauthenticated", callV2("a", post, { key: stranger })],
          ["another host", 401, "unauthenticated", callV2("a", post, { host: "elsewhere.test" })],
          [
            "a changed header",
            401,
            "unauthenticated",
            callV2("a", post, { headers: { "km-id": requestIdOf("other") } })
          ],
          ["another install", 401, "unauthenticated", callV2("a", post, { headers: { "km-install": "other" } })],
          ["not UTF-8", 400, "bad_request", callV2("a", post, { body: Buffer.from([0xff]) })],
          ["not JSON", 400, "bad_request", callV2("a", post, { body: "{" })],
          [
            "half a character",
            400,
            "bad_request",
            callV2("a", post, { body: JSON.stringify({ ...post, markdown: "\ud83d" }) })
          ],
          ["an unknown action", 400, "unknown_action", callV2("a", { action: "explode" })],
          ["a wrong field", 400, "bad_request", callV2("a", { ...post, channel: "nowhere" })],
          ["a blank text", 400, "bad_request", callV2("a", { ...post, markdown: " \n " })],
          ["a foreign channel", 403, "forbidden", callV2("a", foreign)],
          ["another's message", 403, "forbidden", callV2("a", { action: "update", channel, ts, markdown: "x" })],
          ["an operator's action", 403, "forbidden", callV2("a", { action: "archive", channel })]
        ]
        for (const [what, status, code, call] of cases) {
          const answer = yield* call
          assert.deepStrictEqual([answer.status, codeOf(answer)], [status, code], what)
        }
        const thread = yield* workspace.thread(channel, ts)
        assert.lengthOf(thread?.replies ?? [], 0)
        // The id is as fresh as if nobody had used it.
        const begun = yield* (yield* Idempotency).begin(`${install}/${sandbox}`, requestIdOf("a"), "", 1)
        assert.strictEqual(begun._tag, "Fresh")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("unknown senders and bad signatures in the same words", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const action = { action: "permalink", channel, ts: "1700000000.000001" }
        const unknown = yield* callV2("a", action, { sender: otherSandbox })
        const wrong = yield* callV2("a", action, { key: signingKeyFromSeed(new Uint8Array(32).fill(9)) })
        assert.deepStrictEqual(unknown.json, wrong.json)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("revoked and expired keys, and a runtime that another has replaced", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const identities = yield* Identities
        const old = signingKeyFromSeed(new Uint8Array(32).fill(4))
        const gone = signingKeyFromSeed(new Uint8Array(32).fill(5))
        const now = Math.floor(Date.now() / 1000)
        yield* identities.put(sandbox, "bridge", old.keyId, certified(sandbox, old, { notAfter: now - 1 }))
        yield* identities.put(sandbox, "bridge", gone.keyId, certified(sandbox, gone))
        yield* identities.revoke(
          1,
          signRevocation(certifier, {
            version: 1,
            install,
            number: 1,
            subject: sandbox,
            keyId: gone.keyId,
            reason: "lost",
            at: now
          })
        )
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual(codeOf(yield* callV2("a", react, { key: old })), "unauthenticated")
        assert.strictEqual(codeOf(yield* callV2("a", react, { key: gone })), "revoked_key")
        const leases = yield* Leases
        yield* leases.acquire(sandbox, "first", 1)
        const taken = yield* leases.acquire(sandbox, "first", 10_000)
        const epoch = taken._tag === "Some" ? taken.value.epoch : 0
        assert.strictEqual(codeOf(yield* callV2("a", react, { epoch: String(epoch - 1) })), "stale_epoch")
        assert.strictEqual((yield* callV2("a", react, { epoch: String(epoch) })).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("no key that was certified a moment ago, though the sender's others are remembered", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const react = { action: "react", channel, ts, emoji: "eyes" }
        assert.strictEqual((yield* callV2("a", react)).status, 200)
        const fresh = signingKeyFromSeed(new Uint8Array(32).fill(6))
        yield* (yield* Identities).put(sandbox, "bridge", fresh.keyId, certified(sandbox, fresh))
        assert.strictEqual((yield* callV2("b", react, { key: fresh })).status, 200)
        assert.strictEqual((yield* callV2("c", react)).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("in a shared channel, threads and messages that the sandbox did not start", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Sandboxes).update(sandbox, { channelMode: "shared" })
        yield* (yield* Posts).record({ sender: otherSandbox, channel, ts })
        const refused = [
          { action: "post", channel, threadTs: ts, markdown: "x" },
          { action: "react", channel, ts, emoji: "eyes" },
          { action: "update", channel, ts, markdown: "x" }
        ]
        for (const action of refused) assert.strictEqual(codeOf(yield* callV2("a", action)), "forbidden", action.action)
        const [own] = partsOf(yield* callV2("b", { action: "post", channel, markdown: "a notice" }))
        assert.strictEqual(
          (yield* callV2("c", { action: "post", channel, threadTs: own, markdown: "more" })).status,
          200
        )
        assert.strictEqual((yield* callV2("d", { action: "react", channel, ts: own, emoji: "eyes" })).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})

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
    }), 60_000)

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
    }), 60_000)

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
      }),
    60_000
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

describe("live messages", () => {
  const live = "live-0000000000000001"

  it.live("show the newest text, ignore older ones, go on past 4,000 characters and shrink again", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const set = (seq: number, markdown: string) =>
          callV2(`live-${seq}-${markdown.length}`, { action: "live.set", channel, threadTs: ts, live, seq, markdown })
        const first = partsOf(yield* set(1, "one"))
        assert.lengthOf(first, 1)
        assert.deepStrictEqual(partsOf(yield* set(0, "older")), first)
        const long = yield* set(2, "A sentence. ".repeat(500))
        assert.lengthOf(partsOf(long), 2)
        assert.strictEqual(partsOf(long)[0], first[0])
        assert.deepStrictEqual(partsOf(yield* set(3, "short **again**")), first)
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["short again"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("send at most one change a second and let the latest win", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const set = (seq: number) =>
          callV2(`live-${seq}`, { action: "live.set", channel, threadTs: ts, live, seq, markdown: `text ${seq}` })
        yield* set(0)
        const answers = yield* Effect.all(Array.from({ length: 20 }, (_, index) => set(index + 1)), {
          concurrency: "unbounded"
        })
        assert.isTrue(answers.every(({ status }) => status === 200))
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["text 20"])
        assert.isAtMost(yield* callsOf(workspace, "chat.update"), 2)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("post anew when somebody deleted them", () =>
    Effect.gen(function*() {
      const { bot, channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const set = (seq: number) =>
          callV2(`live-${seq}`, { action: "live.set", channel, threadTs: ts, live, seq, markdown: `text ${seq}` })
        const [gone] = partsOf(yield* set(1))
        yield* Effect.promise(() => bot.chat.delete({ channel, ts: gone ?? "" }))
        const [fresh] = partsOf(yield* set(2))
        assert.notStrictEqual(fresh, gone)
        const thread = yield* workspace.thread(channel, ts)
        assert.deepStrictEqual(thread?.replies.map(({ message }) => message["text"]), ["text 2"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})

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
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Objects).put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes))
        yield* workspace.faults.add({
          method: "files.completeUploadExternal",
          fault: { kind: "refuse", error: "internal_error" }
        })
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
        const wrong = yield* send("GET", `${path}x`, {}, undefined)
        assert.deepStrictEqual([wrong.status, codeOf(wrong)], [404, "KM-SLK-040"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})

describe("operators", () => {
  it.live("get a channel with people in it, a second name where the first is taken, and the old one linked", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const ensure = (key: string, changes: object) =>
          operate(key, {
            action: "channel.ensure",
            sandbox,
            name: "sb-demo",
            private: false,
            topic: "a topic",
            inviteEmails: ["grace@lab.test", "nobody@lab.test"],
            ...changes
          })
        const made: { channel?: { id: string; name: string; created: boolean; warnings: Array<string> } } =
          (yield* ensure("a", {})).json
        assert.strictEqual(made.channel?.name, "sb-demo-2")
        assert.isTrue(made.channel?.created)
        const members = yield* Effect.promise(() => bot.conversations.members({ channel: made.channel?.id ?? "" }))
        assert.isTrue(members.members?.includes(userIdOf(workspace, "grace")))
        const again: typeof made = (yield* ensure("b", { previous: made.channel?.id })).json
        assert.deepStrictEqual([again.channel?.id, again.channel?.created], [made.channel?.id, false])
        assert.strictEqual((yield* operate("c", { action: "archive", channel: made.channel?.id })).status, 200)
        assert.strictEqual((yield* operate("d", { action: "archive", channel: made.channel?.id })).status, 200)
        const third: typeof made = (yield* ensure("e", { previous: made.channel?.id })).json
        assert.strictEqual(third.channel?.name, "sb-demo-3")
        const texts = (yield* workspace.messages(third.channel?.id ?? "")).map(({ message }) => String(message["text"]))
        assert.isTrue(texts.some((text) => text.includes(made.channel?.id ?? "none")), texts.join())
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("prove the token, the scopes and the metadata, and leave nothing behind", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const answer: { checks?: Array<{ name: string; ok: boolean }> } = (yield* operate("a", { action: "test" })).json
        assert.deepStrictEqual(
          answer.checks?.map(({ name, ok }) => [name, ok]),
          [["token", true], ["scopes", true], ["metadata", true]],
          JSON.stringify(answer)
        )
        assert.lengthOf(yield* workspace.messages(channel), 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("purge what the bridge remembers; a sandbox reports that it is alive and finds its thread", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const session = "3f0c1f1e-0000-4000-8000-000000000001"
        yield* callV2("a", { action: "thread.put", channel, threadTs: ts, session })
        const found = yield* callV2("b", { action: "thread.lookup", threadTs: ts })
        assert.deepStrictEqual(found.json["thread"], { channel, threadTs: ts, session })
        assert.deepStrictEqual(
          (yield* callV2("c", { action: "thread.lookup", session })).json["thread"],
          found.json["thread"]
        )
        const user = UserId.make(userIdOf(workspace, "eve"))
        assert.deepNestedInclude((yield* callV2("d", { action: "user.lookup", user })).json, { "user.external": true })
        yield* callV2("e", {
          action: "activity",
          lastActiveAt: Date.now() + 3_600_000,
          ready: true,
          confined: true,
          plugins: [{ id: "transcript", state: "running", detail: "" }]
        })
        const row = yield* (yield* Sandboxes).get(sandbox)
        assert.isAtMost(row._tag === "Some" ? row.value.lastActiveAt ?? 0 : 0, Date.now())
        const [own] = partsOf(yield* callV2("f", { action: "post", channel, threadTs: ts, markdown: "x" }))
        assert.strictEqual((yield* operate("g", { action: "purge", sandbox })).status, 200)
        assert.notProperty((yield* callV2("h", { action: "thread.lookup", threadTs: ts })).json, "thread")
        const owner = yield* (yield* Posts).owner(ChannelId.make(channel), MessageTs.make(own ?? ""))
        assert.strictEqual(owner._tag, "None")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
