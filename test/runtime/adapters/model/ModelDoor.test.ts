import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import * as Http from "node:http"
import * as Net from "node:net"
import * as ScriptedModel from "../../../../km-cli/local/model/ScriptedModel.ts"
import * as Budget from "../../../../runtime/adapters/model/Budget.ts"
import { doorRefusals } from "../../../../runtime/adapters/model/ErrorCodes.ts"
import { ModelDoor } from "../../../../runtime/adapters/model/ModelDoor.ts"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"

const session = SessionId.make("0b0e6a40-1111-4222-8333-444444444444")
const realKey = "sk-ant-real-key-of-the-install"

interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
  readonly broken: boolean
  /** Milliseconds from the first byte of the body to the last. */
  readonly chunks: number
}

const call = (
  url: string,
  options: {
    readonly method?: string
    readonly path?: string
    readonly headers?: Record<string, string>
    readonly body?: string | Buffer
  }
) =>
  Effect.callback<Answer, Error>((resume) => {
    const request = Http.request(
      `${url}${options.path ?? "/v1/messages"}`,
      { method: options.method ?? "POST", headers: { "content-type": "application/json", ...options.headers } },
      (response) => {
        let body = ""
        let chunks = 0
        response.on("data", (chunk: Buffer) => {
          chunks++
          body += chunk.toString("utf8")
        })
        response.on("error", () => {})
        response.on("close", () =>
          resume(Effect.succeed({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body,
            broken: !response.complete,
            chunks
          })))
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(options.body)
  })

const message = (said: string, more: object = {}) =>
  JSON.stringify({ model: "claude-opus-5-5", stream: true, messages: [{ role: "user", content: said }], ...more })

const withDoor = Effect.fnUntraced(function*(
  options: {
    readonly upstream?: string
    readonly budget?: Budget.Budget
    readonly key?: Option.Option<string>
    readonly keptMillis?: number
  } = {}
) {
  const model = yield* ScriptedModel.start()
  const key = options.key ?? Option.some(realKey)
  const context = yield* Layer.build(ModelDoor.layer({
    upstream: options.upstream ?? model.url,
    key: Effect.succeed(Option.map(key, (value) => Redacted.make(value))),
    scripted: false,
    ...(options.keptMillis === undefined ? {} : { keptMillis: options.keptMillis })
  }))
  const door = yield* Effect.provide(ModelDoor, context)
  const budget = options.budget ?? Budget.memory(0)
  const { key: own } = yield* door.admit({ session, budget })
  return { door, model, own, budget }
})

const refused = (answer: Answer, refusal: (typeof doorRefusals)[keyof typeof doorRefusals]) => {
  assert.strictEqual(answer.status, refusal.status)
  const body = JSON.parse(answer.body)
  assert.strictEqual(body.type, "error")
  assert.strictEqual(body.error.type, refusal.type)
  assert.match(body.error.message, new RegExp(`^${refusal.code}: `))
}

const askAt = (url: string, key: string) => call(url, { headers: { "x-api-key": key }, body: message("script:text") })

/** A listener as a jail hands it over, and its address. */
const jailListener = Effect.map(
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer()
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => void server.close())
  ),
  (listener) => {
    const address = listener.address()
    return { listener, url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` }
  }
)

describe("ModelDoor", () => {
  it.live("takes a run's key on the listener of its own jail alone, and no other key there", () =>
    Effect.gen(function*() {
      const { budget, door, own } = yield* withDoor()
      const first = yield* jailListener
      const second = yield* jailListener
      const scope = yield* Scope.make()
      const one = yield* door.admit({ session, budget, byDoor: true }).pipe(Scope.provide(scope))
      const two = yield* door.admit({ session, budget, byDoor: true })
      yield* one.attach(first.listener).pipe(Scope.provide(scope))
      yield* two.attach(second.listener)
      assert.include((yield* askAt(first.url, one.key)).body, "event: message_stop")
      assert.include((yield* askAt(second.url, two.key)).body, "event: message_stop")
      assert.include((yield* askAt(door.url, own)).body, "event: message_stop")
      for (
        const [url, key] of [
          [second.url, one.key],
          [first.url, two.key],
          [door.url, one.key],
          [first.url, own],
          [first.url, ""]
        ] as const
      ) refused(yield* askAt(url, key), doorRefusals.wrongKey)
      yield* Scope.close(scope, Exit.void)
      // The jail is gone, and its listener with it.
      assert.isTrue(Exit.isFailure(yield* Effect.exit(askAt(first.url, one.key))))
      refused(yield* askAt(door.url, one.key), doorRefusals.wrongKey)
    }))

  it.live("puts the real key in the place of the run's own, and nothing else of the caller's credentials", () =>
    Effect.gen(function*() {
      const { door, model, own } = yield* withDoor()
      const answer = yield* call(door.url, {
        path: "/v1/messages?beta=true",
        headers: {
          "x-api-key": own,
          authorization: "Bearer of-the-caller",
          cookie: "a=b",
          "x-forwarded-for": "1.2.3.4",
          "anthropic-version": "2023-06-01",
          "x-claude-code-session-id": session
        },
        body: message("script:text")
      })
      assert.strictEqual(answer.status, 200)
      assert.include(answer.body, "event: message_stop")
      const [seen] = yield* model.requests
      assert.strictEqual(seen?.key, realKey)
      assert.strictEqual(seen?.headers["anthropic-version"], "2023-06-01")
      assert.strictEqual(seen?.session, session)
      for (const name of ["authorization", "cookie", "x-forwarded-for"]) assert.notProperty(seen?.headers, name)
      assert.notInclude(JSON.stringify(seen), own)
    }))

  it.live("notes a run before it gets the model's first answer, once, and gives it none while that fails", () =>
    Effect.gen(function*() {
      const { budget, door } = yield* withDoor()
      let notes = 0
      let space = false
      const note = Effect.suspend(() => {
        notes++
        return space ? Effect.void : Effect.fail({ message: "no space left" })
      })
      const { key } = yield* door.admit({ session, budget, note })
      const ask = call(door.url, { headers: { "x-api-key": key }, body: message("script:text") })
      const answer = yield* ask
      refused(answer, doorRefusals.notNoted)
      assert.include(answer.body, "no space left")
      assert.notInclude(answer.body, "message_start")
      space = true
      assert.include((yield* ask).body, "event: message_stop")
      assert.strictEqual((yield* ask).status, 200)
      assert.strictEqual(notes, 2, "one that failed and one that did not")
    }))

  it.live("takes the key as a bearer token too", () =>
    Effect.gen(function*() {
      const { door, own } = yield* withDoor()
      const answer = yield* call(door.url, {
        headers: { authorization: `Bearer ${own}` },
        body: message("script:text")
      })
      assert.strictEqual(answer.status, 200)
    }))

  it.live("refuses a key that is wrong, missing, the real one, or of a run that is over", () =>
    Effect.gen(function*() {
      const { budget, door, model } = yield* withDoor()
      const scope = yield* Scope.make()
      const { key } = yield* door.admit({ session, budget }).pipe(Scope.provide(scope))
      assert.strictEqual(
        (yield* call(door.url, { headers: { "x-api-key": key }, body: message("script:text") })).status,
        200
      )
      yield* Scope.close(scope, Exit.void)
      for (const headers of [{ "x-api-key": key }, { "x-api-key": realKey }, { "x-api-key": "" }, {}]) {
        refused(yield* call(door.url, { headers, body: message("script:text") }), doorRefusals.wrongKey)
      }
      assert.strictEqual((yield* model.requests).length, 1)
    }))

  it.live("passes on nothing but the model API", () =>
    Effect.gen(function*() {
      const { door, model, own } = yield* withDoor()
      for (
        const [method, path] of [
          ["GET", "/v1/messages"],
          ["POST", "/v1/files"],
          ["POST", "/v1/messages/batches"],
          ["POST", "/v1/messages/../files"],
          ["POST", "//v1/messages"],
          ["POST", "/v1/messages%2Fbatches"],
          ["DELETE", "/v1/messages"],
          ["GET", "/"],
          ["POST", `/v1/messages?${"x".repeat(400)}`]
        ] as const
      ) {
        refused(yield* call(door.url, { method, path, headers: { "x-api-key": own } }), doorRefusals.notTheApi)
      }
      assert.deepStrictEqual(yield* model.requests, [])
      const count = yield* call(door.url, {
        path: "/v1/messages/count_tokens",
        headers: { "x-api-key": own },
        body: message("count me")
      })
      assert.strictEqual(count.status, 200)
      assert.strictEqual((yield* call(door.url, { method: "HEAD", path: "/" })).status, 200)
      assert.strictEqual((yield* model.requests).length, 1)
    }))

  for (
    const [script, status, retryAfter] of [["script:error:429:7", 429, "7"], ["script:error:529", 529, undefined], [
      "script:error:401",
      401,
      undefined
    ]] as const
  ) {
    it.live(`passes a ${status} through unchanged`, () =>
      Effect.gen(function*() {
        const { door, own } = yield* withDoor()
        const answer = yield* call(door.url, { headers: { "x-api-key": own }, body: message(script) })
        assert.strictEqual(answer.status, status)
        assert.strictEqual(answer.headers["retry-after"], retryAfter)
        assert.strictEqual(JSON.parse(answer.body).request_id, "req_scripted_1")
      }))
  }

  it.live("passes a broken stream on as broken, after what came before", () =>
    Effect.gen(function*() {
      const { door, own } = yield* withDoor()
      const answer = yield* call(door.url, { headers: { "x-api-key": own }, body: message("script:drop") })
      assert.isTrue(answer.broken)
      assert.include(answer.body, "This will be cut")
    }))

  it.live("does not hold a stream back", () =>
    Effect.gen(function*() {
      const { door, own } = yield* withDoor()
      const answer = yield* call(door.url, { headers: { "x-api-key": own }, body: message("script:slow:400") })
      assert.isAbove(answer.chunks, 10)
    }))

  it.live("refuses a body over the cap, announced or not", () =>
    Effect.gen(function*() {
      const { door, own } = yield* withDoor()
      refused(
        yield* call(door.url, { headers: { "x-api-key": own, "content-length": String(33 * 1024 * 1024) } }),
        doorRefusals.tooLarge
      )
      refused(
        yield* call(door.url, {
          headers: { "x-api-key": own, "transfer-encoding": "chunked" },
          body: Buffer.alloc(33 * 1024 * 1024, " ")
        }),
        doorRefusals.tooLarge
      )
    }))

  it.live("says when the API cannot be reached, as an error the CLI retries", () =>
    Effect.gen(function*() {
      const { door, own } = yield* withDoor({ upstream: "http://127.0.0.1:1" })
      refused(
        yield* call(door.url, { headers: { "x-api-key": own }, body: message("script:text") }),
        doorRefusals.unreachable
      )
    }))

  it.live("has nothing to add when the install has no key", () =>
    Effect.gen(function*() {
      const { door, own } = yield* withDoor({ key: Option.none() })
      refused(
        yield* call(door.url, { headers: { "x-api-key": own }, body: message("script:text") }),
        doorRefusals.noKey
      )
    }))

  for (const stream of [true, false]) {
    it.live(`counts what ${stream ? "a stream" : "a whole answer"} cost, and refuses when the budget is spent`, () =>
      Effect.gen(function*() {
        const budget = Budget.memory(0.000_01)
        const { door, own } = yield* withDoor({ budget })
        const headers = { "x-api-key": own }
        assert.strictEqual((yield* call(door.url, { headers, body: message("script:text", { stream }) })).status, 200)
        // 30-odd input tokens at $4 and at least one output token at $20 a million.
        assert.isAbove(yield* budget.spentUsd, 0.000_1)
        refused(yield* call(door.url, { headers, body: message("script:text") }), doorRefusals.budget)
      }))
  }

  it.live("lets go of an unused connection before its server does, and of none in use", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const upstream = yield* Effect.acquireRelease(
        Effect.callback<Http.Server>((resume) => {
          // It would keep connections for ever, and thinks for longer than the door keeps unused ones.
          const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) => {
            request.resume().once("end", () => setTimeout(() => response.end("{}"), 50))
          })
          server.on("connection", (socket) => socket.once("close", () => Deferred.doneUnsafe(closed, Effect.void)))
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.closeAllConnections())
      )
      const address = upstream.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const { door, own } = yield* withDoor({ upstream: `http://127.0.0.1:${port}`, keptMillis: 5 })
      assert.strictEqual((yield* askAt(door.url, own)).status, 200)
      yield* Deferred.await(closed)
    }).pipe(Effect.scoped))
})
