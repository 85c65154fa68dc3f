import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { execFile, spawn } from "node:child_process"
import * as fs from "node:fs"
import { connect } from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { listen, makeAttach } from "../../../plugins/chat-files/AttachSocket.ts"
import { frame } from "../../../plugins/chat-files/attachWire.ts"
import { maxAttachedFiles } from "../../../plugins/chat-files/limits.ts"
import type { BridgeErrorCode, UploadAction } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import type { TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { Ledger } from "../../../runtime/ports/Ledger.ts"
import { layerOver as ledgerOver, makeMemoryLedgerState } from "../../../runtime/ports/memory/MemoryLedger.ts"
import { layerOver as objectsOver, makeMemoryObjectsState } from "../../../runtime/ports/memory/MemoryObjects.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { temporaryDirectory } from "../../support/ScriptedModel.ts"
import { channel, sandbox, slackRequest, turnRow } from "../../support/turnRows.ts"

const program = fileURLToPath(new URL("../../../plugins/chat-files/attach/main.ts", import.meta.url))
const secret = "hunter2-hunter2-hunter2"
const running = turnRow(slackRequest(1), { state: "running", attempt: 1 })

/** The runtime's end in a directory of its own, and the program as the agent starts it. */
const attaching = Effect.fnUntraced(function*(options: {
  readonly row?: TurnRow
  readonly maxBytes?: number
  readonly refuse?: BridgeErrorCode
  readonly link?: boolean
} = {}) {
  const directory = yield* temporaryDirectory
  const socket = path.join(directory, "files.sock")
  const stored = new Map<string, Buffer>()
  const memory = makeMemoryObjectsState()
  const recording = recordingBridge({
    refuse: () => options.refuse,
    answer: ({ action }) => {
      if (action.action !== "upload") return undefined
      const bytes = memory.objects.get(sandbox)?.get(action.object)
      if (bytes !== undefined) stored.set(action.title, Buffer.from(bytes))
      return { file: options.link === true ? { id: "link", link: "https://x.test" } : { id: "F1" } }
    }
  })
  const context = yield* Layer.build(Layer.mergeAll(
    recording.layer,
    objectsOver(memory),
    ledgerOver(makeMemoryLedgerState()),
    Redaction.layer
  ))
  yield* Effect.gen(function*() {
    const redaction = yield* Redaction
    yield* redaction.add(Redacted.make(secret))
    const ledger = yield* Ledger
    yield* ledger.insert(options.row ?? running)
    yield* listen(
      socket,
      makeAttach({
        sandbox,
        bridge: yield* Bridge,
        ledger,
        objects: yield* Objects,
        redaction,
        maxBytes: options.maxBytes ?? 1_000_000
      })
    )
  }).pipe(Effect.provide(context))
  const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
    Effect.callback<{ readonly exit: number; readonly out: string; readonly err: string }>((resume) => {
      execFile(process.execPath, [program, ...args], {
        cwd: directory,
        env: { KM_FILES_SOCKET: socket, KM_SLACK_THREAD_TS: "1700000000.000001", ...env }
      }, (error, out, err) => resume(Effect.succeed({ exit: error === null ? 0 : Number(error.code), out, err })))
    })
  const uploads = () =>
    recording.effects().flatMap(({ action, key }) => action.action === "upload" ? [{ key, action }] : [])
  const write = (name: string, content: string | Buffer) => fs.writeFileSync(path.join(directory, name), content)
  return { directory, memory, run, socket, stored, uploads, write }
})

const actionOf = (uploads: ReadonlyArray<{ readonly action: typeof UploadAction.Type }>) => uploads[0]?.action

/** What the runtime says to these bytes. */
const spoken = (socket: string, ...parts: ReadonlyArray<Uint8Array>) =>
  Effect.callback<string>((resume) => {
    const chunks: Array<Buffer> = []
    const connection = connect({ path: socket })
    connection.on("data", (chunk: Buffer) => chunks.push(chunk))
    connection.on("error", () => undefined)
    connection.on("close", () => resume(Effect.succeed(Buffer.concat(chunks).subarray(4).toString())))
    for (const part of parts) connection.write(part)
    connection.end()
  })

const codeOf = (text: string) => Object(JSON.parse(text)).error?.code

describe("km-attach", () => {
  it.live("shows files in the thread of the running turn, each once", () =>
    Effect.gen(function*() {
      const { memory, run, stored, uploads, write } = yield* attaching()
      const chart = Buffer.from(Array.from({ length: 200_000 }, (_, n) => n % 253))
      write("chart.png", chart)
      write("ümlaut report.md", "# yes")
      const said = yield* run(["chart.png", "ümlaut report.md"])
      assert.deepStrictEqual(said, { exit: 0, out: "attached chart.png\nattached ümlaut report.md\n", err: "" })
      assert.isTrue(stored.get("chart.png")?.equals(chart))
      const first = actionOf(uploads())
      assert.deepInclude(first, {
        channel,
        threadTs: slackRequest(1).origin.threadTs,
        size: chart.length,
        sha256: sha256Hex(chart)
      })
      assert.deepStrictEqual(uploads().map(({ action }) => action.filename), ["chart.png", "umlaut_report.md"])
      // The same content under the same name is there already.
      assert.strictEqual((yield* run(["--json", "chart.png"])).out, `{"ok":true,"file":"chart.png","size":200000}\n`)
      assert.lengthOf(uploads(), 2)
      write("chart.png", "another")
      yield* run(["chart.png"])
      assert.lengthOf(uploads(), 3)
      assert.strictEqual(memory.objects.get(sandbox)?.size, 0)
    }))

  it.live("keeps the object where a link leads to it, and hides secrets in names", () =>
    Effect.gen(function*() {
      const { memory, run, uploads, write } = yield* attaching({ link: true })
      write(`key-${secret}.txt`, "x")
      assert.strictEqual((yield* run([`key-${secret}.txt`])).exit, 0)
      assert.strictEqual(memory.objects.get(sandbox)?.size, 1)
      assert.notInclude(JSON.stringify(uploads()), secret)
    }))

  const wrong: ReadonlyArray<readonly [string, string, number, ReadonlyArray<string>]> = [
    ["no file", "KM-SLK-314", 2, []],
    ["an unknown option", "KM-SLK-314", 2, ["--zip", "a.txt"]],
    ["a file that is not there", "KM-SLK-315", 1, ["none.txt"]],
    ["a directory", "KM-SLK-315", 1, ["."]],
    ["a device", "KM-SLK-315", 1, ["/dev/zero"]],
    ["a pipe that nobody writes into", "KM-SLK-315", 1, ["pipe"]],
    ["a link to what is not there", "KM-SLK-315", 1, ["dangling"]],
    ["an empty file", "KM-SLK-316", 6, ["empty"]],
    ["a file that is too large", "KM-SLK-316", 6, ["large"]]
  ]
  it.live("refuses with a code and a reason", () =>
    Effect.gen(function*() {
      const { directory, memory, run, uploads, write } = yield* attaching({ maxBytes: 1_000 })
      write("empty", "")
      write("large", Buffer.alloc(20_000_000))
      fs.symlinkSync("/nowhere/at/all", path.join(directory, "dangling"))
      yield* Effect.callback<void>((resume) => {
        spawn("mkfifo", [path.join(directory, "pipe")]).once("close", () => resume(Effect.void))
      })
      for (const [what, code, exit, args] of wrong) {
        const said = yield* run(args)
        assert.deepStrictEqual([said.exit, said.err.split(":")[0]], [exit, `error ${code}`], what)
      }
      assert.lengthOf(uploads(), 0)
      assert.isUndefined(memory.objects.get(sandbox))
    }))

  it.live("knows no thread but those whose turn runs", () =>
    Effect.gen(function*() {
      const { run, write } = yield* attaching({ row: { ...running, state: "posted", result: "answered" } })
      write("a.txt", "a")
      const over = yield* run(["a.txt"])
      assert.deepStrictEqual([over.exit, over.err.split(":")[0]], [6, "error KM-SLK-317"])
      for (const ts of ["1700000000.000002", ""]) {
        assert.strictEqual((yield* run(["a.txt"], { KM_SLACK_THREAD_TS: ts })).exit, 6, ts)
      }
      assert.strictEqual((yield* run(["a.txt"], { KM_FILES_SOCKET: "" })).exit, 1)
    }))

  it.live("tells what Slack refused, in JSON too", () =>
    Effect.gen(function*() {
      const { run, write } = yield* attaching({ refuse: "is_archived" })
      write("a.txt", "a")
      const said = yield* run(["--json", "a.txt"])
      assert.strictEqual(said.exit, 6)
      assert.deepInclude(Object(JSON.parse(said.out)).error, { code: "KM-SLK-318" })
      assert.include(said.err, "is_archived")
    }))

  it.live("attaches so many files in one turn and no more", () =>
    Effect.gen(function*() {
      const { run, uploads, write } = yield* attaching()
      const names = Array.from({ length: maxAttachedFiles + 1 }, (_, n) => `${n}.txt`)
      for (const name of names) write(name, name)
      const said = yield* run(names)
      assert.strictEqual(said.exit, 6)
      assert.include(said.err, "KM-SLK-316")
      assert.lengthOf(uploads(), maxAttachedFiles)
    }))

  it.live("takes nothing that is cut off, goes on too long, or is no request", () =>
    Effect.gen(function*() {
      const { memory, run, socket, uploads, write } = yield* attaching()
      const request = {
        v: 1,
        op: "attach",
        invocation: "i".repeat(22),
        threadTs: "1700000000.000001",
        name: "a",
        size: 4
      }
      for (const bytes of ["abc", "abcde"]) {
        assert.strictEqual(codeOf(yield* spoken(socket, frame(request), Buffer.from(bytes))), "KM-SLK-315", bytes)
      }
      const huge = Buffer.alloc(4, 0xff)
      for (
        const bytes of [frame({ ...request, v: 2 }), frame({ ...request, invocation: "../../x" }), frame("x"), huge]
      ) {
        assert.strictEqual(codeOf(yield* spoken(socket, bytes, Buffer.alloc(100))), "KM-SLK-314")
      }
      assert.strictEqual(codeOf(yield* spoken(socket)), "KM-SLK-315")
      assert.lengthOf(uploads(), 0)
      assert.isUndefined(memory.objects.get(sandbox))
      write("a.txt", "still here")
      assert.strictEqual((yield* run(["a.txt"])).exit, 0)
    }))

  it.effect("asked again by the same invocation, attaches nothing twice", () =>
    Effect.gen(function*() {
      const recording = recordingBridge()
      const memory = makeMemoryObjectsState()
      yield* Effect.gen(function*() {
        const parts = {
          sandbox,
          bridge: yield* Bridge,
          ledger: yield* Ledger,
          objects: yield* Objects,
          redaction: yield* Redaction,
          maxBytes: 100
        }
        yield* parts.ledger.insert(running)
        const request = { invocation: "i".repeat(22), threadTs: "1700000000.000001", name: "a", size: 1 }
        // Each as after a restart of the runtime.
        for (const attach of [makeAttach(parts), makeAttach(parts)]) {
          yield* attach(request, Stream.make(Buffer.from("a")))
        }
      }).pipe(Effect.provide(Layer.mergeAll(
        recording.layer,
        objectsOver(memory),
        ledgerOver(makeMemoryLedgerState()),
        Redaction.layer
      )))
      assert.lengthOf(recording.effects(), 1)
      assert.lengthOf(recording.calls, 2)
    }))
})
