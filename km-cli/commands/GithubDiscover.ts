/** `km configure github --discover`: takes over where the Apps are installed; everything at once, or nothing. */
import * as Effect from "effect/Effect"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { GithubApps } from "../../runtime/ports/GithubApps.ts"
import { InstallStore } from "../../runtime/ports/InstallStore.ts"
import { discovered, type Discovery, seenText } from "../github/discovery.ts"
import { audited, githubError, githubTrouble, installTrouble } from "../github/trouble.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"

const rowsOf = ({ app, seen }: Discovery): ReadonlyArray<ReadonlyArray<string>> =>
  seen.length === 0
    ? [[`${app.host}/${app.slug}`, "-", "", "installed nowhere yet"]]
    : seen.map((one) => [`${app.host}/${app.slug}`, one.account, String(one.id), seenText(one)])

export const githubDiscover = Effect.fn("km.configure.github")(function*(input: {
  readonly discover: boolean
  readonly force: boolean
  readonly account: ReadonlyArray<string>
}) {
  if (!input.discover) return yield* kmError("KM-CLI-001", "say what to configure", "there is only --discover")
  const { backend } = yield* opened
  yield* backend.install
  const work = Effect.gen(function*() {
    const store = yield* InstallStore
    const apps = yield* GithubApps
    const install = yield* Effect.mapError(store.get, installTrouble)
    const settings = install.github ?? []
    if (settings.length === 0) {
      return yield* githubError("KM-GHA-001", 3, "there is no GitHub App yet", "this install has none", "km github")
    }
    const trusted = input.account.map(asciiLowerCase)
    // Everything is asked before anything is written.
    const found = yield* Effect.forEach(settings, (app) =>
      Effect.gen(function*() {
        const { permissions } = yield* apps.app(app)
        return discovered(app, permissions, yield* apps.installations(app), trusted)
      }))
    const contradictions = found.flatMap((one) =>
      one.contradictions.map((seen) => `${seen.account} (${seenText(seen)})`)
    )
    if (contradictions.length > 0 && !input.force) {
      return yield* githubError(
        "KM-GHA-005",
        5,
        "what GitHub shows is not what is held here; nothing was changed",
        contradictions.join(", "),
        "km configure github --discover --force"
      )
    }
    yield* audited("github.installations.put", settings.map(({ host, slug }) => `${host}/${slug}`).join(" "))(
      store.put({ ...install, github: found.map(({ app, installations }) => ({ ...app, installations })) })
    )
    return found
  })
  const found = yield* work.pipe(
    Effect.catchTag("GithubFailed", (error) => Effect.fail(githubTrouble(error))),
    Effect.provide(backend.ports("short"))
  )
  yield* data(columns(found.flatMap(rowsOf)), {
    ok: true,
    apps: found.map(({ app, seen }) => ({ host: app.host, app: app.app, slug: app.slug, installations: seen }))
  })
})
