/**
 * The demo's GitHub: a local one with two repositories, an App on it, a profile that may push to one of them, and what is
 * so afterwards, seen from GitHub's side. A machine whose Git serves no repositories has a demo without it.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { appKeyPath, type GithubAppSettings } from "../../runtime/domain/github/AppSettings.ts"
import { appPermissions } from "../../runtime/domain/github/Permissions.ts"
import { InstallStore } from "../../runtime/ports/InstallStore.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { kmError } from "../KmError.ts"
import { type LocalGithub, startGithub } from "../local/github/LocalGithub.ts"
import type { Observed } from "./Timeline.ts"

const owner = "acme"
/** What the sandbox may reach, and what it may not. */
const allowed = `${owner}/api`
const other = `${owner}/web`

const run = promisify(execFile)

/** Why this machine's Git cannot be a GitHub, or cannot be its client; undefined when it can. */
const gitTrouble = Effect.promise(async () => {
  try {
    const { stdout } = await run("git", ["--exec-path"])
    const missing = ["git-http-backend", "git-remote-https"].find((name) =>
      !fs.existsSync(path.join(stdout.trim(), name))
    )
    return missing === undefined ? undefined : `this machine's git has no ${missing.replace("git-", "")}`
  } catch {
    return "git is not installed here"
  }
})

export interface DemoGithub {
  readonly github: LocalGithub
  /** As profiles and clients name it. */
  readonly host: string
  /** Where `main` of the allowed repository is before anything happens. */
  readonly main: string | undefined
}

/** Starts it for the life of the scope; fails with a sentence on why there is none. */
export const startDemoGithub = Effect.fn("DemoGithub.start")(function*(directory: string) {
  const trouble = yield* gitTrouble
  if (trouble !== undefined) return yield* Effect.fail(trouble)
  yield* Effect.sync(() => fs.mkdirSync(directory, { mode: 0o700 }))
  const github = yield* startGithub({
    directory,
    accounts: [
      { login: "ada", kind: "User", repositories: [] },
      { login: owner, kind: "Organization", repositories: [allowed, other].map(privateOf) }
    ]
  }).pipe(Effect.mapError(({ message }) => message))
  const refs = yield* Effect.mapError(github.refs(allowed), ({ message }) => message)
  // The proxy takes no addresses, so this machine's own GitHub has a name.
  return { github, host: `github.test:${github.port}`, main: refs.get("refs/heads/main") } satisfies DemoGithub
})

const privateOf = (fullName: string) => ({ name: fullName.slice(owner.length + 1), private: true })

/** What `km github` and `km configure github --discover` do, without a browser: an App, its key, where it is installed. */
export const adoptApp = Effect.fn("DemoGithub.adoptApp")(function*({ github, host }: DemoGithub) {
  const app = yield* github.register({ name: "km-demo", owner, permissions: appPermissions([]) })
  const { id } = github.install(app, owner)
  const settings: GithubAppSettings = {
    host,
    app: app.id,
    slug: app.slug,
    owner,
    public: false,
    installations: [{ account: owner, id }]
  }
  const store = yield* InstallStore
  yield* (yield* Secrets).put(appKeyPath(settings), Redacted.make(app.keys[0] ?? ""))
  yield* store.put({ ...(yield* store.get), github: [settings] })
})

export const accessText = ({ host }: DemoGithub): string => `feature/* of ${allowed} on a GitHub of its own, ${host}`

/** Lays what the sandbox may reach over the profile `base`, in `directory`; the file's path. */
export const writeProfile = ({ host }: DemoGithub, base: string, directory: string) =>
  Effect.try({
    try: () => {
      const file = path.join(directory, "demo.yaml")
      const text = [
        `extends: ${JSON.stringify(path.relative(directory, base))}`,
        "spec:",
        "  sourceAccess:",
        "    mode: allowlist",
        "    github:",
        `      allowedRepos: ["${host}/${allowed}"]`,
        "      allowedRefs: [\"feature/*\"]",
        ""
      ].join("\n")
      fs.writeFileSync(file, text, { mode: 0o600 })
      return file
    },
    catch: (cause) => kmError("KM-CLI-015", "the demo's profile cannot be written", String(cause))
  })

/** What the person asks for; the scripted model is told by a directive, since it reads no meaning into words. */
export const githubMessage = ({ host }: DemoGithub, scripted: boolean): string =>
  `Please clone https://${host}/${allowed}, commit a line and push it to feature/hello. Then try main, and ` +
  `https://${host}/${other}, and tell me what git says.${scripted ? " script:github" : ""}`

/** Larger files are not read: nothing of the demo is. */
const maxFileBytes = 16 * 1024 * 1024

const filesBelow = (directory: string): ReadonlyArray<string> =>
  fs.readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => (fs.statSync(file, { throwIfNoEntry: false })?.size ?? maxFileBytes) < maxFileBytes)

/** Where in the sandbox one of the tokens stands: in everything that its agent has, wrote or said. */
const tokenPlaces = (tokens: ReadonlyArray<string>, sandbox: string, said: ReadonlyArray<string>) =>
  Effect.sync(() => [
    ...["home", "workspace", "runs"].map((name) => path.join(sandbox, name)).filter((directory) =>
      fs.existsSync(directory)
    ).flatMap(filesBelow).filter((file) => {
      const text = fs.readFileSync(file, "latin1")
      return tokens.some((token) => text.includes(token))
    }),
    ...said.filter((text) => tokens.some((token) => text.includes(token))).map(() => "the thread")
  ])

/** What GitHub has, what the thread was told, and where a token was found that should be nowhere. */
export interface GithubSeen {
  readonly host: string
  /** The commit that the allowed branch names. */
  readonly pushed: string | undefined
  readonly mainMoved: boolean
  /** Rules by which the thread was told of refusals. */
  readonly refused: ReadonlyArray<string>
  readonly tokens: number
  readonly tokensFoundIn: ReadonlyArray<string>
}

export const githubSeen = Effect.fn("DemoGithub.seen")(
  function*({ github, host, main }: DemoGithub, { texts }: Observed, sandbox: string) {
    const refs = yield* Effect.mapError(
      github.refs(allowed),
      ({ message }) => kmError("KM-CLI-012", "the demo's GitHub cannot be looked at", message)
    )
    const said = [...texts.values()]
    const told = said.flatMap((text) => text.split("\n")).filter((line) => line.startsWith("🚫"))
    const tokens = github.tokens().map(({ token }) => token)
    return {
      host,
      pushed: refs.get("refs/heads/feature/hello"),
      mainMoved: refs.get("refs/heads/main") !== main,
      refused: told.flatMap((line) => /\((\w+\.\w+)\)/u.exec(line)?.[1] ?? []),
      tokens: tokens.length,
      tokensFoundIn: yield* tokenPlaces(tokens, sandbox, said)
    } satisfies GithubSeen
  }
)

/** What should have been seen and was not, and what should not and was; empty when all is well. */
export const githubMissing = (seen: GithubSeen, scripted: boolean): ReadonlyArray<string> => [
  ...(seen.mainMoved ? [`an untouched main of ${allowed}`] : []),
  ...seen.tokensFoundIn.map((place) => `no token in ${place}`),
  // A real model does as it thinks right.
  ...(scripted && seen.pushed === undefined ? [`feature/hello on ${allowed}`] : []),
  ...(scripted ? ["ref.unlisted", "repository.unlisted"] : []).filter((rule) => !seen.refused.includes(rule)).map(
    (rule) => `the refusal by ${rule} in the thread`
  )
]

const toldOf = ({ refused }: GithubSeen, rule: string): string =>
  refused.includes(rule) ? `refused (${rule}), and told in the thread` : "no refusal was told"

export const githubLines = (seen: GithubSeen): ReadonlyArray<string> => [
  `what became of it, seen from ${seen.host}:`,
  `  ${allowed} feature/hello  ${seen.pushed === undefined ? "not there" : `pushed, ${seen.pushed.slice(0, 10)}`}`,
  `  ${allowed} main           ${seen.mainMoved ? "MOVED" : "as it was"}; ${toldOf(seen, "ref.unlisted")}`,
  `  ${other}                ${toldOf(seen, "repository.unlisted")}`,
  `  tokens                  ${seen.tokens} given out; ${
    seen.tokensFoundIn.length === 0
      ? "none in the sandbox's files or in what was said"
      : `FOUND in ${seen.tokensFoundIn.join(", ")}`
  }`
]
