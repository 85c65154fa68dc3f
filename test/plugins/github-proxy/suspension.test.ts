/** GitHub's 403 to a suspended installation is a trouble of ours to explain; every other 403 is GitHub's to say. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { gzipSync } from "node:zlib"
import { tokenRefused } from "../../../runtime/ports/RepositoryTokens.ts"
import { gitOnlyJudge } from "./gitOnlyJudge.ts"
import { type ProxyWorld, proxyWorld } from "./proxyWorld.ts"
import { statusOf, tunnelled } from "./rawClient.ts"

const suspended = JSON.stringify({
  message: "This installation has been suspended",
  documentation_url: "https://docs.github.com/rest",
  status: "403"
})

const refusing = (world: ProxyWorld, body: Buffer | string, headers: Readonly<Record<string, string>> = {}) => {
  world.gitHub.intercept = (_, request, response) => {
    request.resume()
    // What the refresher finds out when it is asked for another token.
    world.tokens.trouble = tokenRefused("Suspended", "my-org has suspended the GitHub App")
    response.writeHead(403, {
      "content-type": "application/json; charset=utf-8",
      "content-length": Buffer.byteLength(body),
      ...headers
    }).end(body)
    return true
  }
}

const ask = (world: ProxyWorld, method = "GET") =>
  tunnelled(
    world,
    "api.github.com:443",
    `${method} /repos/my-org/api HTTP/1.1\r\nHost: api.github.com\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n`
  )

describe("a 403 of GitHub's", () => {
  for (
    const [name, body, headers] of [
      ["plain", suspended, {}],
      ["packed", gzipSync(suspended), { "content-encoding": "gzip" }]
    ] as const
  ) {
    it.live(`that says the installation is suspended, ${name}, is a 503 with the reason`, () =>
      Effect.gen(function*() {
        const world = yield* proxyWorld({ judge: gitOnlyJudge })
        refusing(world, body, headers)
        const answer = yield* ask(world)
        assert.strictEqual(statusOf(answer), 503, answer)
        assert.include(answer, "km: KM-GHA-023: my-org has suspended the GitHub App")
        assert.strictEqual(world.tokens.generation, 2)
      }))
  }

  const others: Readonly<Record<string, readonly [Buffer | string, Readonly<Record<string, string>>]>> = {
    "about something else": [JSON.stringify({ message: "Resource not accessible by integration" }), {}],
    "that has the words elsewhere": [
      JSON.stringify({ errors: [{ message: "This installation has been suspended" }] }),
      {}
    ],
    "that is no JSON": [suspended, { "content-type": "text/plain" }],
    "that is not what its coding says": [suspended, { "content-encoding": "gzip" }],
    "of a coding that is not read": [suspended, { "content-encoding": "br" }],
    "that is large": [JSON.stringify({ message: "x".repeat(300_000) }), {}],
    "that becomes large": [gzipSync(JSON.stringify({ message: "x".repeat(3_000_000) })), {
      "content-encoding": "gzip"
    }],
    "that is empty": ["", {}]
  }
  for (const [name, [body, headers]] of Object.entries(others)) {
    it.live(`${name} is passed on whole`, () =>
      Effect.gen(function*() {
        const world = yield* proxyWorld({ judge: gitOnlyJudge })
        refusing(world, body, headers)
        const answer = yield* ask(world)
        assert.strictEqual(statusOf(answer), 403, answer.slice(0, 200))
        const [, sent = ""] = answer.split(/\r\n\r\n(.*)/su)
        assert.isTrue(sent === Buffer.from(body).toString("latin1"), sent.slice(0, 200))
        assert.strictEqual(world.tokens.generation, 1)
      }))
  }
})
