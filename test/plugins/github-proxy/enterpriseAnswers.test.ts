/** An Enterprise host has git and API behind one name: each client is told in its own form what is wrong. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { tokenRefused } from "../../../runtime/ports/RepositoryTokens.ts"
import { proxyWorld } from "./proxyWorld.ts"
import { statusOf, tunnelled } from "./rawClient.ts"

const host = "ghe.example.com"

const forms: ReadonlyArray<readonly [string, string, RegExp]> = [
  ["git", "/my-org/api.git/info/refs?service=git-upload-pack", /^km: KM-GHA-022: the App is gone\n$/],
  ["the API", "/api/v3/repos/my-org/api", /^\{"message":"km: KM-GHA-022: the App is gone"\}$/],
  ["git-lfs", "/my-org/api.git/info/lfs/locks", /^\{"message":"km: KM-GHA-022: the App is gone"\}$/]
]

describe("what an Enterprise host's clients are told", () => {
  for (const [name, target, form] of forms) {
    it.live(`is in the form of ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* proxyWorld({ policy: { host } })
        world.tokens.trouble = tokenRefused("NotInstalled", "the App is gone")
        const answer = yield* tunnelled(
          world,
          `${host}:443`,
          `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
        )
        assert.strictEqual(statusOf(answer), 503, answer)
        assert.match(answer.split("\r\n\r\n")[1] ?? "", form)
      }))
  }
})
