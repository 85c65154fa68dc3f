import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { World } from "../support/ControlWorld.ts"
import { profileWith } from "../support/profiles.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { TestKm } from "../support/TestKm.ts"

const github = { allowedRepos: ["my-org/api"], allowedRefs: ["main", "feature/*"], capabilities: ["pulls"] }
const profile = (mode: string) =>
  `apiVersion: klankermaker.ai/v1
kind: SandboxProfile
metadata: { name: quiet }
spec:
  sourceAccess: ${JSON.stringify(mode === "none" ? { mode } : { mode, github })}
`

/** `km policy test --profile FILE …`. */
const tried = (mode: string, ...words: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const file = path.join(yield* temporaryDirectory, "profile.yaml")
    fs.writeFileSync(file, profile(mode))
    return yield* new TestKm().run("policy", "test", "--profile", file, ...words)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const verdictOf = (mode: string, ...words: ReadonlyArray<string>) =>
  Effect.map(tried(mode, ...words, "--json"), ({ exit, out }) => {
    const json = JSON.parse(out.join("\n"))
    return [exit, json.ok, json.verdict, json.rule]
  })

describe("km policy test", () => {
  it.live("says that a push passes, and on what condition", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tried("allowlist", "--push", "main", "--repo", "My-Org/API"), {
        exit: 0,
        out: ["allowed: push refs/heads/main to My-Org/API", "  an update passes only where it fast-forwards"],
        err: []
      })
    }))

  it.live("says by which rule a push is refused, and what to change, and exits 6", () =>
    Effect.gen(function*() {
      const { err, exit, out } = yield* tried("allowlist", "--push", "refs/tags/v1", "--repo", "my-org/api")
      assert.strictEqual(exit, 6)
      assert.deepStrictEqual(out, [
        "refused: push refs/tags/v1 to my-org/api",
        "  rule   ref.unlisted",
        "  why    refs/tags/v1 may not be moved; allowed are: main, feature/*",
        "  allow  add refs/tags/v1 to spec.sourceAccess.github.allowedRefs"
      ])
      assert.strictEqual(err[0], "error KM-CLI-050: refs/tags/v1 may not be moved; allowed are: main, feature/*")
    }))

  const pushes: ReadonlyArray<readonly [mode: string, words: ReadonlyArray<string>, expected: ReadonlyArray<unknown>]> =
    [
      ["allowlist", ["--push", "main", "--delete"], [6, false, "refused", "ref.delete"]],
      ["allowlist", ["--push", "main", "--force"], [6, false, "refused", "ref.force"]],
      ["allowlist", ["--push", "a..b"], [6, false, "refused", "ref.malformed"]],
      ["audit", ["--push", "main", "--delete"], [0, true, "allowed", undefined]],
      ["none", ["--push", "main"], [6, false, "refused", "repository.unlisted"]]
    ]
  for (const [mode, words, expected] of pushes) {
    it.live(`with mode ${mode}, ${words.join(" ")}: ${expected.join(" ")}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* verdictOf(mode, ...words, "--repo", "my-org/api"), expected)
      }))
  }

  const requests: ReadonlyArray<readonly [line: string, body: string | undefined, verdict: string, rule?: string]> = [
    ["GET /repos/my-org/api/pulls", undefined, "allowed", "GET /repos/{owner}/{repo}/pulls"],
    ["patch /repos/my-org/api/git/refs/heads/main", "{\"force\":true}", "refused", "ref.force"],
    ["PATCH /repos/my-org/api/git/refs/heads/main", undefined, "depends"],
    ["PUT /repos/my-org/api/contents/a", "{}", "depends"],
    ["PUT /repos/my-org/api/pulls/1/merge", undefined, "refused", "route.capability"],
    ["GET /repos//api", undefined, "refused", "request.malformed"],
    ["GET /repos/my-org/../api", undefined, "refused", "request.malformed"],
    [
      "GET https://github.com/my-org/api.git/info/refs?service=git-upload-pack",
      undefined,
      "allowed",
      "GET info/refs git-upload-pack"
    ],
    ["POST https://github.com/my-org/api/git-receive-pack", undefined, "depends"],
    ["GET https://codeload.github.com/evil/x/zip/main", undefined, "refused", "repository.unlisted"],
    [
      "POST /graphql",
      "{\"query\":\"{repository(owner:\\\"my-org\\\",name:\\\"api\\\"){id}}\"}",
      "allowed",
      "query repository"
    ],
    ["POST /graphql", "{\"query\":\"mutation{deleteRef(input:{refId:\\\"X\\\"}){clientMutationId}}\"}", "depends"]
  ]
  for (const [line, body, verdict, rule] of requests) {
    it.live(`${line} ${body ?? ""}: ${verdict}`, () =>
      Effect.gen(function*() {
        const given = body === undefined ? [] : ["--body", body]
        assert.deepStrictEqual(yield* verdictOf("allowlist", "--request", line, ...given), [
          verdict === "refused" ? 6 : 0,
          verdict !== "refused",
          verdict,
          rule
        ])
      }))
  }

  it.live("asks of a sandbox what its own profile says", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-1a2b3c4d")
      world.rows.set(id, {
        id,
        install: InstallName.make("km"),
        profile: profileWith({}, { sourceAccess: { mode: "allowlist", github } }),
        desired: "running",
        status: "running",
        unconfined: false,
        createdAt: 0,
        generation: "1",
        inventory: []
      })
      const km = new TestKm(world)
      const asked = (ref: string) => km.run("policy", "test", "sb-1a", "--push", ref, "--repo", "my-org/api")
      assert.strictEqual((yield* asked("feature/x")).exit, 0)
      assert.strictEqual((yield* asked("other")).exit, 6)
    }))

  const wrong: ReadonlyArray<ReadonlyArray<string>> = [
    [],
    ["--push", "main"],
    ["--push", "main", "--repo", "api"],
    ["--push", "main", "--repo", "my-org/api/x"],
    ["--push", "main", "--repo", "my-org/api", "--request", "GET /"],
    ["--request", "GET"],
    ["--request", "GET repos/x"],
    ["--request", "GET https://example.com/x"],
    ["--request", "GET /%zz"],
    ["--request", "GET /", "--force"],
    ["sb-1", "--push", "main", "--repo", "my-org/api"]
  ]
  for (const words of wrong) {
    it.live(`is not understood with ${words.join(" ") || "nothing"}`, () =>
      Effect.gen(function*() {
        const { err, exit } = yield* tried("allowlist", ...words)
        assert.deepStrictEqual([exit, err[0]?.slice(0, 17)], [2, "error KM-CLI-001:"])
      }))
  }
})
