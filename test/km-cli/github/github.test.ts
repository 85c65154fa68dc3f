/** `km github` in process: the real client, the local GitHub, a browser that is a function. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import * as fs from "node:fs"
import { Browser } from "../../../km-cli/github/Browser.ts"
import { makeAppKey } from "../../../km-cli/local/github/AppTable.ts"
import type { LocalGithub } from "../../../km-cli/local/github/LocalGithub.ts"
import * as OctokitApps from "../../../runtime/adapters/github/OctokitApps.ts"
import { Install } from "../../../runtime/domain/install/Install.ts"
import { InstallName } from "../../../runtime/domain/sandbox/Ids.ts"
import { GithubApps } from "../../../runtime/ports/GithubApps.ts"
import { World } from "../../support/ControlWorld.ts"
import { localGithub } from "../../support/LocalGithub.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"
import { TestKm } from "../../support/TestKm.ts"

const install = Install.make({
  version: 1,
  install: InstallName.make("km"),
  certifierPublicKey: Buffer.alloc(32).toString("base64"),
  bridgeUrl: "http://127.0.0.1:9",
  bridgeHost: "127.0.0.1:9",
  slackApiUrl: "http://127.0.0.1:9/api/",
  local: true
})

const unescape = (text = "") =>
  text.replaceAll("&quot;", "\"").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&")

interface Form {
  readonly page: Response
  readonly action: string
  readonly manifest: Record<string, unknown>
  readonly origin: string
}

const formOf = async (url: string): Promise<Form> => {
  const page = await fetch(url)
  const text = await page.text()
  return {
    page,
    action: unescape(/action="([^"]*)"/u.exec(text)?.[1]),
    manifest: JSON.parse(unescape(/name="manifest" value="([^"]*)"/u.exec(text)?.[1])),
    origin: new URL(url).origin
  }
}

const submit = ({ action, manifest }: Form, redirect: "follow" | "manual" = "follow") =>
  fetch(action, { method: "POST", redirect, body: new URLSearchParams({ manifest: JSON.stringify(manifest) }) })

/** A person who clicks through. */
const person = async (url: string): Promise<void> => void await submit(await formOf(url))

interface Scene {
  readonly github: LocalGithub
  readonly world: World
  readonly km: (...words: ReadonlyArray<string>) => ReturnType<TestKm["run"]>
  /** What the browser does from now on. */
  readonly browse: (how: (url: string) => Promise<void>) => void
}

const played = <E>(play: (scene: Scene) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.gen(function*() {
    const github = yield* localGithub()
    const world = new World()
    world.installStore.install = install
    world.github = yield* Effect.provide(GithubApps, OctokitApps.layer.pipe(Layer.provide(world.layer())))
    const km = new TestKm(world)
    let how = person
    const browse = (url: string) => Effect.as(Effect.forkDetach(Effect.promise(() => how(url))), true)
    yield* play({
      github,
      world,
      km: (...words) => km.run(...words).pipe(Effect.provideService(Browser, browse)),
      browse: (next) => {
        how = next
      }
    })
  }).pipe(Effect.scoped)

const keysOf = ({ world }: Scene) => [...world.secrets.keys()].filter((path) => path.startsWith("github/"))
const held = ({ world }: Scene) => world.installStore.install?.github ?? []

describe("km github", () => {
  it.live(
    "makes a private App with no more than it needs, and keeps its key at a path of its own",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, km, world } = scene
          const made = yield* km("github", "--host", github.host, "--org", "Org")
          assert.strictEqual(made.exit, 0, made.err.join("\n"))
          const [app] = github.apps()
          assert.isDefined(app)
          assert.deepStrictEqual([app.public, app.owner.login], [false, "org"])
          assert.deepStrictEqual(app.permissions, {
            metadata: "read",
            contents: "write",
            pull_requests: "read",
            issues: "read",
            checks: "read",
            statuses: "read",
            actions: "read"
          })
          assert.deepStrictEqual(keysOf(scene), [`github/${github.host.replace(":", "_")}/${app.id}/key`])
          assert.strictEqual(world.secrets.get(keysOf(scene)[0] ?? ""), app.keys[0])
          assert.deepStrictEqual(held(scene), [
            { host: github.host, app: app.id, slug: app.slug, owner: "org", public: false, installations: [] }
          ])
          assert.notInclude(made.out.concat(made.err).join("\n"), "PRIVATE")
          assert.deepStrictEqual(
            [...world.audit.chains.values()].flat().map((line) => /"verdict":"(\w+)"/u.exec(line)?.[1]),
            ["allowed", "done"]
          )
          const second = yield* km("github", "--host", github.host, "--org", "org")
          assert.deepStrictEqual([second.exit, github.apps().length], [5, 1])
        })
      ),
    120_000
  )

  it.live("refuses a port that there is not", () =>
    played(({ km }) =>
      Effect.gen(function*() {
        for (const port of ["-5", "65536", "99999999"]) {
          const { err, exit } = yield* km("github", "--port", port)
          assert.deepStrictEqual([exit, err[0]?.slice(0, 17)], [2, "error KM-CLI-001:"], err.join("\n"))
        }
      })
    ))

  it.live("believes no callback but its own, and that once", () =>
    played((scene) =>
      Effect.gen(function*() {
        const { browse, github, km } = scene
        const answers: Array<number> = []
        const ask = async (url: string) => void answers.push((await fetch(url)).status)
        browse(async (url) => {
          const form = await formOf(url)
          await ask(`${form.origin}/callback?code=stolen`)
          await ask(`${form.origin}/callback?code=stolen&state=${"A".repeat(43)}`)
          await ask(
            `${form.origin}/callback?code=${encodeURIComponent("../app")}&state=${
              new URL(form.action).searchParams.get("state")
            }`
          )
          await ask(`${form.origin}/start/guess`)
          await ask(`${form.origin}/`)
          assert.match(form.page.headers.get("content-security-policy") ?? "", /default-src 'none'/u)
          const back = (await submit(form, "manual")).headers.get("location") ?? ""
          await Promise.all([ask(back), ask(back).catch(() => undefined)])
        })
        const made = yield* km("github", "--host", github.host)
        assert.strictEqual(made.exit, 0, made.err.join("\n"))
        assert.deepStrictEqual(answers.slice(0, 6), [400, 400, 400, 404, 404, 200])
        assert.strictEqual(github.apps().length, 1)
      })
    ), 120_000)

  it.live(
    "keeps nothing where not all can be kept, and says which App is to be deleted",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, km, world } = scene
          github.faults.add({ matches: /^GET \/app$/u, how: 500 })
          const failed = yield* km("github", "--host", github.host, "--org", "org")
          assert.strictEqual(failed.exit, 1)
          assert.match(failed.err.join("\n"), /KM-GHA-003[\s\S]*organizations\/org\/settings\/apps\/km-km-/u)
          assert.deepStrictEqual([keysOf(scene), held(scene)], [[], []])
          github.faults.clear()
          // What cannot be written down is not begun at GitHub.
          world.auditBroken = true
          const unwritten = yield* km("github", "--host", github.host, "--org", "org")
          assert.strictEqual(unwritten.exit, 1)
          assert.deepStrictEqual([keysOf(scene), held(scene)], [[], []])
          world.auditBroken = false
          github.faults.add({ matches: /conversions$/u, how: 404 })
          const refused = yield* km("github", "--host", github.host, "--org", "org")
          assert.match(refused.err.join("\n"), /KM-GHA-002/u)
          assert.deepStrictEqual([keysOf(scene), held(scene)], [[], []])
        })
      ),
    120_000
  )

  it.live(
    "refuses an App of another account than the one that was asked for",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { browse, github, km } = scene
          browse(async (url) => {
            const form = await formOf(url)
            await submit({ ...form, action: form.action.replace("/organizations/org/", "/") })
          })
          const made = yield* km("github", "--host", github.host, "--org", "org")
          assert.match(made.err.join("\n"), /KM-GHA-003[\s\S]*belongs to octocat/u)
          assert.deepStrictEqual([keysOf(scene), held(scene)], [[], []])
        })
      ),
    120_000
  )

  it.live(
    "takes hosts that are hosts only",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { km } = scene
          for (const host of ["https://github.com", "localhost", "github.com/x", "10.0.0.1"]) {
            const refused = yield* km("github", "--host", host)
            assert.deepStrictEqual([refused.exit, keysOf(scene)], [2, []], host)
          }
        })
      ),
    120_000
  )
})

describe("km github key", () => {
  it.live(
    "takes another key that GitHub takes, and keeps the one before otherwise",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, km, world } = scene
          yield* km("github", "--host", github.host, "--org", "org")
          const [app] = github.apps()
          assert.isDefined(app)
          const [path = ""] = keysOf(scene)
          const file = `${yield* temporaryDirectory}/key.pem`
          const before = world.secrets.get(path)
          fs.writeFileSync(file, yield* Effect.promise(makeAppKey))
          assert.strictEqual((yield* km("github", "key", "/dev/zero")).exit, 2)
          const foreign = yield* km("github", "key", file)
          assert.deepStrictEqual([foreign.exit, world.secrets.get(path)], [4, before])
          fs.writeFileSync(file, "no key")
          assert.strictEqual((yield* km("github", "key", file)).exit, 2)
          const next = yield* github.rotateKey(app)
          fs.writeFileSync(file, next)
          assert.strictEqual((yield* km("github", "key", file, "--host", "ghe.example.com")).exit, 3)
          const taken = yield* km("github", "key", file)
          assert.strictEqual(taken.exit, 0, taken.err.join("\n"))
          assert.strictEqual(world.secrets.get(path), next)
          assert.notInclude(taken.out.concat(taken.err).join("\n"), "PRIVATE")
        })
      ),
    120_000
  )
})

describe("km configure github --discover", () => {
  it.live(
    "takes over every account of a private App over all pages, and says what is suspended or not accepted",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, km } = scene
          yield* km("github", "--host", github.host, "--org", "org")
          const [app] = github.apps()
          assert.isDefined(app)
          assert.match((yield* km("configure", "github", "--discover")).out.join("\n"), /installed nowhere yet/u)
          const installation = github.install(app, "org")
          github.suspend(installation, true)
          github.widen(app, { actions: "write" })
          const found = yield* km("configure", "github", "--discover")
          assert.match(found.out.join("\n"), /org +\d+ +new; SUSPENDED; has not accepted actions: write/u)
          assert.deepStrictEqual(held(scene)[0]?.installations, [{ account: "org", id: installation.id }])
          github.uninstall(installation)
          const next = github.install(app, "org")
          const moved = yield* km("configure", "github", "--discover")
          assert.deepStrictEqual([moved.exit, held(scene)[0]?.installations[0]?.id], [5, installation.id])
          assert.match(moved.err.join("\n"), /KM-GHA-005[\s\S]*another installation than before/u)
          yield* km("configure", "github", "--discover", "--force")
          assert.deepStrictEqual(held(scene)[0]?.installations, [{ account: "org", id: next.id }])
          github.uninstall(next)
          assert.strictEqual((yield* km("configure", "github", "--discover")).exit, 5)
          yield* km("configure", "github", "--discover", "--force")
          assert.deepStrictEqual(held(scene)[0]?.installations, [])
        })
      ),
    120_000
  )

  it.live("takes over no stranger of a public App", () =>
    played((scene) =>
      Effect.gen(function*() {
        const { github, km } = scene
        yield* km("github", "--host", github.host, "--org", "org", "--public")
        const [app] = github.apps()
        assert.isDefined(app)
        github.install(app, "octocat")
        const own = github.install(app, "org")
        const found = yield* km("configure", "github", "--discover")
        assert.match(found.out.join("\n"), /octocat.*not taken over/u)
        assert.deepStrictEqual(held(scene)[0]?.installations, [{ account: "org", id: own.id }])
        yield* km("configure", "github", "--discover", "--account", "OctoCat")
        assert.deepStrictEqual(held(scene)[0]?.installations.map(({ account }) => account), ["octocat", "org"])
      })
    ), 120_000)

  it.live(
    "writes nothing when one of the hosts does not answer, and the state says why",
    () =>
      played((scene) =>
        Effect.gen(function*() {
          const { github, km } = scene
          yield* km("github", "--host", github.host, "--org", "org")
          const [app] = github.apps()
          assert.isDefined(app)
          github.install(app, "org")
          github.faults.add({ matches: /installations/u, how: "drop" })
          assert.strictEqual((yield* km("configure", "github", "--discover")).exit, 1)
          assert.deepStrictEqual(held(scene)[0]?.installations, [])
          github.faults.clear()
          yield* km("configure", "github", "--discover")
          assert.strictEqual((yield* km("github", "status")).exit, 0)
          yield* github.rotateKey(app)
          const status = yield* km("github", "status")
          assert.match(status.out.join("\n"), /does not take the App's key/u)
          assert.strictEqual(status.exit, 1)
        })
      ),
    120_000
  )
})
