/** Bodies as they come from the client: kept whole for judging up to a cap, or thrown away after a refusal. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { IncomingMessage } from "node:http"
import { type Readable, Transform } from "node:stream"
import { createGunzip } from "node:zlib"

/** `TooLarge`: more than may be kept. `Broken`: cut off, or not what its coding says. */
export class BodyRefused extends Data.TaggedError("BodyRefused")<{
  readonly reason: "TooLarge" | "Broken"
  readonly detail: string
}> {}

/** More of a refused body than this is not waited for: 8 GiB, more than any push that GitHub takes (2 GiB). */
const maxDrained = 8 * 1024 * 1024 * 1024

/** What packs better than this is no text and no pack of git's: a few bytes that become gigabytes on their way to GitHub. */
const maxRatio = 200
const freeBytes = 4 * 1024 * 1024

/** A body as its content coding wraps it, without that coding. A fault of either stream is the result's. */
export const decoded = (request: IncomingMessage, coding: "identity" | "gzip"): Readable => {
  if (coding === "identity") return request
  const gunzip = createGunzip()
  let unpacked = 0
  const checked = new Transform({
    transform: (chunk: Buffer, _, done) => {
      unpacked += chunk.length
      // Of a zlib stream, `bytesWritten` is what it was given and has worked on.
      const isBomb = unpacked > freeBytes && unpacked > gunzip.bytesWritten * maxRatio
      if (isBomb) done(new Error(`the body unpacks to more than ${maxRatio} times its size`))
      else done(null, chunk)
    }
  })
  request.once("error", (error) => checked.destroy(error))
  request.once("close", () => request.complete ? undefined : checked.destroy(new Error("the body was cut off")))
  gunzip.once("error", (error) => checked.destroy(error))
  checked.once("close", () => {
    request.unpipe(gunzip)
    gunzip.destroy()
  })
  request.pipe(gunzip).pipe(checked)
  return checked
}

/** The whole body after its content coding, at most `maxBytes`; what is beyond is not even unpacked. */
export const readBody = (
  request: IncomingMessage,
  coding: "identity" | "gzip",
  maxBytes: number
): Effect.Effect<Buffer, BodyRefused> =>
  Effect.callback((resume) => {
    const source = decoded(request, coding)
    const chunks: Array<Buffer> = []
    let size = 0
    const settle = (result: Effect.Effect<Buffer, BodyRefused>) => {
      source.off("data", onData)
      source.off("end", onEnd)
      source.off("close", onClose)
      // A fault that comes after the answer changes nothing.
      source.off("error", onError).on("error", () => undefined)
      if (source !== request) request.unpipe()
      resume(result)
    }
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBytes) chunks.push(chunk)
      else {
        settle(
          Effect.fail(new BodyRefused({ reason: "TooLarge", detail: `the body is larger than ${maxBytes} bytes` }))
        )
      }
    }
    const onEnd = () => settle(Effect.succeed(Buffer.concat(chunks)))
    const onError = (error: Error) => settle(Effect.fail(new BodyRefused({ reason: "Broken", detail: error.message })))
    const onClose = () => onError(new Error("the body was cut off"))
    source.on("data", onData).once("end", onEnd).once("error", onError).once("close", onClose)
  })

/** Takes what is left of a body and forgets it, so that the client reads the answer instead of a broken connection. */
export const drain = (request: IncomingMessage): void => {
  let size = 0
  request.on("data", (chunk: Buffer) => {
    size += chunk.length
    if (size > maxDrained) request.destroy()
  })
  request.resume()
}

/** Completes when the body is over, however it ends. */
export const drained = (request: IncomingMessage): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (request.complete || request.destroyed) return resume(Effect.void)
    request.once("end", () => resume(Effect.void)).once("close", () => resume(Effect.void))
    drain(request)
  })
