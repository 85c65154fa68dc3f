/** Slack's error strings translated once, at the edge: what they mean for us and for the sender of a request. */
import * as Schema from "effect/Schema"
import type { BridgeErrorCode } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { BridgeRefusal } from "../BridgeErrors.ts"

/**
 * `Refused`: Slack said no, nothing happened. `RateLimited`: nothing happened, come back. `Uncertain`: a timeout, a
 * broken connection or a 5xx; it may have happened. `Unready`: we have no token, nothing was sent.
 */
export class SlackFailure extends Schema.TaggedError<SlackFailure>()("SlackFailure", {
  method: Schema.String,
  kind: Schema.Literals(["Refused", "RateLimited", "Uncertain", "Unready"]),
  /** Slack's own error string, or our word for a transport failure. */
  error: Schema.String,
  retryAfterMillis: Schema.Int
}) {
  override get message(): string {
    return `Slack's ${this.method} failed: ${this.error}`
  }
}

/**
 * Slack's error strings that are not simply `slack_refused`.
 * Source: docs.slack.dev/reference/methods (errors common to all methods), read 2026-11.
 */
const codes: Readonly<Record<string, BridgeErrorCode>> = {
  is_archived: "is_archived",
  channel_is_archived: "is_archived",
  channel_not_found: "channel_not_found",
  not_in_channel: "not_in_channel",
  thread_not_found: "thread_gone",
  invalid_thread_ts: "thread_gone",
  token_revoked: "token_revoked",
  token_expired: "token_revoked",
  invalid_auth: "token_revoked",
  not_authed: "token_revoked",
  account_inactive: "token_revoked",
  org_login_required: "token_revoked",
  ekm_access_denied: "token_revoked",
  enterprise_is_restricted: "token_revoked",
  team_access_not_granted: "token_revoked"
}

/** Answers with `ok: false` after which Slack does not say whether the call took effect. */
const uncertain: ReadonlySet<string> = new Set([
  "internal_error",
  "fatal_error",
  "service_unavailable",
  "request_timeout",
  "team_added_to_org",
  "accesslimited"
])
const limited: ReadonlySet<string> = new Set(["ratelimited", "rate_limited", "message_limit_exceeded"])

/** Which kind of failure an `ok: false` answer is. Anything that is no error word came from something else than Slack. */
export const kindOfSlackError = (error: string): SlackFailure["kind"] =>
  limited.has(error)
    ? "RateLimited"
    : uncertain.has(error) || !/^[a-z0-9_]{1,80}$/.test(error)
    ? "Uncertain"
    : "Refused"

/** What the sender of a bridge request is told. */
export const refusalOfSlack = (failure: SlackFailure): BridgeRefusal => {
  const detail = `Slack's ${failure.method}: ${failure.error}`
  const retryAfterMillis = Math.max(failure.retryAfterMillis, 1_000)
  switch (failure.kind) {
    case "Refused":
      return new BridgeRefusal({ code: codes[failure.error] ?? "slack_refused", detail })
    case "RateLimited":
      return new BridgeRefusal({ code: "rate_limited", detail, retryAfterMillis })
    case "Uncertain":
      return new BridgeRefusal({ code: "unavailable", detail, retryAfterMillis, uncertain: true })
    case "Unready":
      return new BridgeRefusal({ code: "unavailable", detail, retryAfterMillis })
  }
}

/** Errors about how a message is built, not about where it goes: the same text may pass in a plainer form. */
export const isBlockError = (error: string): boolean =>
  /block|attachment|markdown|invalid_arg|msg_too_long|metadata_too_large|cannot_parse/.test(error)

/** Errors that mean that a mark on a message has become pointless: the message is gone or takes none. */
export const isMarkMoot = (error: string): boolean =>
  [
    "message_not_found",
    "not_reactable",
    "thread_locked",
    "too_many_emoji",
    "too_many_reactions",
    "already_reacted",
    "no_reaction"
  ].includes(error)

/** The message that began the thread is gone. */
export const isThreadGone = (failure: SlackFailure): boolean =>
  failure.kind === "Refused" && codes[failure.error] === "thread_gone"
