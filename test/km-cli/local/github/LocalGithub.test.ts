import { assert, describe, it } from "@effect/vitest"
import { App } from "@octokit/app"
import { Octokit } from "@octokit/core"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"
import type { App as LocalApp } from "../../../../km-cli/local/github/AppTable.ts"
import type { LocalGithub } from "../../../../km-cli/local/github/LocalGithub.ts"
import { localGithub } from "../../../support/LocalGithub.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const run = promisify(execFile)

const gitEnvironment = (home: string) => ({
  PATH: process.env["PATH"] ?? "",
  HOME: home,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0",
  LANG: "C",
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.com",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.com"
})

const git = (home: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(() =>
    run("git", args, { cwd: home, env: gitEnvironment(home) }).then(
      ({ stderr, stdout }) => ({ code: 0, text: stdout + stderr }),
      (error: { code: number; stderr: string }) => ({ code: error.code, text: error.stderr })
    )
  )

const clientOf = (github: LocalGithub, app: LocalApp) =>
  new App({
    appId: app.id,
    privateKey: app.keys[0] ?? "",
    Octokit: Octokit.defaults({ baseUrl: github.apiUrl }),
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  })

const registered = (github: LocalGithub) =>
  github.register({
    name: "km test",
    owner: "org",
    permissions: { contents: "write", pull_requests: "write", issues: "write" }
  })

/** The status and text that a refused request came to. */
const refusal = (request: Promise<unknown>) =>
  Effect.promise(() =>
    request.then(() => "answered", (error: { status: number; message: string }) => `${error.status} ${error.message}`)
  )

const tokenOf = (client: App, installation: number, narrowed: object) =>
  Effect.promise(() =>
    client.octokit.request("POST /app/installations/{installation_id}/access_tokens", {
      installation_id: installation,
      ...narrowed
    })
  )

describe("the local GitHub", () => {
  it.live(
    "shows an App's installations and the repositories of each to the real client, page by page",
    () =>
      Effect.gen(function*() {
        const github = yield* localGithub()
        const app = yield* registered(github)
        const first = github.install(app, "org")
        for (let n = 0; n < 31; n++) github.install(app, "octocat", ["octocat/notes"])
        const client = clientOf(github, app)
        const found: Array<number> = []
        yield* Effect.promise(() => client.eachInstallation(({ installation }) => void found.push(installation.id)))
        assert.strictEqual(found.length, 32)
        const repositories: Array<string> = []
        yield* Effect.promise(() =>
          client.eachRepository(
            { installationId: first.id },
            ({ repository }) => void repositories.push(repository.full_name)
          )
        )
        assert.deepStrictEqual(repositories, ["org/api", "org/web", "org/open"])
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "narrows tokens by repository and permission, and refuses more than the installation has",
    () =>
      Effect.gen(function*() {
        const github = yield* localGithub()
        const app = yield* registered(github)
        const { id } = github.install(app, "org")
        const client = clientOf(github, app)
        const api = github.repository("org/api")?.id ?? 0
        const { data } = yield* tokenOf(client, id, { repository_ids: [api], permissions: { contents: "read" } })
        assert.deepStrictEqual(data.permissions, { metadata: "read", contents: "read" })
        assert.deepStrictEqual(data.repositories?.map(({ full_name }) => full_name), ["org/api"])
        const octokit = new Octokit({ baseUrl: github.apiUrl, auth: data.token })
        const readme = yield* Effect.promise(() => octokit.request("GET /repos/org/api/contents/README.md"))
        assert.strictEqual(readme.status, 200)
        // Private and not the token's: not there. Public: readable by everybody.
        assert.match(yield* refusal(octokit.request("GET /repos/org/web")), /^404 Not Found/)
        assert.strictEqual(yield* refusal(octokit.request("GET /repos/org/open")), "answered")
        assert.match(
          yield* refusal(octokit.request("PUT /repos/org/api/contents/x", { message: "m", content: "eA==" })),
          /^403 Resource not accessible by integration/
        )
        const asking = (body: Record<string, unknown>) =>
          refusal(client.octokit.request(`POST /app/installations/${id}/access_tokens`, body))
        assert.match(
          yield* asking({ permissions: { secrets: "write" } }),
          /^422 The permissions requested are not granted/
        )
        assert.match(yield* asking({ repository_ids: [999_999] }), /^422 There is at least one repository/)
        const many = Array.from({ length: 501 }, () => api)
        assert.match(yield* asking({ repository_ids: many }), /^422 You may only specify up to 500/)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live("forgets tokens that expired, were deleted, or whose installation went", () =>
    Effect.gen(function*() {
      const github = yield* localGithub()
      const app = yield* registered(github)
      const installation = github.install(app, "org")
      const client = clientOf(github, app)
      const asked = (token: string) =>
        refusal(new Octokit({ baseUrl: github.apiUrl, auth: token }).request("GET /repos/org/api"))
      const issue = Effect.map(tokenOf(client, installation.id, {}), ({ data }) => data.token)
      const deleted = yield* issue
      assert.strictEqual(yield* asked(deleted), "answered")
      const octokit = new Octokit({ baseUrl: github.apiUrl, auth: deleted })
      const { status } = yield* Effect.promise(() => octokit.request("DELETE /installation/token"))
      assert.strictEqual(status, 204)
      assert.match(yield* asked(deleted), /^401 Bad credentials/)
      assert.match(yield* asked("ghs_never"), /^401 Bad credentials/)
      const suspended = yield* issue
      github.suspend(installation, true)
      assert.match(yield* asked(suspended), /^403 This installation has been suspended/)
      assert.match(
        yield* refusal(client.octokit.request(`POST /app/installations/${installation.id}/access_tokens`)),
        /suspended/
      )
      github.suspend(installation, false)
      assert.strictEqual(yield* asked(suspended), "answered")
      github.uninstall(installation)
      assert.match(yield* asked(suspended), /^401/)
      const other = github.install(app, "org")
      const { data } = yield* tokenOf(client, other.id, {})
      github.advance(3_600_001)
      assert.match(yield* asked(data.token), /^401 Bad credentials/)
    }).pipe(Effect.scoped), 60_000)

  it.live(
    "refuses an App's own tokens as GitHub does, and its client makes good a wrong clock",
    () =>
      Effect.gen(function*() {
        const github = yield* localGithub()
        const app = yield* registered(github)
        const client = clientOf(github, app)
        const asked = () => refusal(client.octokit.request("GET /app"))
        assert.strictEqual(yield* asked(), "answered")
        github.advance(-7_200_000)
        assert.strictEqual(yield* asked(), "answered")
        github.advance(7_200_000)
        yield* github.rotateKey(app)
        assert.match(yield* asked(), /^401 A JSON web token could not be decoded/)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live("is cloned from and pushed to by real Git with the token alone", () =>
    Effect.gen(function*() {
      const github = yield* localGithub({ tokens: "long" })
      const app = yield* registered(github)
      const { id } = github.install(app, "org")
      const client = clientOf(github, app)
      const api = github.repository("org/api")?.id ?? 0
      const narrowed = (level: string) =>
        Effect.map(tokenOf(client, id, { repository_ids: [api], permissions: { contents: level } }), ({ data }) =>
          data.token)
      const [read, write] = [yield* narrowed("read"), yield* narrowed("write")]
      assert.isAbove(read.length, 500)
      const byNumber = yield* Effect.promise(() =>
        fetch(`${github.apiUrl}/repositories/${api}/git/matching-refs/heads`, {
          headers: { authorization: `Bearer ${read}` }
        })
      )
      assert.strictEqual(byNumber.status, 200)
      const home = yield* temporaryDirectory
      const address = (token: string, name: string) =>
        `http://x-access-token:${token}@${github.host}/org/${name}.git`
      const cloned = yield* git(home, "clone", "--quiet", address(read, "api"), "api")
      assert.strictEqual(cloned.code, 0, cloned.text)
      const clone = path.join(home, "api")
      yield* git(clone, "commit", "--quiet", "--allow-empty", "-m", "one")
      const refused = yield* git(clone, "push", address(read, "api"), "HEAD:refs/heads/feature")
      assert.match(refused.text, /Write access to repository not granted|403/)
      const pushed = yield* git(clone, "push", address(write, "api"), "HEAD:refs/heads/feature")
      assert.strictEqual(pushed.code, 0, pushed.text)
      const other = yield* git(home, "clone", address(write, "web"), "web")
      assert.match(other.text, /Repository not found|not found/)
      const open = yield* git(home, "clone", "--quiet", `${github.url}/org/open.git`, "open")
      assert.strictEqual(open.code, 0, open.text)
      // A wrong credential is worse than none, and a token is no bearer for Git.
      for (const header of ["Bearer ghs_wrong", `Bearer ${read}`, "Basic eDpnaHNfd3Jvbmc="]) {
        const wrong = yield* git(
          home,
          "-c",
          `http.extraHeader=Authorization: ${header}`,
          "ls-remote",
          `${github.url}/org/open.git`
        )
        assert.match(wrong.text, /Authentication failed|could not read Username/, header)
      }
    }).pipe(Effect.scoped), 60_000)

  it.live("moves and deletes what was pushed by the API, forwards alone unless forced", () =>
    Effect.gen(function*() {
      const github = yield* localGithub()
      const app = yield* registered(github)
      const { id } = github.install(app, "org")
      const client = clientOf(github, app)
      const narrowed = (level: string) =>
        Effect.map(tokenOf(client, id, { permissions: { contents: level } }), ({ data }) => data.token)
      const [read, write] = [yield* narrowed("read"), yield* narrowed("write")]
      const home = yield* temporaryDirectory
      const address = `http://x-access-token:${write}@${github.host}/org/api.git`
      const clone = path.join(home, "api")
      yield* git(home, "clone", "--quiet", address, "api")
      const head = Effect.map(git(clone, "rev-parse", "HEAD"), ({ text }) => text.trim())
      const first = yield* head
      yield* git(clone, "commit", "--quiet", "--allow-empty", "-m", "two")
      const second = yield* head
      yield* git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/a/two")
      const as = (auth: string) => new Octokit({ baseUrl: github.apiUrl, auth }).request
      const at = { owner: "org", repo: "api", ref: "heads/main" }
      const move = (auth: string, sha: string, force = false, ref = at.ref) =>
        as(auth)("PATCH /repos/{owner}/{repo}/git/refs/{ref}", { ...at, ref, sha, force })
      assert.match(yield* refusal(move(read, second)), /^403/)
      const moved = yield* Effect.promise(() => move(write, second))
      assert.deepStrictEqual([moved.status, moved.data.object.sha], [200, second])
      assert.match(yield* refusal(move(write, first)), /^422 Update is not a fast forward/)
      assert.match(yield* refusal(move(write, "0".repeat(40))), /^422 Object does not exist/)
      assert.match(yield* refusal(move(write, second, false, "heads/absent")), /^422 Reference does not exist/)
      assert.strictEqual((yield* Effect.promise(() => move(write, first, true))).status, 200)
      const matching = yield* Effect.promise(() =>
        as(read)("GET /repos/{owner}/{repo}/git/matching-refs/{ref}", { ...at, ref: "heads/a" })
      )
      assert.deepStrictEqual(matching.data.map(({ ref }) => ref), ["refs/heads/a/two"])
      const remove = () => as(write)("DELETE /repos/{owner}/{repo}/git/refs/{ref}", { ...at, ref: "heads/a/two" })
      assert.strictEqual((yield* Effect.promise(remove)).status, 204)
      assert.match(yield* refusal(remove()), /^422 Reference does not exist/)
      const refs = yield* git(clone, "ls-remote", "--heads", "origin")
      assert.strictEqual(refs.text, `${first}\trefs/heads/main\n`)
    }).pipe(Effect.scoped), 60_000)
})
