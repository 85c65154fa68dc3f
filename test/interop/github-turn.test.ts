/**
 * A turn of the real agent in its jail, whose only way out is the proxy: it clones and pushes what the profile allows, is
 * refused the rest in git's own words, and finds no token however it looks.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { WebClient } from "@slack/web-api"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { githubInstall, succeeded } from "../support/githubInstall.ts"
import { bashScript } from "../support/ScriptedModel.ts"

const run = promisify(execFile)

/** Both tries at what is not allowed go on after the refusal, as an agent would. */
const work = (host: string): string =>
  `
export GIT_AUTHOR_NAME=agent GIT_AUTHOR_EMAIL=agent@km.invalid GIT_COMMITTER_NAME=agent GIT_COMMITTER_EMAIL=agent@km.invalid
git clone -q https://${host}/org/api.git api && echo "-- cloned"
cd api
git checkout -q -b feature/one && echo change > change.txt && git add change.txt && git commit -qm change
git push -q origin HEAD:refs/heads/feature/one && echo "-- pushed"
echo more >> change.txt && git commit -qam more && git push -q origin HEAD:refs/heads/feature/one && echo "-- pushed again"
git commit -q --amend -m rewritten && git push --force origin HEAD:refs/heads/feature/one || echo "-- force refused"
git push origin HEAD:refs/heads/main || echo "-- branch refused"
git clone -q https://${host}/org/web.git ../web || echo "-- repository refused"
`.trim()

/**
 * Prints everything that looks like a token and can be found: in environments, arguments, open files and memory of every
 * process, in files outside the read-only system, and from the doors. The pattern does not find itself.
 */
const search = `
p='gh[s]_[A-Za-z0-9._-]{20,}'
env | grep -aoE "$p"
for d in /proc/[0-9]*; do
  for f in environ cmdline; do tr '\\0' '\\n' < "$d/$f" | grep -aoE "$p"; done
  for f in "$d"/fd/*; do [ -f "$f" ] && grep -aoE "$p" "$f"; done
  grep -E '^[0-9a-f]+-[0-9a-f]+ rw' "$d/maps" | while read -r range rest; do
    from=$((16#\${range%-*})) to=$((16#\${range#*-}))
    [ $((to - from)) -lt 67108864 ] &&
      dd if="$d/mem" bs=4096 skip=$((from / 4096)) count=$(((to - from) / 4096)) | grep -aoE "$p"
  done
done 2>/dev/null
grep -raohE -D skip "$p" /etc /home /root /opt /srv /run /var /tmp /mnt /media /dev/shm "$HOME" "$PWD" 2>/dev/null
for port in 4701 4702 4703; do curl -s -m 2 "http://127.0.0.1:$port/" | grep -aoE "$p"; done
echo "-- searched"
`.trim()

describe("GitHub from within a turn", () => {
  it.live(
    "clones and pushes what is allowed, is refused the rest in git's words, holds no token",
    () =>
      Effect.gen(function*() {
        const { github, host, sandbox, state } = yield* githubInstall()
        const { workspace } = yield* sandbox("api", ["feature/*"])

        const visible = `ghs_${randomBytes(18).toString("hex")}`
        fs.writeFileSync(path.join(workspace, "visible.txt"), visible)
        const asked = bashScript(
          `(${work(host)}\n) > git.txt 2>&1\n(${search}\n) > found.txt 2>&1; tail -c 1500 git.txt`
        )
        const chat = yield* succeeded(state, ["chat", "api", asked, "--json"])
        assert.deepInclude(JSON.parse(chat.out), { outcome: "answered" })
        const said = fs.readFileSync(path.join(workspace, "git.txt"), "utf8")
        assert.include(said, "km: non-fast-forward, and spec.sourceAccess.github.allowForce is off (ref.force)")
        for (
          const mark of ["cloned", "pushed", "pushed again", "force refused", "branch refused", "repository refused"]
        ) {
          assert.include(said, `-- ${mark}`)
        }
        assert.include(said, "km: to allow it: add main to spec.sourceAccess.github.allowedRefs")
        assert.include(
          said,
          "[remote rejected] HEAD -> main (km: refs/heads/main may not be moved; allowed are: feature/*"
        )
        assert.match(said, /km: refused: org\/web is not a repository of this sandbox/)
        assert.include(said, `km: to allow it: add ${host}/org/web to spec.sourceAccess.github.allowedRepos`)

        // People read in the thread what was refused, and how to allow it, before the answer.
        const { botToken, apiUrl } = JSON.parse(fs.readFileSync(path.join(state, "run", "workspace.json"), "utf8")) as {
          readonly botToken: string
          readonly apiUrl: string
        }
        const { channel, threadTs } = JSON.parse(chat.out) as { readonly channel: string; readonly threadTs: string }
        const replies = yield* Effect.promise(() =>
          new WebClient(botToken, { slackApiUrl: apiUrl }).conversations.replies({ channel, ts: threadTs })
        )
        const texts = (replies.messages ?? []).map(({ text = "" }) => text)
        const notice = texts.findIndex((text) => text.includes("(ref.unlisted)"))
        const answer = texts.findIndex((text) => text.includes("Output:"))
        assert.isAbove(notice, 0, texts.join("\n---\n"))
        assert.isAbove(answer, notice)
        assert.deepStrictEqual(texts[notice]?.split("\n"), [
          "🚫 org/api: refs/heads/feature/one may not be forced (ref.force); to allow it: set " +
          "spec.sourceAccess.github.allowForce",
          "🚫 org/api: refs/heads/main may not be moved; allowed are: feature/* (ref.unlisted); to allow it: add main to " +
          "spec.sourceAccess.github.allowedRefs",
          "🚫 refused: org/web is not a repository of this sandbox; allowed are: org/api (repository.unlisted); to allow it: " +
          `add ${host}/org/web to spec.sourceAccess.github.allowedRepos`
        ])

        // What GitHub has: the allowed branch, and main as it was.
        const write = github.tokens().find((one) => !one.revoked && one.permissions["contents"] === "write")?.token ??
          ""
        const refs = yield* Effect.promise(() =>
          run("git", ["ls-remote", `http://x-access-token:${write}@${github.host}/org/api.git`])
        )
        const refOf = (name: string) => refs.stdout.split("\n").find((line) => line.endsWith(name))?.split("\t")[0]
        const pushed = yield* Effect.promise(() =>
          run("git", ["-C", path.join(workspace, "api"), "rev-parse", "refs/remotes/origin/feature/one"])
        )
        assert.strictEqual(refOf("refs/heads/feature/one"), pushed.stdout.trim())
        assert.notStrictEqual(refOf("refs/heads/main"), pushed.stdout.trim())

        const found = fs.readFileSync(path.join(workspace, "found.txt"), "utf8")
        assert.include(found, "-- searched")
        assert.include(found, visible, "a search that finds nothing at all proves nothing")
        assert.isAbove(github.tokens().length, 1)
        for (const { token } of github.tokens()) {
          for (const text of [found, said, chat.out]) assert.notInclude(text, token)
        }
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    300_000
  )
})
