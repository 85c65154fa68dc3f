/**
 * How an App is made from a manifest: the browser posts it, GitHub leads back with a code, and the code is changed once,
 * within an hour, for the App and its key. Source: docs.github.com, "Registering a GitHub App from a manifest". The person's
 * yes, which GitHub asks for in between, is taken for granted here.
 */
import { randomBytes } from "node:crypto"
import { isJson, objectOf, parseJson, textOf } from "../workspace/Json.ts"
import { type Answer, escapeHtml, html, json, notFound } from "./Answer.ts"
import { appJson, type AppParts } from "./AppRoutes.ts"
import type { Account, App } from "./AppTable.ts"

interface Code {
  readonly app: App
  readonly madeAt: number
}

const codeLifeMillis = 3_600_000

const refusedPage = (reason: string): Answer => ({ ...html(`<p>${escapeHtml(reason)}</p>`), status: 422 })

export class ManifestPages {
  readonly #parts: AppParts
  readonly #codes = new Map<string, Code>()
  /** Who is signed in at this GitHub. */
  readonly #person: Account

  constructor(parts: AppParts, person: Account) {
    this.#parts = parts
    this.#person = person
  }

  /** `POST /settings/apps/new` or `/organizations/{org}/settings/apps/new`, a form with `manifest`; `state` in the query. */
  async register(organization: string | undefined, form: string, url: URL): Promise<Answer> {
    const { apps } = this.#parts
    const owner = organization === undefined ? this.#person : apps.account(organization)
    if (owner === undefined || organization !== undefined && owner.kind !== "Organization") return notFound
    const manifest = parseJson(new URLSearchParams(form).get("manifest") ?? "")
    if (!isJson(manifest)) return refusedPage("The manifest is not JSON.")
    const redirect = URL.parse(textOf(manifest, "redirect_url") ?? "")
    const name = textOf(manifest, "name") ?? ""
    if (redirect === null) return refusedPage("The manifest names no redirect_url.")
    if (textOf(manifest, "url") === undefined) return refusedPage("The manifest names no url.")
    // 34 characters. Source: "Registering a GitHub App".
    if (name === "" || name.length > 34 || apps.isTaken(name)) return refusedPage(`The name ${name} is not to be had.`)
    const app = await apps.register({
      name,
      owner,
      public: manifest["public"] === true,
      permissions: Object.fromEntries(
        Object.entries(objectOf(manifest, "default_permissions")).map(([key, value]) => [key, String(value)])
      )
    })
    const code = randomBytes(20).toString("hex")
    this.#codes.set(code, { app, madeAt: this.#parts.now() })
    redirect.searchParams.set("code", code)
    const state = url.searchParams.get("state")
    if (state !== null) redirect.searchParams.set("state", state)
    return { status: 302, headers: { location: redirect.href } }
  }

  /** `POST /app-manifests/{code}/conversions`. */
  convert(code: string): Answer {
    const found = this.#codes.get(code)
    this.#codes.delete(code)
    if (found === undefined || found.madeAt + codeLifeMillis <= this.#parts.now()) return notFound
    const { app } = found
    return json(201, {
      ...appJson(app, this.#parts),
      client_secret: randomBytes(20).toString("hex"),
      webhook_secret: null,
      pem: app.keys[0]
    })
  }

  /** `GET /apps/{slug}/installations/new`: a button for each account; `POST` with `account` installs on all repositories. */
  install(slug: string, method: string, form: string): Answer {
    const { apps, webUrl } = this.#parts
    const app = apps.apps.find((one) => one.slug === slug)
    if (app === undefined) return notFound
    // A private App can be installed on its owner's account only. Source: "Making a GitHub App public or private".
    const accounts = app.public ? apps.accounts : [app.owner]
    const free = accounts.filter((account) => apps.of(app).every((one) => one.account !== account))
    if (method === "POST") {
      const login = new URLSearchParams(form).get("account") ?? ""
      const account = free.find((one) => one.login === login)
      if (account === undefined) return refusedPage(`The App cannot be installed on ${login}.`)
      const { id } = apps.install(app, account, "all")
      return { status: 303, headers: { location: `${webUrl}/settings/installations/${id}` } }
    }
    const buttons = free.map(({ login }) =>
      `<form method="post"><button name="account" value="${escapeHtml(login)}">Install on ${
        escapeHtml(login)
      }</button></form>`
    )
    return html(`<h1>${escapeHtml(app.name)}</h1>${buttons.join("") || "<p>Installed everywhere it can be.</p>"}`)
  }
}
