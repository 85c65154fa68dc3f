/** Real git through the proxy to `git http-backend`: what passes, and what the person at the terminal reads where it does not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type ProxyWorld, proxyWorld } from "./proxyWorld.ts"

const url = "https://github.com/my-org/api.git"

/** A clone with one more commit. */
const clone = Effect.fnUntraced(function*(world: ProxyWorld) {
  const cloned = yield* world.run(["git", "clone", "-q", url, "api"])
  assert.strictEqual(cloned.code, 0, cloned.stderr)
  const cwd = Path.join(world.home, "api")
  yield* world.run(["git", "commit", "-q", "--allow-empty", "-m", "second"], { cwd })
  return cwd
})

describe("git through the proxy", () => {
  it.live("clones and fetches an allowed repository with our token, and never says a word of its own", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      world.gitHub.repository("my-org/api")
      const cwd = yield* clone(world)
      assert.strictEqual(Fs.readFileSync(Path.join(cwd, "README"), "utf8"), "my-org/api\n")
      const fetched = yield* world.run(["git", "fetch"], { cwd })
      assert.deepStrictEqual([fetched.code, fetched.stderr], [0, ""])
      const basic = `Basic ${Buffer.from("x-access-token:ghs_memory_read_1").toString("base64")}`
      assert.deepStrictEqual(
        [...new Set(world.gitHub.requests.map(({ headers }) => headers.authorization))],
        [basic]
      )
    }))

  it.live("shows why another repository is refused, and how it is allowed", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      world.gitHub.repository("evil/repo")
      const { code, stderr } = yield* world.run(["git", "clone", "https://github.com/evil/repo.git"])
      assert.strictEqual(code, 128)
      assert.include(
        stderr,
        "remote: km: refused: evil/repo is not a repository of this sandbox; allowed are: my-org/api"
      )
      assert.include(stderr, "remote: km: to allow it: add evil/repo to spec.sourceAccess.github.allowedRepos")
      assert.deepStrictEqual(world.gitHub.requests, [])
    }))

  it.live("pushes an allowed branch with the write token and refuses another in git's own words", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      const bare = world.gitHub.repository("my-org/api")
      const cwd = yield* clone(world)
      const pushed = yield* world.run(["git", "push", "origin", "HEAD:refs/heads/feature/x"], { cwd })
      assert.strictEqual(pushed.code, 0, pushed.stderr)
      assert.include(pushed.stderr, "* [new branch]      HEAD -> feature/x")
      const refused = yield* world.run(["git", "push", "origin", "HEAD:main"], { cwd })
      assert.strictEqual(refused.code, 1)
      assert.include(
        refused.stderr,
        "! [remote rejected] HEAD -> main (km: refs/heads/main may not be moved; allowed are: feature/* (ref.unlisted))"
      )
      assert.include(refused.stderr, "remote: km: to allow it: add main to spec.sourceAccess.github.allowedRefs")
      assert.isTrue(Fs.existsSync(Path.join(bare, "refs/heads/feature/x")))
    }))

  it.live("moves an existing branch forwards, and refuses to force it", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      const bare = world.gitHub.repository("my-org/api")
      const cwd = yield* clone(world)
      const push = (...args: ReadonlyArray<string>) =>
        world.run(["git", "push", ...args, "origin", "HEAD:refs/heads/feature/x"], { cwd })
      const head = () => Fs.readFileSync(Path.join(bare, "refs/heads/feature/x"), "utf8").trim()
      assert.strictEqual((yield* push()).code, 0)
      yield* world.run(["git", "commit", "-q", "--allow-empty", "-m", "third"], { cwd })
      const moved = yield* push()
      assert.strictEqual(moved.code, 0, moved.stderr)
      assert.match(moved.stderr, /[0-9a-f]{7}\.\.[0-9a-f]{7} {2}HEAD -> feature\/x/)
      const third = (yield* world.run(["git", "rev-parse", "HEAD"], { cwd })).stdout.trim()
      assert.strictEqual(head(), third)
      yield* world.run(["git", "commit", "-q", "--amend", "--allow-empty", "-m", "other"], { cwd })
      const forced = yield* push("--force")
      assert.strictEqual(forced.code, 1)
      assert.include(
        forced.stderr,
        "(km: non-fast-forward, and spec.sourceAccess.github.allowForce is off (ref.force))"
      )
      assert.strictEqual(head(), third)
      assert.deepStrictEqual(
        Fs.existsSync(Path.join(bare, "refs/km/sb-00000001"))
          ? Fs.readdirSync(Path.join(bare, "refs/km/sb-00000001"))
          : [],
        []
      )
    }))
})
