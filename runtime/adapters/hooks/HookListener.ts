/**
 * Receives the hook calls of a sandbox's agent processes and publishes them as `HookEvents`. Everything that arrives is
 * untrusted: the agent can print its own token. A caller hears 200 `{}`, or 204, within milliseconds, because Claude Code waits.
 *
 * A plain `node:http` server: 200 hook calls of a turn each wait for this answer (test/bench/RESULTS.md has the figures).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as FileSystem from "node:fs/promises"
import * as Http from "node:http"
import type { AddressInfo, Server, Socket } from "node:net"
import * as Path from "node:path"
import type { SessionId } from "../../domain/sandbox/Ids.ts"
import { type HookEventName, hookPath, maxHookBodyBytes } from "../../domain/turn/HookEvent.ts"
import type { ReceivedHook } from "../../ports/HookEvents.ts"
import { HookEvents } from "../../ports/HookEvents.ts"
import { accept } from "../jail/Doors.ts"
import { type HookErrorCode, hookErrors } from "./ErrorCodes.ts"
import { parseHookBody } from "./HookBody.ts"
import { HookTokens, newToken } from "./HookTokens.ts"

export interface HookListenerOptions {
  /** The sandbox's own, 0700. Port and token are kept in `hooks.json` there, 0600, for as long as the sandbox lives. */
  readonly stateDirectory: string
  /** A unix socket to listen on as well, to be mounted into a jail; at most 107 bytes (Linux, `man 7 unix`). */
  readonly socketPath?: string
}

/** The listener cannot run; nothing listens. */
export class HookListenerError extends Schema.TaggedError<HookListenerError>()("HookListenerError", {
  detail: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${hookErrors.notListening.code}: ${hookErrors.notListening.what}: ${this.detail}; `
      + hookErrors.notListening.remedy
  }
}

/** Where the listener is, for whoever writes the agent's settings or starts its jail. Constant while the layer lives. */
export class HookEndpoint extends Context.Service<HookEndpoint, {
  /** On 127.0.0.1; the same after a restart unless another program took it. */
  readonly port: number
  /** `http://127.0.0.1:{port}`, as seen outside a jail. */
  readonly origin: string
  readonly socketPath: string | undefined
  /** For interactive sessions; speaks for any session that no dispatched run holds. */
  readonly sandboxToken: Redacted.Redacted<string>
  /**
   * Serves the listener of a jail in which this session's agent runs, until the scope closes. Until then its token is good
   * there and nowhere else, and no other token there.
   */
  readonly attach: (listener: Server, session: SessionId) => Effect.Effect<void, never, Scope.Scope>
}>()("km/runtime/adapters/hooks/HookEndpoint") {}

/** Events a slow subscriber may be behind by; later ones are then dropped for all, and taken from the agent's output. */
const bufferedEvents = 4_096
/** Connections held at once; more are closed unheard. */
const maxConnections = 128
/** A refusal is logged at most this often per code; the log line says how many there were. */
const logEveryMillis = 60_000

const Kept = Schema.Struct({
  version: Schema.Literal(1),
  port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
  token: Schema.String.check(Schema.isPattern(/^kmh_[A-Za-z0-9_-]{43}$/))
})
type Kept = typeof Kept.Type
const decodeKept = Schema.decodeUnknownEffect(Schema.fromJsonString(Kept))

const attempt = <A>(detail: string, run: () => Promise<A>): Effect.Effect<A, HookListenerError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new HookListenerError({ detail, cause }) })

/** Heard once or twice for each tool call of a person's session. */
const toolEvents: ReadonlySet<HookEventName> = new Set(["PostToolUse", "PostToolUseFailure"])

const isMissing = (cause: unknown): boolean =>
  typeof cause === "object" && cause !== null && "code" in cause && cause.code === "ENOENT"

/** What was kept, or undefined when there is nothing or nothing usable (then a new port and token are made). */
const readKept = (file: string): Effect.Effect<Kept | undefined, HookListenerError> =>
  attempt(`${file} cannot be read`, () => FileSystem.readFile(file, "utf8")).pipe(
    Effect.flatMap(decodeKept),
    Effect.catchTag(
      "SchemaError",
      () => Effect.as(Effect.logWarning("the kept hook port and token are unreadable, new ones are made"), undefined)
    ),
    Effect.catchIf((error) => isMissing(error.cause), () => Effect.undefined)
  )

const writeKept = (file: string, kept: Kept): Effect.Effect<void, HookListenerError> =>
  attempt(`${file} cannot be written`, async () => {
    const draft = `${file}.${process.pid}.new`
    const handle = await FileSystem.open(draft, "w", 0o600)
    try {
      await handle.writeFile(`${JSON.stringify(kept)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await FileSystem.rename(draft, file)
  })

/** Listens until the scope closes; then held connections are cut. */
const listening = (
  handle: Http.RequestListener,
  where: { readonly port: number } | { readonly path: string }
): Effect.Effect<Http.Server, HookListenerError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Http.Server, HookListenerError>((resume) => {
      const server = Http.createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000 }, handle)
      server.maxConnections = maxConnections
      server.keepAliveTimeout = 30_000
      server.on("clientError", (_, socket) => void socket.destroy())
      server.once("error", (cause) =>
        resume(Effect.fail(
          new HookListenerError({ detail: `cannot listen on ${Object.values(where).join()} (${cause.message})`, cause })
        )))
      server.listen("port" in where ? { ...where, host: "127.0.0.1" } : where, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const portOf = (server: Http.Server): number => {
  const address: AddressInfo | string | null = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const listenUnix = (handle: Http.RequestListener, path: string): Effect.Effect<void, HookListenerError, Scope.Scope> =>
  Effect.gen(function*() {
    if (Buffer.byteLength(path) > 107) {
      return yield* new HookListenerError({
        detail: `the socket's path is longer than 107 bytes: ${path}`,
        cause: path
      })
    }
    yield* attempt(`${path} cannot be replaced`, async () => {
      await FileSystem.mkdir(Path.dirname(path), { recursive: true, mode: 0o700 })
      // Left by a killed runtime. The sandbox's lease makes sure that no other runtime listens on it.
      await FileSystem.rm(path, { force: true })
    })
    yield* listening(handle, { path })
    yield* attempt(`${path} cannot be protected`, () => FileSystem.chmod(path, 0o600))
  })

/** Answers one call: the verdict before the answer, publishing after it. */
const makeHandler = (
  tokens: HookTokens,
  cameBy: WeakMap<Socket, SessionId>,
  now: () => number,
  publish: (received: ReceivedHook) => void,
  refused: (error: HookErrorCode) => void
): Http.RequestListener =>
(request, response) => {
  const refuse = (status: number, error: HookErrorCode, close = false): void => {
    refused(error)
    const body = JSON.stringify({ error: { code: error.code, message: `${error.what}; ${error.remedy}` } })
    response.writeHead(status, { "content-type": "application/json", ...(close ? { connection: "close" } : {}) })
    response.end(body)
    // What is still being sent is not read.
    if (close) response.once("finish", () => request.destroy())
  }
  if (request.method !== "POST" || request.url !== hookPath) return refuse(404, hookErrors.noSuchPath, true)
  const verdict = tokens.check(request.headers.authorization, now(), cameBy.get(request.socket))
  if (verdict === "unknown") return refuse(401, hookErrors.unknownToken, true)
  if (verdict === "too-many") return refuse(429, hookErrors.tooMany, true)
  if (Number(request.headers["content-length"] ?? 0) > maxHookBodyBytes) {
    return refuse(413, hookErrors.tooLarge, true)
  }
  const chunks: Array<Buffer> = []
  let size = 0
  request.on("data", (chunk: Buffer) => {
    size += chunk.length
    if (size <= maxHookBodyBytes) chunks.push(chunk)
    else if (!response.writableEnded) refuse(413, hookErrors.tooLarge, true)
  })
  request.on("end", () => {
    if (response.writableEnded) return
    const parsed = parseHookBody(Buffer.concat(chunks))
    if (parsed.kind === "not-json") return refuse(400, hookErrors.notJson)
    if (parsed.kind === "wrong-shape") return refuse(400, hookErrors.wrongShape)
    if (parsed.kind === "event" && !verdict.maySpeakFor(parsed.event.session_id)) {
      return refuse(403, hookErrors.foreignSession)
    }
    // Nothing to read is what the CLI is done with soonest; a tool call waits for this.
    if (parsed.kind === "event" && toolEvents.has(parsed.event.hook_event_name)) response.writeHead(204).end()
    else response.writeHead(200, { "content-type": "application/json" }).end("{}")
    if (parsed.kind === "event") publish({ event: parsed.event, at: now(), dispatched: verdict.dispatched })
  })
}

const make = Effect.fnUntraced(function*(options: HookListenerOptions) {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const hooks = yield* PubSub.dropping<ReceivedHook>({ capacity: bufferedEvents })
  yield* Effect.addFinalizer(() => PubSub.shutdown(hooks))
  const tokens = new HookTokens()
  const cameBy = new WeakMap<Socket, SessionId>()

  const told = new Map<string, { at: number; count: number }>()
  const tell = (sentence: string, code: string): void => {
    const last = told.get(code) ?? { at: -logEveryMillis, count: 0 }
    const count = last.count + 1
    const due = now() - last.at >= logEveryMillis
    told.set(code, due ? { at: now(), count: 0 } : { at: last.at, count })
    if (due) fork(Effect.logWarning(sentence).pipe(Effect.annotateLogs({ code, count })))
  }
  const handle = makeHandler(
    tokens,
    cameBy,
    now,
    (received) => {
      if (!PubSub.publishUnsafe(hooks, received)) tell("hook events are dropped, a subscriber is behind", "overflow")
    },
    (error) => tell("a hook call was refused", error.code)
  )

  const file = Path.join(options.stateDirectory, "hooks.json")
  const kept = yield* readKept(file)
  const server = yield* listening(handle, { port: kept?.port ?? 0 }).pipe(
    Effect.catchTag("HookListenerError", (error) =>
      kept === undefined
        ? Effect.fail(error)
        : Effect.logWarning("the hook listener's port is taken, a new one is used").pipe(
          Effect.annotateLogs({ code: hookErrors.portChanged.code, port: kept.port }),
          Effect.andThen(listening(handle, { port: 0 }))
        ))
  )
  const port = portOf(server)
  const token = kept?.token ?? newToken()
  if (kept?.port !== port) yield* writeKept(file, { version: 1, port, token })
  tokens.add(token, undefined)
  if (options.socketPath !== undefined) yield* listenUnix(handle, options.socketPath)

  const events = HookEvents.of({
    subscribe: PubSub.subscribe(hooks),
    issue: (session, byPerson = false) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const issued = newToken()
          return { token: issued, revoke: tokens.add(issued, session, byPerson) }
        }),
        ({ revoke }) => Effect.sync(revoke)
      ).pipe(Effect.map((issued) => ({ token: issued.token })))
  })
  const endpoint = HookEndpoint.of({
    port,
    origin: `http://127.0.0.1:${port}`,
    socketPath: options.socketPath,
    sandboxToken: Redacted.make(token),
    attach: (listener, session) =>
      Effect.acquireRelease(
        Effect.sync(() => tokens.openDoor(session)),
        (close) => Effect.sync(close)
      ).pipe(Effect.andThen(accept(listener, (socket) => {
        cameBy.set(socket, session)
        server.emit("connection", socket)
      })))
  })
  return Context.make(HookEvents, events).pipe(Context.add(HookEndpoint, endpoint))
})

/** Listens while the layer lives. Needs nothing; one per sandbox. */
export const layer = (
  options: HookListenerOptions
): Layer.Layer<HookEvents | HookEndpoint, HookListenerError> => Layer.effectContext(make(options))
