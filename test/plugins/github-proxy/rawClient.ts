/** Bytes to the proxy as no client library would send them. */
import { Effect } from "effect"
import * as Net from "node:net"
import * as Tls from "node:tls"
import type { ProxyWorld } from "./proxyWorld.ts"

/** Everything that comes back: all of it where the bytes ask for the end of the connection, else one whole answer. */
const collect = (socket: Net.Socket, bytes: string, settle: (text: string) => void): void => {
  const untilClosed = /connection: close/i.test(bytes)
  let text = ""
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1")
    const end = text.indexOf("\r\n\r\n")
    const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1]
    if (!untilClosed && end >= 0 && length !== undefined && text.length >= end + 4 + Number(length)) socket.end()
  })
  socket.on("error", (error) => text += `[${"code" in error ? String(error.code) : error.message}]`)
  socket.once("close", () => settle(text))
}

/** What the proxy says to these bytes, sent as they are. */
export const plain = (port: number, bytes: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => socket.write(Buffer.from(bytes, "latin1")))
    collect(socket, bytes, (text) => resume(Effect.succeed(text)))
    return Effect.sync(() => void socket.destroy())
  })

/** What comes back for these bytes inside a tunnel to `authority`; with the name that the TLS inside asks for. */
export const tunnelled = (
  world: ProxyWorld,
  authority: string,
  bytes: string,
  servername = authority.split(":")[0] ?? ""
): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const socket = Net.connect(world.port, "127.0.0.1", () =>
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`))
    socket.once("data", (chunk: Buffer) => {
      const answer = chunk.toString("latin1")
      if (!answer.startsWith("HTTP/1.1 200")) {
        socket.destroy()
        return resume(Effect.succeed(answer))
      }
      const secure = Tls.connect({
        socket,
        ca: [world.authority.certificate],
        ...(servername === ""
          ? {
            checkServerIdentity: () =>
              undefined
          }
          : { servername })
      }, () =>
        secure.write(Buffer.from(bytes, "latin1")))
      collect(secure, bytes, (text) => resume(Effect.succeed(text)))
    })
    socket.on("error", () => resume(Effect.succeed("[no tunnel]")))
    return Effect.sync(() => void socket.destroy())
  })

/** `HTTP/1.1 403 Forbidden` → 403; 0 where there is no answer. */
export const statusOf = (answer: string): number => Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? 0)
