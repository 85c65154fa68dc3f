/**
 * HTTP to loopback services with a connection pool of our own, so that closing a workspace closes its sockets and a
 * port that is used again never meets a dead keep-alive connection.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as http from "node:http"

/** The connection broke, or could not be made. */
export class HttpBroken extends Schema.TaggedError<HttpBroken>()("HttpBroken", {
  url: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `no answer from ${this.url}: ${this.detail}`
  }
}

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

/** Sends one request and reads the whole answer, whatever its status; interruption closes the connection. */
export const send = (agent: http.Agent, call: HttpCall): Effect.Effect<HttpReply, HttpBroken> =>
  Effect.callback<HttpReply, HttpBroken>((resume) => {
    const broken = (detail: string) => Effect.fail(new HttpBroken({ url: call.url, detail }))
    const url = URL.parse(call.url)
    if (url === null || url.protocol !== "http:") {
      return resume(broken("not an http:// address"))
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
        response.on("error", (error) => resume(broken(error.message)))
        response.on("end", () =>
          resume(
            Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
          ))
      }
    )
    request.on("error", (error) => resume(broken(error.message)))
    request.end(call.body)
    return Effect.sync(() => {
      request.destroy()
    })
  })
