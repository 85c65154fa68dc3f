/** Which names belong to one GitHub, and what each of them serves. What is under its domains and not here is nobody's. */
import type { GitHubService } from "../../../runtime/domain/github/GitHubPolicy.ts"

/**
 * A name that belongs to GitHub. `service` is judged by policy; `presigned` only by the addresses that an allowed answer
 * has named; `closed` has no door at all.
 */
export type GitHubHost =
  | { readonly kind: "service"; readonly service: GitHubService }
  | { readonly kind: "presigned" }
  | { readonly kind: "closed" }

/** Source: GitHub's "meta" answer and its documentation of what runners must reach; the sheet of hosts in docs/github.md. */
const publicServices: Readonly<Record<string, GitHubService>> = {
  "github.com": "git",
  "api.github.com": "api",
  "uploads.github.com": "uploads",
  "codeload.github.com": "codeload",
  "raw.githubusercontent.com": "raw",
  "media.githubusercontent.com": "media"
}

/** Where GitHub sends downloads and LFS objects. They take a signature in the address and no token. */
const publicPresigned: ReadonlySet<string> = new Set([
  "objects.githubusercontent.com",
  "release-assets.githubusercontent.com",
  "github-cloud.githubusercontent.com",
  "github-cloud.s3.amazonaws.com"
])

/** Domains of which every name is GitHub's own. */
const publicDomains = ["github.com", "githubusercontent.com"]

const within = (host: string, domain: string): boolean => host === domain || host.endsWith(`.${domain}`)

/** Name and port of a GitHub as an install and its profiles write it: `github.com`, `ghe.example.com:8443`. */
export const gitHubAddress = (github: string): { readonly host: string; readonly port: number } => {
  const [host = "", port = "443"] = github.split(":")
  return { host, port: Number(port) }
}

/**
 * Undefined for names that are not GitHub's. `github` is `github.com` or an Enterprise host, perhaps with a port; both
 * lower-case.
 */
export const gitHubHost = (host: string, github: string): GitHubHost | undefined => {
  const own = gitHubAddress(github).host
  if (own === "github.com") {
    const service = Object.hasOwn(publicServices, host) ? publicServices[host] : undefined
    if (service !== undefined) return { kind: "service", service }
    if (publicPresigned.has(host)) return { kind: "presigned" }
  } else {
    if (host === own) return { kind: "service", service: "git" }
    if (within(host, own)) return { kind: "closed" }
  }
  // Also with an Enterprise host: whoever may reach github.com there says so by a sandbox of its own.
  return publicDomains.some((domain) => within(host, domain)) ? { kind: "closed" } : undefined
}

/** Whether this GitHub does something at the name, rather than only own it. */
export const isServed = (host: string, github: string): boolean => {
  const known = gitHubHost(host, github)
  return known !== undefined && known.kind !== "closed"
}

/** What the sandbox's authority may certify: each name and everything below it. */
export const certifiedNames = (github: string): ReadonlyArray<string> => [
  ...publicDomains,
  ...(github === "github.com" ? ["github-cloud.s3.amazonaws.com"] : [gitHubAddress(github).host])
]

/** An Enterprise host serves its API below its own name: the service that a path belongs to, and the path there. */
export const enterpriseRoute = (
  path: ReadonlyArray<string>
): { readonly service: GitHubService; readonly path: ReadonlyArray<string>; readonly prefix: string } => {
  if (path[0] !== "api") return { service: "git", path, prefix: "" }
  if (path[1] === "graphql") return { service: "api", path: path.slice(1), prefix: "/api" }
  if (path[1] === "uploads") return { service: "uploads", path: path.slice(2), prefix: "/api/uploads" }
  return { service: "api", path: path.slice(2), prefix: path[1] === "v3" ? "/api/v3" : "/api" }
}
