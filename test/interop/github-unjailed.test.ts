/**
 * A machine without bubblewrap, as the runtime meets one: nothing forces the agent through the proxy, and a run's credential
 * opens its own sandbox's and no other, for as long as the run lasts.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { githubInstall, succeeded } from "../support/githubInstall.ts"
import { bashScript } from "../support/ScriptedModel.ts"

/** With the program covered, where only what is started here sees that. */
const withoutBubblewrap = [
  "unshare",
  "--user",
  "--map-root-user",
  "--mount",
  "--",
  "/bin/sh",
  "-c",
  "mount --bind /dev/null /usr/bin/bwrap && exec \"$@\"",
  "sh"
]

/** What the two proxies answer to whom; `mine` and `theirs` are whole addresses. */
const tries = (host: string, other: string): string => `
exec > said.txt 2>&1
url=https://${host}/org/api.git
theirs=$(cat ${other})
port() { echo "$1" | sed 's/.*://'; }
credential() { echo "$1" | sed 's/.*:\\(kmp_[^@]*\\)@.*/\\1/'; }
ask() { curl -sS -o /dev/null -w "$1 %{http_connect}\\n" --proxy "http://$2" https://elsewhere.example.com/ 2>/dev/null; }
git ls-remote $url && echo "-- mine reads"
ask mine "km:$(credential "$HTTPS_PROXY")@127.0.0.1:$(port "$HTTPS_PROXY")"
ask bare "127.0.0.1:$(port "$HTTPS_PROXY")"
ask mine-there "km:$(credential "$HTTPS_PROXY")@127.0.0.1:$(port "$theirs")"
ask over-there "km:$(credential "$theirs")@127.0.0.1:$(port "$theirs")"
ask over-here "km:$(credential "$theirs")@127.0.0.1:$(port "$HTTPS_PROXY")"
HTTPS_PROXY=$theirs https_proxy=$theirs git ls-remote $url || echo "-- theirs refused"
echo "$HTTPS_PROXY" > mine.txt
`

describe("without bubblewrap", () => {
  it.live(
    "a run's credential is good at its own sandbox's proxy, and there until it is over",
    () =>
      Effect.gen(function*() {
        const { host, sandbox, state } = yield* githubInstall({ within: withoutBubblewrap })
        const one = yield* sandbox("one", ["feature/*"])
        const two = yield* sandbox("two", ["fix/*"])
        assert.match((yield* succeeded(state, ["status", "one"])).out, /unconfined/)
        const turn = (alias: string, script: string) => succeeded(state, ["chat", alias, bashScript(script), "--json"])
        const kept = path.join(one.workspace, "mine.txt")
        yield* turn("one", `echo "$HTTPS_PROXY" > mine.txt`)
        yield* turn("two", tries(host, kept))
        const said = fs.readFileSync(path.join(two.workspace, "said.txt"), "utf8")
        assert.include(said, "-- mine reads")
        assert.include(said, "-- theirs refused")
        const answers = [...said.matchAll(/^(mine|bare|mine-there|over-there|over-here) (\d+)$/gm)]
        assert.deepStrictEqual(answers.map(([, name, code]) => `${name} ${code}`), [
          "mine 403",
          "bare 407",
          "mine-there 407",
          "over-there 407",
          "over-here 407"
        ])
        // The next run of the same sandbox has another one, and the last run's is nothing to it.
        yield* turn("two", `${tries(host, "mine.txt")}\ncat mine.txt`)
        const again = fs.readFileSync(path.join(two.workspace, "said.txt"), "utf8")
        assert.include(again, "mine 403")
        assert.include(again, "over-here 407")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    300_000
  )
})
