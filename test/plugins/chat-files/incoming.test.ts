import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { vi } from "vitest"
import { inboxInJail, openInbox } from "../../../plugins/chat-files/Inbox.ts"
import { makeIncoming } from "../../../plugins/chat-files/Incoming.ts"
import { SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { FetchedFile } from "../../../runtime/domain/slack/FetchedFile.ts"
import type { TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { layerOver as objectsOver, makeMemoryObjectsState } from "../../../runtime/ports/memory/MemoryObjects.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { temporaryDirectory } from "../../support/ScriptedModel.ts"
import { sandbox, slackRequest, turnRow } from "../../support/turnRows.ts"

const stored = (id: string, name: string, content: string): FetchedFile => ({
  state: "stored",
  name,
  mimeType: "text/plain",
  object: `inbox/x/${id}`,
  size: content.length,
  sha256: "0".repeat(64)
})

interface Options {
  readonly answers: Readonly<Record<string, FetchedFile | "forbidden">>
  readonly content?: Readonly<Record<string, string>>
  readonly objects?: Layer.Layer<Objects>
  readonly maxBytes?: number
}

const row = (ids: ReadonlyArray<string>) =>
  turnRow({
    ...slackRequest(1),
    files: ids.map((id) => ({ id, name: `${id}.txt`, mimeType: "text/plain", size: 1 }))
  })

/** A plugin's part over a bridge that answers by file, in a directory of its own. */
const incoming = Effect.fnUntraced(function*({ answers, content = {}, maxBytes, objects }: Options) {
  const state = yield* temporaryDirectory
  const memory = makeMemoryObjectsState()
  const answerOf = (id: string) => answers[id]
  const recording = recordingBridge({
    refuse: ({ action }) =>
      action.action === "file.get" && answerOf(action.file) === "forbidden" ? "forbidden" : undefined,
    answer: ({ action }) => {
      const fetched = action.action === "file.get" ? answerOf(action.file) : undefined
      return typeof fetched === "object" ? { fetched } : undefined
    }
  })
  return yield* Effect.gen(function*() {
    const port = yield* Objects
    for (const [id, text] of Object.entries(content)) {
      yield* port.put(sandbox, `inbox/x/${id}`, Stream.make(Buffer.from(text)))
    }
    const inbox = yield* openInbox(state, maxBytes)
    const gather = makeIncoming({
      sandbox,
      bridge: yield* Bridge,
      objects: port,
      inbox,
      shownAt: inboxInJail,
      background: (effect) => effect
    })
    const notices = () => recording.effects().flatMap(({ action }) => action.action === "post" ? [action.markdown] : [])
    return { gather, inbox, notices, recording, state, left: port.list(sandbox) }
  }).pipe(Effect.provide(Layer.merge(recording.layer, objects ?? objectsOver(memory))))
})

const place = "1700000000-000001"
const session = (n: number) => SessionId.make(`00000000-0000-4000-8000-00000000000${n}`)
const turn = (n: number, ids: ReadonlyArray<string>, changes: Partial<TurnRow>) =>
  turnRow({
    ...slackRequest(n, { thread: 1 }),
    files: ids.map((id) => ({ id, name: `${id}.txt`, mimeType: "text/plain", size: 5 }))
  }, changes)

describe("files of a message", () => {
  it.live("lie in the inbox, whole and private, and the agent is told where", () =>
    Effect.gen(function*() {
      const { gather, inbox, left, notices, state } = yield* incoming({
        answers: { F1: stored("F1", "notes.txt", "hello"), F2: stored("F2", "notes.txt", "world") },
        content: { F1: "hello", F2: "world" }
      })
      const lines = yield* gather(row(["F1", "F2"]))
      assert.deepStrictEqual(lines, [
        `Files of this message, read-only, as the person sent them: ${inboxInJail}/${place}/notes.txt (text/plain, 5 B); ` +
        `${inboxInJail}/${place}/2-notes.txt (text/plain, 5 B)`
      ])
      const read = (name: string) => fs.readFileSync(path.join(inbox.directory, place, name), "utf8")
      assert.deepStrictEqual([read("notes.txt"), read("2-notes.txt")], ["hello", "world"])
      assert.strictEqual(fs.statSync(path.join(inbox.directory, place, "notes.txt")).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(inbox.directory).mode & 0o777, 0o700)
      assert.deepStrictEqual(yield* left, [])
      assert.deepStrictEqual(fs.readdirSync(path.join(state, "inbox-partial")), [])
      assert.deepStrictEqual(notices(), [])
    }))

  it.live("are there once however often it is asked, also when the object has gone meanwhile", () =>
    Effect.gen(function*() {
      const { gather, inbox, recording } = yield* incoming({
        answers: { F1: stored("F1", "notes.txt", "hello") },
        content: { F1: "hello" }
      })
      const first = yield* gather(row(["F1"]))
      assert.deepStrictEqual(yield* gather(row(["F1"])), first)
      assert.deepStrictEqual(fs.readdirSync(path.join(inbox.directory, place)), ["notes.txt"])
      assert.lengthOf(recording.effects(), 1)
    }))

  it.live("are asked for once more when they are in neither place, then given up aloud", () =>
    Effect.gen(function*() {
      const { gather, notices, recording } = yield* incoming({ answers: { F1: stored("F1", "notes.txt", "hello") } })
      const [line] = yield* gather(row(["F1"]))
      assert.include(line, "could not be had")
      assert.deepStrictEqual(
        recording.effects().flatMap(({ action, key }) => action.action === "file.get" ? [key.split("/").at(-1)] : []),
        ["F1", "again"]
      )
      assert.lengthOf(notices(), 1)
    }))

  it.live("that cannot be had are told in one note, and the others come all the same", () =>
    Effect.gen(function*() {
      const { gather, notices } = yield* incoming({
        answers: {
          F1: stored("F1", "good.txt", "good"),
          F2: { state: "refused", name: "big.iso", why: "too_large" },
          F3: { state: "elsewhere", name: "doc", url: "https://docs.example.com/d/1" },
          F4: "forbidden"
        },
        content: { F1: "good" }
      })
      const lines = yield* gather(row(["F1", "F2", "F3", "F4"]))
      assert.lengthOf(lines, 3)
      assert.include(lines[0], "good.txt (text/plain, 4 B)")
      assert.include(lines[1], "doc: https://docs.example.com/d/1")
      assert.deepStrictEqual(notices(), [
        "📎 `big.iso` did not reach the agent: it is larger than this sandbox takes. (KM-SLK-311)\n" +
        "📎 `F4.txt` did not reach the agent: the bridge refused it, forbidden. (KM-SLK-311)"
      ])
    }))

  it.live("that find the disk full leave nothing behind, and the thread hears of it", () =>
    Effect.gen(function*() {
      const { gather, inbox, notices, state } = yield* incoming({
        answers: { F1: stored("F1", "notes.txt", "hello"), F2: stored("F2", "more.txt", "world") },
        content: { F1: "hello", F2: "world" }
      })
      const real = fs.promises.open
      const open = vi.spyOn(fs.promises, "open").mockImplementation(async (...given) => {
        const handle = await real(...given)
        handle.writeFile = () => Promise.reject(Object.assign(new Error("no space left"), { code: "ENOSPC" }))
        return handle
      })
      const lines = yield* Effect.ensuring(gather(row(["F1", "F2"])), Effect.sync(() => open.mockRestore()))
      assert.lengthOf(lines, 1)
      assert.deepStrictEqual(notices(), [
        "📎 `notes.txt` did not reach the agent: there is no room on the disk. (KM-SLK-312)\n" +
        "📎 `more.txt` did not reach the agent: there is no room on the disk. (KM-SLK-312)"
      ])
      assert.deepStrictEqual(fs.readdirSync(inbox.directory), [])
      assert.deepStrictEqual(fs.readdirSync(path.join(state, "inbox-partial")), [])
      // With room again, the same message's files come.
      assert.lengthOf((yield* gather(row(["F1", "F2"]))).filter((line) => line.includes("could not")), 0)
    }))

  it.live("that the inbox has no room for are refused in the thread, and come once a conversation has begun anew", () =>
    Effect.gen(function*() {
      const content = { F1: "hello", F2: "world", F3: "third" }
      const { gather, inbox, notices, state } = yield* incoming({
        answers: {
          F1: stored("F1", "a.txt", "hello"),
          F2: stored("F2", "b.txt", "world"),
          F3: stored("F3", "c.txt", "third")
        },
        content,
        maxBytes: 12
      })
      yield* gather(turn(1, ["F1"], { session: session(1) }))
      yield* gather(turn(2, ["F2"], { session: session(1), resumed: true }))
      const [line] = yield* gather(turn(3, ["F3"], { session: session(1), resumed: true }))
      assert.include(line, "could not be had")
      assert.include(notices()[0], "(KM-SLK-319)")
      assert.lengthOf(fs.readdirSync(inbox.directory), 2)
      // A runtime that starts again counts what is there; another thread's files stay.
      const again = yield* openInbox(state, 12)
      const other = yield* Effect.flip(again.put("1700000000-000009", "d.txt", Stream.make(Buffer.from("12345")), 5))
      assert.deepInclude(other, { _tag: "InboxFailed", reason: "cap" })
      yield* again.belongs("1700000000-000008", { thread: "1700000000.000008", session: session(2) })
      assert.lengthOf(fs.readdirSync(inbox.directory), 2)
      // `!new`: the thread's next turn has a session of its own.
      yield* gather(turn(4, [], { session: session(3) }))
      assert.deepStrictEqual(fs.readdirSync(inbox.directory), [])
      const later = yield* gather(turn(5, ["F3"], { session: session(3), resumed: true }))
      assert.include(later[0], "c.txt")
    }))

  it.live("whose store fails are told as missing", () =>
    Effect.gen(function*() {
      const full = new StoreError({ port: "Objects", operation: "get", reason: "Full", detail: "", cause: undefined })
      const broken = Layer.effect(
        Objects,
        Effect.map(Objects, (objects) => Objects.of({ ...objects, get: () => Stream.fail(full) }))
      ).pipe(Layer.provide(objectsOver(makeMemoryObjectsState())))
      const { gather, notices } = yield* incoming({ answers: { F1: stored("F1", "a.txt", "a") }, objects: broken })
      yield* gather(row(["F1"]))
      assert.include(notices()[0], "KM-SLK-312")
    }))

  it.live("that a crash left half written are taken away at the next start", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const inbox = yield* openInbox(state)
      const broken = Stream.concat(Stream.make(Buffer.from("half")), Stream.fail("cut" as const))
      assert.strictEqual(yield* Effect.flip(inbox.put(place, "a.txt", broken, 8)), "cut")
      assert.isUndefined(yield* inbox.sizeOf(place, "a.txt"))
      fs.writeFileSync(path.join(state, "inbox-partial", "7"), "half")
      yield* openInbox(state)
      assert.deepStrictEqual(fs.readdirSync(path.join(state, "inbox-partial")), [])
    }))
})
