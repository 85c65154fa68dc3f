/** Every way in which git pushes, through the proxy to real git: judged the same, and told in git's own words. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import type { GitHubPolicy } from "../../runtime/domain/github/GitHubPolicy.ts"
import { proxyWorld } from "../plugins/github-proxy/proxyWorld.ts"

const url = "https://github.com/my-org/api.git"

const pushing = Effect.fnUntraced(function*(policy: Partial<GitHubPolicy> = {}) {
  const world = yield* proxyWorld({ policy: { allowedRefs: ["feature/*", "refs/tags/v*", "refs/notes/*"], ...policy } })
  const bare = world.gitHub.repository("my-org/api")
  const cloned = yield* world.run(["git", "clone", "-q", url, "api"])
  assert.strictEqual(cloned.code, 0, cloned.stderr)
  const cwd = Path.join(world.home, "api")
  const git = (...args: ReadonlyArray<string>) => world.run(["git", ...args], { cwd })
  const commit = (message: string) => git("commit", "-q", "--allow-empty", "-m", message)
  yield* commit("second")
  const refs = () =>
    execFileSync("git", ["for-each-ref", "--format=%(refname)"], { cwd: bare, encoding: "utf8" }).trim().split("\n")
  return { world, bare, cwd, git, commit, refs }
})

/** The bodies of pushes that reached GitHub. */
const packs = (
  world: { readonly gitHub: { readonly requests: ReadonlyArray<{ readonly method: string; readonly url: string }> } }
) =>
  world.gitHub.requests.filter(({ method, url: path }) => method === "POST" && path.endsWith("git-receive-pack")).length

describe("a push", () => {
  for (const version of ["0", "1", "2"]) {
    it.live(`with protocol.version=${version}: allowed and refused`, () =>
      Effect.gen(function*() {
        const { git } = yield* pushing()
        const good = yield* git("-c", `protocol.version=${version}`, "push", "origin", "HEAD:refs/heads/feature/x")
        assert.strictEqual(good.code, 0, good.stderr)
        const bad = yield* git("-c", `protocol.version=${version}`, "push", "--porcelain", "origin", "HEAD:main")
        assert.strictEqual(bad.code, 1)
        assert.include(bad.stdout, "!\tHEAD:refs/heads/main\t[remote rejected] (km: refs/heads/main may not be moved")
      }))
  }

  it.live("of tags and notes is judged by their full names", () =>
    Effect.gen(function*() {
      const { git, refs } = yield* pushing()
      yield* git("tag", "v1")
      yield* git("tag", "-a", "-m", "x", "other")
      yield* git("notes", "add", "-m", "note")
      assert.strictEqual((yield* git("push", "origin", "v1", "refs/notes/commits")).code, 0)
      const refused = yield* git("push", "origin", "other")
      assert.include(refused.stderr, "! [remote rejected] other -> other (km: refs/tags/other may not be moved")
      assert.deepStrictEqual(refs(), ["refs/heads/main", "refs/notes/commits", "refs/tags/v1"])
    }))

  it.live("with one refused ref is refused whole, atomic or not, and nothing of it leaves", () =>
    Effect.gen(function*() {
      const { git, refs, world } = yield* pushing()
      for (const flags of [[], ["--atomic"]]) {
        const { code, stderr } = yield* git("push", ...flags, "origin", "HEAD:refs/heads/feature/x", "HEAD:main")
        assert.strictEqual(code, 1)
        assert.include(stderr, "HEAD -> main (km: refs/heads/main may not be moved")
        assert.include(stderr, "HEAD -> feature/x (km: refused because another ref of this push is")
      }
      assert.strictEqual(packs(world), 0)
      assert.deepStrictEqual(refs(), ["refs/heads/main"])
    }))

  it.live("that deletes needs allowDelete; what is not there is git's own business", () =>
    Effect.gen(function*() {
      const strict = yield* pushing()
      yield* strict.git("push", "origin", "HEAD:refs/heads/feature/x")
      const refused = yield* strict.git("push", "origin", ":feature/x")
      assert.include(refused.stderr, "! [remote rejected] feature/x (km: refs/heads/feature/x may not be deleted")
      const free = yield* pushing({ allowDelete: true })
      yield* free.git("push", "origin", "HEAD:refs/heads/feature/x")
      const deleted = yield* free.git("push", "origin", ":feature/x")
      assert.include(deleted.stderr, "- [deleted]         feature/x")
      const again = yield* free.git("push", "origin", ":refs/heads/feature/x")
      assert.notInclude(again.stderr, "RPC failed")
    }))

  it.live("with options passes those that have a plain alphabet", () =>
    Effect.gen(function*() {
      const { git } = yield* pushing()
      const good = yield* git("push", "-o", "ci.skip", "origin", "HEAD:refs/heads/feature/x")
      assert.strictEqual(good.code, 0, good.stderr)
      const bad = yield* git("push", "-o", "a;b", "origin", "HEAD:refs/heads/feature/y")
      assert.include(bad.stderr, "! [remote rejected] HEAD -> feature/y (km: a push option has other characters")
    }))

  it.live("that would be signed if asked is not asked, and one that must be is refused", () =>
    Effect.gen(function*() {
      const { git } = yield* pushing()
      const asked = yield* git("push", "--signed=if-asked", "origin", "HEAD:refs/heads/feature/x")
      assert.strictEqual(asked.code, 0, asked.stderr)
      const must = yield* git("push", "--signed", "origin", "HEAD:refs/heads/feature/y")
      assert.include(must.stderr, "the receiving end does not support --signed push")
    }))

  it.live("that is large streams in chunks behind git's probe", () =>
    Effect.gen(function*() {
      const { cwd, git, refs, world } = yield* pushing()
      Fs.writeFileSync(Path.join(cwd, "large"), randomBytes(3_000_000))
      yield* git("add", "large")
      yield* git("commit", "-q", "-m", "large")
      for (const buffer of ["65536", "1048576"]) {
        const pushed = yield* git(
          "-c",
          `http.postBuffer=${buffer}`,
          "push",
          "origin",
          `HEAD:refs/heads/feature/${buffer}`
        )
        assert.strictEqual(pushed.code, 0, pushed.stderr)
      }
      assert.isTrue(refs().includes("refs/heads/feature/65536"))
      const sent = world.gitHub.requests.filter(({ method }) => method === "POST").map(({ headers }) => headers)
      assert.isTrue(sent.some((headers) => headers["content-length"] === "4"))
      assert.isTrue(sent.some((headers) => headers["transfer-encoding"] === "chunked"))
      const before = packs(world)
      const refused = yield* git("-c", "http.postBuffer=65536", "push", "origin", "HEAD:main")
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "HEAD -> main (km: refs/heads/main may not be moved")
      assert.notInclude(refused.stderr, "RPC failed")
      // The probe alone.
      assert.isAtMost(packs(world) - before, 1)
    }))

  it.live("from a shallow clone", () =>
    Effect.gen(function*() {
      const { world } = yield* pushing()
      const shallow = yield* world.run(["git", "clone", "-q", "--depth", "1", url, "shallow"])
      assert.strictEqual(shallow.code, 0, shallow.stderr)
      const cwd = Path.join(world.home, "shallow")
      yield* world.run(["git", "commit", "-q", "--allow-empty", "-m", "more"], { cwd })
      const pushed = yield* world.run(["git", "push", "origin", "HEAD:refs/heads/feature/s"], { cwd })
      assert.strictEqual(pushed.code, 0, pushed.stderr)
    }))

  it.live("packed with gzip is unpacked and judged as any other", () =>
    Effect.gen(function*() {
      const { bare, cwd, git, refs, world } = yield* pushing()
      const head = (yield* git("rev-parse", "HEAD")).stdout.trim()
      const base = execFileSync("git", ["rev-parse", "main"], { cwd: bare, encoding: "utf8" }).trim()
      const pack = execFileSync("git", ["pack-objects", "--stdout", "--revs", "-q"], {
        cwd,
        input: `${head}\n^${base}\n`
      })
      const post = (ref: string) => {
        const command = `${"0".repeat(40)} ${head} ${ref}\0 report-status object-format=sha1`
        const line = `${(command.length + 4).toString(16).padStart(4, "0")}${command}`
        return world.run([
          "curl",
          "-sS",
          "-X",
          "POST",
          "-H",
          "Content-Type: application/x-git-receive-pack-request",
          "-H",
          "Content-Encoding: gzip",
          "--data-binary",
          "@-",
          `${url}/git-receive-pack`
        ], { input: gzipSync(Buffer.concat([Buffer.from(`${line}0000`), pack])) })
      }
      assert.include((yield* post("refs/heads/feature/z")).stdout, "ok refs/heads/feature/z")
      assert.include((yield* post("refs/heads/main")).stdout, "ng refs/heads/main km: refs/heads/main may not be moved")
      assert.isTrue(refs().includes("refs/heads/feature/z"))
    }))

  it.live("of several existing refs at once: each moves forwards or is told that it does not", () =>
    Effect.gen(function*() {
      const { bare, commit, git } = yield* pushing()
      yield* git("push", "origin", "HEAD:refs/heads/feature/a", "HEAD:refs/heads/feature/b")
      yield* commit("third")
      yield* git("branch", "forward")
      yield* git("commit", "-q", "--amend", "--allow-empty", "-m", "aside")
      yield* git("reset", "-q", "--hard", "HEAD~2")
      yield* commit("aside")
      const { code, stderr } = yield* git(
        "push",
        "--force",
        "origin",
        "forward:refs/heads/feature/a",
        "HEAD:refs/heads/feature/b",
        "HEAD:refs/heads/feature/c"
      )
      assert.strictEqual(code, 1)
      assert.match(stderr, /[0-9a-f]{7}\.\.[0-9a-f]{7} +forward -> feature\/a/)
      assert.include(stderr, "! [remote rejected] HEAD -> feature/b (km: non-fast-forward")
      assert.include(stderr, "* [new branch]      HEAD -> feature/c")
      assert.isFalse(
        Fs.existsSync(Path.join(bare, "refs/km/sb-00000001")) &&
          Fs.readdirSync(Path.join(bare, "refs/km/sb-00000001")).length > 0
      )
    }))

  it.live("of several existing refs, atomic: needs a rule of the repository for each", () =>
    Effect.gen(function*() {
      const { commit, git, world } = yield* pushing()
      const both = ["HEAD:refs/heads/feature/a", "HEAD:refs/heads/feature/b"]
      yield* git("push", "origin", ...both)
      yield* commit("third")
      const refused = yield* git("push", "--atomic", "origin", ...both)
      assert.include(refused.stderr, "cannot be told of an atomic push of several refs")
      world.gitHub.ruled.add("feature/a")
      world.gitHub.ruled.add("feature/b")
      const ruled = yield* git("push", "--atomic", "origin", ...both)
      assert.strictEqual(ruled.code, 0, ruled.stderr)
    }))

  it.live("that may force, forces", () =>
    Effect.gen(function*() {
      const { git } = yield* pushing({ allowForce: true })
      yield* git("push", "origin", "HEAD:refs/heads/feature/x")
      yield* git("commit", "-q", "--amend", "--allow-empty", "-m", "other")
      const forced = yield* git("push", "--force", "origin", "HEAD:refs/heads/feature/x")
      assert.include(forced.stderr, "(forced update)")
    }))

  it.live("may never go to our own refs", () =>
    Effect.gen(function*() {
      const { git } = yield* pushing({ allowedRefs: ["refs/**"], allowForce: true })
      const { code, stderr } = yield* git("push", "origin", "HEAD:refs/km/sb-00000001/x")
      assert.strictEqual(code, 1)
      assert.include(stderr, "refs/km/sb-00000001/x may not be moved")
    }))
})

describe("in a SHA-256 repository", () => {
  it.live("a push passes and is refused as in any other", () =>
    Effect.gen(function*() {
      const { bare, world } = yield* pushing()
      Fs.rmSync(bare, { recursive: true })
      execFileSync("git", ["init", "-q", "--bare", "--object-format=sha256", "-b", "main", bare])
      execFileSync("git", ["config", "http.receivepack", "true"], { cwd: bare })
      yield* world.run(["git", "init", "-q", "--object-format=sha256", "-b", "main", "new"])
      const cwd = Path.join(world.home, "new")
      yield* world.run(["git", "commit", "-q", "--allow-empty", "-m", "first"], { cwd })
      const good = yield* world.run(["git", "push", url, "HEAD:refs/heads/feature/x"], { cwd })
      assert.strictEqual(good.code, 0, good.stderr)
      const bad = yield* world.run(["git", "push", url, "HEAD:main"], { cwd })
      assert.include(bad.stderr, "! [remote rejected] HEAD -> main (km: refs/heads/main may not be moved")
    }))
})
