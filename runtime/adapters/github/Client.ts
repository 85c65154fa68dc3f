/**
 * GitHub's own client for Apps, made for one host. Read when GitHub is first spoken to: it is half a megabyte that most
 * commands do not need.
 */
import { App } from "@octokit/app"
import { Octokit } from "@octokit/core"
import type { AppRef } from "../../domain/github/AppSettings.ts"
import { githubAddresses } from "../../domain/github/AppSettings.ts"
import { fullVersion } from "../../domain/install/Version.ts"

/** Milliseconds until an answer is given up. GitHub itself ends a request after 10 s. Source: its REST documentation. */
export const answerWithinMillis = 15_000

const silent = () => undefined
/** What it would say goes into errors; a warning of a wrong clock comes with each request. */
const quiet = { debug: silent, info: silent, warn: silent, error: silent }

/** Without redirects: an answer from elsewhere is none, and a token goes nowhere else. */
const timedFetch: typeof fetch = (input, init) =>
  fetch(input, {
    ...init,
    redirect: "error",
    signal: AbortSignal.any([AbortSignal.timeout(answerWithinMillis), ...(init?.signal ? [init.signal] : [])])
  })

const clientOf = (host: string) =>
  Octokit.defaults({
    baseUrl: githubAddresses(host).api,
    userAgent: `km/${fullVersion}`,
    log: quiet,
    request: { fetch: timedFetch, headers: { "x-github-api-version": "2022-11-28" } }
  })

/** As nobody. */
export const asNobody = (host: string) => new (clientOf(host))()

/** With an installation's token. */
export const withToken = (host: string, token: string) => new (clientOf(host))({ auth: token })

/**
 * As the App. Its JSON web tokens live ten minutes, and where clocks differ the client makes another by GitHub's. Its own
 * cache of installation tokens, which would keep one to its end and knows no hosts, is not used: tokens are asked for as
 * any other thing is.
 */
export const asApp = ({ app, host }: AppRef, privateKey: string) =>
  new App({ appId: app, privateKey, Octokit: clientOf(host), log: quiet }).octokit
