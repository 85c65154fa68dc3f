/**
 * HTTP to loopback services with a connection pool of our own, so that closing a workspace closes its sockets and a
 * port that is used again never meets a dead keep-alive connection.
 */
import * as Effect from "effect/Effect"
import * as http from "node:http"

/** What came back, whole. */
export interface HttpReply {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

/** What is sent; `body` goes out byte for byte. */
export interface HttpCall {
  readonly url: string
  readonly method: string
  readonly headers: http.OutgoingHttpHeaders
  readonly body?: Buffer
}

/** Sends one request. Fails with Node's error when the connection breaks; interruption closes the connection. */
export const send = (agent: http.Agent, call: HttpCall): Effect.Effect<HttpReply, Error> =>
  Effect.callback<HttpReply, Error>((resume) => {
    const url = URL.parse(call.url)
    if (url === null || url.protocol !== "http:") {
      return resume(Effect.fail(new Error(`not an http:// address: ${call.url}`)))
    }
    const request = http.request(
      url,
      {
        agent,
        method: call.method,
        headers: { ...call.headers, "content-length": call.body === undefined ? 0 : call.body.byteLength }
      },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error) => resume(Effect.fail(error)))
        response.on("end", () =>
          resume(
            Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
          ))
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(call.body)
    return Effect.sync(() => {
      request.destroy()
    })
  })
