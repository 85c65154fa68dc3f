/** From a profile's list of repositories to grants: which App, which account, which numbers, or why not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { appFor, compileGrants, githubRefused } from "../../../../runtime/kernel/github/compileGrants.ts"
import { type FoundRepository, GithubApps, GithubFailed } from "../../../../runtime/ports/GithubApps.ts"
import { MemoryGithub } from "../../../support/MemoryGithub.ts"
import { profileWith } from "../../../support/profiles.ts"

const settings = new MemoryGithub().settings
const repositoriesOf = (owner: string, count: number): ReadonlyArray<FoundRepository> =>
  Array.from({ length: count }, (_, n) => ({ id: n + 1, owner, name: `r${n}` }))

interface Seen {
  readonly account?: string
  readonly repositories?: ReadonlyArray<FoundRepository>
  readonly fails?: GithubFailed
}

/** How many repositories at most were asked for, in order. */
const compiled = (
  allowedRepos: ReadonlyArray<string>,
  seen: Seen = {},
  known: ReadonlyArray<typeof settings> = [settings],
  more: { readonly allowedRefs?: ReadonlyArray<string>; readonly capabilities?: ReadonlyArray<string> } = {}
) => {
  const github = new MemoryGithub()
  const asked: Array<number> = []
  const apps = GithubApps.of({
    ...github.service,
    installation: (ref, id) =>
      seen.fails === undefined
        ? Effect.map(github.service.installation(ref, id), (facts) => ({ ...facts, account: seen.account ?? "org" }))
        : Effect.fail(seen.fails),
    repositories: (_, __, most) =>
      Effect.sync(() => {
        asked.push(most)
        return seen.repositories ?? github.repositories
      })
  })
  const profile = profileWith({}, {
    sourceAccess: {
      mode: allowedRepos.length === 0 ? "none" : "allowlist",
      github: { allowedRepos, allowedRefs: more.allowedRefs ?? [], capabilities: more.capabilities ?? [] }
    }
  })
  return Effect.map(compileGrants(profile, known), (grants) => ({ grants, asked })).pipe(
    Effect.provideService(GithubApps, apps)
  )
}

const refused = (...args: Parameters<typeof compiled>) => Effect.flip(compiled(...args))

describe("compileGrants", () => {
  it.effect("is nothing where the profile asks for none", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* compiled([]), { grants: [], asked: [] })
    }))

  it.effect("pins the named repositories by number, in GitHub's order, one grant for each owner", () =>
    Effect.gen(function*() {
      const { asked, grants } = yield* compiled(["Org/Web", "github.com/org/api"])
      assert.deepStrictEqual(grants, [{
        host: "github.com",
        app: 7,
        installation: 4711,
        account: "org",
        all: false,
        repositories: [{ id: 100, name: "api" }, { id: 101, name: "web" }],
        writes: false
      }])
      assert.deepStrictEqual(asked, [Infinity])
      const other = yield* compiled(["org/web"], {}, [settings], { allowedRefs: ["main"] })
      assert.deepInclude(other.grants[0], { repositories: [{ id: 101, name: "web" }], writes: true })
      assert.isFalse((yield* compiled(["org/web"], {}, [settings], { allowedRefs: ["!main"] })).grants[0]?.writes)
      assert.isTrue((yield* compiled(["org/web"], {}, [settings], { capabilities: ["pulls"] })).grants[0]?.writes)
    }))

  it.effect("takes all of an owner's, also beside a name of theirs, up to what fits a token", () =>
    Effect.gen(function*() {
      for (const list of [["org/*"], ["org/api", "org/*"]]) {
        const { asked, grants } = yield* compiled(list)
        assert.deepInclude(grants[0], { all: true, repositories: [{ id: 100, name: "api" }, { id: 101, name: "web" }] })
        assert.deepStrictEqual(asked, [500])
      }
      const most = yield* compiled(["org/*"], { repositories: repositoriesOf("org", 500) })
      assert.lengthOf(most.grants[0]?.repositories ?? [], 500)
      const tooMany = yield* refused(["org/*"], { repositories: repositoriesOf("org", 501) })
      assert.deepInclude(tooMany, {
        code: "KM-GHA-013",
        reason: "org would be more than 500 repositories, the most that GitHub puts into one token"
      })
      const names = (count: number) => repositoriesOf("org", count).map(({ name }) => `org/${name}`)
      const many = repositoriesOf("org", 600)
      assert.lengthOf((yield* compiled(names(500), { repositories: many })).grants[0]?.repositories ?? [], 500)
      assert.strictEqual((yield* refused(names(501), { repositories: many })).code, "KM-GHA-013")
    }))

  it.effect("says what is no repository, where no App is, and what an App does not see", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* refused(["org/api", "*"]), {
        code: "KM-GHA-012",
        remedy: "correct spec.sourceAccess.github.allowedRepos"
      })
      assert.deepInclude(yield* refused(["other/api"]), {
        code: "KM-GHA-010",
        reason: "no GitHub App of this install is installed on other of github.com",
        remedy: "install it there and run \"km configure github --discover\""
      })
      assert.deepInclude(yield* refused(["git.example.com/org/api"]), {
        code: "KM-GHA-010",
        reason: "no GitHub App of this install is installed on org of git.example.com",
        remedy: "run \"km github\" to make one"
      })
      assert.deepInclude(yield* refused(["org/api", "org/none", "org/never"]), {
        code: "KM-GHA-011",
        reason: "the GitHub App does not see org/none, org/never"
      })
      assert.deepInclude(yield* refused(["org/*"], { repositories: [] }), {
        code: "KM-GHA-011",
        reason: "the GitHub App does not see any repository of org"
      })
      // Another account's of the same name is not the one that was meant.
      assert.strictEqual((yield* refused(["org/r0"], { repositories: repositoriesOf("other", 1) })).code, "KM-GHA-011")
    }))

  it.effect("never takes an installation that is on another account by now", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* refused(["org/api"], { account: "renamed" }), {
        code: "KM-GHA-010",
        reason: "what was the App's installation on org is now on renamed",
        remedy: "run \"km configure github --discover --force\""
      })
    }))

  it.effect("tells GitHub's refusals apart", () =>
    Effect.gen(function*() {
      const codes = {
        Suspended: "KM-GHA-014",
        NotGranted: "KM-GHA-015",
        Missing: "KM-GHA-010",
        NoKey: "KM-GHA-016",
        BadKey: "KM-GHA-016",
        RateLimited: "KM-GHA-016",
        Unreachable: "KM-GHA-016",
        Refused: "KM-GHA-016"
      } as const
      for (const reason of Object.keys(codes) as ReadonlyArray<keyof typeof codes>) {
        const error = yield* refused(["org/api"], {
          fails: new GithubFailed({ host: "github.com", reason, detail: "so it is" })
        })
        assert.strictEqual(error.code, codes[reason], reason)
        assert.strictEqual(error.reason, codes[reason] === "KM-GHA-016" ? "github.com: so it is" : "so it is", reason)
        assert.strictEqual(error.message, `${error.code}: ${error.reason}; ${error.remedy}`)
      }
      assert.include(
        githubRefused(new GithubFailed({ host: "h", reason: "Missing", detail: "" })).remedy,
        "\"km configure github --discover\""
      )
      assert.include(
        githubRefused(new GithubFailed({ host: "h", reason: "Refused", detail: "" })).remedy,
        "\"km github status\""
      )
    }))
})

const app = (number: number, owner: string, accounts: ReadonlyArray<string>, host = "github.com") => ({
  ...settings,
  app: number,
  owner,
  host,
  installations: accounts.map((account, n) => ({ account, id: number * 10 + n }))
})

describe("appFor", () => {
  const wanted = { host: "github.com", owner: "org" }

  it("is the account's own App before another's that is installed there too, wherever it stands", () => {
    const own = app(1, "org", ["else", "org"])
    const foreign = app(2, "vendor", ["org"])
    for (const known of [[own, foreign], [foreign, own]]) {
      assert.deepStrictEqual(appFor(known, wanted), { app: own, installation: 11 })
    }
    assert.deepStrictEqual(appFor([app(3, "x", ["org"]), foreign], wanted)?.installation, 30)
  })

  it("is none of another host, and none that is not installed there", () => {
    assert.isUndefined(appFor([app(1, "org", ["org"], "git.example.com"), app(2, "org", ["else"])], wanted))
    assert.isUndefined(appFor([], wanted))
  })
})
