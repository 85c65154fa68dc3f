#!/usr/bin/env node
/**
 * `km-hook`: hands one hook event from standard input to the listener, for the events that Claude Code sends to
 * commands only. It is telemetry: it always exits 0, prints nothing (what SessionStart prints becomes the model's
 * context), and gives up after a second and a half.
 *
 * Plain Node without Effect, and a socket instead of an HTTP client, because Claude Code waits for it at every start:
 * see test/bench/RESULTS.md for what Node's start costs, and what the rest adds to it.
 */
import { connect } from "node:net"
import process from "node:process"

/** As the listener's own cap (`runtime/domain/turn/HookEvent.ts`); repeated so that nothing is loaded for it. */
const maxBytes = 1024 * 1024
/** For all of it: reading, connecting, sending, the answer. */
const patienceMillis = 1_500

/** Nothing a hook does may fail the session, so every end is this one. */
const leave = (): never => process.exit(0)

const send = (body: Buffer): void => {
  const target = URL.parse(process.env["KM_HOOK_URL"] ?? "")
  const token = process.env["KM_HOOK_TOKEN"] ?? ""
  // Only loopback: whoever sets the variable must not be able to send the token elsewhere.
  if (target === null || target.protocol !== "http:" || !/^(127\.0\.0\.1|localhost)$/.test(target.hostname)) leave()
  else if (!/^[A-Za-z0-9_.~-]{1,200}$/.test(token)) leave()
  else {
    const socket = connect({ host: target.hostname, port: Number(target.port === "" ? 80 : target.port) })
    socket.on("error", leave)
    socket.on("close", leave)
    // The first bytes of the answer mean that the event was taken.
    socket.on("data", leave)
    socket.write(
      `POST ${target.pathname} HTTP/1.1\r\nHost: ${target.host}\r\nAuthorization: Bearer ${token}\r\n`
        + `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`
    )
    socket.write(body)
  }
}

const chunks: Array<Buffer> = []
let size = 0

process.on("uncaughtException", leave)
process.on("unhandledRejection", leave)
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, leave)
setTimeout(leave, patienceMillis)
process.stdin.on("error", leave)
process.stdin.on("data", (chunk: Buffer) => {
  size += chunk.length
  if (size > maxBytes) leave()
  chunks.push(chunk)
})
process.stdin.on("end", () => size === 0 ? leave() : send(Buffer.concat(chunks)))
