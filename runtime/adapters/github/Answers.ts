/** What of GitHub's answers is read, and what its refusals mean. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { GithubFailed } from "../../ports/GithubApps.ts"

const Login = Schema.Struct({ login: Schema.String })
const Levels = Schema.Record(Schema.String, Schema.String)

export const AppAnswer = Schema.Struct({
  id: Schema.Int,
  slug: Schema.String,
  name: Schema.String,
  /** An enterprise has a slug instead of a login. */
  owner: Schema.Union([Login, Schema.Struct({ slug: Schema.String })]),
  permissions: Levels
})

export const ConversionAnswer = Schema.Struct({ ...AppAnswer.fields, pem: Schema.NonEmptyString })

export const InstallationAnswer = Schema.Struct({
  id: Schema.Int,
  account: Schema.Union([Login, Schema.Struct({ slug: Schema.String })]),
  target_type: Schema.Literals(["User", "Organization", "Enterprise"]),
  repository_selection: Schema.Literals(["all", "selected"]),
  permissions: Levels,
  suspended_at: Schema.optionalKey(Schema.NullOr(Schema.String))
})

export const RepositoryAnswer = Schema.Struct({ id: Schema.Int, name: Schema.String, owner: Login })

export const DefaultBranchAnswer = Schema.Struct({
  name: Schema.String,
  owner: Login,
  default_branch: Schema.NonEmptyString
})

export const RulesAnswer = Schema.Array(Schema.Struct({ type: Schema.String }))

export const TokenAnswer = Schema.Struct({
  token: Schema.String.check(Schema.isPattern(/^[\x21-\x7e]{20,2000}$/u)),
  expires_at: Schema.String,
  permissions: Levels,
  repositories: Schema.optionalKey(Schema.Array(RepositoryAnswer))
})

/** The login of a person or organisation, or an enterprise's slug; lower case. */
export const loginOf = (account: { readonly login: string } | { readonly slug: string }): string =>
  ("login" in account ? account.login : account.slug).toLowerCase()

/** As the client throws it: @octokit/request-error. */
const RequestError = Schema.Struct({
  status: Schema.Int,
  message: Schema.String,
  response: Schema.optionalKey(Schema.Struct({
    headers: Schema.Record(Schema.String, Schema.Unknown),
    data: Schema.Unknown
  }))
})
const asRequestError = Schema.decodeUnknownOption(RequestError)

const asMessage = Schema.decodeUnknownOption(Schema.Struct({ message: Schema.String }))

/** GitHub's own sentence, on one line and short; it names no token. */
const said = (data: unknown): string =>
  Option.match(asMessage(data), {
    onNone: () => "no reason given",
    onSome: ({ message }) => message.replaceAll(/[^\x20-\x7e]+/gu, " ").trim().slice(0, 200)
  })

/** Seconds, or undefined; at most an hour is believed. */
const seconds = (value: unknown): number | undefined => {
  const number = typeof value === "string" && /^\d{1,6}$/u.test(value) ? Number(value) : undefined
  return number === undefined ? undefined : Math.min(number, 3_600)
}

/**
 * How long to wait: `retry-after`, else until `x-ratelimit-reset` where nothing remains, else a minute. Source:
 * docs.github.com, "Rate limits for the REST API".
 */
const waitOf = (headers: Readonly<Record<string, unknown>>): number => {
  const after = seconds(headers["retry-after"])
  if (after !== undefined) return after * 1_000
  const reset = Number(headers["x-ratelimit-reset"])
  const date = Date.parse(String(headers["date"]))
  const until = headers["x-ratelimit-remaining"] === "0" ? reset * 1_000 - date : Number.NaN
  return Number.isFinite(until) ? Math.min(Math.max(until, 1_000), 3_600_000) : 60_000
}

const failing = (host: string) => (reason: GithubFailed["reason"], detail: string, retryAfterMillis?: number) =>
  new GithubFailed({ host, reason, detail, ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }) })

/** What a rejection of the client means. `doing` completes "GitHub refused …". */
export const githubFailure = (host: string, doing: string) => (cause: unknown): GithubFailed => {
  const error = Option.getOrUndefined(asRequestError(cause))
  const { data, headers = {} } = error?.response ?? {}
  // Without an answer the client makes up a 500.
  if (error === undefined || error.response === undefined) {
    return new GithubFailed({ host, reason: "Unreachable", detail: `GitHub does not answer (${doing})` })
  }
  const { status } = error
  const sentence = said(data)
  const failed = failing(host)
  const isLimit = status === 429
    || status === 403 && (headers["retry-after"] !== undefined || headers["x-ratelimit-remaining"] === "0"
        || /rate limit/iu.test(sentence))
  if (isLimit) return failed("RateLimited", `GitHub's rate limit is reached (${doing})`, waitOf(headers))
  if (status >= 500) return failed("Unreachable", `GitHub answers ${status} (${doing})`)
  if (status === 401) return failed("BadKey", `GitHub does not take the App's key: ${sentence}`)
  if (status === 403 && /suspended/iu.test(sentence)) return failed("Suspended", "the App's installation is suspended")
  if (status === 404) return failed("Missing", `GitHub knows nothing of it (${doing})`)
  if (status === 422) return failed("NotGranted", `GitHub refused ${doing}: ${sentence}`)
  return failed("Refused", `GitHub refused ${doing} with ${status}: ${sentence}`)
}
