/**
 * `kill -9` of the proxy's process while real git pushes: the push has failed for git, the branch is what it was or what it
 * was to become, and what was left on GitHub is deleted by the next process.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type GitHubDouble, gitHubDouble } from "../plugins/github-proxy/gitHub.ts"
import { runAs, startProxy } from "../support/proxyProcesses.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"

const url = "https://github.com/my-org/api.git"
const sandbox = "sb-0a1b2c3d"

const scene = Effect.gen(function*() {
  const gitHub = yield* gitHubDouble
  const bare = gitHub.repository("my-org/api")
  const state = yield* temporaryDirectory
  const home = yield* temporaryDirectory
  const start = startProxy({
    sandbox,
    state,
    port: gitHub.port,
    authority: gitHub.outside.authorities[0] ?? "",
    allowedRefs: ["feature/*"],
    repository: "my-org/api",
    id: 7
  })
  const refs = () =>
    execFileSync("git", ["for-each-ref", "--format=%(refname) %(objectname)"], { cwd: bare, encoding: "utf8" }).trim()
      .split("\n")
  const cwd = Path.join(home, "api")
  const proxy = yield* start
  const git = (...args: ReadonlyArray<string>) => runAs(proxy.env, ["git", ...args], Fs.existsSync(cwd) ? cwd : home)
  assert.strictEqual((yield* git("clone", "-q", url, "api")).code, 0)
  yield* git("push", "-q", "origin", "HEAD:refs/heads/feature/x")
  Fs.writeFileSync(Path.join(cwd, "large"), randomBytes(6_000_000))
  yield* git("add", "large")
  yield* git("commit", "-q", "-m", "large")
  const old = (yield* git("rev-parse", "HEAD~1")).stdout.trim()
  const next = (yield* git("rev-parse", "HEAD")).stdout.trim()
  const branch = () => refs().find((line) => line.startsWith("refs/heads/feature/x "))?.split(" ")[1]
  const staged = () => refs().filter((line) => line.startsWith("refs/km/"))
  const push = git("push", "--progress", "origin", "HEAD:refs/heads/feature/x")
  return { branch, gitHub, next, old, proxy, push, staged, start, state }
})

/** What git says of a push of which nobody knows the end. */
const isFailed = ({ code, stderr }: { readonly code: number | null; readonly stderr: string }): void => {
  assert.notStrictEqual(code, 0)
  assert.notMatch(stderr, /[0-9a-f]{7}\.\.[0-9a-f]{7} +HEAD -> feature\/x/)
  assert.notInclude(stderr, "Username")
}

/** `reached` when the request that `matches` is there; what it does then is `then`'s. */
const stopAt = (
  gitHub: GitHubDouble,
  matches: (seen: Parameters<GitHubDouble["intercept"]>[0]) => boolean,
  then: GitHubDouble["intercept"]
) => {
  const reached = Promise.withResolvers<void>()
  gitHub.intercept = (seen, request, response) => {
    if (!matches(seen)) return false
    const taken = then(seen, request, response)
    reached.resolve()
    return taken
  }
  return Effect.promise(() => reached.promise)
}

const noteOf = (state: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(state, "proxy", "staged", "github.com"))

describe("a proxy that is killed", () => {
  it.live("while the pack streams: the branch is as it was", () =>
    Effect.gen(function*() {
      const { branch, gitHub, old, proxy, push, staged, start, state } = yield* scene
      const reached = stopAt(
        gitHub,
        ({ headers, method }) => method === "POST" && headers["transfer-encoding"] === "chunked",
        (_, request) => {
          // A little is taken, and then no more: the pack is under way.
          request.once("data", () => request.pause())
          return true
        }
      )
      const pushing = yield* Effect.forkChild(push, { startImmediately: true })
      yield* reached
      assert.strictEqual(noteOf(state).length, 1)
      yield* proxy.kill
      isFailed(yield* Fiber.join(pushing))
      assert.strictEqual(branch(), old)
      assert.deepStrictEqual(staged(), [])
      gitHub.intercept = () => false
      const again = yield* start
      assert.strictEqual((yield* runAs(again.env, ["git", "ls-remote", url], state)).code, 0)
      yield* untilReal(
        "our ref is asked for",
        Effect.sync(() => gitHub.requests.some(({ method }) => method === "DELETE"))
      )
      // GitHub may have had all of it: the note stays for a quarter of an hour.
      assert.strictEqual(noteOf(state).length, 1)
    }))

  for (
    const [moment, method, after] of [
      ["before the branch is moved", "PATCH", "old"],
      ["after the branch was moved", "DELETE", "next"]
    ] as const
  ) {
    it.live(`${moment}: our ref is deleted by the next process, also where GitHub refuses that once`, () =>
      Effect.gen(function*() {
        const world = yield* scene
        const { branch, gitHub, proxy, push, staged, start, state } = world
        const reached = stopAt(
          gitHub,
          (seen) => seen.method === method && seen.url.includes("/git/refs/"),
          (_, request) => {
            request.resume()
            return true
          }
        )
        const pushing = yield* Effect.forkChild(push, { startImmediately: true })
        yield* reached
        yield* proxy.kill
        isFailed(yield* Fiber.join(pushing))
        assert.strictEqual(branch(), world[after])
        assert.strictEqual(staged().length, 1)
        let refused = 0
        gitHub.intercept = (seen, request, response) => {
          if (seen.method !== "DELETE" || refused > 0) return false
          refused++
          request.resume()
          response.writeHead(503).end()
          return true
        }
        yield* start
        yield* untilReal("our ref is gone", Effect.sync(() => staged().length === 0))
        yield* untilReal("its note is gone", Effect.sync(() => noteOf(state).length === 0))
        assert.strictEqual(refused, 1)
        assert.strictEqual(branch(), world[after])
      }))
  }

  it.live("and lost its notes: our ref is found by its name, nobody else's is touched", () =>
    Effect.gen(function*() {
      const { gitHub, old, proxy, staged, start } = yield* scene
      yield* proxy.kill
      const bare = gitHub.repository("my-org/other")
      assert.isTrue(Fs.existsSync(bare))
      const api = bare.replace("other", "api")
      const others = [`refs/km/sb-00000009/${"a".repeat(16)}`, `refs/km/${sandbox}/not-ours`]
      for (const ref of [`refs/km/${sandbox}/${"0".repeat(16)}`, ...others]) {
        execFileSync("git", ["update-ref", ref, old], { cwd: api })
      }
      yield* start
      yield* untilReal("our ref is gone", Effect.sync(() => staged().length === 2))
      assert.deepStrictEqual(staged().map((line) => line.split(" ")[0]).toSorted(), others.toSorted())
    }))
})

describe("a ref of ours that GitHub does not delete", () => {
  it.live("is deleted by the same process a moment later; the push is as good as it was", () =>
    Effect.gen(function*() {
      const { branch, gitHub, next, push, staged, state } = yield* scene
      let refused = 0
      gitHub.intercept = (seen, request, response) => {
        if (seen.method !== "DELETE" || refused > 0) return false
        refused++
        request.resume()
        response.writeHead(502).end()
        return true
      }
      const { code, stderr } = yield* push
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual(branch(), next)
      yield* untilReal("our ref is gone", Effect.sync(() => staged().length === 0 && noteOf(state).length === 0))
      assert.strictEqual(refused, 1)
    }))
})
