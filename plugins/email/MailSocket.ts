/**
 * The runtime's end of the mail socket. Whoever connects is the sandbox's agent: the socket is mounted for it alone.
 * One request a connection: a 4-byte big-endian length, that many bytes of JSON, then the bytes that the JSON announces.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import type { SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { Mailbox, Mailer } from "../../runtime/ports/Mail.ts"
import type { MailAccount } from "./MailAccount.ts"
import { makeListing, shown } from "./MailListing.ts"
import { decodeRequest, type Replies, type Request, type Send } from "./MailRequests.ts"
import { type PostRefused, postRefused, postTrouble } from "./PostCodes.ts"
import { defaultMaxContentBytes } from "./protocol/Draft.ts"
import { frame } from "./socketClient.ts"

const maxHeaderBytes = 1024 * 1024
/** Connections at a time: a message may be 40 MB in memory. */
const maxConnections = 16
/** For a whole request to arrive. */
const patienceMillis = 60_000
/** For an answer to be taken. */
const takenWithin = Duration.minutes(2)

/** Bytes that nobody is made to wait for. */
const smallBytes = 1024 * 1024
/** MiB of requests and answers above that, in memory at a time: of one sandbox, the largest message and a little. */
const ownMebibytes = 48
/** The same, of all sandboxes that this process serves; who waits is served in turn. */
const memory = Semaphore.makeUnsafe(5 * ownMebibytes)

/** Bytes that follow the JSON. */
const announced = (request: Request): number =>
  request.op === "send" ? request.attachments.reduce((sum, { size }) => sum + size, request.bodySize) : 0

interface Asked {
  readonly request: Request
  readonly blob: Buffer
}

interface Head {
  readonly request: Request
  /** Bytes of the blob that came with the header. */
  readonly rest: Buffer
}

/**
 * The next `wanted` bytes and what came beyond them, or why not; `wanted` may grow with what has come. One buffer, however
 * small the pieces are that they come in, and no byte more is taken than `most`.
 */
const readBytes = (
  socket: Socket,
  first: Buffer,
  most: number,
  wantedOf: (have: Buffer) => number
): Effect.Effect<Buffer, PostRefused> =>
  Effect.callback((resume) => {
    let have = Buffer.alloc(Math.max(first.length, Math.min(most, 64 * 1024)))
    let size = first.copy(have)
    const settle = (result: Effect.Effect<Buffer, PostRefused>) => {
      clearTimeout(timer)
      socket.removeAllListeners("data")
      socket.off("end", cut)
      socket.pause()
      resume(result)
    }
    const refuse = (why: string) => settle(Effect.fail(postRefused("KM-EML-105", why)))
    const cut = () => refuse("the request was cut off")
    const timer = setTimeout(() => refuse("the request did not come in time"), patienceMillis)
    const look = () => {
      const wanted = wantedOf(have.subarray(0, size))
      if (wanted > most) return refuse(`a header of ${wanted - 4} bytes; at most ${maxHeaderBytes}`)
      if (size >= wanted) settle(Effect.succeed(have.subarray(0, size)))
    }
    socket.on("end", cut)
    socket.on("data", (chunk: Buffer) => {
      if (size + chunk.length > have.length) {
        const more = Buffer.alloc(Math.max(size + chunk.length, Math.min(most, 2 * have.length)))
        have.copy(more, 0, 0, size)
        have = more
      }
      size += chunk.copy(have, size)
      look()
    })
    look()
    socket.resume()
    return Effect.sync(() => clearTimeout(timer))
  })

/** Bytes up to the end of the header. */
const wanted = (have: Buffer): number => have.length < 4 ? 4 : 4 + have.readUInt32BE(0)

const readHead = Effect.fnUntraced(function*(socket: Socket) {
  const all = yield* readBytes(socket, Buffer.alloc(0), 4 + maxHeaderBytes, wanted)
  const request = Option.getOrUndefined(decodeRequest(all.subarray(4, wanted(all)).toString("utf8")))
  if (request === undefined) {
    return yield* postRefused("KM-EML-105", "the request is not understood; is the program of this version?")
  }
  const bytes = announced(request)
  if (bytes > defaultMaxContentBytes) {
    return yield* postRefused(
      "KM-EML-105",
      `text and attachments have ${bytes} bytes; at most ${defaultMaxContentBytes}`
    )
  }
  return { request, rest: all.subarray(wanted(all)) } satisfies Head
})

const readBody = Effect.fnUntraced(function*(socket: Socket, { request, rest }: Head) {
  const bytes = announced(request)
  const all = bytes === 0 ? rest : yield* readBytes(socket, rest, bytes, () => bytes)
  return { request, blob: all.subarray(0, bytes) } satisfies Asked
})

type Reply = readonly [header: Readonly<Record<string, unknown>>, ...blobs: ReadonlyArray<Uint8Array>]

const makeAnswer = Effect.fnUntraced(function*(owner: SenderId, account: MailAccount, hop: () => number) {
  const mailbox = yield* Mailbox
  const { list, waiting, watch } = makeListing(owner, account, mailbox)

  const send = (request: typeof Send.Type, blob: Buffer) => {
    let at = request.bodySize
    const attachments = request.attachments.map(({ name, size, type }) => ({
      name,
      type,
      bytes: blob.subarray(at, at += size)
    }))
    const body = blob.subarray(0, request.bodySize).toString("utf8")
    // With all that is asked for, so that one used for something else names something else.
    const once = request.invocation === undefined
      ? {}
      : { once: createHash("sha256").update(JSON.stringify(request)).update(blob).digest("hex") }
    return Effect.map(
      account.send({ ...request, ...once, body, attachments, hop: hop() }),
      (sent): Reply => [{ ok: true, ...sent }]
    )
  }

  const replies = ({ id, known, waitSeconds }: typeof Replies.Type) =>
    Effect.map(
      waiting(
        waitSeconds,
        account.replies(id),
        ({ found, gone, missing }) => missing.length === gone.length || found.some(({ row }) => !known.includes(row.id))
      ),
      ({ found, gone, missing }): Reply => [{ ok: true, messages: found.map(shown), missing, gone }]
    )

  return (asked: Asked) => {
    const { blob, request } = asked
    switch (request.op) {
      case "send":
        return send(request, blob)
      case "list":
        return Effect.map(
          request.watch === true ? watch(request) : list(request),
          (found): Reply => [{ ok: true, ...found }]
        )
      case "replies":
        return replies(request)
      case "read":
        return Effect.map(mailbox.markRead(owner, request.deliveries), (): Reply => [{ ok: true }])
      case "raw":
        return Effect.map(account.raw(request.delivery), (raw): Reply => [{ ok: true }, raw])
      case "attachments":
        return Effect.gen(function*() {
          const { judged, row } = yield* account.get(request.delivery)
          const parts = yield* account.attachments(row.id, judged, row.receivedAt)
          return [{ ok: true }, ...parts.map(({ bytes }) => bytes)] as Reply
        })
    }
  }
})

const told = (error: { readonly _tag: string; readonly message: string }): readonly [Reply[0]] => {
  const { code, exit, next, what, why } = postTrouble(error)
  return [{ ok: false, error: { code, exit, what, why, next } }]
}

const handOver = (socket: Socket, bytes: Uint8Array) =>
  Effect.callback<void>((resume) => {
    // What still comes is read and thrown away, so that the other side gets to read the answer.
    socket.resume()
    socket.once("close", () => resume(Effect.void))
    socket.end(bytes, () => resume(Effect.void))
  }).pipe(
    Effect.timeoutOrElse({ duration: takenWithin, orElse: () => Effect.sync(() => void socket.destroy()) })
  )

const closing = (server: Server) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
  })

/**
 * Listens until the scope closes. Fails with the system's own error when the path cannot be used. What the agent writes
 * while `hop` says so is at least that many automatic answers away from whoever began.
 */
export const listen = Effect.fnUntraced(
  function*(path: string, owner: SenderId, account: MailAccount, hop: () => number) {
    const answer = yield* makeAnswer(owner, account, hop)
    const { maxMessageBytes } = (yield* Mailer).limits
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const own = Semaphore.makeUnsafe(ownMebibytes)
    /** One of its own first, so that a sandbox has one place in the row of all. */
    const withMemory = (bytes: number) => {
      const permits = Math.min(ownMebibytes, Math.ceil(bytes / smallBytes))
      return <A, E, R>(effect: Effect.Effect<A, E, R>) => own.withPermits(permits)(memory.withPermits(permits)(effect))
    }
    const answered = (asked: Asked) =>
      answer(asked).pipe(
        Effect.catch((error) => Effect.succeed(told(error))),
        Effect.catchDefect(() => Effect.succeed(told({ _tag: "Defect", message: "the runtime has a defect" }))),
        Effect.map(([header, ...blobs]) => frame(header, blobs))
      )
    const serve = Effect.fnUntraced(function*(socket: Socket) {
      const head = yield* Effect.result(readHead(socket))
      if (head._tag === "Failure") return yield* handOver(socket, frame(told(head.failure)[0], []))
      const { request } = head.success
      const whole = Effect.flatMap(
        readBody(socket, head.success),
        (asked) => Effect.flatMap(answered(asked), (bytes) => handOver(socket, bytes))
      ).pipe(Effect.catch((error) => handOver(socket, frame(told(error)[0], []))))
      if (request.op === "raw" || request.op === "attachments") return yield* withMemory(maxMessageBytes)(whole)
      if (request.op === "send") {
        const bytes = announced(request)
        return yield* bytes > smallBytes ? withMemory(bytes)(whole) : whole
      }
      const asked = { request, blob: Buffer.alloc(0) }
      const small = yield* Effect.map(answered(asked), (bytes) => bytes.length > smallBytes ? undefined : bytes)
      // A large one is made again when it is its turn, so that those who wait hold nothing.
      if (small === undefined) return yield* withMemory(maxMessageBytes)(whole)
      return yield* handOver(socket, small)
    })
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on("error", () => socket.destroy())
      // Whoever neither takes its answer nor goes away is cut off.
      const fiber = runFork(Effect.ensuring(
        serve(socket),
        Effect.sync(() => void setTimeout(() => socket.destroy(), patienceMillis).unref())
      ))
      socket.on("close", () => fiber.interruptUnsafe())
    })
    server.maxConnections = maxConnections
    yield* Effect.acquireRelease(
      Effect.callback<void, NodeJS.ErrnoException>((resume) => {
        fs.rmSync(path, { force: true })
        server.once("error", (error) => resume(Effect.fail(error)))
        server.listen(path, () => resume(Effect.void))
      }),
      () =>
        Effect.andThen(
          Effect.sync(() => fs.rmSync(path, { force: true })),
          Effect.timeoutOption(closing(server), "1 second")
        )
    )
  }
)
