/**
 * The runtime's end of `km-attach`. Whoever connects is the sandbox's agent: the socket is shown to it alone. The bytes go
 * into an object as they come, and from there to Slack; none of ours opens a path that the agent names.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { createServer, type Socket } from "node:net"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { UploadAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { Objects } from "../../runtime/ports/Objects.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { type AttachRequest, frame, maxHeaderBytes, protocolVersion } from "./attachWire.ts"
import { type FileCode, fileTrouble } from "./ErrorCodes.ts"
import { uploadName } from "./inboxNames.ts"
import { runningIn } from "./Incoming.ts"
import { maxAttachedFiles } from "./limits.ts"

const maxConnections = 4
/** Without a byte of a request that is not whole. */
const patienceMillis = 60_000

const Request = Schema.fromJsonString(Schema.Struct({
  v: Schema.Literal(protocolVersion),
  op: Schema.Literal("attach"),
  invocation: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{16,64}$/)),
  threadTs: Schema.String.check(Schema.isMaxLength(40)),
  name: Schema.String.check(Schema.isMaxLength(1_000)),
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
}))
const decodeRequest = Schema.decodeUnknownEffect(Request)

export class NotAttached extends Schema.TaggedError<NotAttached>()("NotAttached", {
  code: Schema.String,
  why: Schema.String
}) {}
const refuse = (code: FileCode, why: string) => new NotAttached({ code, why })
const cutOff = refuse("KM-SLK-315", "the file was cut off")

export interface AttachParts {
  readonly sandbox: SandboxId
  readonly bridge: Bridge["Service"]
  readonly ledger: Ledger["Service"]
  readonly objects: Objects["Service"]
  readonly redaction: Redaction["Service"]
  readonly maxBytes: number
}

export interface Attached {
  readonly name: string
  readonly size: number
}

/** The announced number of bytes, or none at all. */
const exactly = (size: number, bytes: Stream.Stream<Uint8Array, NotAttached>) => {
  let have = 0
  return Stream.concat(
    Stream.mapEffect(bytes, (chunk) => {
      have += chunk.length
      return have > size ? Effect.fail(cutOff) : Effect.succeed(chunk)
    }),
    Stream.fromEffect(Effect.suspend(() => have === size ? Effect.succeed(new Uint8Array(0)) : Effect.fail(cutOff)))
  )
}

/** Takes one file's bytes to the thread. */
export const makeAttach = ({ bridge, ledger, maxBytes, objects, redaction, sandbox }: AttachParts) => {
  /** By turn: what stands in its thread already, by content and name. */
  const attached = new Map<string, Set<string>>()

  const turnOf = Effect.fnUntraced(function*(threadTs: string) {
    const open = yield* Effect.mapError(ledger.open, () => refuse("KM-SLK-318", "the ledger cannot be read"))
    const row = runningIn(open, threadTs)
    if (row._tag === "None") return yield* refuse("KM-SLK-317", "KM_SLK_THREAD_TS names no thread with a running turn")
    for (const key of attached.keys()) if (!open.some((other) => other.key === key)) attached.delete(key)
    return row.value
  })

  const stored = Effect.fnUntraced(function*(object: string, bytes: Stream.Stream<Uint8Array, NotAttached>) {
    // `put` speaks of its store alone: what ends the bytes early is told beside it.
    let ended: NotAttached | undefined
    const put = yield* Effect.result(objects.put(
      sandbox,
      object,
      Stream.mapError(bytes, (why) => {
        ended = why
        return new StoreError({ port: "Objects", operation: "put", reason: "Unavailable", detail: "cut", cause: why })
      })
    ))
    if (put._tag === "Success") return put.success
    if (ended !== undefined) return yield* ended
    return yield* put.failure.reason === "Full"
      ? refuse("KM-SLK-312", "the disk is full")
      : refuse("KM-SLK-318", `the file cannot be stored (${put.failure.reason})`)
  })

  const shown = Effect.fnUntraced(function*(row: TurnRow, action: typeof UploadAction.Type) {
    const done = attached.get(row.key) ?? new Set()
    attached.set(row.key, done)
    const key = `${row.key}/attach/${action.sha256.slice(0, 16)}/${action.filename}`
    if (done.has(key)) return yield* objects.delete(sandbox, action.object)
    if (done.size >= maxAttachedFiles) {
      return yield* refuse("KM-SLK-316", `at most ${maxAttachedFiles} files in one turn`)
    }
    done.add(key)
    const result = yield* bridge.call({ key, action }).pipe(
      // The same content under the same name, sent by an earlier life of the runtime.
      Effect.catchIf((error) => error.code === "already_done", () => Effect.succeed({ file: undefined })),
      Effect.mapError((error) => {
        done.delete(key)
        return refuse("KM-SLK-318", `${error.detail} (${error.code})`)
      })
    )
    // A link in the place of a file leads to the object.
    if (result.file?.id !== "link") yield* objects.delete(sandbox, action.object)
  })

  return Effect.fn("ChatFiles.attach")(
    function*(request: Omit<AttachRequest, "op" | "v">, bytes: Stream.Stream<Uint8Array, NotAttached>) {
      const { invocation, size } = request
      const row = yield* turnOf(request.threadTs)
      const { origin } = row.request
      if (origin.kind !== "slack") return yield* refuse("KM-SLK-317", "the turn is none of Slack's")
      if (size === 0) return yield* refuse("KM-SLK-316", "the file is empty, and Slack takes no empty file")
      if (size > maxBytes) {
        return yield* refuse("KM-SLK-316", `the file has ${size} bytes; at most ${maxBytes} are attached`)
      }
      const object = `outbox/${invocation}`
      const { sha256 } = yield* stored(object, exactly(size, bytes))
      const name = redaction.redact(request.name).toWellFormed()
      yield* shown(row, {
        action: "upload",
        channel: origin.channel,
        threadTs: origin.threadTs,
        object,
        filename: uploadName(name),
        title: name.slice(0, 200).toWellFormed(),
        contentType: "application/octet-stream",
        size,
        sha256
      }).pipe(
        Effect.catchTag("StoreError", (error) => Effect.logWarning("an attached file's object stays", error.message))
      )
      return { name, size } satisfies Attached
    },
    (effect, { threadTs }) => Effect.annotateLogs(effect, { threadTs })
  )
}

/** The header, and everything behind it as it comes. */
const readRequest = Effect.fnUntraced(function*(socket: Socket) {
  const pieces: AsyncIterator<Buffer> = socket.iterator({ destroyOnReturn: false })
  const next = Effect.tryPromise({ try: () => pieces.next(), catch: () => cutOff })
  let have = Buffer.alloc(0)
  const wanted = () => have.length < 4 ? 4 : 4 + have.readUInt32BE(0)
  while (have.length < wanted()) {
    if (wanted() > 4 + maxHeaderBytes) return yield* refuse("KM-SLK-314", "the request is no request")
    const piece = yield* next
    if (piece.done === true) return yield* cutOff
    have = Buffer.concat([have, piece.value])
  }
  const request = yield* decodeRequest(have.subarray(4, wanted()).toString("utf8")).pipe(
    Effect.mapError(() => refuse("KM-SLK-314", "the request is not understood; is the program of this version?"))
  )
  const rest = have.subarray(wanted())
  const behind = Stream.fromAsyncIterable<Uint8Array, NotAttached>(
    { [Symbol.asyncIterator]: () => pieces },
    () => cutOff
  )
  return { request, bytes: rest.length === 0 ? behind : Stream.concat(Stream.make<[Uint8Array]>(rest), behind) }
})

const handOver = (socket: Socket, answer: object) =>
  Effect.callback<void>((resume) => {
    // What still comes is left where it is: whoever has the whole answer goes.
    socket.once("close", () => resume(Effect.void))
    socket.end(frame(answer), () => resume(Effect.void))
  })

/** Listens until the scope closes. Fails with the system's own error when the path cannot be used. */
export const listen = Effect.fnUntraced(function*(path: string, attach: ReturnType<typeof makeAttach>) {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const serve = (socket: Socket) =>
    Effect.flatMap(readRequest(socket), ({ bytes, request }) => attach(request, bytes)).pipe(
      Effect.map((done): object => ({ ok: true, ...done })),
      Effect.catch(({ code, why }) => Effect.succeed({ ok: false, error: fileTrouble(code as FileCode, why) })),
      Effect.catchDefect((defect) =>
        Effect.as(Effect.logError("a file was not attached because of a defect", defect), {
          ok: false,
          error: fileTrouble("KM-SLK-318", "the runtime has a defect")
        })
      ),
      Effect.flatMap((answer) => handOver(socket, answer))
    )
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on("error", () => socket.destroy())
    // Of a connection that says nothing; one whose bytes are all there waits for Slack.
    const timer = setInterval(() => {
      if (!socket.readableEnded && socket.bytesRead === before) socket.destroy()
      before = socket.bytesRead
    }, patienceMillis)
    let before = -1
    const fiber = runFork(serve(socket))
    socket.on("close", () => {
      clearInterval(timer)
      fiber.interruptUnsafe()
    })
  })
  server.maxConnections = maxConnections
  yield* Effect.acquireRelease(
    Effect.callback<void, NodeJS.ErrnoException>((resume) => {
      fs.rmSync(path, { force: true })
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(path, () => resume(Effect.void))
    }),
    () =>
      Effect.sync(() => {
        fs.rmSync(path, { force: true })
        server.close()
      })
  )
})
