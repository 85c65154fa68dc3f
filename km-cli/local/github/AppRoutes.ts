/**
 * What an App calls: itself, its installations, their tokens, and what a token shows. `emulate` has parts of this, without
 * pages, expiry, deletion or Apps that come later, so the front answers all of it.
 */
import { isJson, type Json, objectOf } from "../workspace/Json.ts"
import { type Answer, badCredentials, json, notFound, page, problem } from "./Answer.ts"
import { issuerOf, jwtFault } from "./AppJwt.ts"
import type { App, AppTable, Installation, Repository } from "./AppTable.ts"
import type { Permissions } from "./GithubOptions.ts"
import type { IssuedToken, TokenTable } from "./TokenTable.ts"

export interface AppParts {
  readonly apps: AppTable
  readonly tokens: TokenTable
  readonly now: () => number
  /** Without a trailing slash: where the REST API answers, and where pages do. */
  readonly apiUrl: string
  readonly webUrl: string
}

export interface AppRequest {
  readonly method: string
  /** Below the API's root, beginning with a slash. */
  readonly path: string
  readonly url: URL
  /** What the `Authorization` header holds after `Bearer` or `token`. */
  readonly bearer: string | undefined
  readonly body: unknown
}

const iso = (millis: number): string => new Date(millis).toISOString().replace(/\.\d{3}Z$/u, "Z")

const accountJson = ({ id, kind, login }: App["owner"]) => ({ login, id, type: kind })

export const appJson = (app: App, { apps, webUrl }: AppParts) => ({
  id: app.id,
  slug: app.slug,
  client_id: app.clientId,
  owner: accountJson(app.owner),
  name: app.name,
  html_url: `${webUrl}/apps/${app.slug}`,
  created_at: iso(app.createdAt),
  updated_at: iso(app.createdAt),
  permissions: app.permissions,
  events: [],
  installations_count: apps.of(app).length
})

const installationJson = (one: Installation, { apiUrl, webUrl }: AppParts) => ({
  id: one.id,
  account: accountJson(one.account),
  repository_selection: one.selection,
  access_tokens_url: `${apiUrl}/app/installations/${one.id}/access_tokens`,
  repositories_url: `${apiUrl}/installation/repositories`,
  html_url: `${webUrl}/settings/installations/${one.id}`,
  app_id: one.app.id,
  app_slug: one.app.slug,
  target_id: one.account.id,
  target_type: one.account.kind,
  permissions: one.permissions,
  events: [],
  created_at: iso(one.createdAt),
  updated_at: iso(one.createdAt),
  suspended_at: one.suspendedAt === undefined ? null : iso(one.suspendedAt)
})

const repositoryJson = ({ account, id, name, private: isPrivate }: Repository) => ({
  id,
  name,
  full_name: `${account.login}/${name}`,
  private: isPrivate,
  owner: accountJson(account)
})

const rank = (permission: string | undefined): number => ["read", "write", "admin"].indexOf(permission ?? "") + 1

const permissionsOf = (body: Json): Permissions | undefined =>
  isJson(body["permissions"])
    ? Object.fromEntries(
      Object.entries(objectOf(body, "permissions")).map((
        [name, value]
      ) => [name, typeof value === "string" ? value : ""])
    )
    : undefined

/**
 * Repositories by number or by short name; undefined for all. Source: REST API, "Create an installation access token for an
 * app", whose 422 does not say which one was not there.
 */
const requested = (body: Json, seen: ReadonlyArray<Repository>): ReadonlyArray<Repository | undefined> | undefined => {
  const { repositories: names, repository_ids: ids } = body
  if (Array.isArray(ids)) return ids.map((id) => seen.find((one) => one.id === id))
  if (Array.isArray(names)) {
    return names.map((name) => seen.find((one) => one.name.toLowerCase() === String(name).toLowerCase()))
  }
  return undefined
}

const mint = (parts: AppParts, installation: Installation, given: unknown): Answer => {
  const body = isJson(given) ? given : {}
  // Source: "Suspending and unsuspending a GitHub App installation".
  if (installation.suspendedAt !== undefined) return problem(403, "This installation has been suspended")
  const { apps, tokens } = parts
  const named = requested(body, apps.seen(installation))
  const repositories = named?.filter((one) => one !== undefined)
  // Source: "Create an installation access token for an app": at most 500 repositories.
  if (named !== undefined && named.length > 500) return problem(422, "You may only specify up to 500 repositories.")
  if (named?.length !== repositories?.length) {
    return problem(
      422,
      "There is at least one repository that does not exist or is not accessible to the parent installation."
    )
  }
  // Left out, it is everything that the installation has.
  const asked = permissionsOf(body) ?? installation.permissions
  const excess = Object.entries(asked).filter(([name, level]) =>
    rank(level) === 0 || rank(level) > rank(installation.permissions[name])
  )
  if (excess.length > 0) return problem(422, "The permissions requested are not granted to this installation.")
  const issued = tokens.issue({
    app: installation.app.id,
    installation: installation.id,
    repositories: repositories?.map(({ id }) => id),
    // Metadata comes with everything. Source: "Choosing permissions for a GitHub App".
    permissions: { metadata: "read", ...asked }
  })
  return json(201, {
    token: issued.token,
    expires_at: iso(issued.expiresAt),
    permissions: issued.permissions,
    repository_selection: repositories === undefined ? installation.selection : "selected",
    ...(repositories === undefined ? {} : { repositories: repositories.map(repositoryJson) })
  })
}

const asApp = (parts: AppParts, request: AppRequest, app: App): Answer => {
  const { apps } = parts
  const { method, path, url } = request
  if (method === "GET" && path === "/app") return json(200, appJson(app, parts))
  if (method === "GET" && path === "/app/installations") {
    const { headers, items } = page(apps.of(app), url)
    return json(200, items.map((one) => installationJson(one, parts)), headers)
  }
  const [, id, rest = ""] = /^\/app\/installations\/(\d+)(\/access_tokens|\/suspended)?$/u.exec(path) ?? []
  const installation = id === undefined ? undefined : apps.find(app, Number(id))
  if (installation !== undefined) {
    if (method === "GET" && rest === "") return json(200, installationJson(installation, parts))
    if (method === "POST" && rest === "/access_tokens") return mint(parts, installation, request.body)
  }
  const [, kind, name] = /^\/(orgs|users)\/([^/]+)\/installation$/u.exec(path) ?? []
  if (method === "GET" && kind !== undefined && name !== undefined) {
    const found = apps.of(app).find(({ account }) => account === apps.account(name))
    if (found !== undefined) return json(200, installationJson(found, parts))
  }
  return notFound
}

/** The installation that a token is of, if both still stand. */
export const installationOf = ({ apps }: AppParts, { app, installation }: IssuedToken): Installation | undefined => {
  const found = apps.installations.find(({ id }) => id === installation)
  return found?.app.id === app && found.suspendedAt === undefined ? found : undefined
}

/** What a token shows: its own repositories, as far as the installation still has them. */
export const repositoriesOf = (parts: AppParts, token: IssuedToken): ReadonlyArray<Repository> => {
  const installation = installationOf(parts, token)
  if (installation === undefined) return []
  return parts.apps.seen(installation).filter(({ id }) => token.repositories?.includes(id) ?? true)
}

/** Undefined for what is no App's. */
export const appRoutes = (parts: AppParts) => (request: AppRequest): Answer | undefined => {
  const { bearer, method, path, url } = request
  if (/^\/app(\/|$)/u.test(path) || /^\/(orgs|users)\/[^/]+\/installation$/u.test(path)) {
    if (bearer === undefined) return problem(401, "A JSON web token could not be decoded")
    const issuer = issuerOf(bearer)
    const app = parts.apps.apps.find(({ clientId, id }) => issuer === String(id) || issuer === clientId)
    if (app === undefined) {
      return issuer === undefined
        ? problem(401, "A JSON web token could not be decoded")
        // Source: observed by users of the API, such as github/hub#3179: an issuer that is no App.
        : problem(404, "Integration not found")
    }
    const fault = jwtFault(bearer, app.keys.map((pem) => ({ pem })), parts.now())
    return fault === undefined ? asApp(parts, request, app) : problem(401, fault)
  }
  if (!/^\/installation\/(repositories|token)$/u.test(path)) return undefined
  const token = bearer === undefined ? undefined : parts.tokens.find(bearer)
  if (token === undefined) return badCredentials
  if (method === "DELETE" && path === "/installation/token") {
    // Source: REST API, "Revoke an installation access token".
    parts.tokens.revoke((one) => one === token)
    return { status: 204 }
  }
  if (method === "GET" && path === "/installation/repositories") {
    const all = repositoriesOf(parts, token)
    const { headers, items } = page(all, url)
    return json(200, {
      total_count: all.length,
      repository_selection: token.repositories === undefined ? "all" : "selected",
      repositories: items.map(repositoryJson)
    }, headers)
  }
  return notFound
}
