/** The middle step of Slack's upload: the bytes themselves, streamed with their announced length. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import * as https from "node:https"
import { SlackFailure } from "./SlackErrors.ts"

/** Milliseconds without any progress after which a transfer is given up. */
const idleMillis = 20_000

const failed = (error: string) =>
  new SlackFailure({ method: "the upload address", kind: "Uncertain", error, retryAfterMillis: 1_000 })

export class FileTransfer extends Context.Service<FileTransfer, {
  /** Fails with the stream's own error when that ends early; nothing is shared before Slack's third step. */
  readonly send: <E>(
    url: string,
    size: number,
    bytes: Stream.Stream<Uint8Array, E>
  ) => Effect.Effect<void, E | SlackFailure>
}>()("km/bridge/slack/FileTransfer") {
  static readonly layer = Layer.succeed(
    FileTransfer,
    FileTransfer.of({
      send: Effect.fn("FileTransfer.send")(function*(url, size, bytes) {
        const answer = Promise.withResolvers<number>()
        // Looked at only after the bytes have been written.
        answer.promise.catch(() => undefined)
        const request = yield* Effect.acquireRelease(
          Effect.try({
            try: () => {
              const target = new URL(url)
              const { request: open } = target.protocol === "https:" ? https : http
              const opened = open(target, {
                method: "POST",
                headers: { "content-type": "application/octet-stream", "content-length": size },
                timeout: idleMillis
              }, (response) => {
                response.resume()
                response.on("end", () => answer.resolve(response.statusCode ?? 0))
                response.on("error", answer.reject)
              })
              opened.on("error", answer.reject)
              opened.on("timeout", () => opened.destroy(new Error("no progress")))
              return opened
            },
            catch: () => failed("no valid address")
          }),
          (opened) => Effect.sync(() => void opened.destroy())
        )
        const write = (chunk: Uint8Array) =>
          Effect.tryPromise({
            try: () =>
              new Promise<void>((resolve, reject) =>
                void request.write(chunk, (error) => error ? reject(error) : resolve())
              ),
            catch: () => failed("the connection broke")
          })
        yield* Stream.runForEach(bytes, write)
        request.end()
        const status = yield* Effect.tryPromise({ try: () => answer.promise, catch: () => failed("no answer") })
        if (status !== 200) return yield* failed(`HTTP ${status}`)
      }, Effect.scoped)
    })
  )
}
