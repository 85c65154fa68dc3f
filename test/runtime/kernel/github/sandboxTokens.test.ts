/** A sandbox's tokens from create to destroy: real client, local GitHub, everything else in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { App, Installation } from "../../../../km-cli/local/github/AppTable.ts"
import type { LocalGithub } from "../../../../km-cli/local/github/LocalGithub.ts"
import * as OctokitApps from "../../../../runtime/adapters/github/OctokitApps.ts"
import { appKeyPath } from "../../../../runtime/domain/github/AppSettings.ts"
import { appPermissions } from "../../../../runtime/domain/github/Permissions.ts"
import { Install } from "../../../../runtime/domain/install/Install.ts"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { TokenRefresher } from "../../../../runtime/kernel/github/TokenRefresher.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { GithubApps } from "../../../../runtime/ports/GithubApps.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { World } from "../../../support/ControlWorld.ts"
import { exampleInstall } from "../../../support/installs.ts"
import { localGithub } from "../../../support/LocalGithub.ts"
import { profileWith } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-11111111")

class Scene {
  readonly world = new World()
  readonly github: LocalGithub
  readonly app: App
  readonly installation: Installation

  constructor(github: LocalGithub, app: App, installation: Installation) {
    this.github = github
    this.app = app
    this.installation = installation
  }

  /** Tokens that GitHub would still take, without those that only read a list. */
  living() {
    return this.github.tokens().filter((one) => !one.revoked && one.permissions["contents"] !== undefined)
  }
  stored(access: string) {
    const [path] = [...this.world.secrets.keys()].filter((one) =>
      one.startsWith(`sandbox/${id}/github/`) && one.endsWith(access)
    )
    return path === undefined ? undefined : this.world.secrets.get(path)?.split("\n")[0]
  }
  create(
    repos: ReadonlyArray<string>,
    more: { readonly refs?: ReadonlyArray<string>; readonly capabilities?: ReadonlyArray<string> } = {}
  ) {
    return Effect.flatMap(Provisioning, (provisioning) =>
      provisioning.create({
        id,
        install: InstallName.make("km"),
        alias: undefined,
        profile: profileWith({ notifyEmailEnabled: false }, {
          sourceAccess: {
            mode: "allowlist",
            github: {
              allowedRepos: repos.map((repo) => `${this.github.host}/${repo}`),
              allowedRefs: more.refs ?? [],
              capabilities: more.capabilities ?? []
            }
          }
        }),
        unconfined: true,
        readyWithin: Duration.seconds(30)
      }))
  }
  readonly destroy = Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed"))
}

const installOf = ({ app, github, installation }: Pick<Scene, "app" | "github" | "installation">) =>
  Install.make({
    ...exampleInstall,
    github: [{
      host: github.host,
      app: app.id,
      slug: app.slug,
      owner: "org",
      public: true,
      installations: [{ account: "org", id: installation.id }]
    }]
  })

const played = <E>(
  play: (scene: Scene) => Effect.Effect<void, E, Provisioning | Teardown | TokenRefresher | Secrets | GithubApps>,
  permissions = appPermissions(["pulls", "issues"])
) =>
  Effect.gen(function*() {
    const github = yield* localGithub()
    yield* TestClock.setTime(Date.now())
    const app = yield* github.register({ name: "km test", owner: "org", permissions, public: true })
    const scene = new Scene(github, app, github.install(app, "org"))
    const { world } = scene
    world.installStore.install = installOf(scene)
    world.secrets.set(appKeyPath({ host: github.host, app: app.id }), app.keys[0] ?? "")
    const base = world.layer()
    world.github = yield* Effect.provide(GithubApps, OctokitApps.layer.pipe(Layer.provide(base)))
    yield* play(scene).pipe(
      Effect.provide(Provisioning.layer.pipe(
        Layer.provideMerge(Teardown.layer),
        Layer.provideMerge(TokenRefresher.layer),
        Layer.provideMerge(world.layer())
      ))
    )
  }).pipe(Effect.scoped)

const refused = <A>(effect: Effect.Effect<A, { readonly code: string }, Provisioning>) =>
  Effect.match(effect, { onSuccess: () => "created", onFailure: ({ code }) => code })

/** The row's only grant. */
const grantOf = ({ world }: Scene) => world.rows.get(id)?.github?.[0]

describe("a sandbox's tokens", () => {
  it.effect(
    "are made at create for exactly its repositories, reading and writing apart, and end with it",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, world } = scene
          const before = world.snapshot()
          yield* scene.create(["Org/API"], { refs: ["main"], capabilities: ["pulls"] })
          const api = github.repository("org/api")?.id ?? 0
          assert.deepStrictEqual(
            scene.living().map(({ permissions, repositories }) => ({ permissions, repositories })),
            [
              {
                repositories: [api],
                permissions: {
                  metadata: "read",
                  contents: "read",
                  pull_requests: "read",
                  issues: "read",
                  checks: "read",
                  statuses: "read",
                  actions: "read"
                }
              },
              { repositories: [api], permissions: { metadata: "read", contents: "write", pull_requests: "write" } }
            ]
          )
          assert.deepStrictEqual(scene.living().map(({ token }) => token), [
            scene.stored("read"),
            scene.stored("write")
          ])
          assert.deepStrictEqual(grantOf(scene)?.repositories, [{ id: api, name: "api" }])
          yield* scene.destroy
          assert.deepStrictEqual(scene.living(), [])
          assert.deepStrictEqual(world.snapshot(), before)
        })
      ),
    120_000
  )

  it.effect(
    "are for reading alone where nothing may be changed, and for all of an owner's with owner/*",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          yield* scene.create(["org/*"], { refs: ["!main"] })
          assert.deepStrictEqual(scene.living().map(({ repositories }) => repositories?.length), [3])
          assert.isUndefined(scene.stored("write"))
          assert.isFalse(grantOf(scene)?.writes)
        })
      ),
    120_000
  )

  it.effect(
    "are refused at create rather than made for another account, and nothing is left",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { app, github, installation, world } = scene
          const before = world.snapshot()
          github.install(app, "octocat")
          const attempts = [
            [["nobody/api"], "KM-GHA-010"],
            // Installed there, and never taken over by the operator.
            [["octocat/notes"], "KM-GHA-010"],
            [["org/api", "octocat/notes"], "KM-GHA-010"],
            [["org/none"], "KM-GHA-011"],
            [["org/notes"], "KM-GHA-011"],
            [["*"], "KM-GHA-012"],
            [["other.example.com/org/api"], "KM-GHA-012"]
          ] as const
          for (const [repos, code] of attempts) {
            assert.strictEqual(yield* refused(scene.create(repos)), code, repos.join())
          }
          assert.strictEqual(yield* refused(scene.create(["org/api"], { capabilities: ["actions"] })), "KM-GHA-015")
          github.suspend(installation, true)
          assert.strictEqual(yield* refused(scene.create(["org/api"])), "KM-GHA-014")
          github.suspend(installation, false)
          github.faults.add({ matches: /./u, how: 502 })
          assert.strictEqual(yield* refused(scene.create(["org/api"])), "KM-GHA-016")
          github.faults.clear()
          github.uninstall(installation)
          assert.strictEqual(yield* refused(scene.create(["org/api"])), "KM-GHA-010")
          assert.deepStrictEqual(world.snapshot(), before)
          assert.deepStrictEqual(scene.living(), [])
        })
      ),
    120_000
  )

  it.effect(
    "are renewed between half and seven tenths of their life, and the replaced ones end with the sandbox",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const refresher = yield* TokenRefresher
          yield* scene.create(["org/api"], { refs: ["main"] })
          const first = scene.stored("read")
          yield* refresher.look(id)
          yield* TestClock.adjust("29 minutes")
          yield* refresher.round
          assert.strictEqual(scene.stored("read"), first)
          yield* TestClock.adjust("14 minutes")
          yield* refresher.round
          assert.notStrictEqual(scene.stored("read"), first)
          assert.strictEqual(scene.living().length, 4)
          // The next one begins where this one stopped: with what is stored.
          yield* refresher.look(id)
          yield* refresher.round
          assert.strictEqual(scene.living().length, 4)
          yield* scene.destroy
          assert.deepStrictEqual(scene.living(), [])
        })
      ),
    120_000
  )

  it.effect(
    "are renewed at once when they are asked for, with the names and repositories of that moment",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, world } = scene
          const refresher = yield* TokenRefresher
          yield* scene.create(["org/api", "org/web"])
          yield* refresher.look(id)
          github.rename("org/api", "core")
          yield* TestClock.adjust("1 minute")
          const row = world.rows.get(id)
          if (row !== undefined) world.rows.set(id, { ...row, tokensWantedAt: yield* Clock.currentTimeMillis })
          yield* refresher.look(id)
          yield* refresher.round
          assert.deepStrictEqual(grantOf(scene)?.repositories.map(({ name }) => name), ["core", "web"])
          assert.strictEqual(scene.living().length, 2)
          // Once for each time it was asked.
          yield* refresher.look(id)
          yield* refresher.round
          assert.strictEqual(scene.living().length, 2)
        })
      ),
    120_000
  )

  it.effect(
    "go on for what is left when a repository goes, and say so when the installation goes",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, installation } = scene
          const refresher = yield* TokenRefresher
          yield* scene.create(["org/api", "org/web"])
          yield* refresher.look(id)
          const api = github.repository("org/api")?.id ?? 0
          const web = github.repository("org/web")?.id ?? 0
          installation.selection = "selected"
          installation.repositories = [web]
          yield* TestClock.adjust("43 minutes")
          yield* refresher.round
          assert.deepStrictEqual(scene.living().at(-1)?.repositories, [web])
          assert.deepStrictEqual(grantOf(scene)?.missing, [api])
          github.suspend(installation, true)
          yield* TestClock.adjust("43 minutes")
          yield* refresher.round
          assert.strictEqual(grantOf(scene)?.trouble?.reason, "Suspended")
          github.suspend(installation, false)
          installation.selection = "all"
          yield* TestClock.adjust("1 minute")
          yield* refresher.round
          assert.notProperty(grantOf(scene), "trouble")
          assert.notProperty(grantOf(scene), "missing")
          github.uninstall(installation)
          yield* TestClock.adjust("43 minutes")
          yield* refresher.round
          assert.strictEqual(grantOf(scene)?.trouble?.reason, "NotInstalled")
        })
      ),
    120_000
  )

  it.effect(
    "come back by themselves after GitHub was away, later and later, and at once when it is back and asked for",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github } = scene
          const refresher = yield* TokenRefresher
          yield* scene.create(["org/api"])
          yield* refresher.look(id)
          const attempts = () => github.calls().filter((call) => /GET \/app\/installations\/\d/u.test(call)).length
          const before = attempts()
          github.faults.add({ matches: /installations/u, how: 503 })
          yield* TestClock.adjust("43 minutes")
          for (let minute = 0; minute < 10; minute++) {
            yield* refresher.round
            yield* TestClock.adjust("1 minute")
          }
          assert.strictEqual(grantOf(scene)?.trouble?.reason, "Unavailable")
          assert.isAtLeast(attempts() - before, 4)
          assert.isAtMost(attempts() - before, 7)
          github.faults.clear()
          yield* TestClock.adjust("6 minutes")
          yield* refresher.round
          assert.notProperty(grantOf(scene), "trouble")
          assert.strictEqual(scene.living().length, 2)
        })
      ),
    120_000
  )

  it.effect("are taken back at a pause and made again at the resume", () =>
    played((scene) =>
      Effect.gen(function*() {
        const { world } = scene
        const refresher = yield* TokenRefresher
        yield* scene.create(["org/api"], { refs: ["main"] })
        yield* refresher.look(id)
        const change = (status: "stopped" | "running") => {
          const row = world.rows.get(id)
          if (row !== undefined) world.rows.set(id, { ...row, status, desired: status })
        }
        change("stopped")
        yield* refresher.look(id)
        assert.deepStrictEqual([scene.living(), scene.stored("read")], [[], undefined])
        yield* TestClock.adjust("2 hours")
        yield* refresher.round
        assert.deepStrictEqual(scene.living(), [])
        change("running")
        yield* refresher.look(id)
        yield* refresher.round
        assert.deepStrictEqual(scene.living().map(({ token }) => token), [scene.stored("read"), scene.stored("write")])
      })
    ), 120_000)

  it.effect("are ended also where GitHub does not answer at destroy", () =>
    played((scene) =>
      Effect.gen(function*() {
        const before = scene.world.snapshot()
        yield* scene.create(["org/api"])
        scene.github.faults.add({ matches: /DELETE/u, how: "drop" })
        yield* scene.destroy
        assert.deepStrictEqual(scene.world.snapshot(), before)
      })
    ), 120_000)
})
