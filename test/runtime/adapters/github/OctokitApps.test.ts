/** GitHub's own client against the local GitHub: what an App finds, what it is given, and what each bad day is called. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { App } from "../../../../km-cli/local/github/AppTable.ts"
import type { LocalGithub } from "../../../../km-cli/local/github/LocalGithub.ts"
import * as OctokitApps from "../../../../runtime/adapters/github/OctokitApps.ts"
import { appKeyPath } from "../../../../runtime/domain/github/AppSettings.ts"
import { appPermissions } from "../../../../runtime/domain/github/Permissions.ts"
import { GithubApps, type GithubFailed } from "../../../../runtime/ports/GithubApps.ts"
import * as MemorySecrets from "../../../../runtime/ports/memory/MemorySecrets.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { localGithub } from "../../../support/LocalGithub.ts"

interface Scene {
  readonly github: LocalGithub
  readonly app: App
  readonly ref: { readonly host: string; readonly app: number }
  readonly apps: GithubApps["Service"]
  readonly secrets: Secrets["Service"]
}

const scene = <E>(play: (scene: Scene) => Effect.Effect<void, E>) =>
  Effect.gen(function*() {
    const github = yield* localGithub()
    const app = yield* github.register({
      name: "km test",
      owner: "org",
      permissions: appPermissions(["pulls"]),
      public: true
    })
    const ref = { host: github.host, app: app.id }
    yield* Effect.gen(function*() {
      const secrets = yield* Secrets
      yield* secrets.put(appKeyPath(ref), Redacted.make(app.keys[0] ?? ""))
      yield* play({ github, app, ref, apps: yield* GithubApps, secrets })
    }).pipe(Effect.provide(OctokitApps.layer.pipe(Layer.provideMerge(MemorySecrets.layer))))
  }).pipe(Effect.scoped)

const reasonOf = <A>(effect: Effect.Effect<A, GithubFailed>) =>
  Effect.match(effect, { onSuccess: () => "fine" as const, onFailure: ({ reason }) => reason })

describe("GitHub by its own client", () => {
  it.live(
    "finds every installation over all pages, with what each has accepted and whether it is suspended",
    () =>
      scene(({ app, apps, github, ref }) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* apps.app(ref), {
            app: app.id,
            slug: "km-test",
            name: "km test",
            owner: "org",
            permissions: app.permissions
          })
          const first = github.install(app, "org")
          for (let n = 0; n < 100; n++) github.install(app, "octocat", ["octocat/notes"])
          github.widen(app, { actions: "write" })
          github.suspend(first, true)
          const found = yield* apps.installations(ref)
          assert.strictEqual(found.length, 101)
          assert.deepStrictEqual(found[0], {
            id: first.id,
            account: "org",
            kind: "Organization",
            selection: "all",
            permissions: first.permissions,
            suspended: true
          })
          assert.deepStrictEqual(yield* apps.installation(ref, first.id), found[0])
          assert.strictEqual(yield* reasonOf(apps.installation(ref, 1)), "Missing")
        })
      ),
    60_000
  )

  it.live(
    "mints for exactly what is asked, a new token each time, and takes it back",
    () =>
      scene(({ app, apps, github, ref }) =>
        Effect.gen(function*() {
          const { id } = github.install(app, "org")
          const repositories = yield* apps.repositories(ref, id, 500)
          assert.deepStrictEqual(repositories.map(({ name }) => name), ["api", "web", "open"])
          // The token that read the list is over.
          assert.deepStrictEqual(github.tokens().map(({ permissions, revoked }) => ({ permissions, revoked })), [
            { permissions: { metadata: "read" }, revoked: true }
          ])
          const [api] = repositories
          const request = { repositories: [api?.id ?? 0], permissions: { contents: "read" } }
          const one = yield* apps.mint(ref, id, request)
          const two = yield* apps.mint(ref, id, request)
          assert.notStrictEqual(Redacted.value(one.token), Redacted.value(two.token))
          assert.deepStrictEqual(one.repositories, [{ id: api?.id ?? 0, owner: "org", name: "api" }])
          assert.deepStrictEqual(one.permissions, { metadata: "read", contents: "read" })
          assert.isAtMost(Math.abs(one.livesMillis - 3_600_000), 2_000)
          yield* apps.revoke(github.host, one.token)
          yield* apps.revoke(github.host, one.token)
          assert.deepStrictEqual(github.tokens().slice(1).map(({ revoked }) => revoked), [true, false])
          // Empty would mean all.
          assert.strictEqual(yield* reasonOf(apps.mint(ref, id, { ...request, repositories: [] })), "NotGranted")
          assert.strictEqual(yield* reasonOf(apps.mint(ref, id, { ...request, permissions: {} })), "NotGranted")
          assert.strictEqual(
            yield* reasonOf(apps.mint(ref, id, { ...request, permissions: { secrets: "write" } })),
            "NotGranted"
          )
          assert.strictEqual(github.tokens().length, 3)
        })
      ),
    60_000
  )

  it.live(
    "reads a repository's default branch and its rules, and takes the token for that back",
    () =>
      scene(({ app, apps, github, ref }) =>
        Effect.gen(function*() {
          const { id } = github.install(app, "org")
          const api = github.repository("org/api")?.id ?? 0
          assert.deepStrictEqual(yield* apps.rules(ref, id, api), { branch: "main", rules: [] })
          assert.deepStrictEqual(github.tokens().map(({ permissions, revoked }) => [permissions, revoked]), [
            [{ metadata: "read" }, true]
          ])
        })
      ),
    60_000
  )

  it.live(
    "has a token's life by GitHub's clock, which may be hours from ours",
    () =>
      scene(({ app, apps, github, ref }) =>
        Effect.gen(function*() {
          const { id } = github.install(app, "org")
          for (const ahead of [-7_200_000, 14_400_000]) {
            github.advance(ahead)
            const { livesMillis } = yield* apps.mint(ref, id, {
              repositories: [github.repository("org/api")?.id ?? 0],
              permissions: { contents: "read" }
            })
            assert.isAtMost(Math.abs(livesMillis - 3_600_000), 2_000)
          }
        })
      ),
    60_000
  )

  it.live(
    "names each bad day, and uses a replaced key at once",
    () =>
      scene(({ app, apps, github, ref, secrets }) =>
        Effect.gen(function*() {
          const installation = github.install(app, "org")
          const mint = reasonOf(apps.mint(ref, installation.id, {
            repositories: [github.repository("org/api")?.id ?? 0],
            permissions: { contents: "read" }
          }))
          const faults = [
            ["drop", "Unreachable"],
            ["rate-limit", "RateLimited"],
            [500, "Unreachable"],
            [502, "Unreachable"],
            [403, "Refused"],
            [404, "Missing"]
          ] as const
          for (const [how, reason] of faults) {
            github.faults.add({ matches: /access_tokens$/u, how, times: 1 })
            assert.strictEqual(yield* mint, reason, String(how))
          }
          assert.strictEqual(yield* mint, "fine")
          github.suspend(installation, true)
          assert.strictEqual(yield* mint, "Suspended")
          github.suspend(installation, false)
          const key = yield* github.rotateKey(app)
          assert.strictEqual(yield* mint, "BadKey")
          yield* secrets.put(appKeyPath(ref), Redacted.make(key))
          assert.strictEqual(yield* mint, "fine")
          github.uninstall(installation)
          assert.strictEqual(yield* mint, "Missing")
          yield* secrets.delete(appKeyPath(ref))
          assert.strictEqual(yield* mint, "NoKey")
          const limited = yield* Effect.gen(function*() {
            yield* secrets.put(appKeyPath(ref), Redacted.make(key))
            github.faults.add({ matches: /./u, how: "rate-limit", times: 1 })
            return yield* Effect.flip(apps.app(ref))
          })
          assert.strictEqual(limited.retryAfterMillis, 60_000)
        })
      ),
    60_000
  )

  it.live(
    "says nothing of a token or key in what it fails with",
    () =>
      scene(({ app, apps, github, ref }) =>
        Effect.gen(function*() {
          const { id } = github.install(app, "org")
          const request = { repositories: [github.repository("org/api")?.id ?? 0], permissions: { contents: "read" } }
          const { token } = yield* apps.mint(ref, id, request)
          github.faults.add({ matches: /installation\/token|access_tokens/u, how: 500 })
          const failures = [
            yield* Effect.flip(apps.revoke(github.host, token)),
            yield* Effect.flip(apps.mint(ref, id, request))
          ]
          const shown = JSON.stringify(failures) + failures.map(String).join()
          assert.notInclude(shown, Redacted.value(token))
          assert.notMatch(shown, /PRIVATE|eyJ/u)
        })
      ),
    60_000
  )
})
