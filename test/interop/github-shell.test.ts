/** A person's session in the jail before a GitHub: told what it may do there, and real git does that and no more. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { githubInstall, succeeded } from "../support/githubInstall.ts"
import { jailShell } from "../support/jailShell.ts"

describe("GitHub from a session that a person works in", () => {
  it.live(
    "is what the profile allows, and the person and the journal read it",
    () =>
      Effect.gen(function*() {
        const { github, host, sandbox, state } = yield* githubInstall()
        const { run, terminal } = yield* jailShell(state, yield* sandbox("api", ["feature/*"]))
        const url = `https://${host}/org/api.git`
        const cloned = yield* run(
          `git clone -q ${url} api && cat api/README.md; echo "proxy $HTTPS_PROXY"; tail -n +3 /proc/net/dev | cut -d: -f1`
        )
        assert.include(cloned.said, "# api")
        assert.match(cloned.said, /proxy http:\/\/127\.0\.0\.1:4703\n *lo\n$/)
        // Said before anything was typed.
        const said = terminal.shown().replaceAll("\r\n", "\n").split("\n").filter((line) => line.startsWith("[km] "))
        assert.deepStrictEqual(said, [
          `[km] GitHub: these repositories can be reached by https, without any token of yours: ${host}/org/api.`,
          "[km] Refs that may be pushed: feature/*; deleting is not allowed, forcing is not allowed. A refused push says why "
          + "and how it is allowed.",
          "[km] No other host can be reached."
        ])

        const identity = "-c user.name=a -c user.email=a@km.invalid"
        const pushed = yield* run(
          `cd api && git ${identity} commit -q --allow-empty -m one && git push -q origin HEAD:refs/heads/feature/one`
        )
        assert.strictEqual(pushed.code, 0, pushed.said)
        const refused = yield* run("cd api && git push origin HEAD:refs/heads/main")
        assert.strictEqual(refused.code, 1)
        assert.include(refused.said, "remote: km: to allow it: add main to spec.sourceAccess.github.allowedRefs")
        assert.include(
          refused.said,
          "! [remote rejected] HEAD -> main (km: refs/heads/main may not be moved; allowed are: feature/* (ref.unlisted))"
        )
        const elsewhere = yield* run(`git clone https://${host}/org/web.git`)
        assert.notStrictEqual(elsewhere.code, 0)
        assert.include(elsewhere.said, "remote: km: refused: org/web is not a repository of this sandbox")
        const refs = yield* github.refs("org/api")
        assert.deepStrictEqual([...refs.keys()], ["refs/heads/feature/one", "refs/heads/main"])

        const journal = (yield* succeeded(state, ["audit"])).out
        assert.match(journal, /org\/api.*ref\.unlisted/)
        assert.match(journal, /session [0-9a-f-]{36}/)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    300_000
  )
})
