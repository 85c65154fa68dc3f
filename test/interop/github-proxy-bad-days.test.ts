/** What git, gh and the agent are told when something behind the proxy fails, and that it recovers by itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { tokenRefused } from "../../runtime/ports/RepositoryTokens.ts"
import type { GitHubDouble } from "../plugins/github-proxy/gitHub.ts"
import { type ProxyWorld, proxyWorld } from "../plugins/github-proxy/proxyWorld.ts"

const url = "https://github.com/my-org/api.git"
const remote = ["git", "ls-remote", url]

const started = Effect.gen(function*() {
  const world = yield* proxyWorld()
  world.gitHub.repository("my-org/api")
  return world
})

const clone = Effect.fnUntraced(function*(world: ProxyWorld) {
  assert.strictEqual((yield* world.run(["git", "clone", "-q", url, "api"])).code, 0)
  return Path.join(world.home, "api")
})

/** No question for a name or a password, and no bare number where a sentence belongs. */
const isTold = (stderr: string, sentence: string): void => {
  assert.include(stderr, `remote: km: ${sentence}`)
  assert.notInclude(stderr, "Username")
  assert.notInclude(stderr, "could not read")
}

const answering =
  (status: number, headers: Readonly<Record<string, string>> = {}): GitHubDouble["intercept"] =>
  (_, request, response) => {
    request.resume()
    response.writeHead(status, { ...headers, "www-authenticate": "Basic realm=\"GitHub\"" }).end("GitHub's own page")
    return true
  }

describe("tokens", () => {
  it.live("there is none: the reason is told, with when to come again", () =>
    Effect.gen(function*() {
      const world = yield* started
      world.tokens.trouble = tokenRefused("Unavailable", "the refresher does not answer", 30_000)
      const { code, stderr } = yield* world.run(remote)
      assert.strictEqual(code, 128)
      isTold(stderr, "KM-GHA-025: the refresher does not answer")
      const { stdout } = yield* world.run(["curl", "-sS", "-D", "-", "https://api.github.com/repos/my-org/api"])
      assert.match(stdout, /\r\nHTTP\/1\.1 503 /)
      assert.match(stdout, /\r\nretry-after: 30\r\n/i)
      assert.include(stdout, "{\"message\":\"km: KM-GHA-025: the refresher does not answer\"}")
      world.tokens.trouble = undefined
      assert.strictEqual((yield* world.run(remote)).code, 0)
    }))

  it.live("one that GitHub no longer takes is replaced, and the same command succeeds", () =>
    Effect.gen(function*() {
      const world = yield* started
      world.gitHub.tokens.delete("ghs_memory_read_1")
      const { code, stderr } = yield* world.run(remote)
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.strictEqual(world.tokens.generation, 2)
    }))

  it.live("one that is refused again asks nobody for a password", () =>
    Effect.gen(function*() {
      const world = yield* started
      world.gitHub.tokens.clear()
      const { code, stderr } = yield* world.run(remote)
      assert.strictEqual(code, 128)
      isTold(stderr, "GitHub no longer takes this sandbox's token for my-org/api")
    }))

  it.live("a large push with an old token fails with a sentence, and the next one succeeds", () =>
    Effect.gen(function*() {
      const world = yield* started
      const cwd = yield* clone(world)
      world.gitHub.tokens.delete("ghs_memory_write_1")
      Fs.writeFileSync(Path.join(cwd, "large"), randomBytes(3_000_000))
      yield* world.run(["git", "add", "large"], { cwd })
      yield* world.run(["git", "commit", "-q", "-m", "large"], { cwd })
      const push = world.run(["git", "push", "origin", "HEAD:refs/heads/feature/x"], { cwd })
      // git's probe before a large push is what meets the old token, and is sent again with the new one.
      const { code, stderr } = yield* push
      assert.strictEqual(code, 0, stderr)
    }))
})

describe("GitHub", () => {
  const cases: ReadonlyArray<readonly [string, GitHubDouble["intercept"], string]> = [
    ["has trouble", answering(502), "GitHub has trouble (502); try again"],
    ["has the App no longer installed", answering(404), "GitHub does not show my-org/api to this sandbox"],
    ["refuses", answering(403), "GitHub refuses this sandbox my-org/api: the App's installation may lack a permission"],
    ["limits", answering(403, { "x-ratelimit-remaining": "0" }), "GitHub's rate limit is reached; try again later"],
    ["limits for a while", answering(429, { "retry-after": "60" }), "GitHub's rate limit is reached; try again later"],
    ["hangs up", (_, request) => {
      request.socket.destroy()
      return true
    }, "GitHub closed the connection; try again"]
  ]
  for (const [name, intercept, sentence] of cases) {
    it.live(`${name}: git says so, and goes on when it is over`, () =>
      Effect.gen(function*() {
        const world = yield* started
        world.gitHub.intercept = intercept
        const { code, stderr } = yield* world.run(remote)
        assert.strictEqual(code, 128)
        isTold(stderr, sentence)
        world.gitHub.intercept = () => false
        assert.strictEqual((yield* world.run(remote)).code, 0)
      }))
  }

  it.live("does not answer at all: nothing to dial", () =>
    Effect.gen(function*() {
      const world = yield* started
      world.gitHub.addresses.set("github.com", [])
      const { stderr } = yield* world.run(remote)
      isTold(stderr, "github.com does not answer: it has no address; try again")
    }))

  it.live("breaks off in the middle of a clone: git does not take half for whole", () =>
    Effect.gen(function*() {
      const world = yield* started
      world.gitHub.intercept = (seen, request, response) => {
        if (!seen.url.endsWith("/git-upload-pack")) return false
        request.resume()
        response.writeHead(200, { "content-type": "application/x-git-upload-pack-result" })
        response.write("0008NAK\n")
        request.once("end", () => request.socket.destroy())
        return true
      }
      const { code } = yield* world.run(["git", "-c", "protocol.version=0", "clone", "-q", url, "api"])
      assert.strictEqual(code, 128)
      assert.isFalse(Fs.existsSync(Path.join(world.home, "api")))
    }))

  for (const size of [1_000, 3_000_000]) {
    it.live(`breaks off in the middle of a push of ${size} bytes: the push has failed, for git too`, () =>
      Effect.gen(function*() {
        const world = yield* started
        const cwd = yield* clone(world)
        Fs.writeFileSync(Path.join(cwd, "large"), randomBytes(size))
        yield* world.run(["git", "add", "large"], { cwd })
        yield* world.run(["git", "commit", "-q", "-m", "large"], { cwd })
        world.gitHub.intercept = (seen, request) => {
          if (seen.method !== "POST" || seen.headers["content-length"] === "4") return false
          request.once("data", () => request.socket.destroy())
          return true
        }
        const { code, stderr } = yield* world.run(["git", "push", "origin", "HEAD:refs/heads/feature/x"], { cwd })
        assert.strictEqual(code, 1)
        assert.notInclude(stderr, "[new branch]")
        assert.notInclude(stderr, "Username")
      }))
  }
})

describe("the client", () => {
  it.live("goes away in the middle of a push: GitHub sees a push that broke off", () =>
    Effect.gen(function*() {
      const world = yield* started
      let broke = false
      const seen = yield* Effect.sync(() => Promise.withResolvers<void>())
      world.gitHub.intercept = ({ method }, request) => {
        if (method !== "POST") return false
        request.on("error", () => undefined)
        request.once("close", () => {
          broke = !request.complete
          seen.resolve()
        })
        request.resume()
        return true
      }
      const zeros = "0".repeat(40)
      const command = `${zeros} ${"1".repeat(40)} refs/heads/feature/x\0 report-status\n`
      const prelude = `${(command.length + 4).toString(16).padStart(4, "0")}${command}0000PACK`
      yield* world.run([
        "curl",
        "-sS",
        "-m",
        "1",
        "-X",
        "POST",
        "-H",
        "Content-Type: application/x-git-receive-pack-request",
        "-H",
        "Content-Length: 2000000",
        "--data-binary",
        "@-",
        `${url}/git-receive-pack`
      ], { input: Buffer.from(prelude) })
      yield* Effect.promise(() => seen.promise)
      assert.isTrue(broke)
    }))
})
