/** An install from nothing, of the programs that people run, with its App on the local GitHub's `org`. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Installation } from "../../km-cli/local/github/AppTable.ts"
import { writeBrowser } from "./githubBrowser.ts"
import { km, kmUp } from "./KmProcess.ts"
import { localGithub } from "./LocalGithub.ts"
import { temporaryDirectory } from "./temporaryDirectory.ts"

/** Runs `km` to its end, which must be good. */
export const succeeded = (state: string, args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  Effect.tap(
    km(state, args, env),
    ({ err, exit, out }) => Effect.sync(() => assert.strictEqual(exit, 0, `km ${args.join(" ")}\n${out}\n${err}`))
  )

export interface InstallOptions {
  /** In front of `km up`, such as a namespace of its own. */
  readonly within?: ReadonlyArray<string>
}

export const githubInstall = Effect.fnUntraced(function*(options: InstallOptions = {}) {
  const github = yield* localGithub()
  // The proxy takes no addresses, so this machine's own GitHub has a name.
  const host = `github.test:${github.port}`
  const state = yield* temporaryDirectory
  const tools = yield* temporaryDirectory
  yield* kmUp(state, {}, options.within)
  yield* succeeded(state, ["github", "--host", host, "--org", "org"], { BROWSER: writeBrowser(tools) })
  const [app] = github.apps()
  if (app === undefined) return yield* Effect.die(new Error("km github made no App"))
  const installation: Installation = github.install(app, "org")
  yield* succeeded(state, ["configure", "github", "--discover"])
  return {
    app,
    github,
    host,
    installation,
    state,
    /** A directory for what the test writes. */
    tools,
    /** A sandbox with a channel that may read `org/api` and push these refs; its id and its agent's directory. */
    sandbox: (alias: string, allowedRefs: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        const profile = path.join(tools, `${alias}.yaml`)
        fs.writeFileSync(
          profile,
          [
            "apiVersion: klankermaker.ai/v1",
            "kind: SandboxProfile",
            `metadata: { name: ${alias} }`,
            "spec:",
            "  cli: { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true }",
            "  sourceAccess:",
            "    mode: allowlist",
            `    github: { allowedRepos: ["${host}/org/api"], allowedRefs: ${JSON.stringify(allowedRefs)} }`
          ].join("\n")
        )
        const created = yield* succeeded(state, ["create", profile, "--alias", alias, "--json"])
        const { sandbox: { id } } = JSON.parse(created.out) as { readonly sandbox: { readonly id: string } }
        return { id, workspace: path.join(state, "sandboxes", id, "workspace") }
      })
  }
})
