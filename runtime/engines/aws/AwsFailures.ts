/** What a service's failures mean: to be tried again, our caller's to decide, or the end of the call. */
import * as Schema from "effect/Schema"
import type { StoreError } from "../../ports/StoreError.ts"

/** A request that did not succeed, with the SDK's own error. */
export class AwsFailure extends Schema.TaggedError<AwsFailure>()("AwsFailure", { cause: Schema.Defect() }) {
  override get message(): string {
    return "a request to the service failed"
  }
}

/** Nothing was answered for as long as we wait: it may have been done. */
export const unanswered = (): AwsFailure =>
  new AwsFailure({ cause: Object.assign(new Error("no answer in time"), { name: "TimeoutError" }) })

/** A service's answer that its caller expects and acts on, such as a condition that does not hold. */
export class AwsRefusal extends Schema.TaggedError<AwsRefusal>()("AwsRefusal", {
  /** The service's own name of it, such as `ConditionalCheckFailedException`. */
  code: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `the service answered ${this.code}`
  }
}

export interface Verdict {
  readonly code: string
  /** `passing`: the same call may succeed later; `throttled`: so it may, and later is better. */
  readonly kind: "passing" | "throttled" | "final"
  readonly reason: StoreError["reason"]
  /** Without the request: bodies and secrets stay out of logs. */
  readonly detail: string
}

const throttled = new Set([
  "BandwidthLimitExceeded",
  "LimitExceededException",
  "OverLimit",
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestThrottledException",
  "SlowDown",
  "ThrottledException",
  "Throttling",
  "ThrottlingError",
  "ThrottlingException",
  "TooManyRequestsException",
  "TooManyUpdates"
])

const passing = new Set([
  "AbortError",
  "ConditionalRequestConflict",
  "InternalError",
  "InternalServerError",
  "ReplicatedWriteConflictException",
  "RequestTimeout",
  "RequestTimeoutException",
  "ServiceUnavailable",
  "TimeoutError",
  "TransactionConflictException",
  "TransactionInProgressException"
])

const denied = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "CredentialsProviderError",
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidAccessKeyId",
  "InvalidClientTokenId",
  "KMSAccessDeniedException",
  "KmsAccessDenied",
  "SignatureDoesNotMatch",
  "UnrecognizedClientException"
])

/** A transaction that only met another one, or too many, may be tried again; one whose condition failed may not. */
const cancelledFor = (error: object): ReadonlyArray<string> =>
  "CancellationReasons" in error && Array.isArray(error.CancellationReasons)
    ? error.CancellationReasons.map((reason: { readonly Code?: string }) => reason.Code ?? "None")
    : []

const retriedReasons: Readonly<Record<string, Verdict["kind"]>> = {
  TransactionConflict: "passing",
  ProvisionedThroughputExceeded: "throttled",
  ThrottlingError: "throttled"
}

const kindOf = (code: string, error: object): Verdict["kind"] => {
  if (throttled.has(code)) return "throttled"
  if (passing.has(code)) return "passing"
  if (code === "TransactionCanceledException") {
    const reasons = cancelledFor(error).filter((reason) => reason !== "None")
    const kinds = reasons.map((reason) => retriedReasons[reason] ?? "final")
    if (kinds.length === 0 || kinds.includes("final")) return "final"
    return kinds.includes("throttled") ? "throttled" : "passing"
  }
  const metadata: unknown = "$metadata" in error ? error.$metadata : undefined
  const status = typeof metadata === "object" && metadata !== null && "httpStatusCode" in metadata
    ? metadata.httpStatusCode
    : undefined
  // Without a status nothing was answered: the connection failed, before or after the effect.
  return typeof status !== "number" || status >= 500 ? "passing" : status === 429 ? "throttled" : "final"
}

const isTooLarge = (code: string, detail: string): boolean =>
  code === "InvalidMessageContents" || code === "EntityTooLarge" ||
  /Item size has exceeded|Item size to update has exceeded|must be shorter than|length less than or equal/.test(detail)

export const judge = (error: unknown): Verdict => {
  if (!(error instanceof Error)) {
    return { code: "Unknown", kind: "final", reason: "Unavailable", detail: "the call failed without an error" }
  }
  const code = error.name === "Error" && "code" in error && typeof error.code === "string" ? error.code : error.name
  const kind = kindOf(code, error)
  const reason = denied.has(code) ? "Denied" : isTooLarge(code, error.message) ? "TooLarge" : "Unavailable"
  return {
    code,
    kind: reason === "Denied" ? "final" : kind,
    reason,
    detail: `${code}: ${error.message.split("\n")[0] ?? ""}`.slice(0, 300)
  }
}
