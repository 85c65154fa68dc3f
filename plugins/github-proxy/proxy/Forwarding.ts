/** A judged request on its way to GitHub and its answer on the way back, with our credential and nobody else's. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { ServerResponse } from "node:http"
import type { Readable } from "node:stream"
import type { Credential, GitHubService, PinnedRepository } from "../../../runtime/domain/github/GitHubPolicy.ts"
import type {
  RepositoryToken,
  RepositoryTokenRefused,
  RepositoryTokens
} from "../../../runtime/ports/RepositoryTokens.ts"
import { troubleOf, type Upstream, type UpstreamFlow, type UpstreamHead } from "../outside/Upstream.ts"
import { type Answer, sendAnswer, troubleAnswer } from "../request/Answers.ts"
import { maxLookedAt, maySaySuspended, saysSuspended } from "./suspension.ts"

export interface Forwarded {
  readonly host: string
  readonly port: number
  readonly service: GitHubService | undefined
  readonly method: string
  readonly target: string
  /** To send, without a credential. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable | Buffer | undefined
  readonly token: RepositoryToken | undefined
  /** How long the answer may not begin; by the service where it is not given. */
  readonly headersMillis?: number
  /** For the sentences. */
  readonly subject: string
}

/** What the proxy does with an answer beside passing it down. */
export interface Downward {
  /** Sees the head before the client does. */
  readonly seen?: (head: UpstreamHead) => void
  /** Changes the body as it passes: what it returns is passed down, and `end` is what follows. */
  readonly filter?: (head: UpstreamHead) => BodyFilter | undefined
}

/** A body that changes its length as it passes; its `content-length` is left out. */
export interface BodyFilter {
  readonly data: (chunk: Buffer) => Buffer
  readonly end: () => Buffer
}

/** What does not come back: hop-by-hop fields (RFC 9110, 7.6.1), cookies, other protocols, questions for a credential. */
const staysUp: ReadonlySet<string> = new Set([
  "alt-svc",
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate"
])

/** GitHub takes minutes over the objects of a large push before it says a word. */
const gitMillis = 600_000

const apiMillis = 120_000

/** git and LFS take Basic only; the API takes Bearer. */
const authorization = (service: GitHubService | undefined, token: RepositoryToken): string => {
  const value = Redacted.value(token.token)
  return service === "git"
    ? `Basic ${Buffer.from(`x-access-token:${value}`).toString("base64")}`
    : `Bearer ${value}`
}

const downHeaders = (head: UpstreamHead, changed: boolean): Record<string, Array<string> | string> => {
  const headers: Record<string, Array<string> | string> = {}
  for (const [name, value] of Object.entries(head.headers)) {
    if (staysUp.has(name) || changed && name === "content-length") continue
    headers[name] = typeof value === "string" ? value : [...value]
  }
  return headers
}

/** The token for a judged request; none where it goes without. */
export const tokenFor = (
  tokens: RepositoryTokens["Service"],
  credential: Credential,
  host: string,
  repository: PinnedRepository | undefined
): Effect.Effect<RepositoryToken | undefined, RepositoryTokenRefused> =>
  credential === "none" || repository === undefined
    ? Effect.undefined
    : tokens.token({ host, id: repository.id }, credential)

/** What to say in place of an answer that would mislead, or none where it is passed down as it is. */
const insteadOf = (request: Forwarded, { headers, status }: UpstreamHead): Answer | undefined => {
  const retry = Number(headers["retry-after"] ?? Number.NaN)
  const retryMillis = Number.isFinite(retry) ? retry * 1_000 : undefined
  if (status === 401) {
    return troubleAnswer(
      request.token === undefined
        ? `GitHub shows ${request.subject} to nobody who is not signed in; add it to spec.sourceAccess.github.allowedRepos`
        : `GitHub no longer takes this sandbox's token for ${request.subject}; a new one is being made, try again`
    )
  }
  if (status >= 500) return troubleAnswer(`GitHub has trouble (${status}); try again`, retryMillis)
  if (status === 429 || status === 403 && (retryMillis !== undefined || headers["x-ratelimit-remaining"] === "0")) {
    // gh shows GitHub's own words.
    return request.service === "git"
      ? troubleAnswer("GitHub's rate limit is reached; try again later", retryMillis)
      : undefined
  }
  if (request.service !== "git" || request.token === undefined) return undefined
  if (status === 403) {
    return {
      status: 403,
      lines: [
        `km: GitHub refuses this sandbox ${request.subject}: the App's installation may lack a permission, which the owner grants at GitHub`
      ]
    }
  }
  return status === 404
    ? {
      status: 404,
      lines: [
        `km: GitHub does not show ${request.subject} to this sandbox: it is gone, or the App is no longer installed on it; its owner can install the App again at GitHub`
      ]
    }
    : undefined
}

/**
 * Sends the request and passes the answer down; complete when that is over. An answer that breaks off breaks off below
 * too. A token that GitHub refuses, or whose installation it calls suspended, is replaced once where the whole request can
 * be sent again; where it cannot be replaced, the reason is what the client hears.
 */
export const forward = (
  upstream: Upstream,
  tokens: RepositoryTokens["Service"],
  request: Forwarded,
  response: ServerResponse,
  downward: Downward = {}
): Effect.Effect<"passed" | "replaced" | "broken", RepositoryTokenRefused> =>
  attempt(upstream, request, response, downward, request.token !== undefined && isRepeatable(request.body)).pipe(
    Effect.flatMap((end) => {
      if (end !== "stale" || request.token === undefined) return Effect.succeed(end === "stale" ? "replaced" : end)
      return tokens.refreshed(request.token).pipe(
        Effect.flatMap((token) => attempt(upstream, { ...request, token }, response, downward, false)),
        Effect.map((again) => again === "stale" ? "replaced" : again)
      )
    })
  )

const isRepeatable = (body: Forwarded["body"]): boolean => body === undefined || Buffer.isBuffer(body)

const attempt = (
  upstream: Upstream,
  request: Forwarded,
  response: ServerResponse,
  downward: Downward,
  mayRepeat: boolean
): Effect.Effect<"passed" | "replaced" | "broken" | "stale"> =>
  Effect.callback((resume) => {
    let filter: BodyFilter | undefined
    let instead: Answer | undefined
    let over = false
    /** An answer that waits for what its body says. */
    let held: { readonly head: UpstreamHead; body: Buffer } | undefined
    const finish = (end: "passed" | "replaced" | "broken" | "stale") => {
      if (over) return
      over = true
      response.off("close", onClose)
      resume(Effect.succeed(end))
    }
    const onClose = () => {
      stop()
      finish("broken")
    }
    const write = (chunk: Buffer, flow?: UpstreamFlow) => {
      if (chunk.length === 0 || response.write(chunk) || flow === undefined) return
      flow.pause()
      response.once("drain", flow.resume)
    }
    const begin = (head: UpstreamHead) => {
      downward.seen?.(head)
      filter = downward.filter?.(head)
      response.writeHead(head.status, downHeaders(head, filter !== undefined))
      // A streamed answer must not wait for its first piece.
      if (request.method !== "HEAD") response.flushHeaders()
    }
    const letGo = ({ body, head }: { readonly head: UpstreamHead; readonly body: Buffer }, flow?: UpstreamFlow) => {
      held = undefined
      begin(head)
      write(filter === undefined ? body : filter.data(body), flow)
    }
    const stop = upstream.send({
      host: request.host,
      port: request.port,
      method: request.method,
      target: request.target,
      headers: {
        "user-agent": "km-github-proxy",
        ...request.headers,
        ...(request.token === undefined ? {} : { authorization: authorization(request.service, request.token) })
      },
      body: request.body,
      headersMillis: request.headersMillis ?? (request.service === "git" ? gitMillis : apiMillis)
    }, {
      head: (head, flow) => {
        if (head.status === 401 && mayRepeat) {
          finish("stale")
          return flow.stop()
        }
        instead = insteadOf(request, head)
        if (instead !== undefined) {
          sendAnswer(response, instead, request.service)
          finish("replaced")
          return flow.stop()
        }
        if (mayRepeat && maySaySuspended(head)) held = { head, body: Buffer.alloc(0) }
        else begin(head)
      },
      data: (chunk, flow) => {
        if (over) return
        if (held === undefined) return write(filter === undefined ? chunk : filter.data(chunk), flow)
        held.body = Buffer.concat([held.body, chunk])
        if (held.body.length > maxLookedAt) letGo(held, flow)
      },
      end: () => {
        if (over) return
        if (held !== undefined && saysSuspended(held.head, held.body)) return finish("stale")
        if (held !== undefined) letGo(held)
        const rest = filter?.end()
        if (rest !== undefined && rest.length > 0) response.write(rest)
        response.end(() => finish("passed"))
      },
      error: (error) => {
        if (over) return
        // Broken in the middle must be broken for the client, or half a clone would look like a whole one.
        sendAnswer(response, troubleAnswer(`${troubleOf(error)}; try again`), request.service)
        finish("broken")
      }
    })
    response.once("close", onClose)
    return Effect.sync(stop)
  })
