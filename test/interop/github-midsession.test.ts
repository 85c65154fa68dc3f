/**
 * Bad days through the whole chain, of the programs that people run: GitHub, the control plane's refresher, the bridge's
 * `repository.refresh`, the runtime's proxy, and git, gh and curl of a session in the jail. Each is told what is so; when it
 * is over the same command succeeds in the same session, and nobody has done anything about the sandbox.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import { githubInstall, succeeded } from "../support/githubInstall.ts"
import { jailShell } from "../support/jailShell.ts"
import { processesNaming } from "../support/processesNaming.ts"
import { untilReal } from "../support/untilReal.ts"

type Install = Effect.Success<ReturnType<typeof githubInstall>>

const clientsOf = (host: string) => ({
  git: `git ls-remote https://${host}/org/api.git refs/heads/main`,
  gh: `env GH_HOST=${host} gh api repos/org/api --jq .full_name`,
  curl: `curl -sS -w '\\n%{http_code}\\n' https://${host}/api/v3/repos/org/api`
})
type Client = keyof ReturnType<typeof clientsOf>
const all: ReadonlyArray<Client> = ["git", "gh", "curl"]

const session = Effect.fnUntraced(function*(install: Install, alias: string) {
  const shell = yield* jailShell(install.state, yield* install.sandbox(alias, ["feature/*"]))
  const clients = clientsOf(install.host)
  const ask = (client: Client) => shell.run(`timeout 100 ${clients[client]}`)
  return {
    run: shell.run,
    works: (names = all) =>
      Effect.forEach(
        names,
        (client) =>
          Effect.tap(ask(client), ({ code, said }) =>
            Effect.sync(() => assert.strictEqual(code, 0, `${client}: ${said}`))),
        { discard: true }
      ),
    /** In this order; each says the sentence, and nothing of names, passwords and bare numbers. */
    isTold: (sentence: RegExp, names = all) =>
      Effect.forEach(names, (client) =>
        Effect.tap(ask(client), ({ code, said }) =>
          Effect.sync(() => {
            assert.match(said, sentence, client)
            if (client === "curl") assert.match(said, /^503$/m)
            else assert.notStrictEqual(code, 0, client)
            for (const word of ["Username", "Password", "could not read", "gh auth login", "401", "502"]) {
              assert.notInclude(said, word, client)
            }
          })), { discard: true }),
    worksAgain: untilReal("git reads again", Effect.map(ask("git"), ({ code }) => code === 0))
  }
})

/** What the sandboxes' tokens are to GitHub from now on. */
const refuse = ({ github }: Install): void => {
  for (const token of github.tokens()) token.revoked = true
}

const controlPlane = ({ state }: Install): number => {
  const found = processesNaming(state).find((pid) =>
    fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("km-control")
  )
  return Number(found)
}

/** The control plane answers nobody until the scope closes. */
const held = (install: Install): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pid = controlPlane(install)
      process.kill(pid, "SIGSTOP")
      return pid
    }),
    (pid) => Effect.sync(() => void process.kill(pid, "SIGCONT"))
  )

describe("in the middle of a session", () => {
  it.live(
    "what goes wrong between here and GitHub is told to each client, and passes",
    () =>
      Effect.gen(function*() {
        const install = yield* githubInstall()
        const { app, github, installation, state, tools } = install
        // Of its own for each: a sandbox may ask for tokens once a minute.
        const suspended = yield* session(install, "suspended")
        const rekeyed = yield* session(install, "rekeyed")
        const alone = yield* session(install, "alone")
        const late = yield* session(install, "late")
        const removed = yield* session(install, "removed")
        yield* suspended.works()

        // gh first: the API says 403 where git says 401.
        github.suspend(installation, true)
        yield* suspended.isTold(/km: KM-GHA-023: the GitHub App's installation on org is suspended/, [
          "gh",
          "git",
          "curl"
        ])
        github.suspend(installation, false)
        yield* suspended.worksAgain
        yield* suspended.works()

        yield* rekeyed.works(["git"])
        const key = path.join(tools, "key.pem")
        fs.writeFileSync(key, yield* github.rotateKey(app), { mode: 0o600 })
        yield* rekeyed.works(["gh", "curl"])
        refuse(install)
        yield* rekeyed.isTold(/km: KM-GHA-025: GitHub does not take the App's key/)
        yield* succeeded(state, ["github", "key", key])
        yield* rekeyed.worksAgain
        yield* rekeyed.works()

        yield* Effect.scoped(Effect.gen(function*() {
          yield* held(install)
          refuse(install)
          yield* alone.isTold(
            /km: KM-GHA-025: GitHub refused the token and no other was made in time; the control plane may be down/,
            ["git"]
          )
        }))
        yield* alone.worksAgain
        yield* alone.works()

        // By GitHub's clock every token is over and every one of ours is of the past.
        github.advance(2 * 3_600_000)
        yield* late.works()

        github.uninstall(installation)
        yield* removed.isTold(/km: KM-GHA-022: the GitHub App is not installed on org any more/)
        // Its owner puts it back, which gives it another number.
        assert.notStrictEqual(github.install(app, "org").id, installation.id)
        yield* removed.worksAgain
        yield* removed.works()
        const pushed = yield* removed.run(`
          git clone -q https://${install.host}/org/api.git again && cd again &&
          git -c user.name=a -c user.email=a@km.invalid commit -q --allow-empty -m again &&
          git push -q origin HEAD:refs/heads/feature/again`)
        assert.strictEqual(pushed.code, 0, pushed.said)
        assert.isTrue((yield* github.refs("org/api")).has("refs/heads/feature/again"))
        // Its end takes back what was made under the new number; of all others GitHub has taken the tokens away.
        yield* succeeded(state, ["destroy", "removed", "--yes"])
        assert.deepStrictEqual(github.tokens().filter(({ revoked }) => !revoked), [])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    600_000
  )
})
