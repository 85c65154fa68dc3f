/**
 * One WebSocket on undici's client: text frames, pings of ours, a word at every sign of life, and an end that always
 * comes, also when the other side keeps the line open without a word.
 */
import * as diagnostics from "node:diagnostics_channel"
import type * as net from "node:net"
import { Agent, buildConnector, ping, WebSocket } from "undici"

/** Bytes of one message, as for an event by HTTP; undici ends the connection where one is larger. */
export const maxFrameBytes = 1024 * 1024
const connectMillis = 10_000

export interface LineEvents {
  /** A text frame. */
  readonly text: (text: string) => void
  /** Anything that is no text: a ping, a pong. */
  readonly heard: () => void
  /** Once, however it ended. */
  readonly closed: () => void
}

export interface Line {
  /** False when it can no longer be sent. */
  readonly send: (text: string) => boolean
  readonly ping: () => void
  /** The closing handshake; TCP may stay open after it. */
  readonly close: () => void
  /** Ends TCP at once. */
  readonly cut: () => void
}

/** What undici tells of pings and pongs, which a WebSocket itself does not. */
const isAbout = (message: unknown, socket: WebSocket): boolean =>
  typeof message === "object" && message !== null && "websocket" in message && message.websocket === socket

const signs = ["undici:websocket:ping", "undici:websocket:pong"]

/** Begins to connect; never throws. The URL is a secret: it is in no error. */
export const openLine = (url: string, events: LineEvents): Line => {
  let tcp: net.Socket | undefined
  let ended = false
  const connect = buildConnector({ timeout: connectMillis })
  const agent = new Agent({
    connect: (options, done) =>
      connect(options, (...result) => {
        const [, socket] = result
        tcp = socket ?? undefined
        // Cut off before it was there.
        if (ended) tcp?.destroy()
        done(...result)
      }),
    webSocket: { maxPayloadSize: maxFrameBytes }
  })
  const socket = new WebSocket(url, { dispatcher: agent })
  const onSign = (message: unknown): void => {
    if (isAbout(message, socket)) events.heard()
  }
  for (const sign of signs) diagnostics.subscribe(sign, onSign)
  const end = (): void => {
    if (ended) return
    ended = true
    for (const sign of signs) diagnostics.unsubscribe(sign, onSign)
    // Without a word to wait for: an agent of one connection that is over.
    agent.destroy().catch(() => undefined)
    events.closed()
  }
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") events.text(data)
    else events.heard()
  })
  socket.addEventListener("error", () => undefined)
  socket.addEventListener("close", end)
  return {
    send: (text) => {
      if (socket.readyState !== WebSocket.OPEN) return false
      socket.send(text)
      return true
    },
    ping: () => ping(socket),
    close: () => socket.close(),
    cut: () => {
      tcp?.destroy()
      end()
    }
  }
}
