/** What tokens are made for, kept as and taken back with; GitHub's answers are believed as far as they were asked for. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { readStoredToken, type RepositoryGrant } from "../../../../runtime/domain/github/Grant.ts"
import { appPermissions, type Permissions, type Writes } from "../../../../runtime/domain/github/Permissions.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { makeSandboxTokens, tokenPath, writesOf } from "../../../../runtime/kernel/github/SandboxTokens.ts"
import { type FoundRepository, GithubApps, GithubFailed } from "../../../../runtime/ports/GithubApps.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { World } from "../../../support/ControlWorld.ts"
import { MemoryGithub } from "../../../support/MemoryGithub.ts"
import { profileWith } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const nothing = { pushes: false, capabilities: [] } as const
const pushes = { pushes: true, capabilities: ["pulls"] } as const
const pinned: RepositoryGrant = {
  host: "github.com",
  app: 7,
  installation: 4711,
  account: "org",
  all: false,
  repositories: [{ id: 100, name: "api" }, { id: 101, name: "web" }],
  writes: false
}

class Scene {
  readonly world = new World()
  readonly github = new MemoryGithub()
  permissions: Permissions = appPermissions(["pulls"])
  suspended = false
  /** What the installation shows. */
  shown: ReadonlyArray<FoundRepository> = this.github.repositories
  /** Each request for a token. */
  readonly asked: Array<{ readonly repositories: ReadonlyArray<number>; readonly permissions: Permissions }> = []
  /** Numbers of the installations that the App has now, where it is asked for all. */
  found: ReadonlyArray<number> = []
  /** The installation of each request for a token. */
  readonly mintedFor: Array<number> = []
  /** What GitHub adds to a token. */
  excess: { readonly repository?: FoundRepository; readonly permission?: string; readonly none?: boolean } = {}
  /** Permissions with which no token is made. */
  refuses: ReadonlyArray<string> = []
  hangs = false
  /** Paths that cannot be written. */
  full: RegExp | undefined

  readonly apps: GithubApps["Service"] = GithubApps.of({
    ...this.github.service,
    installation: (ref, installation) =>
      Effect.suspend(() =>
        installation === 4711
          ? Effect.map(this.github.service.installation(ref, installation), (facts) => ({
            ...facts,
            permissions: this.permissions,
            suspended: this.suspended
          }))
          : Effect.fail(new GithubFailed({ host: ref.host, reason: "Missing", detail: "not found" }))
      ),
    installations: (ref) => Effect.forEach(this.found, (installation) => this.apps.installation(ref, installation)),
    repositories: () => Effect.sync(() => this.shown),
    mint: (ref, installation, request) =>
      Effect.suspend(() => {
        this.asked.push(request)
        this.mintedFor.push(installation)
        const gone = request.repositories.some((one) => !this.shown.some((shown) => shown.id === one))
        if (gone || this.refuses.some((name) => request.permissions[name] === "write")) {
          return Effect.fail(new GithubFailed({ host: ref.host, reason: "NotGranted", detail: "not all of them" }))
        }
        return Effect.map(this.github.service.mint(ref, installation, request), (minted) => ({
          ...minted,
          repositories: this.excess.none === true ? [] : [
            ...this.shown.filter((one) => request.repositories.includes(one.id)),
            ...this.excess.repository === undefined ? [] : [this.excess.repository]
          ],
          permissions: {
            ...request.permissions,
            ...this.excess.permission === undefined ? {} : { [this.excess.permission]: "read" }
          }
        }))
      }),
    revoke: (host, token) => this.hangs ? Effect.never : this.github.service.revoke(host, token)
  })

  stored(access: "read" | "write", former = "") {
    const text = this.world.secrets.get(`${tokenPath(id, pinned, access)}${former}`)
    return text === undefined ? undefined : readStoredToken(Redacted.make(text))
  }
  get living() {
    return [...this.github.living].length
  }
}

const using = <A, E>(
  scene: Scene,
  act: (tokens: Effect.Success<typeof makeSandboxTokens>) => Effect.Effect<A, E>
) => {
  const base = scene.world.layer()
  const secrets = Layer.effect(
    Secrets,
    Effect.map(Secrets, (inner) =>
      Secrets.of({
        ...inner,
        put: (path, value) =>
          scene.full?.test(path) === true
            ? Effect.fail(
              new StoreError({ port: "Secrets", operation: "put", reason: "Full", detail: "x", cause: undefined })
            )
            : inner.put(path, value)
      }))
  ).pipe(Layer.provide(base))
  return Effect.flatMap(makeSandboxTokens, act).pipe(
    Effect.provideService(GithubApps, scene.apps),
    Effect.provide(Layer.merge(base, secrets))
  )
}

const renewed = (scene: Scene, grant = pinned, writes: Writes = nothing) =>
  using(scene, ({ renew }) => renew(id, grant, writes))

const many = (count: number): ReadonlyArray<FoundRepository> =>
  Array.from({ length: count }, (_, n) => ({ id: 100 + n, owner: "org", name: `r${n}` }))

describe("a renewal", () => {
  it.effect("makes one token that reads, and one that writes where anything may be written", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(5_000)
      const scene = new Scene()
      assert.deepStrictEqual(yield* renewed(scene), pinned)
      const { contents, ...others } = scene.asked[0]?.permissions ?? {}
      assert.deepStrictEqual([contents, others["pull_requests"]], ["read", "read"])
      assert.deepStrictEqual(scene.asked.map(({ repositories }) => repositories), [[100, 101]])
      assert.deepInclude(scene.stored("read"), { mintedAt: 5_000, expiresAt: 3_605_000 })
      assert.isUndefined(scene.stored("write"))
      const writing = new Scene()
      assert.deepStrictEqual(yield* renewed(writing, pinned, pushes), { ...pinned, writes: true })
      assert.deepStrictEqual(writing.asked[1], {
        repositories: [100, 101],
        permissions: { metadata: "read", contents: "write", pull_requests: "write" }
      })
      assert.isDefined(writing.stored("write"))
    }))

  it.effect("keeps the token before the newest, and takes both back with the grant", () =>
    Effect.gen(function*() {
      const scene = new Scene()
      yield* renewed(scene)
      const first = scene.stored("read")
      assert.isUndefined(scene.stored("read", "-before"))
      yield* renewed(scene)
      assert.deepStrictEqual(scene.stored("read", "-before"), first)
      yield* renewed(scene)
      assert.strictEqual(scene.living, 3)
      // The first one is forgotten by now; it ends by itself.
      assert.isTrue(yield* using(scene, ({ withdraw }) => withdraw(id, pinned)))
      assert.strictEqual(scene.living, 1)
      assert.isFalse([...scene.world.secrets.keys()].some((path) => path.includes("/github/")))
      assert.isFalse(yield* using(scene, ({ withdraw }) => withdraw(id, pinned)))
    }))

  it.effect("believes nothing that was not asked for, and takes such a token back", () =>
    Effect.gen(function*() {
      for (
        const excess of [
          { repository: { id: 999, owner: "org", name: "secret" } },
          { permission: "administration" },
          { none: true }
        ]
      ) {
        const scene = new Scene()
        scene.excess = excess
        const refused = yield* Effect.flip(renewed(scene))
        assert.deepInclude(refused, {
          reason: "Refused",
          detail: "GitHub's token is for more than was asked for, so it was taken back"
        })
        assert.strictEqual(scene.living, 0)
        assert.isUndefined(scene.stored("read"))
      }
      const metadata = new Scene()
      metadata.excess = { permission: "metadata" }
      yield* renewed(metadata)
      assert.strictEqual(metadata.living, 1)
    }))

  it.effect("goes on for the repositories that are left, and says which are missing", () =>
    Effect.gen(function*() {
      const scene = new Scene()
      scene.shown = [{ id: 101, owner: "Renamed", name: "site" }]
      assert.deepStrictEqual(yield* renewed(scene), {
        ...pinned,
        account: "Renamed",
        repositories: [{ id: 101, name: "site" }, { id: 100, name: "api" }],
        missing: [100]
      })
      scene.shown = []
      assert.deepInclude(yield* Effect.flip(renewed(scene)), {
        reason: "Missing",
        detail: "the GitHub App sees none of the sandbox's repositories of org any more"
      })
      // All are there: then it is the permissions that were refused.
      const other = new Scene()
      other.refuses = ["contents"]
      assert.deepInclude(yield* Effect.flip(renewed(other, pinned, pushes)), { reason: "NotGranted" })
      assert.deepStrictEqual([other.living, other.stored("read")], [0, undefined], "the reading one is taken back too")
    }))

  it.effect("asks for all that there is now where all were granted, up to what fits a token", () =>
    Effect.gen(function*() {
      const all = { ...pinned, all: true, repositories: [{ id: 100, name: "api" }] }
      const scene = new Scene()
      assert.deepStrictEqual((yield* renewed(scene, all)).repositories, [
        { id: 100, name: "api" },
        { id: 101, name: "web" }
      ])
      scene.shown = many(500)
      assert.lengthOf((yield* renewed(scene, all)).repositories, 500)
      scene.shown = many(501)
      assert.deepStrictEqual((yield* renewed(scene, all)).repositories, [{ id: 100, name: "r0" }])
      scene.shown = []
      assert.deepInclude(yield* Effect.flip(renewed(scene, all)), {
        reason: "Missing",
        detail: "the GitHub App sees no repository of org"
      })
    }))

  it.effect("says what an account suspended, has not accepted, or ended", () =>
    Effect.gen(function*() {
      const scene = new Scene()
      scene.suspended = true
      assert.deepInclude(yield* Effect.flip(renewed(scene)), {
        reason: "Suspended",
        detail: "the GitHub App's installation on org is suspended"
      })
      scene.suspended = false
      scene.permissions = { metadata: "read", issues: "read", pull_requests: "read" }
      assert.deepInclude(yield* Effect.flip(renewed(scene, pinned, pushes)), {
        reason: "NotGranted",
        detail:
          "the GitHub App's installation on org does not have contents: read, contents: write, pull_requests: write;"
          + " the account has to accept that"
      })
      // What only helps to read is left out where it is not granted.
      scene.permissions = { metadata: "read", contents: "read" }
      yield* renewed(scene)
      assert.deepStrictEqual(scene.asked.at(-1)?.permissions, { metadata: "read", contents: "read" })
      assert.deepInclude(yield* Effect.flip(renewed(scene, { ...pinned, installation: 1 })), {
        reason: "Missing",
        detail: "the GitHub App is not installed on org any more"
      })
    }))

  it.effect("finds an App that was taken away and installed again, by the account and what it shows", () =>
    Effect.gen(function*() {
      const gone = { ...pinned, installation: 1 }
      const scene = new Scene()
      scene.found = [4711]
      assert.deepStrictEqual(yield* renewed(scene, gone, pushes), { ...gone, reinstalled: 4711, writes: true })
      assert.deepStrictEqual(scene.mintedFor, [4711, 4711])
      // By the new number from then on; the tokens lie where the grant's old one says.
      scene.found = []
      const again = yield* renewed(scene, { ...gone, reinstalled: 4711 })
      assert.deepStrictEqual([again.installation, again.reinstalled], [1, 4711])
      assert.isDefined(scene.world.secrets.get(tokenPath(id, gone, "read")))
      assert.isUndefined(scene.stored("read"))
      // And once more.
      scene.found = [4711]
      assert.deepInclude(yield* renewed(scene, { ...gone, reinstalled: 2 }), { installation: 1, reinstalled: 4711 })
    }))

  it.effect("takes no other owner's installation for it: none of the account, none of its repositories, a suspended one", () =>
    Effect.gen(function*() {
      for (const all of [false, true]) {
        const gone = { ...pinned, installation: 1, all }
        const scene = new Scene()
        scene.found = [4711]
        const refused = (grant = gone) => Effect.flip(renewed(scene, grant))
        assert.deepInclude(yield* refused({ ...gone, account: "other" }), {
          reason: "Missing",
          detail: "the GitHub App is not installed on other any more"
        })
        // Who took the name over has repositories of other numbers.
        scene.shown = many(2).map((one) => ({ ...one, id: one.id + 1_000 }))
        assert.deepInclude(yield* refused(), {
          reason: "Missing",
          detail: "the GitHub App is installed on org again, and sees none of the sandbox's repositories"
        })
        scene.suspended = true
        assert.deepInclude(yield* refused(), { reason: "Suspended" })
        assert.deepStrictEqual([scene.living, scene.mintedFor], [0, []])
      }
    }))

  it.effect("that cannot be written down leaves no token behind", () =>
    Effect.gen(function*() {
      for (const full of [/read$/, /write$/]) {
        const scene = new Scene()
        scene.full = full
        assert.deepInclude(yield* Effect.flip(renewed(scene, pinned, pushes)), { _tag: "StoreError" })
        // A writing token that was kept lies where the next one replaces it and the end finds it.
        assert.strictEqual(scene.living, scene.stored("write") === undefined ? 0 : 1)
      }
    }))
})

describe("taking back", () => {
  it.effect("asks GitHub about living tokens only, and waits ten seconds for it at most", () =>
    Effect.gen(function*() {
      const scene = new Scene()
      yield* renewed(scene)
      yield* TestClock.setTime(3_600_000)
      scene.hangs = true
      // It has ended by itself: nobody is asked.
      assert.isTrue(yield* using(scene, ({ withdraw }) => withdraw(id, pinned)))
      yield* renewed(scene)
      const ending = yield* Effect.forkChild(using(scene, ({ withdraw }) => withdraw(id, pinned)), {
        startImmediately: true
      })
      yield* TestClock.adjust(9_999)
      assert.isUndefined(ending.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(ending.pollUnsafe())
      assert.isUndefined(scene.stored("read"))
    }))
})

const writesFor = (allowedRefs: ReadonlyArray<string>, capabilities: ReadonlyArray<string> = []) =>
  writesOf(profileWith({}, {
    sourceAccess: { mode: "allowlist", github: { allowedRepos: ["org/api"], allowedRefs, capabilities } }
  }))

describe("what a profile lets its sandbox write", () => {
  it("is nothing by denials alone", () => {
    assert.deepStrictEqual(writesFor([]), { pushes: false, capabilities: [] })
    assert.deepStrictEqual(writesFor(["!main"]), { pushes: false, capabilities: [] })
    assert.deepStrictEqual(writesFor(["!main", "feature/*"], ["pulls"]), { pushes: true, capabilities: ["pulls"] })
  })
})
