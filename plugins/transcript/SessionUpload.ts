/**
 * Attaches a session to its thread as `claude-transcript-{session}.jsonl.gz`: redacted line by line, gzipped while it is
 * read, and in the place of the file attached before, so that there is one file per session and thread. What was sent is
 * remembered before and after, so that a crash in between neither loses nor doubles a file.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { pipeline, Readable } from "node:stream"
import { createGzip } from "node:zlib"
import type { ChannelId, MessageTs, SandboxId, SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { UploadAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import type { Redactor } from "../../runtime/domain/text/Redactor.ts"
import type { Bridge, BridgeRefused } from "../../runtime/ports/Bridge.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { Objects } from "../../runtime/ports/Objects.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import type { SessionFile, SessionFileSkipped, Sessions } from "../../runtime/ports/Sessions.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"

/** Slack's file in the thread now. */
const Attached = Schema.Struct({ file: Schema.String, sha256: Schema.String, object: Schema.String })
/** A call that was begun; made again, with the same key, until its result is known. */
const Begun = Schema.Struct({ key: Schema.String, action: UploadAction })
const Memory = Schema.Struct({ attached: Schema.optionalKey(Attached), begun: Schema.optionalKey(Begun) })
type Memory = typeof Memory.Type
const MemoryJson = Schema.fromJsonString(Memory)
const decodeMemory = Schema.decodeUnknownOption(MemoryJson)
const encodeMemory = Schema.encodeSync(MemoryJson)

export interface UploadParts {
  readonly bridge: Bridge["Service"]
  readonly ledger: Ledger["Service"]
  readonly objects: Objects["Service"]
  readonly redaction: Redaction["Service"]
  readonly sandbox: SandboxId
  readonly sessions: Sessions["Service"]
}

export interface UploadRequest {
  readonly session: SessionId
  readonly channel: ChannelId
  readonly threadTs: MessageTs
  /** Root of the idempotency key: the turn's key, or the session and prompt. */
  readonly key: string
}

export const uploadName = (session: SessionId): string => `claude-transcript-${session}.jsonl.gz`

const failedRead = (cause: unknown): StoreError =>
  new StoreError({ port: "SessionFile", operation: "read", reason: "Unavailable", detail: "while uploading", cause })

/** Redacted lines, gzipped; the same content always gives the same bytes (no time stamp in the header). */
const gzipped = (file: SessionFile, redactor: Redactor): Stream.Stream<Uint8Array, StoreError> => {
  const redacted = async function*() {
    for await (const line of file.lines(0)) yield `${redactor.jsonLine(line)}\n`
  }
  return Stream.unwrap(Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const gzip = createGzip()
        // Errors reach the reader through the stream itself.
        pipeline(Readable.from(redacted()), gzip, () => {})
        return gzip
      }),
      (gzip) => Effect.sync(() => void gzip.destroy())
    ),
    (gzip) => Stream.fromAsyncIterable<Buffer, StoreError>(gzip, failedRead)
  ))
}

/** What came of it: `unchanged` means that the thread shows this content already. */
export type Uploaded = "attached" | "unchanged"

export const makeSessionUpload = Effect.fnUntraced(function*(parts: UploadParts) {
  /** Gzip takes a core. Waiting for the bridge takes none, so nobody waits behind it. */
  const packing = yield* Semaphore.make(1)
  const { bridge, ledger, objects, redaction, sandbox, sessions } = parts

  const recall = (fact: string) =>
    Effect.map(ledger.recall(fact), (text) => Option.getOrElse(Option.flatMap(text, decodeMemory), (): Memory => ({})))
  const remember = (fact: string, memory: Memory) => ledger.remember(fact, encodeMemory(memory))

  /** Makes the begun call, for the first time or again, and remembers what it came to. */
  const complete = Effect.fnUntraced(function*(fact: string, memory: Memory) {
    const { attached, begun } = memory
    if (begun === undefined) return memory
    const result = yield* bridge.call(begun).pipe(
      Effect.tapError((error) =>
        // A refusal is final, so the call is not repeated. What was attached before is still there.
        Effect.andThen(
          Effect.logWarning("the session was not attached", error.message),
          remember(fact, attached === undefined ? {} : { attached })
        )
      )
    )
    const { object, sha256 } = begun.action
    const next: Memory = result.file === undefined ? {} : { attached: { file: result.file.id, sha256, object } }
    // Before it is forgotten; the call above only repeats its result.
    if (attached !== undefined && attached.object !== object) yield* objects.delete(sandbox, attached.object)
    yield* remember(fact, next)
    return next
  })

  /** One at a time for a session and place: the caller sees to it. Waits until the bridge has it. */
  return Effect.fn("SessionUpload.upload")(
    function*(
      request: UploadRequest
    ): Effect.fn.Return<Uploaded, SessionFileSkipped | StoreError | BridgeRefused> {
      const { session } = request
      const fact = `transcript/upload/${session}/${request.channel}/${request.threadTs}`
      const before = yield* complete(fact, yield* recall(fact))
      const object = `transcripts/${session}/${sha256Hex(`${request.threadTs}/${request.key}`).slice(0, 32)}.jsonl.gz`
      const stored = yield* packing.withPermit(Effect.scoped(Effect.gen(function*() {
        const file = yield* sessions.open(session)
        return yield* objects.put(sandbox, object, gzipped(file, redaction.current()))
      })))
      if (before.attached?.sha256 === stored.sha256) {
        if (before.attached.object !== object) yield* objects.delete(sandbox, object)
        return "unchanged"
      }
      const begun = {
        key: `${request.key}/upload/${stored.sha256.slice(0, 16)}`,
        action: {
          action: "upload" as const,
          channel: request.channel,
          threadTs: request.threadTs,
          object,
          filename: uploadName(session),
          title: uploadName(session),
          contentType: "application/gzip" as const,
          size: stored.size,
          sha256: stored.sha256,
          ...(before.attached === undefined ? {} : { replaces: before.attached.file })
        }
      }
      const memory: Memory = { ...before, begun }
      yield* remember(fact, memory)
      yield* complete(fact, memory)
      return "attached"
    },
    (effect, { session }) => Effect.annotateLogs(effect, { session })
  )
})
