/** What the demo says of its GitHub is what it looked at: it would say so if a token lay somewhere, or a ref had moved. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { vi } from "vitest"
import { githubLines, githubMissing, githubSeen, startDemoGithub } from "../../km-cli/demo/DemoGithub.ts"
import { nothingObserved } from "../../km-cli/demo/Timeline.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const token = "a-token-of-this-test"

/** A GitHub that has given out one token, and a sandbox in which nothing happened yet. */
const world = Effect.gen(function*() {
  const directory = yield* temporaryDirectory
  const hub = yield* startDemoGithub(path.join(directory, "github"))
  const sandbox = path.join(directory, "sandbox")
  fs.mkdirSync(path.join(sandbox, "workspace"), { recursive: true })
  const issued = {
    token,
    app: 1,
    installation: 1,
    repositories: undefined,
    permissions: {},
    issuedAt: 0,
    expiresAt: 0,
    revoked: false
  }
  return { hub: { ...hub, github: { ...hub.github, tokens: () => [issued] } }, sandbox }
})

const thread = (...texts: ReadonlyArray<string>) => ({
  ...nothingObserved,
  texts: new Map(texts.map((text, n) => [String(n), text]))
})

const told = ["🚫 `acme/api: no (ref.unlisted); to allow it: x`\n🚫 `acme/web: no (repository.unlisted)`"]

describe("what the demo says of GitHub", () => {
  it.live("is that nothing happened, where nothing did", () =>
    Effect.gen(function*() {
      const { hub, sandbox } = yield* world
      const seen = yield* githubSeen(hub, nothingObserved, sandbox)
      assert.deepInclude(seen, { pushed: undefined, mainMoved: false, refused: [], tokens: 1, tokensFoundIn: [] })
      assert.lengthOf(githubMissing(seen, true), 3)
      // A real model is asked, not made to.
      assert.deepStrictEqual(githubMissing(seen, false), [])
      assert.match(githubLines(seen).join("\n"), /feature\/hello +not there\n.* main +as it was; no refusal was told\n/)
    }).pipe(Effect.scoped))

  it.live("names each place where a token is found, and a main that moved", () =>
    Effect.gen(function*() {
      const { hub, sandbox } = yield* world
      const file = path.join(sandbox, "workspace", "config")
      fs.writeFileSync(file, `helper = store ${token}\n`)
      const seen = yield* githubSeen({ ...hub, main: "elsewhere" }, thread(...told, `I have ${token}`), sandbox)
      assert.deepInclude(seen, {
        mainMoved: true,
        refused: ["ref.unlisted", "repository.unlisted"],
        tokensFoundIn: [file, "the thread"]
      })
      for (const scripted of [true, false]) {
        assert.includeMembers([...githubMissing(seen, scripted)], [
          "an untouched main of acme/api",
          `no token in ${file}`,
          "no token in the thread"
        ])
      }
      const lines = githubLines(seen).join("\n")
      assert.include(lines, "MOVED; refused (ref.unlisted), and told in the thread")
      assert.include(lines, `FOUND in ${file}, the thread`)
    }).pipe(Effect.scoped))

  it.live("takes no other line for a refusal than the runtime's own", () =>
    Effect.gen(function*() {
      const { hub, sandbox } = yield* world
      const seen = yield* githubSeen(
        hub,
        thread("git said: (ref.unlisted)\nI may not: 🚫 (repository.unlisted)"),
        sandbox
      )
      assert.deepStrictEqual(seen.refused, [])
    }).pipe(Effect.scoped))

  it.live("is that there is none, where there is no git", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      vi.stubEnv("PATH", directory)
      const why = yield* Effect.flip(startDemoGithub(path.join(directory, "github"))).pipe(
        Effect.ensuring(Effect.sync(() => void vi.unstubAllEnvs()))
      )
      assert.strictEqual(why, "git is not installed here")
    }).pipe(Effect.scoped))
})
