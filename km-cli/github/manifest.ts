/** The manifest by which GitHub makes the App, and the page that takes a browser there. */
import type { Permissions } from "../../runtime/domain/github/Permissions.ts"

/** GitHub's limit for the name of an App. Source: docs.github.com, "Registering a GitHub App". */
const longestName = 34

/** Names of Apps are one set for all of GitHub, so each has a random end. `random` is lower-case hex. */
export const appName = (install: string, random: string): string => {
  const end = `-${random.slice(0, 8)}`
  return `km-${install}`.slice(0, longestName - end.length) + end
}

/** Without events and webhooks: nothing of GitHub's calls us. */
export const manifestOf = (options: {
  readonly name: string
  readonly redirectUrl: string
  readonly permissions: Permissions
  readonly public: boolean
}) => ({
  name: options.name,
  url: "https://github.com/apps",
  description: "Access of km's sandboxes to the repositories that their profiles list.",
  public: options.public,
  redirect_url: options.redirectUrl,
  hook_attributes: { url: "https://example.com/", active: false },
  default_events: [],
  default_permissions: options.permissions
})

/** Where the form goes: the person's own settings, or an organisation's. `state` comes back with the code. */
export const registrationUrl = (web: string, organization: string | undefined, state: string): string =>
  `${web}${
    organization === undefined ? "" : `/organizations/${encodeURIComponent(organization)}`
  }/settings/apps/new?state=${state}`

const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")
    .replaceAll("'", "&#39;")

/** A page that sends nothing and loads nothing but what it says. `target` is where its form may go. */
export const pageHeaders = (target: string, nonce: string): Readonly<Record<string, string>> => ({
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": `default-src 'none'; form-action ${
    new URL(target).origin
  }; script-src 'nonce-${nonce}'; frame-ancestors 'none'; base-uri 'none'`,
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
})

/** Posts the manifest by itself, or by the button where scripts are off. */
export const startPage = (target: string, manifest: unknown, nonce: string): string =>
  `<!doctype html><meta charset="utf-8"><title>km</title><form id="f" method="post" action="${escapeHtml(target)}">` +
  `<input type="hidden" name="manifest" value="${escapeHtml(JSON.stringify(manifest))}">` +
  `<button>Continue to GitHub</button></form>` +
  `<script nonce="${nonce}">document.getElementById("f").submit()</script>`

export const messagePage = (text: string): string =>
  `<!doctype html><meta charset="utf-8"><title>km</title><p>${escapeHtml(text)}</p>`
