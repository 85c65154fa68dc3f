/** `km github status`: each App as GitHub sees it now; what `km doctor` shows of it. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { GithubAppSettings } from "../../runtime/domain/github/AppSettings.ts"
import { GithubApps } from "../../runtime/ports/GithubApps.ts"
import { InstallStore } from "../../runtime/ports/InstallStore.ts"
import { discovered, type Seen, seenText } from "../github/discovery.ts"
import { githubError, installTrouble } from "../github/trouble.ts"
import { opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"

export interface AppProbe {
  readonly app: GithubAppSettings
  /** Why GitHub could not be asked; undefined when it answered. */
  readonly failure: string | undefined
  readonly seen: ReadonlyArray<Seen>
}

/** Asks for one App; never fails. */
export const probeApp = Effect.fnUntraced(function*(app: GithubAppSettings) {
  const apps = yield* GithubApps
  const asked = yield* Effect.result(Effect.gen(function*() {
    const { permissions } = yield* apps.app(app)
    return discovered(app, permissions, yield* apps.installations(app), [])
  }))
  const probe: AppProbe = Result.isSuccess(asked)
    ? { app, failure: undefined, seen: asked.success.seen }
    : { app, failure: asked.failure.detail, seen: [] }
  return probe
})

/** Whether a person has something to do. */
export const isFine = ({ failure, seen }: AppProbe): boolean =>
  failure === undefined && seen.length > 0
  && seen.every(({ lacking, state, suspended }) => state === "known" && !suspended && lacking.length === 0)

export const githubStatus = Effect.fn("km.github.status")(function*() {
  const { backend } = yield* opened
  yield* backend.install
  const probes = yield* Effect.gen(function*() {
    const { github = [] } = yield* Effect.mapError((yield* InstallStore).get, installTrouble)
    return yield* Effect.forEach(github, probeApp, { concurrency: 4 })
  }).pipe(Effect.provide(backend.ports("short")))
  const rows = probes.flatMap(({ app, failure, seen }) => [
    [`${app.host}/${app.slug}`, `App ${app.app} of ${app.owner}`, failure ?? "its key is good"],
    ...seen.map((one) => ["", `${one.account} (${one.id})`, seenText(one)])
  ])
  yield* data(rows.length === 0 ? ["no GitHub App yet; make one with km github"] : columns(rows), {
    ok: probes.every(({ failure }) => failure === undefined),
    apps: probes.map(({ app, failure, seen }) => ({
      host: app.host,
      app: app.app,
      slug: app.slug,
      owner: app.owner,
      failure: failure ?? null,
      installations: seen
    }))
  })
  const failed = probes.filter(({ failure }) => failure !== undefined)
  if (failed.length > 0) {
    return yield* githubError(
      "KM-GHA-001",
      1,
      `${failed.map(({ app }) => `${app.host}/${app.slug}`).join(", ")} cannot be used now`,
      failed.map(({ failure }) => failure).join("; "),
      "follow the reason above"
    )
  }
})
