/** `km doctor` beside a GitHub: where a rule of the repository's holds as well, and where the proxy alone stands between. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { githubInstall } from "../support/githubInstall.ts"
import { km } from "../support/KmProcess.ts"

describe("km doctor about a repository's own rules", () => {
  it.live(
    "asks GitHub each time, for each sandbox that may write",
    () =>
      Effect.gen(function*() {
        const { github, host, sandbox, state } = yield* githubInstall()
        yield* sandbox("closed", ["feature/*"])
        yield* sandbox("open", ["main"])
        yield* sandbox("reader", [])
        const rules = Effect.map(km(state, ["doctor", "--json"]), ({ err, out }) => {
          const { checks } = JSON.parse(out) as {
            readonly checks: ReadonlyArray<Readonly<Record<"name" | "status" | "detail" | "remedy", string>>>
          }
          assert.isNotEmpty(checks, err)
          return checks.filter(({ name }) => name.startsWith("rules")).map(({ detail, name, remedy, status }) =>
            [status, name, detail, remedy].join("|")
          ).toSorted()
        })
        const remedy = `add a ruleset for main at GitHub, in the settings of ${host}/org/api`
        const alone = (name: string, keeps: string) =>
          `warn|rules ${name}|${host}/org/api: the proxy alone keeps ${keeps}: GitHub has no rule for it|${remedy}`
        assert.deepStrictEqual(yield* rules, [
          alone("closed", "it from main"),
          alone("open", "main from being forced")
        ])
        github.protect("org/api", "main", ["non_fast_forward"])
        assert.deepStrictEqual(yield* rules, [
          `ok|rules open|${host}/org/api: main may be pushed, as the profile says|`,
          alone("closed", "it from main")
        ])
        github.protect("org/api", "main", ["deletion", "pull_request"])
        assert.deepStrictEqual(yield* rules, [
          `ok|rules closed|${host}/org/api: main is closed by GitHub's own rules too|`,
          `ok|rules open|${host}/org/api: main may be pushed, as the profile says|`
        ])
        // What was asked with is taken back.
        const asked = github.tokens().filter(({ permissions }) => permissions["contents"] === undefined)
        assert.isAtLeast(asked.length, 6)
        assert.isTrue(asked.every(({ revoked }) => revoked))
        github.protect("org/api", "main", [])
        github.faults.add({ matches: /\/rules\/branches\//u, how: 503 })
        assert.deepStrictEqual(
          (yield* rules).map((line) => line.split(":")[0]?.split("|").slice(0, 2).join(" ")),
          ["skip rules closed", "skip rules open"]
        )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    300_000
  )
})
