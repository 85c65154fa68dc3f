/** What `POST /events` answers is the same straight from `node:http` as through the application. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { once } from "node:events"
import * as http from "node:http"
import * as net from "node:net"
import { BridgeApp } from "../../bridge/BridgeApp.ts"
import { maxEventBytes } from "../../bridge/events/SignedRequests.ts"
import { eventsFront } from "../../bridge/EventsFront.ts"
import { slackSignature } from "../../bridge/slack/slackSignature.ts"
import { envelope, requests, said, world } from "./events/scene.ts"
import { scriptedSlack } from "./scripted.ts"

const listening = (server: http.Server) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    }),
    () => Effect.sync(() => void server.close().closeAllConnections())
  )

/** The same bridge behind two servers, and how many requests the first one left to the application. */
const twoServers = Effect.gen(function*() {
  const { app, events } = yield* BridgeApp
  const scope = yield* Effect.scope
  const context = yield* Effect.context()
  const otherwise = yield* NodeHttpServer.makeHandler(app, { scope })
  const left = { count: 0 }
  assert.isDefined(events)
  const front = eventsFront({
    judge: events ?? (() => Effect.die("none")),
    context,
    scope,
    otherwise: (request, response) => {
      left.count++
      otherwise(request, response)
    }
  })
  return {
    left,
    front: yield* listening(http.createServer(front)),
    application: yield* listening(http.createServer(otherwise))
  }
})

/** Bytes to a server, and its answer without what no two answers have in common. */
const exchange = (port: number, bytes: ReadonlyArray<string | Buffer>) =>
  Effect.promise(async () => {
    const socket = net.connect({ port, host: "127.0.0.1" })
    let text = ""
    socket.setEncoding("latin1")
    socket.on("data", (chunk: string) => void (text += chunk))
    socket.on("error", () => undefined)
    for (const part of bytes) socket.write(part)
    await once(socket, "close")
    const [head = "", body = ""] = text.split("\r\n\r\n")
    const headers = head.split("\r\n").map((line) => line.toLowerCase()).filter((line) => !line.startsWith("date:"))
    return { status: headers[0], headers: headers.slice(1).toSorted(), body }
  })

const signed = Effect.fnUntraced(function*(
  body: string | Buffer,
  more: ReadonlyArray<string> = [],
  { path = "/events", secret = "secret" } = {}
) {
  const timestamp = String(Math.floor((yield* Clock.currentTimeMillis) / 1_000))
  const lines = [
    `POST ${path} HTTP/1.1`,
    "host: localhost",
    "connection: close",
    `x-slack-request-timestamp: ${timestamp}`,
    `x-slack-signature: ${slackSignature(secret, timestamp, body)}`,
    ...more
  ]
  return `${lines.join("\r\n")}\r\n`
})
const withLength = Effect.fnUntraced(function*(body: string | Buffer, ...args: [ReadonlyArray<string>?, object?]) {
  const head = yield* signed(body, ...args)
  return [`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n`, body]
})

const good = JSON.stringify(envelope(said()))

describe("the short way of events", () => {
  it.effect("answers as the application does, byte for byte", () =>
    Effect.gen(function*() {
      const { application, front, left } = yield* twoServers
      const big = " ".repeat(maxEventBytes + 1)
      const cases: ReadonlyArray<readonly [string, number, ReadonlyArray<string | Buffer>]> = [
        ["good", 0, yield* withLength(good)],
        ["again", 0, yield* withLength(good)],
        ["a repetition", 0, yield* withLength(good, ["x-slack-retry-num: 1"])],
        ["in two parts", 0, [
          yield* signed(good),
          `content-length: ${good.length}\r\n\r\n`,
          good.slice(0, 9),
          good.slice(9)
        ]],
        ["a challenge", 0, yield* withLength(JSON.stringify({ type: "url_verification", challenge: "c" }))],
        ["another secret", 0, yield* withLength(good, [], { secret: "another" })],
        ["no signature", 0, [`POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}`]],
        ["not JSON", 0, yield* withLength("{")],
        ["no bytes", 0, yield* withLength("")],
        ["not UTF-8", 0, yield* withLength(Buffer.from([0x7b, 0xff, 0x7d]))],
        ["no envelope", 0, yield* withLength("[]")],
        ["half a character", 0, yield* withLength(good.replace("hello", "\\ud83d"))],
        ["another app", 0, yield* withLength(JSON.stringify(envelope(said(), { api_app_id: "A0OTHER001" })))],
        ["too long", 1, yield* withLength(big)],
        ["in chunks", 1, [
          yield* signed(good, ["transfer-encoding: chunked"]),
          `\r\n${good.length.toString(16)}\r\n${good}\r\n0\r\n\r\n`
        ]],
        ["with a trace", 1, yield* withLength(good, [`traceparent: 00-${"1".repeat(32)}-${"2".repeat(16)}-01`])],
        ["elsewhere", 1, yield* withLength(good, [], { path: "/elsewhere" })],
        ["with a query", 1, yield* withLength(good, [], { path: "/events?a=b" })]
      ]
      for (const [what, leaves, bytes] of cases) {
        left.count = 0
        const answers = [yield* exchange(front, bytes), yield* exchange(application, bytes)]
        assert.deepStrictEqual(answers[0], answers[1], what)
        assert.match(answers[0]?.status ?? "", /^http\/1\.1 \d{3}/, what)
        assert.strictEqual(left.count, leaves, what)
      }
      // However often and whichever way it came.
      assert.lengthOf(yield* requests, 1)
    }).pipe(Effect.scoped, world(scriptedSlack())))

  it.effect("a body that breaks off stores nothing", () =>
    Effect.gen(function*() {
      const { front } = yield* twoServers
      const head = yield* signed(good)
      yield* Effect.promise(async () => {
        const socket = net.connect({ port: front, host: "127.0.0.1" })
        socket.on("error", () => undefined)
        socket.end(`${head}content-length: ${good.length}\r\n\r\n${good.slice(0, -1)}`)
        socket.resume()
        await once(socket, "close")
      })
      assert.lengthOf(yield* requests, 0)
    }).pipe(Effect.scoped, world(scriptedSlack())))
})
