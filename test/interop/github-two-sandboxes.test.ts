/** Two sandboxes at once before one GitHub, with a jail and without: each is judged by its own policy, and only by its own proxy. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as Path from "node:path"
import { gitHubDouble } from "../plugins/github-proxy/gitHub.ts"
import { pluginWorld } from "../plugins/github-proxy/pluginWorld.ts"
import { runAs, type RunningProxy, startProxy } from "../support/proxyProcesses.ts"
import { bashScript, runOf } from "../support/ScriptedModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const url = "https://github.com/my-org/api.git"

/** The port is the other one's; the credential stays. */
const at = (env: RunningProxy["env"], proxy: string): RunningProxy["env"] =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, /^https?_proxy$/i.test(name) ? proxy : value]))

const proxyOf = ({ env }: RunningProxy): URL => new URL(env["HTTPS_PROXY"] ?? "")

const withUser = (proxy: URL, user: string, password: string): string => {
  const changed = new URL(proxy.href)
  changed.username = user
  changed.password = password
  return changed.href
}

describe("two sandboxes without a jail", () => {
  const scene = Effect.gen(function*() {
    const gitHub = yield* gitHubDouble
    const bare = gitHub.repository("my-org/api")
    const home = yield* temporaryDirectory
    const start = (sandbox: string, allowedRefs: ReadonlyArray<string>) =>
      startProxy({
        sandbox,
        state: Path.join(home, sandbox),
        port: gitHub.port,
        authority: gitHub.outside.authorities[0] ?? "",
        allowedRefs,
        repository: "my-org/api",
        id: 7
      })
    const one = yield* start("sb-00000001", ["feature/*"])
    const two = yield* start("sb-00000002", ["fix/*"])
    const refs = () =>
      execFileSync("git", ["for-each-ref", "--format=%(refname)"], { cwd: bare, encoding: "utf8" }).trim().split("\n")
    return { gitHub, home, one, refs, two }
  })

  it.live("cannot use each other's proxy: 407 without its credential, with the other's, with a part of it", () =>
    Effect.gen(function*() {
      const { gitHub, home, one, two } = yield* scene
      const [mine, theirs] = [proxyOf(one), proxyOf(two)]
      assert.notStrictEqual(mine.password, theirs.password)
      assert.match(mine.password, /^kmp_[A-Za-z0-9_-]{43}$/)
      const wrong: ReadonlyArray<string> = [
        withUser(theirs, "", ""),
        withUser(theirs, mine.username, mine.password),
        withUser(theirs, theirs.username, ""),
        withUser(theirs, theirs.username, theirs.password.slice(0, -1)),
        withUser(theirs, theirs.username, `${theirs.password}x`),
        withUser(theirs, theirs.username, theirs.password.toUpperCase())
      ]
      for (const proxy of wrong) {
        const plain = yield* runAs(
          at(one.env, proxy),
          ["curl", "-sS", "-w", "%{http_code}", "http://registry.example.com/"],
          home
        )
        assert.match(plain.stdout, /^km: refused: this proxy is for the runs of one sandbox, .*\n407$/)
      }
      for (const proxy of wrong.slice(0, 2)) {
        const git = yield* runAs(at(one.env, proxy), ["git", "ls-remote", url], home)
        assert.notStrictEqual(git.code, 0, proxy)
        assert.include(git.stderr, "407")
      }
      // A wrong one beside the right one is two, and none.
      const raw = yield* runAs(at(one.env, withUser(theirs, "", "")), [
        "curl",
        "-sS",
        "-w",
        "%{http_code}",
        "--proxy-header",
        `Proxy-Authorization: Basic ${Buffer.from(`km:${mine.password}`).toString("base64")}`,
        "--proxy-header",
        `Proxy-Authorization: Basic ${Buffer.from(`km:${theirs.password}`).toString("base64")}`,
        "http://registry.example.com/"
      ], home)
      assert.include(raw.stdout, "407")
      // Beside the proxies' own look for what they left there.
      assert.isTrue(gitHub.requests.every(({ url: asked }) => asked.includes("/git/matching-refs/km/")))
    }))

  it.live("are each judged by their own policy, at the same time", () =>
    Effect.gen(function*() {
      const { home, one, refs, two } = yield* scene
      const work = Effect.fnUntraced(function*(proxy: RunningProxy, name: string, may: string, mayNot: string) {
        const cloned = yield* runAs(proxy.env, ["git", "clone", "-q", url, name], home)
        assert.strictEqual(cloned.code, 0, cloned.stderr)
        const git = (...args: ReadonlyArray<string>) => runAs(proxy.env, ["git", ...args], Path.join(home, name))
        yield* git("commit", "-q", "--allow-empty", "-m", name)
        for (let turn = 0; turn < 3; turn++) {
          assert.strictEqual((yield* git("push", "-q", "origin", `HEAD:refs/heads/${may}${turn}`)).code, 0)
          const refused = yield* git("push", "origin", `HEAD:refs/heads/${mayNot}${name}${turn}`)
          assert.strictEqual(refused.code, 1)
          assert.include(refused.stderr, `refs/heads/${mayNot}${name}${turn} may not be moved; allowed are: ${may}*`)
        }
      })
      yield* Effect.all([work(one, "one", "feature/", "fix/"), work(two, "two", "fix/", "feature/")], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(refs(), [
        ...[0, 1, 2].map((turn) => `refs/heads/feature/${turn}`),
        ...[0, 1, 2].map((turn) => `refs/heads/fix/${turn}`),
        "refs/heads/main"
      ])
    }))
})

const script = (name: string) =>
  `exec 2>&1
  export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a
  echo "$HTTPS_PROXY"
  git clone -q ${url} && cd api && git commit -q --allow-empty -m "$PWD"
  for kind in feature fix; do git push -q origin HEAD:refs/heads/$kind/${name} && echo "pushed $kind"; done
  curl -s -o /dev/null -w '%{http_connect} registry\\n' https://registry.example.com/
  for port in $(seq 4700 4710); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && echo "open $port"; done
  true`

describe("two sandboxes in their jails", () => {
  it.live("have the same address for the proxy, and each its own behind it", () =>
    Effect.gen(function*() {
      const gitHub = yield* gitHubDouble
      gitHub.repository("my-org/api")
      const one = yield* pluginWorld({ gitHub, config: { allowedRefs: ["feature/*"] } })
      const two = yield* pluginWorld({ gitHub, config: { allowedRefs: ["fix/*"], allowedHosts: [] } })
      const said = (world: typeof one, name: string) =>
        Effect.gen(function*() {
          const process = yield* world.agent.start(
            runOf(world.directories, bashScript(script(name)), { contributions: [world.contribution] })
          )
          const outcome = yield* process.outcome
          return outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
        })
      const [first, second] = yield* Effect.all([said(one, "one"), said(two, "two")], { concurrency: "unbounded" })
      for (const text of [first, second]) {
        assert.include(text, "http://127.0.0.1:4703\n")
        assert.include(text, "open 4703")
      }
      assert.include(first, "pushed feature")
      assert.notInclude(first, "pushed fix")
      assert.include(first, "refs/heads/fix/one may not be moved; allowed are: feature/*")
      assert.include(second, "pushed fix")
      assert.notInclude(second, "pushed feature")
      assert.include(second, "refs/heads/feature/two may not be moved; allowed are: fix/*")
      assert.include(second, "403 registry")
      assert.notInclude(first, "403 registry")
    }))
})
