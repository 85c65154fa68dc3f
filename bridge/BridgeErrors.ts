/**
 * Everything the bridge refuses, with a stable code, an HTTP status and what to do about it: one table for `/events`
 * and one for `/v2`, from which answers and `docs/errors.md` are made.
 */
import * as Schema from "effect/Schema"
import { BridgeErrorCode, type BridgeFailure, BridgeResult } from "../runtime/domain/slack/BridgeProtocol.ts"
import type { StoreError } from "../runtime/ports/StoreError.ts"
import { socketErrors } from "./socket/SocketErrors.ts"

interface ErrorRow {
  readonly code: string
  readonly status: number
  readonly what: string
  readonly remedy: string
}

/**
 * Why `POST /events` did not take a request, and (status 200) why a person's message starts no turn. `retry: false`
 * answers carry `X-Slack-No-Retry: 1`.
 */
export const eventErrors = {
  too_large: {
    code: "KM-SLK-001",
    status: 413,
    what: "the event's body is larger than 1 MiB",
    remedy: "nothing Slack sends is that large; check who calls the address"
  },
  unsigned: {
    code: "KM-SLK-002",
    status: 401,
    what: "Slack's signature is missing or wrong",
    remedy: "store the signing secret shown on the Slack app's page under slack/signing-secret"
  },
  stale: {
    code: "KM-SLK-003",
    status: 401,
    what: "the event's timestamp is more than 300 s away from the bridge's clock",
    remedy: "synchronise the clock of the bridge's host (NTP)"
  },
  bad_utf8: {
    code: "KM-SLK-004",
    status: 400,
    what: "the body is not UTF-8",
    remedy: "send the bytes that were signed, unchanged"
  },
  bad_json: {
    code: "KM-SLK-005",
    status: 400,
    what: "the body is not JSON",
    remedy: "set the Slack app's event subscription to send JSON to this address"
  },
  bad_text: {
    code: "KM-SLK-006",
    status: 400,
    what: "a text in the event holds control characters or half a surrogate pair",
    remedy: "write the message again without invisible control characters"
  },
  bad_event: {
    code: "KM-SLK-007",
    status: 400,
    what: "the event does not have the shape that Slack documents",
    remedy: "compare the app's event subscriptions with the manifest that km prints"
  },
  foreign: {
    code: "KM-SLK-008",
    status: 403,
    what: "the event belongs to another Slack app or workspace than this install",
    remedy: "point that app at its own install, or run km slack init for this workspace"
  },
  not_stored: {
    code: "KM-SLK-009",
    status: 503,
    what: "the message could not be stored durably",
    remedy: "Slack sends it again; look at the engine (disk full, database locked) if it lasts"
  },
  not_visible: {
    code: "KM-SLK-010",
    status: 503,
    what: "the channel is unknown while a new sandbox may not be visible yet",
    remedy: "Slack sends it again; nothing to do"
  },
  no_secret: {
    code: "KM-SLK-011",
    status: 503,
    what: "the signing secret cannot be read",
    remedy: "store it under slack/signing-secret and check the permissions of the secret store"
  },
  too_long: {
    code: "KM-SLK-012",
    status: 200,
    what: "the message is longer than the 256 KiB that one turn can hold",
    remedy: "write a shorter message and attach the rest as a file"
  },
  ending: {
    code: "KM-SLK-013",
    status: 200,
    what: "the sandbox is being destroyed and takes no more messages",
    remedy: "write in another sandbox's channel"
  },
  not_allowed: {
    code: "KM-SLK-014",
    status: 200,
    what: "only members of this workspace and people whom the sandbox's profile names may drive the agent",
    remedy: "ask for your id to be added to `spec.cli.notifySlackInboundAllow`"
  },
  socket_mode: {
    code: "KM-SLK-016",
    status: 404,
    what: "events do not come to this address, because the install uses Socket Mode",
    remedy: "take the Request URL out of the Slack app's event subscriptions"
  },
  not_readable: {
    code: "KM-SLK-015",
    status: 200,
    what: "the message could not be taken because of a defect in km",
    remedy: "write it in other words, and look at the bridge's log with km logs bridge"
  }
} as const satisfies Record<string, ErrorRow>
export type EventError = keyof typeof eventErrors

/** A refused event; nothing was stored. */
export class EventRefused extends Schema.TaggedError<EventRefused>()("EventRefused", {
  reason: Schema.Literals(Object.keys(eventErrors) as ReadonlyArray<EventError>),
  detail: Schema.String
}) {
  override get message(): string {
    const row = eventErrors[this.reason]
    return `${row.code}: ${row.what}${this.detail === "" ? "" : ` (${this.detail})`}; ${row.remedy}`
  }
}

/** Status and meaning of every code of `/v2`. Codes that a client may retry have 409 (`in_progress`), 429 or 503. */
export const bridgeErrors: Readonly<Record<BridgeErrorCode, ErrorRow>> = {
  too_large: {
    code: "KM-SLK-020",
    status: 413,
    what: "the request's body is larger than 1 MiB",
    remedy: "send the bytes as an object and name it with upload"
  },
  bad_request: {
    code: "KM-SLK-021",
    status: 400,
    what: "the body is no well-formed request",
    remedy: "build the body with the schemas of the bridge protocol"
  },
  bad_header: {
    code: "KM-SLK-022",
    status: 400,
    what: "a km-* header is missing or malformed",
    remedy: "send all seven headers of the bridge protocol"
  },
  stale_timestamp: {
    code: "KM-SLK-023",
    status: 401,
    what: "km-timestamp is more than 300 s away from the bridge's clock",
    remedy: "synchronise the clock of the sandbox's host (NTP)"
  },
  unauthenticated: {
    code: "KM-SLK-024",
    status: 401,
    what: "the sender is unknown here or the signature does not hold",
    remedy: "check the sandbox with km doctor; create it again if its key is lost"
  },
  revoked_key: {
    code: "KM-SLK-025",
    status: 401,
    what: "the key was revoked",
    remedy: "rotate the sandbox's key or create the sandbox again"
  },
  stale_epoch: {
    code: "KM-SLK-026",
    status: 409,
    what: "another runtime of this sandbox has taken over",
    remedy: "end this runtime; the newer one goes on"
  },
  forbidden: {
    code: "KM-SLK-027",
    status: 403,
    what: "the sender may not do that there",
    remedy: "act in the sandbox's own channel and on its own messages; ask an operator for the rest"
  },
  unknown_action: {
    code: "KM-SLK-028",
    status: 400,
    what: "the bridge knows no such action",
    remedy: "use the same version of km on both sides"
  },
  already_done: {
    code: "KM-SLK-029",
    status: 409,
    what: "this id was used for another body",
    remedy: "adopt the recorded result, or use a new id"
  },
  bad_object: {
    code: "KM-SLK-030",
    status: 400,
    what: "the object is missing or differs from the announced size and digest",
    remedy: "store the object again and announce what was stored"
  },
  in_progress: {
    code: "KM-SLK-031",
    status: 409,
    what: "a request with this id is being carried out",
    remedy: "send the same request again after Retry-After"
  },
  rate_limited: {
    code: "KM-SLK-032",
    status: 429,
    what: "Slack asks to slow down",
    remedy: "send the same request again after Retry-After"
  },
  unavailable: {
    code: "KM-SLK-033",
    status: 503,
    what: "Slack or the engine cannot be reached right now",
    remedy: "send the same request again after Retry-After"
  },
  is_archived: {
    code: "KM-SLK-034",
    status: 422,
    what: "the channel is archived",
    remedy: "create the sandbox again; it gets a new channel"
  },
  channel_not_found: {
    code: "KM-SLK-035",
    status: 422,
    what: "Slack does not know the channel, or does not show it to our bot",
    remedy: "invite the bot to the channel or create the sandbox again"
  },
  not_in_channel: {
    code: "KM-SLK-036",
    status: 422,
    what: "our bot is not a member of the channel",
    remedy: "invite the bot to the channel"
  },
  token_revoked: {
    code: "KM-SLK-037",
    status: 422,
    what: "Slack does not accept our bot token",
    remedy: "install the Slack app again and store the new token under slack/bot-token"
  },
  slack_refused: {
    code: "KM-SLK-038",
    status: 422,
    what: "Slack refused for good",
    remedy: "read the detail; km slack test shows what the app may do"
  },
  creation_forbidden: {
    code: "KM-SLK-041",
    status: 422,
    what: "this workspace does not let our bot create channels",
    remedy: "have a person create the channel, then `km slack adopt` it with --alias and create the sandbox again"
  },
  thread_gone: {
    code: "KM-SLK-039",
    status: 422,
    what: "the message that began the thread was deleted, so nothing can be posted into it",
    remedy: "write a new message; `km replay` shows an answer that was not posted"
  }
}

/** What `GET /files/…` answers when it serves nothing. */
export const linkError = {
  code: "KM-SLK-040",
  status: 404,
  what: "the link has expired or was never valid",
  remedy: "ask the agent for the file again"
} as const satisfies ErrorRow

/**
 * A refused request of `/v2`. With `uncertain` the effect may have happened: its record stays pending, so that the
 * next request with the same id looks before it acts.
 */
export class BridgeRefusal extends Schema.TaggedError<BridgeRefusal>()("BridgeRefusal", {
  code: BridgeErrorCode,
  detail: Schema.String,
  retryAfterMillis: Schema.optionalKey(Schema.Int),
  recorded: Schema.optionalKey(BridgeResult),
  uncertain: Schema.optionalKey(Schema.Boolean)
}) {
  override get message(): string {
    const row = bridgeErrors[this.code]
    return `${row.code}: ${row.what}${this.detail === "" ? "" : ` (${this.detail})`}; ${row.remedy}`
  }
}

/** The body that a refusal is answered with. */
export const failureOf = (refusal: BridgeRefusal): BridgeFailure => ({
  ok: false,
  error: {
    code: refusal.code,
    message: refusal.message,
    ...(refusal.retryAfterMillis === undefined ? {} : { retryAfterMillis: refusal.retryAfterMillis })
  },
  ...(refusal.recorded === undefined ? {} : { recorded: refusal.recorded })
})

/** An engine that cannot answer is `unavailable`; only a full disk waits longer than 2 s before the next try. */
export const refusalOfStore = (error: StoreError): BridgeRefusal =>
  new BridgeRefusal({
    code: "unavailable",
    detail: `${error.port}.${error.operation}: ${error.reason}`,
    retryAfterMillis: error.reason === "Full" ? 30_000 : 2_000
  })

/** Codes that a person can see, for `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  ...Object.values(eventErrors),
  ...Object.values(bridgeErrors),
  linkError,
  ...Object.values(socketErrors)
].map(({ code, remedy, what }) => ({ code, what, remedy }))
