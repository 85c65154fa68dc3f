/** `km github`: makes the App in the operator's browser. All of it is kept, or nothing. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import {
  appKeyPath,
  githubAddresses,
  type GithubAppSettings,
  githubSecretsPrefix
} from "../../runtime/domain/github/AppSettings.ts"
import type { Capability } from "../../runtime/domain/github/GitHubPolicy.ts"
import { appPermissions } from "../../runtime/domain/github/Permissions.ts"
import { isGithubHost } from "../../runtime/domain/github/Repository.ts"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { GithubApps, type MadeApp } from "../../runtime/ports/GithubApps.ts"
import { InstallStore } from "../../runtime/ports/InstallStore.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { Browser } from "../github/Browser.ts"
import { appName } from "../github/manifest.ts"
import { type Flow, openFlow } from "../github/ManifestFlow.ts"
import { audited, githubError, installTrouble } from "../github/trouble.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"

export interface GithubInput {
  readonly host: string
  readonly org: Option.Option<string>
  readonly public: boolean
  readonly force: boolean
  readonly noBrowser: boolean
  readonly port: number
  readonly capability: ReadonlyArray<Capability>
}

/** How long a person may take. GitHub's code itself lasts an hour. */
const waitFor = "15 minutes"

const hostOf = Effect.fnUntraced(function*(text: string) {
  const host = asciiLowerCase(text)
  return isGithubHost(host)
    ? host
    : yield* kmError(
      "KM-CLI-001",
      `${JSON.stringify(text)} is no host`,
      "such as github.com or ghe.example.com, without https://"
    )
})

/** Nothing is begun at GitHub that could not be kept here: there would be an App whose only key is lost. */
const preflight = Effect.fnUntraced(function*() {
  const secrets = yield* Secrets
  const path = `${githubSecretsPrefix}/preflight`
  yield* secrets.put(path, Redacted.make("x".repeat(3_000)))
  yield* secrets.delete(path)
})

const instructions = (flow: Flow): ReadonlyArray<string> => [
  "open this address in a browser on this machine, signed in at GitHub as who shall own the App:",
  `  ${flow.startUrl}`,
  "where the browser is on another machine, first run there, with this machine's name:",
  `  ssh -L ${flow.port}:127.0.0.1:${flow.port} this-machine`,
  `waiting ${waitFor}; Ctrl-C ends it and changes nothing`
]

/** Stores key and settings, or takes back what was stored. */
const keep = Effect.fnUntraced(
  function*(made: MadeApp, settings: GithubAppSettings, replaced: GithubAppSettings | undefined) {
    const secrets = yield* Secrets
    const store = yield* InstallStore
    const apps = yield* GithubApps
    const path = appKeyPath(settings)
    yield* Effect.gen(function*() {
      yield* secrets.put(path, made.key)
      // The key that lies there now is the one that GitHub takes.
      yield* apps.app(settings)
      const install = yield* store.get
      const others = (install.github ?? []).filter(({ app, host }) => host !== replaced?.host || app !== replaced.app)
      yield* store.put({ ...install, github: [...others, settings] })
    }).pipe(
      Effect.onError(() => Effect.ignore(secrets.delete(path)))
    )
    if (replaced !== undefined) yield* Effect.ignore(secrets.delete(appKeyPath(replaced)))
  }
)

export const github = Effect.fn("km.github")(function*(input: GithubInput) {
  const { backend } = yield* opened
  const host = yield* hostOf(input.host)
  const organization = Option.getOrUndefined(Option.map(input.org, asciiLowerCase))
  if (organization !== undefined && !/^[a-z0-9][a-z0-9_-]{0,38}$/u.test(organization)) {
    return yield* kmError(
      "KM-CLI-001",
      `${JSON.stringify(organization)} is no organisation`,
      "give its login, as in its address on GitHub"
    )
  }
  const { install } = yield* backend.install
  const { web } = githubAddresses(host)
  const make = Effect.fnUntraced(function*(held: ReadonlyArray<GithubAppSettings>) {
    const apps = yield* GithubApps
    const flow = yield* openFlow({
      web,
      organization,
      name: appName(install, randomBytes(4).toString("hex")),
      permissions: appPermissions(input.capability),
      public: input.public,
      port: input.port
    }).pipe(
      Effect.catchTag("FlowFailed", ({ message }) =>
        Effect.fail(
          githubError(
            "KM-GHA-001",
            1,
            "no port for the browser to come back to",
            message,
            "give another one with --port"
          )
        ))
    )
    const didOpen = input.noBrowser ? false : yield* (yield* Browser)(flow.startUrl)
    yield* Effect.forEach(
      didOpen ? [`a browser opens ${flow.startUrl}`, "finish there; this waits"] : instructions(flow),
      talk
    )
    const code = yield* flow.code.pipe(Effect.timeoutOrElse({
      duration: waitFor,
      orElse: () =>
        Effect.fail(
          githubError(
            "KM-GHA-002",
            7,
            "the browser did not come back",
            `nothing within ${waitFor}`,
            "run km github again"
          )
        )
    }))
    const made = yield* Effect.mapError(
      apps.convert(host, code),
      (error) => githubError("KM-GHA-002", 1, "GitHub did not give out the App", error.detail, "run km github again")
    )
    const settingsUrl = organization === undefined
      ? `${web}/settings/apps/${made.slug}/advanced`
      : `${web}/organizations/${organization}/settings/apps/${made.slug}/advanced`
    const lost = (why: string) =>
      githubError(
        "KM-GHA-003",
        1,
        `the App ${made.slug} was made and not taken over`,
        why,
        `delete it at ${settingsUrl}, then run km github again`
      )
    if (organization !== undefined && made.owner !== organization) {
      return yield* lost(`it belongs to ${made.owner} and not to ${organization}`)
    }
    const settings: GithubAppSettings = {
      host,
      app: made.app,
      slug: made.slug,
      owner: made.owner,
      public: input.public,
      installations: []
    }
    const replaced = held.find((app) => app.host === host && app.owner === made.owner)
    yield* Effect.mapError(keep(made, settings, replaced), (error) => lost(error.message))
    return settings
  })
  const work = Effect.gen(function*() {
    const held = (yield* Effect.mapError((yield* InstallStore).get, installTrouble)).github ?? []
    const existing = held.find((app) => app.host === host && (organization === undefined || app.owner === organization))
    if (existing !== undefined && !input.force) {
      return yield* githubError(
        "KM-GHA-004",
        5,
        `there is an App already: ${existing.slug} of ${existing.owner} on ${host}`,
        "a second one for the same account would replace it",
        organization === undefined
          ? "use it, name another account with --org, or replace it with --force"
          : "use it, or replace it with --force"
      )
    }
    yield* preflight()
    return yield* audited("github.app.put", `${host}/${organization ?? "own account"}`)(make(held))
  })
  const settings = yield* work.pipe(Effect.scoped, Effect.provide(backend.ports("short")))
  const installUrl = `${web}/apps/${settings.slug}/installations/new`
  yield* data(
    [
      `the App ${settings.slug} of ${settings.owner} on ${host} is made; its key is among the secrets`,
      `install it where the repositories are: ${installUrl}`,
      `then: km configure github --discover`
    ],
    { ok: true, app: settings, installUrl }
  )
})
