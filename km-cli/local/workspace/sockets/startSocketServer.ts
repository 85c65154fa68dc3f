/**
 * Slack's Socket Mode towards one app: tickets, connections that live as long as they say, envelopes that want an
 * acknowledgement, and every way in which a connection ends. On a port of its own, as Slack's is a host of its own.
 *
 * Source: docs.slack.dev/apis/events-api/using-socket-mode, unless a line says otherwise. What begins with "Assumed"
 * is written nowhere.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import * as http from "node:http"
import type * as net from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { unending } from "../../../../runtime/ports/Unending.ts"
import { isJson, type Json, parseJson, textOf } from "../Json.ts"
import type { Watch } from "../Watch.ts"
import { refusal, WorkspaceError } from "../WorkspaceError.ts"
import type { SocketOptions } from "../WorkspaceOptions.ts"
import type { DisconnectReason, SocketAttempt, SocketServer } from "./SocketServer.ts"

/** "Up to 10 connections per app". */
const maxConnections = 10
/** What `hello` announces in Slack's example. */
const defaultLifeSeconds = 3_600
/** With `debug_reconnects=true` in the URL. */
const debugLifeSeconds = 360
/** `warning` comes about 10 s before the end, says the guide. */
const warningSeconds = 10
/** Assumed: how long a connection stays usable after `refresh_requested`, and how long a ticket may wait. */
const refreshGraceSeconds = 10
const ticketSeconds = 30
/** Assumed; the SDK wants a ping at least every 30 s (@slack/socket-mode 3.1.0, `serverPingTimeout`). */
const pingSeconds = 10
/** Bytes of one frame of the client's; acknowledgements are small. Assumed. */
const maxFrameBytes = 1024 * 1024

interface Connection {
  readonly id: number
  readonly socket: WebSocket
  readonly tcp: net.Socket
  state: "greeted" | "closing" | "frozen"
  sent: number
  acknowledged: number
  readonly pending: Map<string, Deferred.Deferred<unknown, "closed">>
  fiber: Fiber.Fiber<void> | undefined
}

/** A repeatable chance: which connection an envelope goes to. Park and Miller's generator. */
const chanceOf = (seed: number) => {
  let state = (seed % 2_147_483_646) + 1
  return (below: number): number => {
    state = state * 48_271 % 2_147_483_647
    return state % below
  }
}

const refuseUpgrade = (tcp: { readonly end: (text: string) => unknown }, status: string): void => {
  tcp.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

const closed = (server: http.Server) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

/** Starts the endpoint for the life of the scope, on a free port of 127.0.0.1. */
export const startSocketServer = Effect.fn("SocketServer.start")(function*(options: {
  readonly appId: string
  readonly watch: Watch
  readonly settings: SocketOptions
  /** How long an acknowledgement may take. Slack names 3 s for HTTP only; assumed alike. */
  readonly timeoutMillis: number
}): Effect.fn.Return<SocketServer, WorkspaceError, Scope.Scope> {
  const { settings, watch } = options
  const scope = yield* Effect.scope
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const lifeSeconds = settings.lifeSeconds ?? defaultLifeSeconds
  const chance = chanceOf(settings.seed ?? 1)
  const connections = new Map<number, Connection>()
  const tickets = new Set<string>()
  const counts = {
    opened: 0,
    mostOpen: 0,
    acknowledged: 0,
    strayAcknowledgements: 0,
    unreadable: 0,
    tickets: 0,
    refused: 0
  }
  let on = settings.enabled === true
  let keepsTcp = false

  const server = http.createServer((_, response) => response.writeHead(426).end())
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxFrameBytes, autoPong: false })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.sync(() => {
        for (const { tcp } of connections.values()) tcp.destroy()
      }),
      closed(server)
    )
  )
  yield* Effect.callback<void, WorkspaceError>((resume) => {
    server.once("error", (error) =>
      resume(Effect.fail(
        new WorkspaceError({
          reason: "port",
          detail: `the endpoint of Socket Mode cannot listen: ${error.message}.`,
          remedy: "Start the workspace again."
        })
      )))
    server.listen(0, "127.0.0.1", () => resume(Effect.void))
  })
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0

  const tell = (event: string, more: Json = {}): void => watch.tell("socket", {}, { event, ...more })
  const write = (connection: Connection, frame: Json): void => {
    if (connection.state !== "frozen") connection.socket.send(JSON.stringify(frame))
  }
  const debugInfo = { host: "applink-local", build_number: 1 }

  const close = (connection: Connection): void => {
    if (connection.state === "frozen") return
    connection.state = "closing"
    connection.socket.close(1000)
    tell("closing", { connection: connection.id })
  }

  const sendDisconnect = (connection: Connection, reason: DisconnectReason): void => {
    if (connection.state === "frozen") return
    write(connection, { type: "disconnect", reason, debug_info: debugInfo })
    tell("disconnect", { connection: connection.id, reason })
  }

  /** Usable for a while after the word, then closed from this side. */
  const refresh = (connection: Connection, reason: "warning" | "refresh_requested") =>
    Effect.gen(function*() {
      if (reason === "warning") {
        sendDisconnect(connection, "warning")
        yield* Effect.sleep(`${warningSeconds} seconds`)
      }
      sendDisconnect(connection, "refresh_requested")
      yield* Effect.sleep(`${refreshGraceSeconds} seconds`)
      close(connection)
    })

  const pings = (connection: Connection) =>
    unending(
      "a ping ended in a defect",
      0,
      Effect.delay(
        Effect.sync(() => {
          if (connection.state !== "frozen") connection.socket.ping()
        }),
        `${pingSeconds} seconds`
      )
    )

  const live = (connection: Connection, seconds: number) =>
    Effect.raceFirst(
      pings(connection),
      Effect.andThen(
        Effect.sleep(`${Math.max(0, seconds - warningSeconds)} seconds`),
        refresh(connection, "warning")
      )
    )

  const received = (connection: Connection, text: string): void => {
    if (connection.state === "frozen") return
    const frame = parseJson(text)
    if (!isJson(frame)) {
      counts.unreadable += 1
      return
    }
    const id = textOf(frame, "envelope_id") ?? ""
    const waiting = connection.pending.get(id)
    if (waiting === undefined) {
      counts.strayAcknowledgements += 1
      tell("stray", { connection: connection.id })
      return
    }
    connection.pending.delete(id)
    connection.acknowledged += 1
    counts.acknowledged += 1
    Deferred.doneUnsafe(waiting, Exit.succeed(frame["payload"]))
  }

  let last = 0
  const accept = (socket: WebSocket, tcp: net.Socket, seconds: number): void => {
    const connection: Connection = {
      id: ++last,
      socket,
      tcp,
      state: "greeted",
      sent: 0,
      acknowledged: 0,
      pending: new Map(),
      fiber: undefined
    }
    /** Assumed: what was not acknowledged when a connection closes counts as not delivered, and is sent again. */
    const giveBack = (): void => {
      if (connection.state !== "frozen") connection.state = "closing"
      for (const waiting of connection.pending.values()) Deferred.doneUnsafe(waiting, Exit.fail("closed"))
      connection.pending.clear()
    }
    if (keepsTcp) {
      // Called when the handshake is over.
      tcp.end = () => {
        giveBack()
        return tcp
      }
      tcp.once("end", () => tcp.destroy())
    }
    // Whoever cuts the line is no fault of ours.
    socket.on("error", () => undefined)
    const others = [...connections.values()].filter(({ state }) => state !== "closing").length
    if (!on || others >= maxConnections) {
      // In place of the hello (slackapi/bolt-js#2238 shows the frames); whether it is closed then is assumed.
      sendDisconnect(connection, on ? "too_many_websockets" : "link_disabled")
      close(connection)
      return
    }
    connections.set(connection.id, connection)
    counts.opened += 1
    const open = [...connections.values()].filter(({ socket: one }) => one.readyState === one.OPEN)
    counts.mostOpen = Math.max(counts.mostOpen, open.length)
    socket.on("message", (data) => received(connection, Buffer.isBuffer(data) ? data.toString("utf8") : ""))
    socket.on("ping", (data) => {
      if (connection.state !== "frozen") socket.pong(data)
    })
    socket.on("close", () => {
      giveBack()
      connections.delete(connection.id)
      if (connection.fiber !== undefined) fork(Fiber.interrupt(connection.fiber))
      tell("closed", { connection: connection.id })
    })
    write(connection, {
      type: "hello",
      num_connections: others + 1,
      connection_info: { app_id: options.appId },
      debug_info: { ...debugInfo, started: "2026-01-01 00:00:00.000", approximate_connection_time: seconds }
    })
    connection.fiber = fork(live(connection, seconds))
    tell("opened", { connection: connection.id })
  }

  server.on("upgrade", (request, tcp, head) => {
    const url = URL.parse(request.url ?? "", "http://127.0.0.1")
    const ticket = url?.searchParams.get("ticket") ?? ""
    // Assumed: how a ticket is refused that was never given out, used before or left too long.
    if (url?.pathname !== "/link/" || !tickets.delete(ticket)) return refuseUpgrade(tcp, "408 Request Timeout")
    const seconds = url.searchParams.get("debug_reconnects") === "true" ? debugLifeSeconds : lifeSeconds
    sockets.handleUpgrade(request, tcp, head, (socket) => accept(socket, request.socket, seconds))
  })

  const chosen = (which: number | "all" | undefined): ReadonlyArray<Connection> => {
    const usable = [...connections.values()].filter(({ state }) => state === "greeted")
    if (which === "all") return [...connections.values()]
    if (which !== undefined) return usable.filter(({ id }) => id === which)
    return usable.slice(-1)
  }

  const onEach = (which: number | "all" | undefined, act: (connection: Connection) => void) =>
    Effect.sync(() => {
      for (const connection of chosen(which)) act(connection)
    })

  const disconnect = (reason: DisconnectReason, which?: number | "all") =>
    onEach(which, (connection) => {
      if (reason === "warning" || reason === "refresh_requested") {
        fork(Effect.forkIn(refresh(connection, reason), scope))
        return
      }
      sendDisconnect(connection, reason)
      close(connection)
    })

  return {
    isOn: () => on,
    switch: (next) =>
      Effect.suspend(() => {
        on = next
        return next ? Effect.void : disconnect("link_disabled", "all")
      }),
    ticket: Effect.suspend(() => {
      counts.tickets += 1
      if (!on) {
        counts.refused += 1
        // Assumed: no page names the error of an app whose Socket Mode is off.
        return Effect.fail(refusal("socket_mode_not_enabled"))
      }
      const ticket = crypto.randomUUID()
      tickets.add(ticket)
      return Effect.as(
        Effect.forkIn(
          Effect.delay(Effect.sync(() => void tickets.delete(ticket)), `${ticketSeconds} seconds`),
          scope
        ),
        `ws://127.0.0.1:${port}/link/?ticket=${ticket}&app_id=${options.appId}`
      )
    }),
    deliver: ({ acceptsResponse, payload, retry, type }) =>
      Effect.suspend(() => {
        const usable = [...connections.values()].filter(({ state }) => state !== "closing")
        const connection = usable[usable.length === 0 ? 0 : chance(usable.length)]
        if (connection === undefined) {
          return Effect.succeed<SocketAttempt>({
            ok: false,
            reason: "no_connection",
            connection: undefined,
            payload: undefined
          })
        }
        // Assumed: a repetition has an id of its own.
        const id = crypto.randomUUID()
        const acknowledged = Deferred.makeUnsafe<unknown, "closed">()
        connection.pending.set(id, acknowledged)
        connection.sent += 1
        write(connection, {
          envelope_id: id,
          type,
          payload,
          accepts_response_payload: acceptsResponse === true,
          ...(type === "events_api" ? { retry_attempt: retry?.num ?? 0, retry_reason: retry?.reason ?? "" } : {})
        })
        return Deferred.await(acknowledged).pipe(
          Effect.map((answer): SocketAttempt => ({
            ok: true,
            reason: undefined,
            connection: connection.id,
            payload: answer
          })),
          Effect.timeoutOrElse({
            duration: options.timeoutMillis,
            orElse: () => Effect.fail("late" as const)
          }),
          Effect.orElseSucceed((): SocketAttempt => {
            connection.pending.delete(id)
            return { ok: false, reason: "timeout", connection: connection.id, payload: undefined }
          })
        )
      }),
    connections: () =>
      [...connections.values()].map(({ acknowledged, id, sent, state }) => ({ id, state, sent, acknowledged })),
    counts: () => ({ ...counts }),
    disconnect,
    drop: (which) => onEach(which, ({ tcp }) => tcp.destroy()),
    freeze: (which) =>
      onEach(which, (connection) => {
        connection.state = "frozen"
      }),
    keepTcp: (keep) =>
      Effect.sync(() => {
        keepsTcp = keep
      }),
    sendText: (text) =>
      onEach("all", (connection) => {
        if (connection.state === "greeted") connection.socket.send(text)
      })
  }
})
