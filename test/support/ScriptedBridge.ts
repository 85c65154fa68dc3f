/** A real HTTP server in the bridge's place that does to each request what the test's script says. */
import { Effect } from "effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

/** One request as it came over the wire. */
export interface Arrived {
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  /** The action's name and whole object, parsed without judging. */
  readonly action: Record<string, unknown>
  /** Milliseconds of the server's own monotonic clock. */
  readonly at: number
}

/** What the server does with a request. `hang` never answers; `drop` closes the connection after reading the body. */
export type Reply =
  | { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> }
  | "drop"
  | "hang"

export const ok = { status: 200, body: { ok: true } } as const

export const failure = (status: number, code: string, more: Record<string, unknown> = {}): Reply => ({
  status,
  body: { ok: false, error: { code, message: `scripted ${code}`, ...more } }
})

/** Starts on a free port of 127.0.0.1; closed with the scope, hanging connections included. */
export const scriptedBridge = (script: (request: Arrived, index: number) => Reply) =>
  Effect.acquireRelease(
    Effect.callback<{
      readonly url: string
      readonly host: string
      readonly port: number
      readonly arrived: Array<Arrived>
      readonly close: () => void
    }>((resume) => {
      const arrived: Array<Arrived> = []
      const server = http.createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const body = Buffer.concat(chunks).toString("utf8")
          const one = { headers: request.headers, body, action: JSON.parse(body), at: performance.now() }
          arrived.push(one)
          const reply = script(one, arrived.length - 1)
          if (reply === "hang") return
          if (reply === "drop") return void request.socket.destroy()
          response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers })
          response.end(typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body))
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const host = `127.0.0.1:${port}`
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ url: `http://${host}`, host, port, arrived, close }))
      })
    }),
    (server) => Effect.sync(server.close)
  )
