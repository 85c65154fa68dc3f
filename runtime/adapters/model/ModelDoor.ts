/**
 * The only way from an agent to the model. The agent gets a base URL on loopback and a key that is good for its own
 * run; the door adds the real key, passes on nothing but the model API, and counts what it costs.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import * as Http from "node:http"
import * as Https from "node:https"
import type { Server, Socket } from "node:net"
import type { SessionId } from "../../domain/sandbox/Ids.ts"
import { accept } from "../jail/Doors.ts"
import type { Budget } from "./Budget.ts"
import { type DoorRefusal, doorRefusals } from "./ErrorCodes.ts"
import { costOf } from "./Price.ts"
import { UsageMeter } from "./Usage.ts"

/** The door could not be opened. */
export class ModelDoorError extends Schema.TaggedError<ModelDoorError>()("ModelDoorError", {
  detail: Schema.String
}) {
  override get message(): string {
    const { code, remedy, what } = doorRefusals.notListening
    return `${code}: ${what}: ${this.detail}; ${remedy}`
  }
}

export interface ModelDoorOptions {
  /** `https://api.anthropic.com`, or the scripted model's URL. */
  readonly upstream: string
  /** Looked up for each request, so that a rotated key works at once. None is refused unless `scripted`. */
  readonly key: Effect.Effect<Option.Option<Redacted.Redacted<string>>>
  /** The upstream is the scripted model: no real key is sent, and unconfined runs are harmless to accounts. */
  readonly scripted: boolean
  /** 0 (the default) takes a free one. */
  readonly port?: number
  /** How long an unused connection to the upstream is kept; 4,000 unless given. */
  readonly keptMillis?: number
}

/**
 * Below what servers keep connections for (Node: 5 s), so that they seldom close one just when a request, which must not
 * be sent twice, has been written to it. Source: undici's `keepAliveTimeout`.
 */
const defaultKeptMillis = 4_000

/** As the API has it (docs.anthropic.com, "Errors": `request_too_large` above 32 MB). */
const maxRequestBytes = 32 * 1024 * 1024

/** The API's two endpoints that a run needs. */
const openPaths = new Set(["/v1/messages", "/v1/messages/count_tokens"])

/** What goes on to the API; everything else (cookies, proxies' and connection headers, other credentials) stays here. */
const passesUp = (name: string): boolean =>
  /^(accept|content-type|content-length|user-agent|x-app|x-claude-code-session-id|anthropic-[a-z-]+|x-stainless-[a-z-]+)$/
    .test(name)

/** What does not come back: hop-by-hop headers (RFC 9110, 7.6.1) and cookies. */
const staysUp = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

interface Admitted {
  readonly keyDigest: Buffer
  readonly session: SessionId
  readonly budget: Budget
  readonly note: Effect.Effect<void, { readonly message: string }>
  /** Its key is good only on connections of its own jail's door, and only there. */
  readonly byDoor: boolean
  noted: boolean
}

const presentedKey = (request: Http.IncomingMessage): string => {
  const direct = request.headers["x-api-key"]
  if (typeof direct === "string") return direct
  return (request.headers.authorization ?? "").replace(/^Bearer /i, "")
}

const refuse = (response: Http.ServerResponse, refusal: DoorRefusal, detail = ""): void => {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const message = `${refusal.code}: ${refusal.what}${detail === "" ? "" : ` (${detail})`}; ${refusal.remedy}`
  response.writeHead(refusal.status, { "content-type": "application/json", connection: "close" })
  response.end(JSON.stringify({ type: "error", error: { type: refusal.type, message } }))
}

/** Opens one request upstream, with connections kept alive for a moment between requests. */
const makeCaller = (base: URL, keptMillis: number) => {
  const secure = base.protocol === "https:"
  // The agent's timeout ends unused connections only; in use it is an event that nobody listens to.
  const kept = { keepAlive: true, timeout: keptMillis }
  const agent = secure ? new Https.Agent(kept) : new Http.Agent(kept)
  return {
    call: (path: string, headers: Record<string, string>): Http.ClientRequest => {
      const url = new URL(base.pathname.replace(/\/$/, "") + path, base)
      return (secure ? Https : Http).request(url, { method: "POST", agent, headers })
    },
    close: () => agent.destroy()
  }
}

const modelOf = /"model"\s*:\s*"([\w.:@-]{1,100})"/

export class ModelDoor extends Context.Service<ModelDoor, {
  /** What the agent gets as its base URL, without a slash at the end. Loopback. */
  readonly url: string
  readonly scripted: boolean
  /**
   * A key for one run; it stops working with the scope. `note` is carried out before the first answer of the model is
   * passed down to the run; while it fails, none is. With `byDoor` the key works on what `attach` was given and nowhere
   * else; no other key works there.
   */
  readonly admit: (run: {
    readonly session: SessionId
    readonly budget: Budget
    readonly note?: Effect.Effect<void, { readonly message: string }>
    readonly byDoor?: boolean
  }) => Effect.Effect<
    {
      readonly key: string
      /** Serves the run's own listener until the scope closes. */
      readonly attach: (listener: Server) => Effect.Effect<void, never, Scope.Scope>
    },
    never,
    Scope.Scope
  >
}>()("km/runtime/adapters/model/ModelDoor") {
  /** Listens on 127.0.0.1 as long as the layer lives. One door serves every sandbox of a runtime. */
  static readonly layer = (options: ModelDoorOptions): Layer.Layer<ModelDoor, ModelDoorError> =>
    Layer.effect(ModelDoor, makeDoor(options))
}

const makeDoor = Effect.fn("ModelDoor.open")(function*(options: ModelDoorOptions) {
  const admitted = new Set<Admitted>()
  /** By which run's door a connection came; what came over TCP is not among them. */
  const cameBy = new WeakMap<Socket, Admitted>()
  const caller = makeCaller(new URL(options.upstream), options.keptMillis ?? defaultKeptMillis)
  yield* Effect.addFinalizer(() => Effect.sync(caller.close))
  const run = Effect.runPromiseWith(yield* Effect.context())

  /** Compares with every key, so that the time does not depend on which one it is near to. */
  const find = (request: Http.IncomingMessage): Admitted | undefined => {
    const presented = digest(presentedKey(request))
    let found: Admitted | undefined
    for (const entry of admitted) if (timingSafeEqual(entry.keyDigest, presented)) found = entry
    return cameBy.get(request.socket) === (found?.byDoor === true ? found : undefined) ? found : undefined
  }

  /** Why it cannot be written down; `undefined` once it is. */
  const noted = (entry: Admitted): Effect.Effect<string | undefined> =>
    Effect.suspend(() => entry.noted ? Effect.void : entry.note).pipe(
      Effect.tap(() => Effect.sync(() => void (entry.noted = true))),
      Effect.match({ onFailure: ({ message }) => message, onSuccess: () => undefined })
    )

  const forward = (
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    entry: Admitted,
    path: string,
    key: string
  ): void => {
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(request.headers)) {
      if (passesUp(name) && typeof value === "string") headers[name] = value
    }
    const upstream = caller.call(path, {
      ...headers,
      // Or usage could not be read as it passes.
      "accept-encoding": "identity",
      "x-api-key": key
    })
    let size = 0
    let model = ""
    request.on("data", (chunk: Buffer) => {
      // The model's name is at the start of the CLI's body; anything else is priced as the dearest.
      if (size === 0) model = modelOf.exec(chunk.subarray(0, 4_096).toString("latin1"))?.[1] ?? ""
      size += chunk.length
      if (size > maxRequestBytes) {
        request.unpipe(upstream)
        upstream.destroy()
        refuse(response, doorRefusals.tooLarge)
      }
    })
    request.pipe(upstream)
    upstream.on("error", (error) => {
      if (size <= maxRequestBytes && !response.destroyed) refuse(response, doorRefusals.unreachable, error.message)
    })
    const passDown = (answer: Http.IncomingMessage): void => {
      const meter = new UsageMeter(answer.headers["content-type"] ?? "")
      const kept = Object.entries(answer.headers).filter(([name]) => !staysUp.has(name))
      response.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept))
      response.flushHeaders()
      answer.on("data", (chunk: Buffer) => meter.push(chunk))
      answer.on("close", () => {
        meter.end()
        // A broken answer was paid for as far as it came, and must reach the agent as broken.
        if (!answer.complete) response.destroy()
        void run(entry.budget.charge(costOf(model, meter.usage)))
      })
      answer.pipe(response)
    }
    upstream.on("response", (answer) => {
      // What the model says may be acted on at once, so that it is coming is written down first.
      void run(Effect.map(noted(entry), (failure) => {
        if (failure === undefined) return passDown(answer)
        upstream.destroy()
        refuse(response, doorRefusals.notNoted, failure)
      }))
    })
    response.on("close", () => {
      if (!response.writableFinished) upstream.destroy()
    })
  }

  const handle = Effect.fnUntraced(function*(request: Http.IncomingMessage, response: Http.ServerResponse) {
    const url = request.url ?? "/"
    const path = url.split("?", 1)[0] ?? "/"
    // Older CLIs look whether the base URL answers; they get no further than this.
    if (request.method === "HEAD" && path === "/") return void response.writeHead(200).end()
    const entry = find(request)
    if (entry === undefined) return refuse(response, doorRefusals.wrongKey)
    if (request.method !== "POST" || !openPaths.has(path) || url.length > 300) {
      return refuse(response, doorRefusals.notTheApi)
    }
    if (Number(request.headers["content-length"] ?? 0) > maxRequestBytes) {
      return refuse(response, doorRefusals.tooLarge)
    }
    if (yield* entry.budget.exhausted) return refuse(response, doorRefusals.budget)
    const key = yield* options.key
    if (options.scripted) return forward(request, response, entry, url, "scripted")
    return Option.match(key, {
      onNone: () => refuse(response, doorRefusals.noKey),
      onSome: (value) => forward(request, response, entry, url, Redacted.value(value))
    })
  })

  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server, ModelDoorError>((resume) => {
      const listening = Http.createServer((request, response) => {
        request.on("error", () => response.destroy())
        response.on("error", () => request.destroy())
        void run(handle(request, response))
      })
      // A long turn streams for many minutes; the agent's own limits and the turn's wall clock end it.
      listening.requestTimeout = 0
      listening.keepAliveTimeout = 60_000
      listening.once("error", (error) => resume(Effect.fail(new ModelDoorError({ detail: error.message }))))
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

  return ModelDoor.of({
    url: `http://127.0.0.1:${port}`,
    scripted: options.scripted,
    admit: (admission) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const key = `sk-ant-km-${randomBytes(32).toString("base64url")}`
          const { budget, byDoor = false, note = Effect.void, session } = admission
          const entry: Admitted = { keyDigest: digest(key), session, budget, note, byDoor, noted: false }
          admitted.add(entry)
          return { key, entry }
        }),
        ({ entry }) => Effect.sync(() => void admitted.delete(entry))
      ).pipe(Effect.map(({ entry, key }) => ({
        key,
        attach: (listener) =>
          accept(listener, (socket) => {
            cameBy.set(socket, entry)
            server.emit("connection", socket)
          })
      })))
  })
})
