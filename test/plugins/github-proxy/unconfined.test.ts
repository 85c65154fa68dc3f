/** Without a jail: each run's own credential for the proxy, good while it lasts, and that its people are told what it was refused. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Scope } from "effect"
import { createHash } from "node:crypto"
import * as http from "node:http"
import { connect, type Socket } from "node:net"
import { RunCredentials } from "../../../plugins/github-proxy/proxy/RunCredentials.ts"
import { contributed } from "../../../runtime/adapters/claude/Contributions.ts"
import { Jail } from "../../../runtime/adapters/jail/Bubblewrap.ts"
import { SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { makeRedactor } from "../../../runtime/domain/text/Redactor.ts"
import type { TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { slackRequest, turnRow } from "../../support/turnRows.ts"
import type { GitHubDouble } from "./gitHub.ts"
import { pluginWorld } from "./pluginWorld.ts"

const session = SessionId.make("11111111-2222-4333-8444-555555555555")

const basicOf = ({ password, username }: URL): string =>
  `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64")}`

/** The status with which a host that is not allowed is answered by the proxy at this address. */
const asked = (proxy: string) =>
  Effect.callback<number>((resume) => {
    const url = new URL(proxy)
    const request = http.get({
      hostname: url.hostname,
      port: url.port,
      path: "http://other.example.com/",
      agent: false,
      headers: { host: "other.example.com", "proxy-authorization": basicOf(url) }
    }, (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode ?? 0))
    })
    request.once("error", () => resume(Effect.succeed(0)))
  })

/** An open way to GitHub by the proxy at this address. */
const tunnel = (proxy: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const url = new URL(proxy)
      const socket = connect(Number(url.port), url.hostname)
      socket.on("error", () => undefined)
      socket.once("data", (chunk: Buffer) => {
        assert.match(chunk.toString("latin1"), /^HTTP\/1\.1 200 /)
        resume(Effect.succeed(socket))
      })
      socket.write(
        `CONNECT github.com:443 HTTP/1.1\r\nHost: github.com:443\r\nProxy-Authorization: ${basicOf(url)}\r\n\r\n`
      )
    }),
    (socket) => Effect.sync(() => void socket.destroy())
  )

const gone = (socket: Socket) =>
  Effect.callback<void>((resume) => {
    if (socket.closed) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
  })

const world = (gitHub?: GitHubDouble) =>
  Effect.map(
    pluginWorld({
      jail: Jail.layerUnconfined("this test needs none"),
      ...(gitHub === undefined ? {} : { gitHub })
    }),
    ({ contribution, gitHub: same, plugin }) => ({
      gitHub: same,
      /** A run's address, and its end. */
      begin: ({ key }: TurnRow) =>
        Effect.gen(function*() {
          const scope = yield* Scope.fork(yield* Effect.scope)
          const { env } = yield* Scope.provide(contributed([contribution], { session, turn: key }, false), scope)
          return { address: env["HTTPS_PROXY"] ?? "", end: Scope.close(scope, Exit.void) }
        }),
      notices: (row: TurnRow) => plugin.notices?.(row) ?? Effect.succeed([])
    })
  )

describe("the proxy without a jail", () => {
  it.live("knows by its credential which run was refused", () =>
    Effect.gen(function*() {
      const { begin, notices } = yield* world()
      const [first, second] = [turnRow(slackRequest(1)), turnRow(slackRequest(2))]
      const [one, two] = [yield* begin(first), yield* begin(second)]
      assert.strictEqual(yield* asked(one.address), 403)
      const [line = "", ...more] = yield* notices(first)
      assert.match(line, /^🚫 `.*other\.example\.com.*\(host\.unlisted\)/)
      assert.deepStrictEqual([more, yield* notices(second)], [[], []])
      assert.strictEqual(yield* asked(two.address), 403)
      assert.lengthOf(yield* notices(second), 1)
    }).pipe(Effect.scoped))

  it.live("refuses the credential of a run that is over, and cuts what is open of it; others go on", () =>
    Effect.gen(function*() {
      const { begin, notices } = yield* world()
      const row = turnRow(slackRequest(1))
      const [one, two] = [yield* begin(row), yield* begin(turnRow(slackRequest(2)))]
      const [ours, theirs] = [yield* tunnel(one.address), yield* tunnel(two.address)]
      yield* one.end
      yield* gone(ours)
      assert.strictEqual(yield* asked(one.address), 407)
      assert.deepStrictEqual(yield* notices(row), [])
      assert.isFalse(theirs.closed)
      assert.strictEqual(yield* asked(two.address), 403)
      // The same turn once more, as after a crash, has another one.
      const again = yield* begin(row)
      assert.notStrictEqual(again.address, one.address)
      assert.strictEqual(yield* asked(again.address), 403)
      assert.strictEqual(yield* asked(one.address), 407)
    }).pipe(Effect.scoped))

  it.live("takes nothing but a credential of its own, whole: none, a part, another sandbox's", () =>
    Effect.gen(function*() {
      const { begin, gitHub, notices } = yield* world()
      const other = yield* world(gitHub)
      const row = turnRow(slackRequest(1))
      const [mine, theirs] = [yield* begin(row), yield* other.begin(row)]
      const address = new URL(mine.address)
      assert.match(address.password, /^kmp_[A-Za-z0-9_-]{43}$/)
      const { password: foreign } = new URL(theirs.address)
      const passwords = ["", "guess", address.password.slice(1), `${address.password}x`, foreign]
      for (const password of passwords) {
        const wrong = new URL(address)
        wrong.password = password
        assert.strictEqual(yield* asked(wrong.href), 407, password)
      }
      assert.deepStrictEqual([yield* notices(row), yield* other.notices(row)], [[], []])
      assert.strictEqual(yield* asked(mine.address), 403)
      assert.strictEqual(yield* asked(theirs.address), 403)
      // What an agent prints of it is in no post.
      const shown = makeRedactor([]).text(`HTTPS_PROXY=${mine.address} and ${basicOf(address)}`)
      assert.notInclude(shown, address.password.slice(4))
      assert.include(shown, "http://km:[redacted]@127.0.0.1:")
    }).pipe(Effect.scoped))
})

describe("the runs' credentials", () => {
  it.prop(
    "are each its own run's while that lasts, whatever begins and ends before and after",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 })))],
    ([steps]) => {
      const credentials = new RunCredentials()
      const issued: Array<{ readonly run: { readonly turn: string }; readonly credential: string; over: boolean }> = []
      for (const step of steps) {
        const old = issued[step % (issued.length + 1)]
        if (old === undefined || step % 3 > 0) {
          // Also two runs of one turn.
          const run = { turn: `t-${step % 5}` }
          issued.push({ run, credential: credentials.issue(run), over: false })
        } else {
          credentials.end(old.run)
          old.over = true
        }
      }
      for (const { credential, over, run } of issued) {
        assert.strictEqual(credentials.runOf(credential), over ? undefined : run)
        assert.isUndefined(credentials.runOf(createHash("sha256").update(credential).digest("hex")))
      }
      assert.strictEqual(new Set(issued.map(({ credential }) => credential)).size, issued.length)
    }
  )
})
