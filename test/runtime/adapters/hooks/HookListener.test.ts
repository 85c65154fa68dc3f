/** Real sockets, virtual time: the clock decides rates only. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, PubSub, Redacted, Scope } from "effect"
import { TestClock } from "effect/testing"
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { errorCodes, hookErrors } from "../../../../runtime/adapters/hooks/ErrorCodes.ts"
import { HookEndpoint, type HookListenerOptions, layer } from "../../../../runtime/adapters/hooks/HookListener.ts"
import { callBurst, callsPerSecond } from "../../../../runtime/adapters/hooks/HookTokens.ts"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { maxHookBodyBytes } from "../../../../runtime/domain/turn/HookEvent.ts"
import { HookEvents, type ReceivedHook } from "../../../../runtime/ports/HookEvents.ts"

const session = SessionId.make("11111111-1111-4111-8111-111111111111")
const other = SessionId.make("22222222-2222-4222-8222-222222222222")
const display = (delta: string, of = session) =>
  JSON.stringify({ hook_event_name: "MessageDisplay", session_id: of, prompt_id: "p", message_id: delta, delta })

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(Path.join(tmpdir(), "km-hooks-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

interface Answer {
  readonly status: number
  readonly body: string
}
type Body = string | Buffer | ReadonlyArray<Buffer>

const agent = new Http.Agent({ keepAlive: true, maxSockets: 16 })

const call = (
  to: Http.RequestOptions,
  token: string | undefined,
  body: Body,
  headers: Record<string, string> = {}
) =>
  Effect.callback<Answer>((resume) => {
    const request = Http.request({
      method: "POST",
      path: "/hooks",
      agent,
      ...to,
      headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers }
    }, (response) => {
      let text = ""
      response.on("data", (chunk) => text += String(chunk))
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, body: text })))
      response.on("error", () => resume(Effect.succeed({ status: response.statusCode ?? 0, body: text })))
    })
    request.on("error", () => resume(Effect.succeed({ status: 0, body: "cut" })))
    if (typeof body === "string" || Buffer.isBuffer(body)) request.end(body)
    else {
      for (const piece of body) request.write(piece)
      request.end()
    }
  })

/** A running listener with one subscriber, and what it has published so far. */
const started = (options: HookListenerOptions) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(layer(options))
    const hooks = Context.get(context, HookEvents)
    const endpoint = Context.get(context, HookEndpoint)
    const subscription = yield* hooks.subscribe
    const published = PubSub.takeUpTo(subscription, 100_000) as Effect.Effect<ReadonlyArray<ReceivedHook>>
    const at = { host: "127.0.0.1", port: endpoint.port }
    return { hooks, endpoint, published, at, sandbox: Redacted.value(endpoint.sandboxToken) }
  })

const deltas = (received: ReadonlyArray<ReceivedHook>) =>
  received.map(({ event, dispatched }) =>
    `${event.hook_event_name === "MessageDisplay" ? event.delta : event.hook_event_name} ${dispatched}`
  )

const refusal = (answer: Answer) => {
  const parsed: { readonly error: { readonly code: string } } = JSON.parse(answer.body)
  return `${answer.status} ${parsed.error.code}`
}

describe("HookListener", () => {
  it.effect("answers {} and publishes in order, for the run's session and for interactive ones", () =>
    Effect.gen(function*() {
      const { hooks, published, at, sandbox } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      for (const delta of ["a", "b", "c"]) {
        assert.deepStrictEqual(yield* call(at, token, display(delta)), { status: 200, body: "{}" })
      }
      assert.deepStrictEqual(yield* call(at, sandbox, display("d", other)), { status: 200, body: "{}" })
      assert.deepStrictEqual(deltas(yield* published), ["a true", "b true", "c true", "d false"])
    }))

  it.effect("takes a run's token by its jail's door alone, and no other token there", () =>
    Effect.gen(function*() {
      const { at, endpoint, hooks, published, sandbox } = yield* started({ stateDirectory: yield* directory })
      const door = (of: SessionId) =>
        Effect.gen(function*() {
          const { token } = yield* hooks.issue(of)
          const listener = yield* Effect.callback<Net.Server>((resume) => {
            const server = Net.createServer()
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          })
          const address = listener.address()
          yield* endpoint.attach(listener, of)
          const port = typeof address === "object" && address !== null ? address.port : 0
          return { token, at: { host: "127.0.0.1", port } }
        })
      const run = yield* Scope.make()
      const one = yield* door(session).pipe(Scope.provide(run))
      const two = yield* door(other)
      assert.strictEqual((yield* call(one.at, one.token, display("a"))).status, 200)
      assert.strictEqual((yield* call(two.at, two.token, display("b", other))).status, 200)
      for (
        const [to, token, of] of [
          [two.at, one.token, session],
          [one.at, two.token, other],
          [at, one.token, session],
          [one.at, sandbox, other],
          [one.at, undefined, session]
        ] as const
      ) assert.strictEqual(refusal(yield* call(to, token, display("x", of))), "401 KM-AGT-081")
      assert.strictEqual(refusal(yield* call(one.at, one.token, display("x", other))), "403 KM-AGT-082")
      yield* Scope.close(run, Exit.void)
      assert.strictEqual((yield* call(one.at, one.token, display("x"))).status, 0, "the jail is gone")
      assert.strictEqual(refusal(yield* call(at, one.token, display("x"))), "401 KM-AGT-081")
      assert.deepStrictEqual(deltas(yield* published), ["a true", "b true"])
    }))

  it.effect("refuses whoever may not speak, with a stable code, and publishes nothing", () =>
    Effect.gen(function*() {
      const { hooks, published, at, sandbox } = yield* started({ stateDirectory: yield* directory })
      const run = yield* Scope.make()
      const { token } = yield* hooks.issue(session).pipe(Scope.provide(run))
      const forged = token.slice(0, -1) + (token.endsWith("A") ? "B" : "A")
      for (const bad of [undefined, "", forged, token.slice(0, -1), `${token}x`]) {
        assert.strictEqual(refusal(yield* call(at, bad, display("x"))), "401 KM-AGT-081")
      }
      assert.strictEqual(refusal(yield* call(at, token, display("x", other))), "403 KM-AGT-082")
      assert.strictEqual(refusal(yield* call(at, sandbox, display("x"))), "403 KM-AGT-082", "a run holds this session")
      yield* Scope.close(run, Exit.void)
      assert.strictEqual(refusal(yield* call(at, token, display("x"))), "401 KM-AGT-081", "the run is over")
      assert.deepStrictEqual(yield* published, [])
      assert.strictEqual((yield* call(at, sandbox, display("now interactive"))).status, 200)
    }))

  it.effect("refuses bad input with a stable code, and goes on", () =>
    Effect.gen(function*() {
      const { hooks, published, at } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      const big = Buffer.alloc(maxHookBodyBytes + 1, 0x20)
      const cases: Array<readonly [string, Body, string]> = [
        ["declared too large", big, "413 KM-AGT-083"],
        ["not JSON", "{", "400 KM-AGT-084"],
        ["empty", "", "400 KM-AGT-084"],
        ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "400 KM-AGT-084"],
        ["an array", "[]", "400 KM-AGT-085"],
        ["null", "null", "400 KM-AGT-085"],
        ["a field of the wrong type", display("x").replace("\"x\"}", "{}}"), "400 KM-AGT-085"],
        ["a session that is a path", display("x", "../../etc/passwd" as SessionId), "400 KM-AGT-085"]
      ]
      for (const [name, body, expected] of cases) {
        assert.strictEqual(refusal(yield* call(at, token, body)), expected, name)
      }
      const undeclared = yield* call(at, token, Array.from({ length: 40 }, () => Buffer.alloc(64 * 1024, 0x20)))
      assert.include(["413", "0"], String(undeclared.status), "refused, or cut while still sending")
      assert.strictEqual(refusal(yield* call({ ...at, path: "/other" }, token, "")), "404 KM-AGT-087")
      assert.strictEqual(refusal(yield* call({ ...at, method: "GET" }, token, "")), "404 KM-AGT-087")
      assert.deepStrictEqual(yield* published, [])
      const largest = display("y".repeat(maxHookBodyBytes / 2 - 200))
      assert.strictEqual((yield* call(at, token, largest)).status, 200)
      assert.strictEqual((yield* published).length, 1)
    }))

  it.effect("takes an event it does not know as no failure, and drops it", () =>
    Effect.gen(function*() {
      const { hooks, published, at } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      const body = JSON.stringify({ hook_event_name: "PreModelSwitch", session_id: session })
      assert.deepStrictEqual(yield* call(at, token, body), { status: 200, body: "{}" })
      assert.deepStrictEqual(yield* published, [])
    }))

  it.effect("keeps of a tool's input only the beginnings of its texts", () =>
    Effect.gen(function*() {
      const { hooks, published, at } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      const tool_input = { command: "c".repeat(100_000), nested: { deep: ["x".repeat(100_000)] }, n: 1 }
      yield* call(
        at,
        token,
        JSON.stringify({
          hook_event_name: "PostToolUse",
          session_id: session,
          tool_name: "Bash",
          tool_use_id: "t",
          tool_input
        })
      )
      const [received] = yield* published
      assert.isBelow(JSON.stringify(received).length, 10_000)
      assert.include(JSON.stringify(received), "cccc")
    }))

  it.effect("answers a tool call with nothing to read", () =>
    Effect.gen(function*() {
      const { at, hooks, published } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      for (const hook_event_name of ["PostToolUse", "PostToolUseFailure"]) {
        const body = JSON.stringify({ hook_event_name, session_id: session, tool_name: "Bash", tool_use_id: "t" })
        assert.deepStrictEqual(yield* call(at, token, body), { status: 204, body: "" })
      }
      assert.lengthOf(yield* published, 2)
    }))

  it.effect("takes a burst and then a steady rate from one token, and others are not hurt", () =>
    Effect.gen(function*() {
      const { hooks, published, at, sandbox } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      const flood = (count: number) =>
        Effect.forEach(Array.from({ length: count }), () => call(at, token, display("x")), { concurrency: 16 })
      const first = yield* flood(callBurst + 20)
      assert.strictEqual(first.filter((answer) => answer.status === 200).length, callBurst)
      assert.strictEqual(
        refusal(first.findLast((answer) => answer.status !== 200) ?? { status: 0, body: "" }),
        "429 KM-AGT-086"
      )
      assert.strictEqual((yield* call(at, sandbox, display("calm", other))).status, 200)
      yield* TestClock.adjust("1 second")
      const second = yield* flood(callsPerSecond + 1)
      assert.strictEqual(second.filter((answer) => answer.status === 200).length, callsPerSecond)
      assert.strictEqual((yield* published).length, callBurst + 1 + callsPerSecond)
    }))

  it.effect("holds a bounded number of events for a subscriber that does not read", () =>
    Effect.gen(function*() {
      const { hooks, published, at } = yield* started({ stateDirectory: yield* directory })
      const tokens = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], () => hooks.issue(session))
      yield* Effect.forEach(
        tokens.flatMap(({ token }) => Array.from({ length: callBurst }, () => token)),
        (token) => call(at, token, display("x")),
        { concurrency: 16, discard: true }
      )
      assert.strictEqual((yield* published).length, 4_096)
      yield* TestClock.adjust("1 second")
      yield* call(at, tokens[0]?.token, display("still here"))
      assert.deepStrictEqual(deltas(yield* published), ["still here true"])
    }))

  it.effect("outlives bytes that are no HTTP and connections that say nothing", () =>
    Effect.gen(function*() {
      const { hooks, published, at } = yield* started({ stateDirectory: yield* directory })
      const { token } = yield* hooks.issue(session)
      const closed = (bytes: Buffer) =>
        Effect.callback<void>((resume) => {
          const socket = Net.connect(at, () => void socket.end(bytes))
          socket.on("error", () => {})
          socket.resume()
          socket.on("close", () => resume(Effect.void))
        })
      for (
        const bytes of [
          "\0\xff\0",
          "POST /hooks HTTP/9.9\r\n\r\n",
          `GET / HTTP/1.1\r\nx: ${"y".repeat(40_000)}\r\n`,
          ""
        ]
      ) {
        yield* closed(Buffer.from(bytes, "latin1"))
      }
      yield* call(at, token, display("alive"))
      assert.deepStrictEqual(deltas(yield* published), ["alive true"])
    }))

  it.effect("keeps port and token over a restart, in a file of its own user", () =>
    Effect.gen(function*() {
      const stateDirectory = yield* directory
      const first = yield* Effect.scoped(
        Effect.map(started({ stateDirectory }), ({ at, sandbox }) => ({ at, sandbox }))
      )
      assert.strictEqual(statSync(Path.join(stateDirectory, "hooks.json")).mode & 0o777, 0o600)
      const second = yield* started({ stateDirectory })
      assert.deepStrictEqual({ at: second.at, sandbox: second.sandbox }, first)
      assert.strictEqual((yield* call(first.at, first.sandbox, display("x"))).status, 200)
    }))

  it.effect("takes another port when its own is taken, and keeps the token", () =>
    Effect.gen(function*() {
      const stateDirectory = yield* directory
      const squatter = yield* started({ stateDirectory: yield* directory })
      const token = `kmh_${"a".repeat(43)}`
      const kept = { version: 1, port: squatter.endpoint.port, token }
      writeFileSync(Path.join(stateDirectory, "hooks.json"), JSON.stringify(kept))
      const moved = yield* started({ stateDirectory })
      assert.notStrictEqual(moved.endpoint.port, squatter.endpoint.port)
      assert.strictEqual(moved.sandbox, token)
      assert.include(readFileSync(Path.join(stateDirectory, "hooks.json"), "utf8"), String(moved.endpoint.port))
    }))

  it.effect("makes new ones when the file is garbage, and says so when it cannot be written", () =>
    Effect.gen(function*() {
      const stateDirectory = yield* directory
      writeFileSync(Path.join(stateDirectory, "hooks.json"), "{\"version\":1,\"port\":-1}")
      const { at, sandbox } = yield* started({ stateDirectory })
      assert.strictEqual((yield* call(at, sandbox, display("x"))).status, 200)
      const error = yield* Effect.flip(started({ stateDirectory: Path.join(stateDirectory, "absent") }))
      assert.include(error.message, hookErrors.notListening.code)
    }))

  it.effect("listens on a unix socket of its own user as well, and replaces one left behind", () =>
    Effect.gen(function*() {
      const stateDirectory = yield* directory
      const socketPath = Path.join(stateDirectory, "run", "hooks.sock")
      yield* Effect.scoped(started({ stateDirectory, socketPath }))
      writeFileSync(socketPath, "")
      chmodSync(socketPath, 0o666)
      const { hooks, published, sandbox } = yield* started({ stateDirectory, socketPath })
      assert.strictEqual(statSync(socketPath).mode & 0o777, 0o600)
      assert.strictEqual((yield* call({ socketPath }, sandbox, display("u"))).status, 200)
      assert.strictEqual(refusal(yield* call({ socketPath }, "kmh_no", display("u"))), "401 KM-AGT-081")
      const { token } = yield* hooks.issue(session)
      assert.strictEqual((yield* call({ socketPath }, token, display("v"))).status, 200)
      assert.deepStrictEqual(deltas(yield* published), ["u false", "v true"])
      const tooLong = Path.join(stateDirectory, "x".repeat(120))
      const error = yield* Effect.flip(started({ stateDirectory, socketPath: tooLong }))
      assert.include(error.message, "107 bytes")
    }))

  it("has one code for each thing, with a remedy", () => {
    assert.strictEqual(new Set(errorCodes.map(({ code }) => code)).size, errorCodes.length)
    for (const { code, what, remedy } of errorCodes) {
      assert.match(code, /^KM-AGT-08\d$/)
      assert.isAbove(what.length, 10)
      assert.isAbove(remedy.length, 10)
    }
  })
})
