/** One request for a name of GitHub's, read inside the TLS that the proxy ended: taken apart, judged, forwarded or refused. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { IncomingMessage, ServerResponse } from "node:http"
import type {
  Allowed,
  CanonicalRequest,
  GitHubPolicy,
  GitHubService
} from "../../../runtime/domain/github/GitHubPolicy.ts"
import type { RepositoryTokenRefused } from "../../../runtime/ports/RepositoryTokens.ts"
import type { StoreError } from "../../../runtime/ports/StoreError.ts"
import {
  type Answer,
  deniedAnswer,
  malformedAnswer,
  sendAnswer,
  sentenceOf,
  troubleAnswer
} from "../request/Answers.ts"
import { type BodyRefused, drain, readBody } from "../request/Body.ts"
import { enterpriseRoute, gitHubHost } from "../request/GitHubHosts.ts"
import { type Head, readHead } from "../request/readHead.ts"
import { readTarget, type Target, writeTarget } from "../request/readTarget.ts"
import { advertisement, opening } from "./answerFilters.ts"
import type { ProxyContext, RunIdentity } from "./Context.ts"
import { forward, type Forwarded, tokenFor } from "./Forwarding.ts"
import { judge } from "./judging.ts"
import type { PullNotHeld } from "./PullHolds.ts"
import { push } from "./Push.ts"

export interface Intercepted {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What the connection was opened for, lower case. */
  readonly host: string
  readonly port: number
  readonly run: RunIdentity | undefined
}

/** On the API a name in a path may hold a slash behind `/repos/{owner}/{repo}`, on an Enterprise host below `/api/v3`. */
const slashFrom = (service: GitHubService, host: string): number =>
  service === "api" || service === "uploads" ? 3 : host === "github.com" || service !== "git" ? Infinity : 5

const closed = (host: string): Answer => ({
  status: 403,
  lines: [`km: refused: ${host} is a name of GitHub that no sandbox uses (route.unknown)`]
})

const notOpen = (host: string): Answer => ({
  status: 403,
  lines: [
    `km: refused: ${host} answers only to addresses that GitHub named for an allowed download, and each for a few minutes (route.unknown)`,
    "km: to allow it: ask for the download again at github.com or api.github.com"
  ]
})

/** Milliseconds that GitHub may take over what is done under a hold: it gives up by itself after ten seconds. */
const heldMillis = 30_000

const subjectOf = (request: CanonicalRequest): string => {
  const [first = "", second = "", third = ""] = request.path
  const repository = request.service === "api" || request.service === "uploads" ? [second, third] : [first, second]
  return repository[1] === "" ? `/${request.path.slice(0, 3).join("/")}` : repository.join("/").replace(/\.git$/, "")
}

/** Whatever ends the handling of a request before an answer, as an answer. */
const answerOf = (
  error: RepositoryTokenRefused | StoreError | BodyRefused | PullNotHeld | { readonly detail: string }
): Answer => {
  if ("_tag" in error && error._tag === "RepositoryTokenRefused") {
    return troubleAnswer(error.message, error.retryAfterMillis)
  }
  if ("_tag" in error && error._tag === "PullNotHeld") return troubleAnswer(error.detail, error.retryAfterMillis)
  if ("_tag" in error && error._tag === "BodyRefused") return malformedAnswer(error.detail)
  return troubleAnswer("the decision could not be written down, and nothing passes without; try again")
}

/** Handles one request; never fails, since whatever goes wrong is an answer. */
export const intercepted = (context: ProxyContext, what: Intercepted): Effect.Effect<void> => {
  const { host, port, request, response, run } = what
  const since = context.now()
  /** In whose form the client is told; an Enterprise host has several services, each below its own path. */
  let asked = serviceOf(host, context.github)
  const refuse = (answer: Answer, subject: string, rule: string, service?: GitHubService) =>
    Effect.andThen(
      context.journal({
        run,
        subject,
        rule,
        verdict: "refused",
        detail: answer.lines[0] ?? "",
        told: sentenceOf(answer),
        since
      }),
      Effect.sync(() => {
        sendAnswer(response, answer, service)
        drain(request)
      })
    )

  const presigned = Effect.fnUntraced(function*(head: Head) {
    const target = request.url ?? "/"
    const signed = context.downloads.find(request.method ?? "", host, target)
    if (signed === undefined) return yield* refuse(notOpen(host), host, "route.unknown")
    yield* context.journal({ run, subject: host, rule: "download", verdict: "allowed", detail: "", since })
    const { length, ...headers } = { ...head.headers, ...signed, length: head.contentLength }
    yield* forward(context.upstream, context.tokens, {
      host,
      port,
      service: undefined,
      method: request.method ?? "GET",
      target,
      headers: length === undefined || length === 0 ? headers : { ...headers, "content-length": String(length) },
      body: head.contentLength === 0 ? undefined : request,
      token: undefined,
      subject: "the download"
    }, response)
  })

  const routed = Effect.fnUntraced(function*(hostService: GitHubService, head: Head) {
    const read = readTarget(request.url ?? "", slashFrom(hostService, host))
    if (Result.isFailure(read)) {
      return yield* refuse(malformedAnswer(`of its address, ${read.failure}`), host, "request.malformed", hostService)
    }
    const target: Target = read.success
    const route = hostService === "git" && host !== "github.com"
      ? enterpriseRoute(target.path)
      : { service: hostService, path: target.path, prefix: "" }
    const { service } = route
    asked = service
    const policy = yield* context.policy
    const first: CanonicalRequest = {
      service,
      method: (request.method ?? "").toUpperCase(),
      path: route.path,
      query: target.query,
      ...(head.contentType === undefined ? {} : { contentType: head.contentType })
    }
    const subject = subjectOf(first)
    const proceed = () => {
      if (request.headers.expect !== undefined) response.writeContinue()
    }
    const { judgement, request: judged } = yield* judge(context, policy, first, (maxBytes) => {
      proceed()
      return readBody(request, head.contentEncoding, maxBytes)
    })
    if (judgement._tag === "Denied") {
      return yield* refuse(deniedAnswer(judgement), subject, judgement.rule, service)
    }
    const forwarded: Forwarded = {
      host,
      port,
      service,
      method: judged.method,
      target: writeTarget({
        path: [...route.prefix.split("/").filter((part) => part !== ""), ...judged.path],
        query: judged.query
      }),
      headers: head.headers,
      body: undefined,
      token: undefined,
      subject
    }
    if (judgement._tag === "NeedsCommands") {
      proceed()
      return yield* push(context, {
        request,
        response,
        head,
        repository: judgement.repository,
        policy,
        run,
        since,
        forwarded
      })
    }
    const pass = passing(head, forwarded, proceed)
    const { pull } = judgement
    if (pull === undefined) return yield* pass(judgement, judged, policy)
    // Judged again in its turn, from nothing: what was looked up before may be another sandbox's past by now.
    yield* context.holds.during(
      pull,
      Effect.gen(function*() {
        const present = yield* context.policy
        const { judgement: verdict } = yield* judge(context, present, judged, () => Effect.succeed(Buffer.alloc(0)))
        if (verdict._tag === "Denied") {
          yield* refuse(deniedAnswer(verdict), subject, verdict.rule, service)
          return "known" as const
        }
        // A push has no turn to wait for; it was not one before either.
        if (verdict._tag === "NeedsCommands") return "known" as const
        return (yield* pass(verdict, judged, present)) === "passed" ? "known" as const : "unknown" as const
      })
    )
  })

  /** Sends what was allowed, as the verdict has it, and passes the answer down. */
  const passing = (head: Head, forwarded: Forwarded, proceed: () => void) =>
    Effect.fnUntraced(function*(judgement: Allowed, judged: CanonicalRequest, policy: GitHubPolicy) {
      const { service, subject } = forwarded
      for (const { message, rule } of judgement.audited) {
        yield* context.journal({ run, subject, rule, verdict: "allowed", detail: `only reported: ${message}`, since })
      }
      yield* context.journal({ run, subject, rule: judgement.rule, verdict: "allowed", detail: "", since })
      const token = yield* tokenFor(
        context.tokens,
        judgement.credential,
        context.github,
        judgement.repositories[0] ?? policy.repositories[0]
      )
      const text = judgement.body ?? judged.body
      const isPushList = service === "git" &&
        judged.query.some(([name, value]) => name === "service" && value === "git-receive-pack")
      if (text === undefined && head.contentLength !== 0) proceed()
      const { "content-encoding": _, ...plain } = forwarded.headers
      const withBody = text === undefined
        ? head.contentLength === 0
          ? { headers: forwarded.headers, body: undefined }
          : {
            headers: {
              ...forwarded.headers,
              ...(head.contentLength === undefined ? {} : { "content-length": String(head.contentLength) })
            },
            body: request
          }
        : { headers: plain, body: Buffer.from(text) }
      return yield* forward(
        context.upstream,
        context.tokens,
        {
          ...forwarded,
          ...(judgement.pull === undefined ? {} : { headersMillis: heldMillis }),
          ...withBody,
          // A list of refs that is changed on its way must not come packed.
          headers: isPushList ? { ...withBody.headers, "accept-encoding": "identity" } : withBody.headers,
          token
        },
        response,
        isPushList
          ? { filter: ({ status }) => status === 200 ? advertisement() : undefined }
          : opening(context, judgement, head.contentType === "application/vnd.git-lfs+json")
      )
    })

  return Effect.suspend(() => {
    const known = gitHubHost(host, context.github)
    const head = readHead(request, host, port)
    if (Result.isFailure(head)) return refuse(malformedAnswer(head.failure), host, "request.malformed")
    if (known === undefined || known.kind === "closed") return refuse(closed(host), host, "route.unknown")
    return known.kind === "presigned" ? presigned(head.success) : routed(known.service, head.success)
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        sendAnswer(response, answerOf(error), asked)
        drain(request)
      })
    ),
    Effect.catchDefect((defect) =>
      Effect.andThen(
        Effect.logError("a request through the proxy failed", defect),
        Effect.sync(() => sendAnswer(response, troubleAnswer("the proxy failed; the runtime's log says how"), asked))
      )
    ),
    Effect.asVoid
  )
}

const serviceOf = (host: string, github: string): GitHubService | undefined => {
  const known = gitHubHost(host, github)
  return known?.kind === "service" ? known.service : undefined
}
