/** `sourceAccess.mode: audit` through the proxy: refs, deletes and force pass and are written down; nothing else is wider. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Path from "node:path"
import { proxyWorld } from "../plugins/github-proxy/proxyWorld.ts"

const url = "https://github.com/my-org/api.git"

const auditing = Effect.gen(function*() {
  const world = yield* proxyWorld({ policy: { mode: "audit" } })
  world.gitHub.repository("my-org/api")
  assert.strictEqual((yield* world.run(["git", "clone", "-q", url, "api"])).code, 0)
  const cwd = Path.join(world.home, "api")
  const git = (...args: ReadonlyArray<string>) => world.run(["git", ...args], { cwd })
  yield* git("commit", "-q", "--allow-empty", "-m", "second")
  const reported = () =>
    world.decisions.filter(({ detail }) => detail.startsWith("only reported")).map(({ detail, rule, verdict }) =>
      `${verdict} ${rule} ${detail.slice("only reported: ".length)}`
    )
  return { git, reported, world }
})

describe("mode: audit", () => {
  it.live("reports refs, deletes and forced updates, and refuses none of them", () =>
    Effect.gen(function*() {
      const { git, reported, world } = yield* auditing
      const compared: Array<string> = []
      world.gitHub.intercept = (seen, request, response) => {
        const [, ends] = /\/compare\/([0-9a-f.]+)/.exec(seen.url) ?? []
        if (ends === undefined) return false
        request.resume()
        compared.push(ends)
        response.writeHead(200, { "content-type": "application/json" })
        response.end(JSON.stringify({ status: compared.length === 1 ? "ahead" : "diverged" }))
        return true
      }
      assert.strictEqual((yield* git("push", "-q", "origin", "HEAD:main")).code, 0)
      assert.deepStrictEqual(reported(), [
        "allowed ref.unlisted refs/heads/main may not be moved; allowed are: feature/*"
      ])
      yield* git("commit", "-q", "--amend", "--allow-empty", "-m", "other")
      const forced = yield* git("push", "--force", "origin", "HEAD:main")
      assert.include(forced.stderr, "(forced update)")
      assert.strictEqual((yield* git("push", "-q", "origin", "HEAD:refs/heads/feature/x")).code, 0)
      assert.strictEqual((yield* git("push", "-q", "origin", ":feature/x")).code, 0)
      assert.deepStrictEqual(reported().slice(1), [
        "allowed ref.unlisted refs/heads/main may not be moved; allowed are: feature/*",
        "allowed ref.force refs/heads/main was moved to where it does not fast-forward",
        "allowed ref.delete refs/heads/feature/x may not be deleted: spec.sourceAccess.github.allowDelete is off"
      ])
      assert.lengthOf(compared, 2)
    }))

  it.live("reports what the API moves, too", () =>
    Effect.gen(function*() {
      const { git, reported, world } = yield* auditing
      yield* git("push", "-q", "origin", "HEAD:refs/heads/feature/x")
      const head = (yield* git("rev-parse", "HEAD")).stdout.trim()
      const { stdout } = yield* world.run([
        "curl",
        "-sS",
        "-X",
        "PATCH",
        "-H",
        "Content-Type: application/json",
        "-d",
        JSON.stringify({ sha: head, force: true }),
        "https://api.github.com/repos/my-org/api/git/refs/heads/main"
      ])
      assert.include(stdout, head)
      assert.deepStrictEqual(reported(), [
        "allowed ref.unlisted refs/heads/main may not be moved; allowed are: feature/*"
      ])
    }))

  it.live("widens no credential: other repositories are read without a token, and never written", () =>
    Effect.gen(function*() {
      const { reported, world } = yield* auditing
      world.gitHub.repository("evil/repo")
      world.gitHub.intercept = (seen, request, response) => {
        if (!seen.url.startsWith("/evil/") && !seen.url.startsWith("/repos/evil/")) return false
        request.resume()
        if (seen.url.includes("private")) response.writeHead(401, { "www-authenticate": "Basic" }).end()
        else response.writeHead(200, { "content-type": "text/plain" }).end("public")
        return true
      }
      const read = (path: string) => world.run(["curl", "-sS", `https://api.github.com/repos/evil/${path}`])
      assert.strictEqual((yield* read("repo")).stdout, "public")
      assert.include((yield* read("private")).stdout, "GitHub shows evil/private to nobody who is not signed in")
      const write = yield* world.run(["git", "ls-remote", "https://github.com/evil/repo"])
      assert.notInclude(write.stderr, "Username")
      const push = yield* world.run(
        ["git", "push", "https://github.com/evil/repo", "HEAD:refs/heads/x"],
        { cwd: Path.join(world.home, "api") }
      )
      assert.include(push.stderr, "km: refused: evil/repo is not a repository of this sandbox")
      const there = world.gitHub.requests.filter(({ url: path }) => path.includes("evil"))
      assert.isAbove(there.length, 1)
      for (const { headers } of there) assert.isUndefined(headers.authorization)
      assert.isTrue(
        reported().some((line) => line.startsWith("allowed repository.unlisted evil/repo is not a repository"))
      )
    }))

  it.live("never opens what is km's own, nor what needs a capability", () =>
    Effect.gen(function*() {
      const { git, world } = yield* auditing
      const own = yield* git("push", "origin", "HEAD:refs/km/sb-00000001/x")
      assert.include(own.stderr, "refs/km/sb-00000001/x may not be moved")
      const { stdout } = yield* world.run([
        "curl",
        "-sS",
        "-X",
        "PUT",
        "https://api.github.com/repos/my-org/api/pulls/1/merge"
      ])
      assert.include(stdout, "needs the capability merge")
    }))
})
