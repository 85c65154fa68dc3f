/** The real program, as Claude Code starts it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Http from "node:http"
import * as Net from "node:net"
import { bundled } from "../support/bundled.ts"

const program = bundled("km-hook.cjs")

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts `km-hook`; `feed` writes its standard input, which stays open unless it ends it. */
const hook = (env: Record<string, string>, feed: (stdin: NodeJS.WritableStream) => void) =>
  Effect.callback<Ended>((resume) => {
    const child = spawn(process.execPath, [program], { env: { ...env, PATH: process.env["PATH"] } })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => stdout += String(chunk))
    child.stderr.on("data", (chunk) => stderr += String(chunk))
    // It may leave before it has read everything.
    child.stdin.on("error", () => {})
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    feed(child.stdin)
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const listen = <S extends Net.Server>(server: S) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: S; readonly url: string }>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ server, url: `http://127.0.0.1:${port}/hooks` }))
      })
    }),
    () => Effect.sync(() => void server.close())
  )

const quiet: Ended = { code: 0, stdout: "", stderr: "" }
const event = JSON.stringify({ hook_event_name: "SessionStart", session_id: "x", source: "startup" })
const say = (text: string | Buffer) => (stdin: NodeJS.WritableStream) => void stdin.end(text)

describe("km-hook", () => {
  it.live("posts the event with the bearer token and says nothing", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { url } = yield* listen(Http.createServer((request, response) => {
        let body = ""
        request.on("data", (chunk) => body += String(chunk))
        request.on("end", () => {
          seen.push(`${request.method} ${request.url} ${request.headers.authorization} ${body}`)
          response.end("{\"hookSpecificOutput\":{\"additionalContext\":\"must not be passed on\"}}")
        })
      }))
      assert.deepStrictEqual(yield* hook({ KM_HOOK_URL: url, KM_HOOK_TOKEN: "kmh_t" }, say(event)), quiet)
      assert.deepStrictEqual(seen, [`POST /hooks Bearer kmh_t ${event}`])
    }))

  it.live("leaves quietly with 0 whatever goes wrong", () =>
    Effect.gen(function*() {
      const sockets: Array<Net.Socket> = []
      const connections = yield* listen(Net.createServer((socket) => void sockets.push(socket)))
      yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
      const dropping = yield* listen(Net.createServer((socket) => void socket.destroy()))
      const garbage = yield* listen(Net.createServer((socket) => void socket.end(Buffer.from([0, 255, 10, 13, 7]))))
      const failing = yield* listen(Http.createServer((_, response) => void response.writeHead(500).end("no")))
      const closed = yield* Effect.scoped(listen(Net.createServer()))
      const token = { KM_HOOK_TOKEN: "kmh_t" }
      const cases: Array<readonly [string, Record<string, string>, (stdin: NodeJS.WritableStream) => void]> = [
        ["nobody listens", { ...token, KM_HOOK_URL: closed.url }, say(event)],
        ["nobody answers", { ...token, KM_HOOK_URL: connections.url }, say(event)],
        ["the connection is dropped", { ...token, KM_HOOK_URL: dropping.url }, say(event)],
        ["the answer is garbage", { ...token, KM_HOOK_URL: garbage.url }, say(event)],
        ["the listener fails", { ...token, KM_HOOK_URL: failing.url }, say(event)],
        ["no variables", {}, say(event)],
        ["no token", { KM_HOOK_URL: failing.url }, say(event)],
        ["a token that breaks the header", { KM_HOOK_URL: failing.url, KM_HOOK_TOKEN: "a\r\nb: c" }, say(event)],
        ["a broken URL", { ...token, KM_HOOK_URL: "http://[" }, say(event)],
        ["an empty standard input", { ...token, KM_HOOK_URL: failing.url }, say("")],
        ["bytes that are no JSON", { ...token, KM_HOOK_URL: failing.url }, say(Buffer.from([0, 255, 254]))],
        ["a standard input over the cap", { ...token, KM_HOOK_URL: failing.url }, say("x".repeat(3_000_000))],
        ["a standard input that never ends", { ...token, KM_HOOK_URL: failing.url }, (stdin) => void stdin.write("{")]
      ]
      for (const [name, env, feed] of cases) assert.deepStrictEqual(yield* hook(env, feed), quiet, name)
    }))
})
