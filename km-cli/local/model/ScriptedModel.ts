/**
 * A Messages API on loopback that follows a script (`Scenario.ts`), so that the whole system, with the real agent and
 * its real tools, can be tried without a key, and so that tests decide what "the model" does. It says that it is
 * scripted in its answers, its model names and its headers.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import { MessagesRequest, type Plan, planOf, positionOf } from "./Scenario.ts"
import * as Wire from "./Wire.ts"

/** The server could not listen. */
export class ScriptedModelError extends Schema.TaggedError<ScriptedModelError>()("ScriptedModelError", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the scripted model could not start: ${this.detail}; choose another port, or 0 for a free one`
  }
}

/** One request as it arrived. Kept in memory only. */
export interface LoggedRequest {
  /** From 1, in order of arrival. */
  readonly number: number
  /** Unix milliseconds. */
  readonly at: number
  readonly method: string
  readonly path: string
  /** Lower-case names; values as received, keys included: that is what the log is for. */
  readonly headers: Readonly<Record<string, string>>
  /** The key that came, from `x-api-key` or a bearer token; "" for none. */
  readonly key: string
  readonly session: string
  /** Bytes of the body. */
  readonly size: number
  /** What was answered: a plan's kind, or the reason for a refusal. */
  readonly answer: string
  readonly body: string
}

export interface ScriptedModel {
  /** `http://127.0.0.1:{port}`, without a slash at the end. */
  readonly url: string
  /** The last 1,000 requests, oldest first. */
  readonly requests: Effect.Effect<ReadonlyArray<LoggedRequest>>
}

export interface ScriptedModelOptions {
  /** 0 (the default) takes a free one. */
  readonly port?: number
}

/** As the API has it (docs.anthropic.com, "Errors": 413 above 32 MB). */
const maxBodyBytes = 32 * 1024 * 1024
const keptRequests = 1_000

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(MessagesRequest))

const headersOf = (request: Http.IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(request.headers).map((
      [name, value]
    ) => [name, Array.isArray(value) ? value.join(", ") : value ?? ""])
  )

const readBody = (request: Http.IncomingMessage): Effect.Effect<Option.Option<string>> =>
  Effect.callback<Option.Option<string>>((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    request.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBodyBytes) chunks.push(chunk)
    })
    request.on(
      "end",
      () =>
        resume(
          Effect.succeed(size > maxBodyBytes ? Option.none() : Option.some(Buffer.concat(chunks).toString("utf8")))
        )
    )
    request.on("error", () => resume(Effect.interrupt))
  })

const sendJson = (response: Http.ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  Effect.sync(() => {
    response.writeHead(status, { "content-type": "application/json", "x-km-scripted": "true", ...headers })
    response.end(JSON.stringify(body))
  })

const startStream = (response: Http.ServerResponse) =>
  Effect.sync(() => {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-km-scripted": "true"
    })
  })

const send = (response: Http.ServerResponse, event: Wire.WireEvent) =>
  Effect.sync(() => void response.write(Wire.encodeEvent(event)))

const play = Effect.fnUntraced(function*(
  response: Http.ServerResponse,
  plan: Plan,
  request: { readonly number: number; readonly model: string; readonly stream: boolean; readonly tokens: number }
) {
  const { model, number, tokens } = request
  switch (plan.kind) {
    case "refuse":
      return yield* sendJson(
        response,
        plan.status,
        Wire.errorBody(plan.type, plan.message, number),
        plan.retryAfter === undefined ? {} : { "retry-after": String(plan.retryAfter) }
      )
    case "hang":
      return yield* Effect.never
    case "garbage":
      return yield* Effect.sync(() => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.end(Buffer.from([0x00, 0xff, 0xfe, 0x7b, 0x0a, 0x0a, 0x64, 0x61, 0x74, 0x61, 0x3a, 0x7b, 0x0a, 0x0a]))
      })
    case "drop":
    case "stall": {
      yield* startStream(response)
      yield* send(response, Wire.startEvent(number, model, tokens))
      const block = { kind: "text", text: plan.text } as const
      yield* send(response, Wire.blockStart(0, block, number))
      for (const delta of Wire.blockDeltas(0, block)) yield* send(response, delta)
      if (plan.kind === "stall") return yield* Effect.never
      // What was written must leave before the connection is cut, or the client sees a refused connection instead.
      yield* Effect.callback<void>((resume) => void response.write(": \n\n", () => resume(Effect.void)))
      return yield* Effect.sync(() => void response.socket?.destroy())
    }
    case "reply": {
      if (!request.stream) return yield* sendJson(response, 200, Wire.wholeMessage(number, model, tokens, plan.blocks))
      yield* startStream(response)
      yield* send(response, Wire.startEvent(number, model, tokens))
      for (const [index, block] of plan.blocks.entries()) {
        yield* send(response, Wire.blockStart(index, block, number))
        for (const delta of Wire.blockDeltas(index, block)) {
          if (plan.pauseMillis > 0 && block.kind === "text") yield* Effect.sleep(plan.pauseMillis)
          yield* send(response, delta)
        }
        yield* send(response, Wire.blockStop(index))
      }
      for (const event of Wire.endEvents(plan.blocks)) yield* send(response, event)
      return yield* Effect.sync(() => void response.end())
    }
  }
})

/** Listens on 127.0.0.1 until the scope closes; open connections are cut then. */
export const start = Effect.fn("ScriptedModel.start")(function*(
  options: ScriptedModelOptions = {}
): Effect.fn.Return<ScriptedModel, ScriptedModelError, Scope.Scope> {
  const log: Array<LoggedRequest> = []
  const asked = new Map<string, number>()
  let count = 0

  const handle = Effect.fnUntraced(function*(request: Http.IncomingMessage, response: Http.ServerResponse) {
    const number = ++count
    const at = yield* Clock.currentTimeMillis
    const headers = headersOf(request)
    const path = (request.url ?? "/").split("?")[0] ?? "/"
    const session = headers["x-claude-code-session-id"] ?? ""
    const body = yield* readBody(request)
    const note = (answer: string) => {
      log.push({
        number,
        at,
        method: request.method ?? "",
        path,
        headers,
        key: headers["x-api-key"] ?? (headers["authorization"] ?? "").replace(/^Bearer /i, ""),
        session,
        size: Buffer.byteLength(Option.getOrElse(body, () => "")),
        answer,
        body: Option.getOrElse(body, () => "")
      })
      if (log.length > keptRequests) log.shift()
    }
    const refuse = (status: number, type: string, message: string) => {
      note(`${status} ${type}`)
      return sendJson(response, status, Wire.errorBody(type, message, number))
    }
    if (request.method === "HEAD") {
      note("head")
      return yield* Effect.sync(() => void response.writeHead(200).end())
    }
    if (request.method !== "POST" || (path !== "/v1/messages" && path !== "/v1/messages/count_tokens")) {
      return yield* refuse(
        404,
        "not_found_error",
        "the scripted model knows /v1/messages and /v1/messages/count_tokens"
      )
    }
    if (Option.isNone(body)) return yield* refuse(413, "request_too_large", "more than 32 MB")
    const decoded = decodeRequest(body.value)
    if (Option.isNone(decoded)) return yield* refuse(400, "invalid_request_error", "the body is no Messages request")
    const tokens = Wire.tokensOf(body.value)
    if (path === "/v1/messages/count_tokens") {
      note("count_tokens")
      return yield* sendJson(response, 200, { input_tokens: tokens })
    }
    const position = positionOf(decoded.value)
    const key = JSON.stringify([session, position.step, position.said])
    const before = asked.get(key) ?? 0
    asked.set(key, before + 1)
    const plan = planOf(position, before)
    note(plan.kind)
    return yield* play(response, plan, {
      number,
      model: decoded.value.model,
      stream: decoded.value.stream === true,
      tokens
    })
  })

  const runFork = Effect.runForkWith(yield* Effect.context())
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server, ScriptedModelError>((resume) => {
      const listening = Http.createServer((request, response) => {
        const fiber = runFork(handle(request, response))
        response.on("close", () => void runFork(Fiber.interrupt(fiber)))
      })
      listening.requestTimeout = 0
      listening.keepAliveTimeout = 60_000
      listening.once("error", (error) => resume(Effect.fail(new ScriptedModelError({ detail: error.message }))))
      listening.listen(options.port ?? 0, "127.0.0.1", () => resume(Effect.succeed(listening)))
    }),
    (listening) =>
      Effect.callback<void>((resume) => {
        listening.close(() => resume(Effect.void))
        listening.closeAllConnections()
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, requests: Effect.sync(() => [...log]) }
})

/** As `start`, until interrupted: for a process of its own. `onReady` gets the URL once it listens. */
export const serve = (
  options: ScriptedModelOptions,
  onReady: (url: string) => Effect.Effect<void>
): Effect.Effect<never, ScriptedModelError> =>
  Effect.scoped(Effect.flatMap(start(options), ({ url }) => Effect.andThen(onReady(url), Effect.never)))
