/** Requests for `http://` addresses: judged by host as tunnels are, written anew, and never to GitHub. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Agent, type ClientRequest, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { type HostPattern, matchesHost, parseDestination } from "../../../runtime/domain/profile/HostPatterns.ts"
import { dialName, NotReached, type Outside, outsideFailed } from "../outside/Outside.ts"
import { type Answer, malformedAnswer, sendAnswer, sentenceOf, troubleAnswer } from "../request/Answers.ts"
import { drain } from "../request/Body.ts"
import type { ProxyContext, RunIdentity } from "./Context.ts"

export interface PlainOptions {
  readonly context: ProxyContext
  readonly isGitHub: (host: string) => boolean
  readonly outside: Outside
  readonly allowedHosts: ReadonlyArray<HostPattern>
}

export interface PlainRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly run: RunIdentity | undefined
}

/** What does not go on: hop-by-hop fields (RFC 9110, 7.6.1), and what was for the proxy. */
const staysHere: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const silenceMillis = 120_000

const visible = /^[!-~]*$/

interface Parsed {
  readonly host: string
  readonly port: number
  readonly target: string
}

/** `http://host[:port]/path?query`, or what is wrong with it. */
const parse = (request: IncomingMessage): Result.Result<Parsed, string> => {
  const rest = (request.url ?? "").slice("http://".length)
  const slash = rest.search(/[/?]/)
  const authority = slash < 0 ? rest : rest.slice(0, slash)
  const target = slash < 0 ? "/" : `${rest[slash] === "?" ? "/" : ""}${rest.slice(slash)}`
  const destination = parseDestination(authority, 80)
  if (destination === undefined) return Result.fail("its host is no name; addresses and dots at the end are not taken")
  if (!visible.test(target) || target.includes("#")) return Result.fail("its address holds characters that none has")
  const hosts = request.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === "host")
  const named = parseDestination(request.headers.host ?? "", 80)
  if (hosts.length !== 1 || named?.host !== destination.host || named.port !== destination.port) {
    return Result.fail("its Host is not that of its address")
  }
  if (request.headers.upgrade !== undefined) return Result.fail("it asks for another protocol")
  const coding = request.headers["transfer-encoding"]
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    return Result.fail("its transfer coding is not chunked")
  }
  return Result.succeed({ ...destination, target })
}

const headersOf = (raw: ReadonlyArray<string>): Array<[string, string]> => {
  const named = new Set(
    raw.flatMap((name, index) =>
      index % 2 === 0 && name.toLowerCase() === "connection"
        ? (raw[index + 1] ?? "").toLowerCase().split(/\s*,\s*/)
        : []
    )
  )
  const kept: Array<[string, string]> = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase()
    if (!staysHere.has(name) && !named.has(name)) kept.push([raw[index] ?? "", raw[index + 1] ?? ""])
  }
  return kept
}

/** Connections are judged one by one, so none is kept for the next request. */
const callOver = (socket: Socket, { host, port, target }: Parsed, request: IncomingMessage): ClientRequest => {
  const agent = new Agent({ keepAlive: false })
  // The address was judged and dialled; the name is only said.
  agent.createConnection = () => socket
  const call = httpRequest({
    agent,
    host,
    port,
    method: request.method ?? "GET",
    path: target,
    setHost: false,
    timeout: silenceMillis
  })
  for (const [name, value] of headersOf(request.rawHeaders)) call.appendHeader(name, value)
  call.setHeader("host", port === 80 ? host : `${host}:${port}`)
  call.setHeader("connection", "close")
  return call
}

const pass = (socket: Socket, parsed: Parsed, { request, response }: PlainRequest): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const call = callOver(socket, parsed, request)
    const finish = () => resume(Effect.void)
    call.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, headersOf(answer.rawHeaders).flat())
      answer.pipe(response)
      answer.once("close", () => {
        if (!answer.complete) response.destroy()
      })
    })
    call.on("timeout", () => call.destroy(new Error("it stopped answering")))
    call.on("error", (error) => {
      sendAnswer(response, troubleAnswer(`${parsed.host} does not answer: ${error.message}`))
      finish()
    })
    response.once("close", () => {
      call.destroy()
      socket.destroy()
      finish()
    })
    if (request.headers.expect !== undefined) response.writeContinue()
    request.pipe(call)
  })

/** Handles one request with an absolute target; whatever goes wrong is an answer. */
export const plainRequest = (options: PlainOptions, what: PlainRequest): Effect.Effect<void> => {
  const { allowedHosts, context, isGitHub, outside } = options
  const { request, response, run } = what
  const since = context.now()
  const journal = (subject: string, rule: string, verdict: "allowed" | "refused", told = "") =>
    context.journal({ run, subject, rule, verdict, detail: "", told, since })
  const refuse = (answer: Answer, subject: string, rule: string) =>
    Effect.andThen(
      journal(subject, rule, "refused", `${sentenceOf(answer)} (${rule})`),
      Effect.sync(() => {
        sendAnswer(response, answer)
        drain(request)
      })
    )
  return Effect.gen(function*() {
    const parsed = parse(request)
    if (Result.isFailure(parsed)) return yield* refuse(malformedAnswer(parsed.failure), "http", "request.malformed")
    const { host, port } = parsed.success
    if (isGitHub(host)) {
      return yield* refuse(
        {
          status: 403,
          lines: [`km: refused: ${host} is reached by https only`, "km: to allow it: write https:// in the address"]
        },
        host,
        "host.plain"
      )
    }
    if (!allowedHosts.some((pattern) => matchesHost(pattern, { host, port }, 80))) {
      return yield* refuse(
        {
          status: 403,
          lines: [`km: refused: ${host}:${port} is not in spec.network.allowedHosts`, "km: to allow it: add it there"]
        },
        `${host}:${port}`,
        "host.unlisted"
      )
    }
    yield* journal(`${host}:${port}`, "network.allowedHosts", "allowed")
    const socket = yield* Effect.tryPromise({
      try: () => dialName(outside, host, port),
      catch: outsideFailed
    })
    yield* pass(socket, parsed.success, what)
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        sendAnswer(
          response,
          error instanceof NotReached && error.reason === "PrivateAddress"
            ? { status: 403, lines: [`km: refused: ${error.message}`] }
            : troubleAnswer(error.message)
        )
        drain(request)
      })
    )
  )
}
