/**
 * The `emulate` package: it keeps users, channels, messages, threads, reactions and files on an inner loopback port
 * that only the front talks to. It is read when a workspace starts, so nothing else waits for it. It keeps nothing over a
 * restart, and neither does a workspace.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import * as net from "node:net"
import { type HttpReply, send } from "./InnerHttp.ts"
import { isJson, type Json, parseJson, textOf, without } from "./Json.ts"
import type { Caller } from "./TokenTable.ts"
import { EmulatorFailure, refusal, type SlackRefusal, WorkspaceError } from "./WorkspaceError.ts"

/** The emulator, reached as one of its users. */
export interface Emulator {
  /** Calls a method; fails with the emulator's own error code when it says `ok: false`. */
  readonly call: (caller: Caller, method: string, args: Json) => Effect.Effect<Json, SlackRefusal | EmulatorFailure>
  /** Any other request (uploads, downloads), answered as it comes. */
  readonly raw: (
    caller: Caller | undefined,
    request: { readonly path: string; readonly method: string; readonly contentType?: string; readonly body?: Buffer }
  ) => Effect.Effect<HttpReply, EmulatorFailure>
}

/** A port nobody uses at this moment. `baseUrl` hides the real port, so 0 is no choice. */
const freePort = Effect.callback<number, WorkspaceError>((resume) => {
  const failed = () =>
    resume(Effect.fail(
      new WorkspaceError({
        reason: "port",
        detail: "no free port on 127.0.0.1.",
        remedy: "Close some programs and start again."
      })
    ))
  const server = net.createServer()
  server.once("error", failed)
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() =>
      typeof address === "object" && address !== null ? resume(Effect.succeed(address.port)) : failed()
    )
  })
})

const causeText = (cause: unknown): string => cause instanceof Error ? cause.message : "unknown cause"

/**
 * Starts the emulator for the life of the scope. `baseUrl` is the front's address: upload, file and permalink URLs
 * are built from it, so that clients come through the front.
 */
export const startEmulator = Effect.fn("Emulator.start")(function*(options: {
  readonly baseUrl: string
  readonly seed: Json
}): Effect.fn.Return<Emulator, WorkspaceError, Scope.Scope> {
  const starter = yield* Effect.promise(() => import("emulate"))
  const attempt = Effect.gen(function*() {
    const port = yield* freePort
    const running = yield* Effect.tryPromise({
      try: () =>
        starter.createEmulator({
          service: "slack",
          port,
          hostname: "127.0.0.1",
          baseUrl: options.baseUrl,
          seed: { slack: options.seed }
        }),
      catch: (cause) =>
        new WorkspaceError({
          reason: "emulator-failed",
          detail: `the emulator did not start: ${causeText(cause)}.`,
          remedy: "Start again; if it keeps failing, install km again."
        })
    })
    return { port, running }
  })
  const { port } = yield* Effect.acquireRelease(
    // Another program may take the port between the look and the start.
    Effect.retry(attempt, { times: 3, while: (error) => error.reason === "emulator-failed" }),
    ({ running }) => Effect.promise(() => running.close().catch(() => undefined))
  )
  const agent = yield* Effect.acquireRelease(
    // A connection a call: the emulator closes a kept one after 5 s, also just when the next call has been written to it.
    Effect.sync(() => new http.Agent({ keepAlive: false, maxSockets: 32 })),
    (pool) => Effect.sync(() => pool.destroy())
  )
  const address = `http://127.0.0.1:${port}`

  const raw: Emulator["raw"] = (caller, request) =>
    send(agent, {
      url: address + request.path,
      method: request.method,
      headers: {
        ...(caller === undefined ? {} : { authorization: `Bearer ${caller.innerToken()}` }),
        ...(request.contentType === undefined ? {} : { "content-type": request.contentType })
      },
      ...(request.body === undefined ? {} : { body: request.body })
    }).pipe(
      Effect.mapError((cause) => new EmulatorFailure({ operation: request.path, detail: cause.message }))
    )

  const call: Emulator["call"] = Effect.fnUntraced(function*(caller, method, args) {
    const request = {
      path: `/api/${method}`,
      method: "POST",
      contentType: "application/json",
      body: Buffer.from(JSON.stringify(args))
    }
    let reply = yield* raw(caller, request)
    if (reply.status === 403) {
      // The limiter of the package, whatever our own count says: go on under the next name.
      caller.rotate()
      reply = yield* raw(caller, request)
    }
    const answer = parseJson(reply.body.toString("utf8"))
    if (reply.status === 404) return yield* refusal("unknown_method", { req_method: method })
    if (!isJson(answer) || typeof answer["ok"] !== "boolean") {
      return yield* new EmulatorFailure({ operation: method, detail: `status ${reply.status} without a Slack answer` })
    }
    if (answer["ok"]) return without(answer, ["ok"])
    return yield* refusal(textOf(answer, "error") ?? "fatal_error", without(answer, ["ok", "error"]))
  })

  return { call, raw }
})
