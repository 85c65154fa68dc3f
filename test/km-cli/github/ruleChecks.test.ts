/** The policy beside the repository's own rules: where the proxy alone stands between. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ruleChecks, standing } from "../../../km-cli/github/ruleChecks.ts"
import type { Profile } from "../../../runtime/domain/profile/Profile.ts"
import { GithubApps, GithubFailed } from "../../../runtime/ports/GithubApps.ts"
import { rowOf, sandbox } from "../../bridge/world.ts"
import { profileWith } from "../../support/profiles.ts"

const withAccess = (
  mode: "allowlist" | "audit",
  allowedRefs: ReadonlyArray<string>,
  more: { readonly allowForce?: boolean } = {}
): Profile => {
  const profile = profileWith()
  const { sourceAccess } = profile.spec
  return {
    ...profile,
    spec: { ...profile.spec, sourceAccess: { mode, github: { ...sourceAccess.github, allowedRefs, ...more } } }
  }
}

const row = (more: object) => ({ ...rowOf(sandbox, undefined, {}, withAccess("allowlist", ["x"])), ...more })

describe("what stands between a sandbox and the default branch", () => {
  const cases: ReadonlyArray<readonly [string, Profile, ReadonlyArray<string>, "ok" | "warn", RegExp]> = [
    ["policy alone", withAccess("allowlist", ["feature/*"]), [], "warn", /^the proxy alone keeps it from main/],
    ["policy, and a rule about something else", withAccess("allowlist", ["feature/*"]), ["deletion"], "warn", /alone/],
    ["both", withAccess("allowlist", ["feature/*"]), ["pull_request"], "ok", /GitHub's own rules too/],
    ["both, by a rule against updates", withAccess("allowlist", ["**", "!main"]), ["update"], "ok", /own rules too/],
    [
      "nothing, in audit",
      withAccess("audit", ["feature/*"]),
      [],
      "warn",
      /^nothing keeps it from main: refs are not enforced/
    ],
    ["a rule, in audit", withAccess("audit", ["feature/*"]), ["pull_request"], "ok", /own rules too/],
    [
      "main may be pushed, not forced",
      withAccess("allowlist", ["main"]),
      [],
      "warn",
      /alone keeps main from being forced/
    ],
    [
      "main may be pushed, and a rule forbids force",
      withAccess("allowlist", ["main"]),
      ["non_fast_forward"],
      "ok",
      /may be pushed/
    ],
    ["main may be forced", withAccess("allowlist", ["main"], { allowForce: true }), [], "ok", /as the profile says/],
    ["main may be pushed, in audit", withAccess("audit", ["main"]), [], "warn", /^nothing keeps main from being forced/]
  ]
  for (const [name, profile, rules, status, detail] of cases) {
    it(name, () => {
      const found = standing({ profile }, { branch: "main", rules })
      assert.strictEqual(found.status, status)
      assert.match(found.detail, detail)
    })
  }
})

describe("the doctor's lines", () => {
  const rules = Layer.mock(GithubApps, {
    rules: (ref, _, repository) =>
      repository === 2
        ? Effect.fail(new GithubFailed({ host: ref.host, reason: "Unreachable", detail: "GitHub does not answer" }))
        : Effect.succeed({ branch: "trunk", rules: [] })
  })
  const grant = { host: "github.com", app: 1, installation: 1, account: "org", all: false, writes: true }

  it.effect("are of what may be written, with what to do; a repository that cannot be asked about is left out", () =>
    Effect.gen(function*() {
      const checks = yield* ruleChecks([
        row({
          alias: "demo",
          github: [
            { ...grant, repositories: [{ id: 1, name: "api" }, { id: 2, name: "web" }] },
            { ...grant, writes: false, repositories: [{ id: 3, name: "docs" }] }
          ]
        }),
        row({ status: "destroying", github: [{ ...grant, repositories: [{ id: 4, name: "old" }] }] })
      ])
      assert.deepStrictEqual(checks, [
        {
          name: "rules demo",
          status: "warn",
          detail: "org/api: the proxy alone keeps it from trunk: GitHub has no rule for it",
          remedy: "add a ruleset for trunk at GitHub, in the settings of org/api"
        },
        { name: "rules demo", status: "skip", detail: "org/web: GitHub does not answer", remedy: "" }
      ])
    }).pipe(Effect.provide(rules)))

  it.effect("are twenty at most, and say of how many more they know nothing", () =>
    Effect.gen(function*() {
      const repositories = Array.from({ length: 25 }, (_, index) => ({ id: index + 10, name: `r${index}` }))
      const checks = yield* ruleChecks([row({ github: [{ ...grant, repositories }] })])
      assert.lengthOf(checks, 21)
      assert.strictEqual(checks.at(-1)?.detail, "5 more repositories were not looked at")
    }).pipe(Effect.provide(rules)))
})
