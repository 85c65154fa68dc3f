/** Requests to GitHub over TLS, by undici: connections that are kept, a pinned address, and streams with back-pressure. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Readable } from "node:stream"
import { connect as connectTls, createSecureContext } from "node:tls"
import { Agent, type Dispatcher } from "undici"
import { dialName, isLoopback, NotReached, type Outside, OutsideFailed, outsideFailed } from "./Outside.ts"

export interface UpstreamRequest {
  readonly host: string
  readonly port: number
  readonly method: string
  /** Path and query, as they are to be sent. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable | Buffer | undefined
  /** How long the answer may not begin. */
  readonly headersMillis: number
}

/** What the caller does with an answer as it comes. Exactly one of `end` and `error` is called, and last. */
export interface UpstreamSink {
  /** `stop` ends the request; `pause` and `resume` hold the answer back. */
  readonly head: (answer: UpstreamHead, flow: UpstreamFlow) => void
  readonly data: (chunk: Buffer, flow: UpstreamFlow) => void
  readonly end: () => void
  readonly error: (error: Error) => void
}

export interface UpstreamHead {
  readonly status: number
  /** Names in lower case; a field that came more than once is an array. */
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string>>>
}

export interface UpstreamFlow {
  readonly pause: () => void
  readonly resume: () => void
  readonly stop: () => void
}

export interface Upstream {
  /** Sends at once. The result ends the request, whatever it has come to. */
  readonly send: (request: UpstreamRequest, sink: UpstreamSink) => () => void
  /** A small request whose answer is kept whole: at most `maxAnswerBytes`. Rejects with whatever is wrong. */
  readonly ask: (request: UpstreamRequest) => Promise<UpstreamHead & { readonly body: Buffer }>
}

/** Of answers that are kept whole. */
const maxAnswerBytes = 4 * 1024 * 1024

/** Between two pieces of an answer. GitHub counts objects for minutes before a large clone, and says so meanwhile. */
const silenceMillis = 300_000

/** Connections to one host; further requests wait for one. */
const maxConnections = 32

const tlsMillis = 15_000

class Stopped extends Error {}

const headersOf = (raw: object): UpstreamHead["headers"] => {
  const headers: Record<string, string | ReadonlyArray<string>> = {}
  for (const [name, value] of Object.entries(raw)) {
    if (typeof value === "string" || Array.isArray(value)) headers[name] = value
  }
  return headers
}

/** Closed with the scope, and everything that is under way with it. */
export const makeUpstream = Effect.fnUntraced(function*(
  outside: Outside
): Effect.fn.Return<Upstream, never, Scope.Scope> {
  const secureContext = createSecureContext({ ca: [...outside.authorities], minVersion: "TLSv1.2" })
  const sessions = new Map<string, Buffer>()
  const runFork = Effect.runForkWith(yield* Effect.context())
  const connectTo = async (host: string, port: number) => {
    const socket = await dialName(outside, host, port)
    socket.setNoDelay(true)
    if (isLoopback(outside, host, port)) return socket
    const session = sessions.get(host)
    const secure = connectTls({
      socket,
      servername: host,
      secureContext,
      ALPNProtocols: ["http/1.1"],
      ...(session === undefined ? {} : { session })
    })
    secure.on("session", (made: Buffer) => void sessions.set(host, made))
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => secure.destroy(new Error("no TLS connection in time")), tlsMillis)
      const onError = (error: Error) => {
        clearTimeout(timer)
        // A session that is refused must not be offered for ever.
        sessions.delete(host)
        reject(
          new NotReached({ host, reason: "NoConnection", detail: `${host} is not reached by TLS: ${error.message}` })
        )
      }
      secure.once("error", onError)
      secure.once("secureConnect", () => {
        clearTimeout(timer)
        secure.off("error", onError)
        resolve()
      })
    })
    return secure
  }
  const connect = (host: string, port: number) =>
    Effect.tryPromise({ try: () => connectTo(host, port), catch: outsideFailed })
  const agent = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new Agent({
        connect: ({ hostname, port }, callback) =>
          void runFork(
            Effect.match(connect(hostname, Number(port === "" ? 443 : port)), {
              onFailure: (error) => callback(error, null),
              onSuccess: (socket) => callback(null, socket)
            })
          ),
        connections: maxConnections,
        pipelining: 1,
        allowH2: false,
        bodyTimeout: silenceMillis,
        keepAliveTimeout: 30_000
      })
    ),
    (made) => Effect.promise(() => made.destroy())
  )

  const send: Upstream["send"] = (request, sink) => {
    let stopped = false
    let running: Dispatcher.DispatchController | undefined
    const flow: UpstreamFlow = {
      pause: () => running?.pause(),
      resume: () => running?.resume(),
      stop: () => {
        stopped = true
        running?.abort(new Stopped("no longer wanted"))
      }
    }
    agent.dispatch({
      origin: `https://${request.host}:${request.port}`,
      path: request.target,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      headersTimeout: request.headersMillis
    }, {
      onRequestStart: (controller) => {
        running = controller
        if (stopped) controller.abort(new Stopped("no longer wanted"))
      },
      onResponseStart: (controller, status, headers) => {
        running = controller
        if (status >= 200) sink.head({ status, headers: headersOf(headers) }, flow)
      },
      onResponseData: (_, chunk) => sink.data(chunk, flow),
      onResponseEnd: () => sink.end(),
      onResponseError: (_, error) => sink.error(error)
    })
    return flow.stop
  }

  return {
    send,
    ask: (request) =>
      new Promise((resolve, reject) => {
        const chunks: Array<Buffer> = []
        let size = 0
        let answer: UpstreamHead | undefined
        send(request, {
          head: (head) => void (answer = head),
          data: (chunk, flow) => {
            size += chunk.length
            if (size > maxAnswerBytes) {
              flow.stop()
              return
            }
            chunks.push(Buffer.from(chunk))
          },
          end: () => answer === undefined ? undefined : resolve({ ...answer, body: Buffer.concat(chunks) }),
          error: reject
        })
      })
  }
})

/** What to tell of a request that did not come through. */
export const troubleOf = (error: Error): string => {
  if (error instanceof NotReached) return error.message
  if (error instanceof OutsideFailed) return error.cause instanceof Error ? troubleOf(error.cause) : error.message
  const code = "code" in error && typeof error.code === "string" ? error.code : ""
  if (code === "UND_ERR_HEADERS_TIMEOUT") return "GitHub does not answer"
  if (code === "UND_ERR_BODY_TIMEOUT") return "GitHub stopped answering"
  if (code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE") return "GitHub closed the connection"
  return `the request to GitHub failed: ${error.message}`
}
