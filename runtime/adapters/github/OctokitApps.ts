/** `GithubApps` by GitHub's own client. The key is read for each call, so that a replaced one is used at once. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { appKeyPath, type AppRef } from "../../domain/github/AppSettings.ts"
import {
  type AppIdentity,
  type FoundInstallation,
  type FoundRepository,
  GithubApps,
  GithubFailed
} from "../../ports/GithubApps.ts"
import { Secrets } from "../../ports/Secrets.ts"
import {
  AppAnswer,
  ConversionAnswer,
  DefaultBranchAnswer,
  githubFailure,
  InstallationAnswer,
  loginOf,
  RepositoryAnswer,
  RulesAnswer,
  TokenAnswer
} from "./Answers.ts"

/** Pages of 100; no account has ten thousand installations of one App. */
const maxPages = 100

const identityOf = ({ id, name, owner, permissions, slug }: typeof AppAnswer.Type): AppIdentity => ({
  app: id,
  slug,
  name,
  owner: loginOf(owner),
  permissions
})

const installationOf = (answer: typeof InstallationAnswer.Type): FoundInstallation => ({
  id: answer.id,
  account: loginOf(answer.account),
  kind: answer.target_type,
  selection: answer.repository_selection,
  permissions: answer.permissions,
  suspended: typeof answer.suspended_at === "string"
})

const repositoryOf = ({ id, name, owner }: typeof RepositoryAnswer.Type): FoundRepository => ({
  id,
  name: name.toLowerCase(),
  owner: loginOf(owner)
})

/** Decodes what GitHub said; anything else is refused, by the names of the fields alone. */
const decoded = <S extends Schema.Codec<unknown, unknown>>(host: string, doing: string, schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (data: unknown): Effect.Effect<S["Type"], GithubFailed> =>
    Effect.mapError(
      decode(data),
      () => new GithubFailed({ host, reason: "Refused", detail: `GitHub's answer is not understood (${doing})` })
    )
}

/** One request. `doing` is for people. */
const ask = <A extends { readonly data: unknown }>(
  host: string,
  doing: string,
  request: (signal: AbortSignal) => Promise<A>
) => Effect.tryPromise({ try: request, catch: githubFailure(host, doing) })

const isLast = (headers: Readonly<Record<string, unknown>>): boolean => !/rel="next"/u.test(String(headers["link"]))

export const layer: Layer.Layer<GithubApps, never, Secrets> = Layer.effect(
  GithubApps,
  Effect.gen(function*() {
    const secrets = yield* Secrets
    const client = yield* Effect.cached(Effect.promise(() => import("./Client.ts")))

    const asApp = Effect.fnUntraced(function*(ref: AppRef) {
      const key = yield* secrets.get(appKeyPath(ref)).pipe(
        Effect.mapError((error) => new GithubFailed({ host: ref.host, reason: "NoKey", detail: error.message })),
        Effect.flatMap(Option.match({
          onNone: () =>
            Effect.fail(
              new GithubFailed({
                host: ref.host,
                reason: "NoKey",
                detail: `there is no key of the GitHub App ${ref.app}`
              })
            ),
          onSome: Effect.succeed
        }))
      )
      return (yield* client).asApp(ref, Redacted.value(key))
    })

    /** Every item of a list, page by page, until there are more than `most`. */
    const all = Effect.fnUntraced(function*<A>(
      most: number,
      page: (number: number) => Effect.Effect<
        { readonly items: ReadonlyArray<A>; readonly headers: Readonly<Record<string, unknown>> },
        GithubFailed
      >
    ) {
      const found: Array<A> = []
      for (let number = 1; number <= maxPages; number++) {
        const { headers, items } = yield* page(number)
        found.push(...items)
        if (found.length > most || isLast(headers)) break
      }
      return found
    })

    const app = Effect.fn("GithubApps.app")(function*(ref: AppRef) {
      const octokit = yield* asApp(ref)
      const doing = "the App"
      const { data } = yield* ask(ref.host, doing, (signal) => octokit.request("GET /app", { request: { signal } }))
      return identityOf(yield* decoded(ref.host, doing, AppAnswer)(data))
    })

    const convert = Effect.fn("GithubApps.convert")(function*(host: string, code: string) {
      const octokit = (yield* client).asNobody(host)
      const doing = "the App's code"
      const { data } = yield* ask(
        host,
        doing,
        (signal) => octokit.request("POST /app-manifests/{code}/conversions", { code, request: { signal } })
      )
      const made = yield* decoded(host, doing, ConversionAnswer)(data)
      return { ...identityOf(made), key: Redacted.make(made.pem, { label: "github-app-key" }) }
    })

    const installations = Effect.fn("GithubApps.installations")(function*(ref: AppRef) {
      const octokit = yield* asApp(ref)
      const doing = "the list of installations"
      const read = decoded(ref.host, doing, Schema.Array(InstallationAnswer))
      const found = yield* all(
        Infinity,
        (page) =>
          ask(
            ref.host,
            doing,
            (signal) => octokit.request("GET /app/installations", { per_page: 100, page, request: { signal } })
          ).pipe(
            Effect.flatMap(({ data, headers }) => Effect.map(read(data), (items) => ({ items, headers })))
          )
      )
      return found.map(installationOf)
    })

    const installation = Effect.fn("GithubApps.installation")(function*(ref: AppRef, id: number) {
      const octokit = yield* asApp(ref)
      const doing = "the installation"
      const { data } = yield* ask(
        ref.host,
        doing,
        (signal) =>
          octokit.request("GET /app/installations/{installation_id}", { installation_id: id, request: { signal } })
      )
      return installationOf(yield* decoded(ref.host, doing, InstallationAnswer)(data))
    })

    const token = Effect.fnUntraced(function*(ref: AppRef, id: number, narrowed: object) {
      const octokit = yield* asApp(ref)
      const doing = "a token"
      const { data, headers } = yield* ask(
        ref.host,
        doing,
        (signal) =>
          octokit.request("POST /app/installations/{installation_id}/access_tokens", {
            installation_id: id,
            ...narrowed,
            request: { signal }
          })
      )
      const answer = yield* decoded(ref.host, doing, TokenAnswer)(data)
      const livesMillis = Date.parse(answer.expires_at) - Date.parse(String(headers.date))
      if (!Number.isFinite(livesMillis)) {
        return yield* new GithubFailed({
          host: ref.host,
          reason: "Refused",
          detail: "GitHub names no end of its token"
        })
      }
      return {
        token: Redacted.make(answer.token, { label: "github-token" }),
        livesMillis,
        repositories: (answer.repositories ?? []).map(repositoryOf),
        permissions: answer.permissions
      }
    })

    const mint: GithubApps["Service"]["mint"] = (ref, id, { permissions, repositories }) =>
      // Left out or empty, both mean everything that the installation has.
      repositories.length === 0 || Object.keys(permissions).length === 0
        ? Effect.fail(
          new GithubFailed({
            host: ref.host,
            reason: "NotGranted",
            detail: "a token for nothing in particular is never asked for"
          })
        )
        : token(ref, id, { repository_ids: repositories, permissions })

    const revoke = Effect.fn("GithubApps.revoke")(function*(host: string, secret: Redacted.Redacted<string>) {
      const octokit = (yield* client).withToken(host, Redacted.value(secret))
      yield* ask(
        host,
        "the end of a token",
        (signal) => octokit.request("DELETE /installation/token", { request: { signal } })
      )
        .pipe(
          // What GitHub does not know any more is over.
          Effect.catchIf((error) => error.reason === "BadKey", () => Effect.void)
        )
    })

    const repositories = Effect.fn("GithubApps.repositories")(function*(ref: AppRef, id: number, most: number) {
      // The list is shown to a token of the installation, never to the App: one that can do nothing else.
      const { token: secret } = yield* token(ref, id, { permissions: { metadata: "read" } })
      const octokit = (yield* client).withToken(ref.host, Redacted.value(secret))
      const doing = "the installation's repositories"
      const read = decoded(ref.host, doing, Schema.Struct({ repositories: Schema.Array(RepositoryAnswer) }))
      const found = yield* all(
        most,
        (page) =>
          ask(
            ref.host,
            doing,
            (signal) => octokit.request("GET /installation/repositories", { per_page: 100, page, request: { signal } })
          ).pipe(
            Effect.flatMap(({ data, headers }) =>
              Effect.map(read(data), (answer) => ({ items: answer.repositories, headers }))
            )
          )
      ).pipe(
        Effect.ensuring(Effect.ignore(revoke(ref.host, secret)))
      )
      return found.map(repositoryOf)
    })

    const rules = Effect.fn("GithubApps.rules")(function*(ref: AppRef, id: number, repository: number) {
      const { token: secret } = yield* token(ref, id, {
        repository_ids: [repository],
        permissions: { metadata: "read" }
      })
      const octokit = (yield* client).withToken(ref.host, Redacted.value(secret))
      return yield* Effect.gen(function*() {
        const doing = "a repository's rules"
        const shown = yield* ask(
          ref.host,
          doing,
          (signal) => octokit.request("GET /repositories/{id}", { id: repository, request: { signal } })
        )
        const { default_branch: branch, name: repo, owner: { login: owner } } = yield* decoded(
          ref.host,
          doing,
          DefaultBranchAnswer
        )(shown.data)
        const found = yield* ask(
          ref.host,
          doing,
          (signal) =>
            octokit.request("GET /repos/{owner}/{repo}/rules/branches/{branch}", {
              owner,
              repo,
              branch,
              per_page: 100,
              request: { signal }
            })
        )
        const types = yield* decoded(ref.host, doing, RulesAnswer)(found.data)
        return { branch, rules: [...new Set(types.map(({ type }) => type))] }
      }).pipe(Effect.ensuring(Effect.ignore(revoke(ref.host, secret))))
    })

    return GithubApps.of({ app, convert, installations, installation, repositories, rules, mint, revoke })
  })
)
