/** GitHub as an operator meets it: real programs and Git, a browser that is a script, the local GitHub. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { writeBrowser } from "../support/githubBrowser.ts"
import { succeeded } from "../support/githubInstall.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { localGithub } from "../support/LocalGithub.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"

const run = promisify(execFile)

const json = <A>(state: string, ...args: ReadonlyArray<string>) =>
  Effect.map(succeeded(state, [...args, "--json"]), ({ out }) => JSON.parse(out) as A)

interface Grants {
  readonly grants: ReadonlyArray<{ readonly repository: string; readonly access: string; readonly token: string }>
}

describe("GitHub, from nothing", () => {
  it.live(
    "an App by the browser, its installations, a sandbox whose token Git takes, a fresh one, and an end",
    () =>
      Effect.gen(function*() {
        const github = yield* localGithub()
        const state = yield* temporaryDirectory
        const tools = yield* temporaryDirectory
        const script = writeBrowser(tools)
        const profile = path.join(tools, "profile.yaml")
        fs.writeFileSync(
          profile,
          [
            "apiVersion: klankermaker.ai/v1",
            "kind: SandboxProfile",
            "metadata: { name: api }",
            "spec:",
            "  network: none",
            "  cli: { notifyEmailEnabled: false }",
            `  sourceAccess: { mode: allowlist, github: { allowedRepos: ["${github.host}/org/api"], allowedRefs: [main] } }`
          ].join("\n")
        )
        yield* kmUp(state)

        const made = yield* succeeded(state, ["github", "--host", github.host, "--org", "Org"], { BROWSER: script })
        assert.include(made.out, "of org on")
        const [app] = github.apps()
        assert.isDefined(app)
        assert.isFalse(app.public)
        const again = yield* km(state, ["github", "--host", github.host, "--org", "org"], { BROWSER: script })
        assert.deepStrictEqual([again.exit, github.apps().length], [5, 1], again.err)

        const early = yield* km(state, ["create", profile])
        assert.match(early.err, /KM-GHA-010/)
        const installation = github.install(app, "org")
        yield* succeeded(state, ["configure", "github", "--discover"])
        const status = yield* succeeded(state, ["github", "status"])
        assert.match(status.out, /its key is good[\s\S]*org \(\d+\) +fine/)

        const { sandbox } = yield* json<{ sandbox: { id: string } }>(state, "create", profile, "--alias", "api")
        const secrets = path.join(state, "secrets")
        const files = () =>
          fs.readdirSync(secrets, { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
            .filter((file) => file.includes(`${sandbox.id}/github/`))
        const tokens = () => github.tokens().filter((one) => !one.revoked && one.permissions["contents"] !== undefined)
        assert.strictEqual(tokens().length, 2)
        const stored = files().map((file) => fs.readFileSync(file, "utf8")).join("\n")
        for (const { token } of tokens()) assert.include(stored, token)
        const read = tokens().find(({ permissions }) => permissions["contents"] === "read")?.token ?? ""
        yield* Effect.promise(() =>
          run("git", [
            "clone",
            "--quiet",
            `http://x-access-token:${read}@${github.host}/org/api.git`,
            path.join(tools, "api")
          ])
        )
        assert.isTrue(fs.existsSync(path.join(tools, "api", "README.md")))
        const { grants } = yield* json<Grants>(state, "github", "grants", "api")
        assert.deepStrictEqual(grants.map(({ access, repository, token }) => ({ access, repository, token })), [
          { access: "read, write", repository: `${github.host}/org/api`, token: "good" }
        ])

        // The control plane takes them back at a pause and makes others at the resume.
        yield* succeeded(state, ["pause", "api"])
        yield* untilReal("the tokens are taken back", Effect.sync(() => tokens().length === 0))
        yield* succeeded(state, ["resume", "api"])
        yield* untilReal("there are new tokens", Effect.sync(() => tokens().length === 2))

        github.suspend(installation, true)
        const doctor = yield* km(state, ["doctor"])
        assert.match(doctor.out, /warn +github .*org: SUSPENDED/)
        github.suspend(installation, false)

        yield* succeeded(state, ["destroy", "api", "--yes"])
        assert.deepStrictEqual([tokens(), files()], [[], []])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    300_000
  )
})
