/** Without a jail: each run's own address of the proxy, and that its people are told what it was refused. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as http from "node:http"
import { contributed } from "../../../runtime/adapters/claude/Contributions.ts"
import { Jail } from "../../../runtime/adapters/jail/Bubblewrap.ts"
import { SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { slackRequest, turnRow } from "../../support/turnRows.ts"
import { pluginWorld } from "./pluginWorld.ts"

const session = SessionId.make("11111111-2222-4333-8444-555555555555")

/** The status with which a host that is not allowed is answered by the proxy at this address. */
const asked = (proxy: string) =>
  Effect.callback<number>((resume) => {
    const { hostname, password, port, username } = new URL(proxy)
    const request = http.get({
      hostname,
      port,
      path: "http://other.example.com/",
      agent: false,
      headers: {
        host: "other.example.com",
        "proxy-authorization": `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`
      }
    }, (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode ?? 0))
    })
    request.once("error", () => resume(Effect.succeed(0)))
  })

const world = Effect.map(
  pluginWorld({ jail: Jail.layerUnconfined("this test needs none") }),
  ({ contribution, plugin }) => ({
    addressOf: ({ key }: TurnRow) =>
      contributed([contribution], { session, turn: key }, false).env["HTTPS_PROXY"] ?? "",
    notices: (row: TurnRow) => plugin.notices?.(row) ?? Effect.succeed([]),
    starting: (row: TurnRow) => Effect.forEach(plugin.observers ?? [], (one) => one.starting(row)),
    exited: (row: TurnRow) => Effect.forEach(plugin.observers ?? [], (one) => one.exited(row))
  })
)

describe("the proxy without a jail", () => {
  it.live("knows by its address which run was refused, while that is under way", () =>
    Effect.gen(function*() {
      const { addressOf, exited, notices, starting } = yield* world
      const [first, second] = [turnRow(slackRequest(1)), turnRow(slackRequest(2))]
      assert.notStrictEqual(addressOf(first), addressOf(second))
      yield* starting(first)
      assert.strictEqual(yield* asked(addressOf(first)), 403)
      const [line = "", ...more] = yield* notices(first)
      assert.match(line, /^🚫 `.*other\.example\.com.*\(host\.unlisted\)/)
      assert.deepStrictEqual(more, [])

      // Of one that has not begun, or is over, nobody would be told.
      assert.strictEqual(yield* asked(addressOf(second)), 403)
      assert.deepStrictEqual(yield* notices(second), [])
      yield* exited(first)
      assert.strictEqual(yield* asked(addressOf(first)), 403)
      assert.deepStrictEqual(yield* notices(first), [line])
    }).pipe(Effect.scoped))

  it.live("takes no address without its password", () =>
    Effect.gen(function*() {
      const { addressOf, notices, starting } = yield* world
      const row = turnRow(slackRequest(1))
      yield* starting(row)
      const address = new URL(addressOf(row))
      assert.match(address.password, /^[A-Za-z0-9_-]{32}$/)
      for (const password of ["", "guess", address.password.slice(1)]) {
        const wrong = new URL(address)
        wrong.password = password
        assert.strictEqual(yield* asked(wrong.href), 407)
      }
      assert.deepStrictEqual(yield* notices(row), [])
    }).pipe(Effect.scoped))
})
