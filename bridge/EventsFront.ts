/**
 * `POST /events` straight from `node:http`: for a request as Slack sends it, one fiber with what all requests share and no
 * context of its own. Same checks in the same order, same answers: only what lies between the socket and
 * `HttpEvents.judge` is another. Everything else is the application's.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as http from "node:http"
import { isTraced } from "../runtime/ports/TraceParent.ts"
import { brokenAnswer, type EventAnswer, type HttpEvents } from "./events/HttpEvents.ts"
import { maxEventBytes } from "./events/SignedRequests.ts"

type Listener = (request: http.IncomingMessage, response: http.ServerResponse) => void

/** Who brings a trace along gets the application, which takes it up. */
const traceHeaders = ["traceparent", "b3", "x-b3-traceid"] as const

/** A body whose length is said and within the cap: its end is the parser's to find, and a length too large is refused unread. */
const isPlain = ({ headers, method, url }: http.IncomingMessage): boolean =>
  method === "POST" && url === "/events" && Number(headers["content-length"] ?? Number.NaN) <= maxEventBytes &&
  headers["transfer-encoding"] === undefined && traceHeaders.every((name) => headers[name] === undefined)

const write = (response: http.ServerResponse, { body, headers, status }: EventAnswer): void => {
  if (response.destroyed) return
  response.writeHead(status, {
    ...headers,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body)
  })
  response.end(body)
}

/** A listener for a server's requests, in front of the application's own. */
export const eventsFront = (
  { context, judge, otherwise, scope }: {
    readonly judge: HttpEvents["Service"]["judge"]
    readonly context: Context.Context<never>
    readonly scope: Scope.Scope
    readonly otherwise: Listener
  }
): Listener => {
  // Spans of requests are the application's: with a backend that wants them there is no short way.
  if (isTraced(context)) return otherwise
  const fork = Effect.runForkWith(context)
  return (request, response) => {
    if (!isPlain(request)) return otherwise(request, response)
    const chunks: Array<Buffer> = []
    let ended = false
    const judged = (body: Uint8Array | "broken"): void => {
      ended = true
      const fiber = Fiber.runIn(fork(judge(request.headers, body)), scope)
      fiber.addObserver((exit) => write(response, Exit.isSuccess(exit) ? exit.value : brokenAnswer))
    }
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => judged(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)))
    // Without an end: the client went away in the middle. Nobody reads the answer, and it is noted all the same.
    request.on("close", () => {
      if (!ended) judged("broken")
    })
    request.on("error", () => undefined)
  }
}
